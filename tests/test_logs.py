"""What is logged, and above all what is not: no password in any line, no message for ever."""

from __future__ import annotations

import io
import json
import logging
import math
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgekit.logs import JsonFormatter, LogHandler, Repeats, TextFormatter, log_to
from edgekit.redactor import Redactor
from edgekit.secret import Secret

CAMERA = "rtsp://admin:hunter22@10.0.0.7:554/stream?key=4711"


class Ticking:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Desk:
    """A logger of its own with a handler of ours, and what it wrote."""

    def __init__(self, *secrets: str, as_json: bool = True) -> None:
        self.stream = io.StringIO()
        self.clock = Ticking()
        self.handler = LogHandler(self.stream, Redactor(secrets), clock=self.clock)
        self.handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
        self.log = logging.Logger("edgekit.shop")
        self.log.addHandler(self.handler)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.split("\n") if line]

    @property
    def messages(self) -> list[str]:
        return [line["message"] for line in self.lines]


def test_a_record_is_one_line_with_its_fields():
    desk = Desk()
    record = logging.makeLogRecord({"created": 1793693702.4171, "levelno": 30, "levelname": "WARNING"})
    record.__dict__ |= {"name": "edgekit.shop", "msg": "lost: %s", "args": ("no frame\nfor 5 s",)}
    record.__dict__ |= {"subject": "aisle 3", "counts": {"late": 2}, "size": (640, 480), "path": io, "fps": math.nan}
    desk.handler.handle(record)
    (line,) = desk.lines
    assert desk.text.count("\n") == 1
    assert line.pop("path").startswith("<module 'io'")
    assert line == {
        "time": "2026-11-03T08:15:02.417Z",
        "level": "WARNING",
        "logger": "edgekit.shop",
        "message": "lost: no frame\nfor 5 s",
        "subject": "aisle 3",
        "counts": {"late": 2},
        "size": [640, 480],
        "fps": "nan",
    }


def test_a_field_never_takes_the_place_of_the_lines_own():
    desk = Desk()
    desk.log.info("begins", extra={"time": 3, "level": 7})
    (line,) = desk.lines
    assert (line["time_"], line["level_"], line["level"]) == (3, 7, "INFO")


def test_an_exception_is_a_field_of_the_same_line():
    desk = Desk()
    try:
        raise OSError(f"cannot open {CAMERA}")
    except OSError:
        desk.log.exception("camera")
    (line,) = desk.lines
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("OSError: cannot open rtsp://***@10.0.0.7:554/stream?***")


def test_a_terminal_gets_text():
    desk = Desk(as_json=False)
    desk.log.warning("cannot open %s", CAMERA, extra={"subject": "aisle 3"})
    desk.log.info("ready")
    assert desk.text == (
        "WARNING edgekit.shop: cannot open rtsp://***@10.0.0.7:554/stream?*** (subject=aisle 3)\n"
        "INFO edgekit.shop: ready\n"
    )


# -- secrets

TEXTS = [
    (f"cannot open {CAMERA}", "cannot open rtsp://***@10.0.0.7:554/stream?***"),
    ("mqtts://shop:a/b?c@d@broker:8883 refused", "mqtts://***@broker:8883 refused"),
    (f"two: {CAMERA} http://u:p@h/x", "two: rtsp://***@10.0.0.7:554/stream?*** http://***@h/x"),
    ("rtsp://admin:two words@10.0.0.7/x", "rtsp://***@10.0.0.7/x"),
    ("connect(password=hunter22, port=1)", "connect(password=*** port=1)"),
    ("mqtt_password: 'hunter 22' was wrong", "mqtt_password: *** was wrong"),
    ('{"api-key": "a \\"quoted\\" one", "size": 3}', '{"api-key": ***, "size": 3}'),
    ("access_token=abc&x=1", "access_token=***"),
    ("PWD = x", "PWD = ***"),
    ("rtspsrc user-id=admin user-pw=hunter22 ! fakesink", "rtspsrc user-id=*** user-pw=*** ! fakesink"),
    ('user-pw="hunter 22" latency=0', "user-pw=*** latency=0"),
    ("user-agent=edgekit", "user-agent=edgekit"),
    ("Authorization: Basic c2hvcDpodW50ZXIyMg==\nHost: shop", "Authorization: ***\nHost: shop"),
    ("sent bearer eyJhbGciOi.x-y", "sent bearer ***"),
    ("Cookie: session=1; theme=2", "Cookie: ***"),
]


@pytest.mark.parametrize(("text", "left"), TEXTS, ids=[text for text, _ in TEXTS])
def test_what_is_secret_goes_and_the_rest_stays(text, left):
    assert Redactor()(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8080/healthz answers",
        "digest mismatch in cart.ekb",
        "12 tokens: compass=3, bypass: 4",
        "frame 17 of aisle 3 was 12.5 ms late",
        "mail bob@example.org",
    ],
)
def test_what_is_not_secret_is_left_alone(text):
    assert Redactor()(text) == text


@pytest.mark.parametrize("text", ["a", "a_", "a.b-", "://a:", "://a: ", "password ", "pass=", "bearer "])
def test_a_long_text_takes_no_longer_than_it_is_long(text):
    """A pattern that starts anew at every letter took 5 s for 40 kB."""
    started = time.process_time()
    Redactor(["hunter22"])(text * (40_000 // len(text)))
    assert time.process_time() - started < 1


def test_a_field_named_like_a_secret_is_hidden_whatever_it_holds():
    desk = Desk()
    desk.log.info("connects", extra={"password": 4711, "broker": {"token": ["a", "b"], "port": 1883}})
    (line,) = desk.lines
    assert (line["password"], line["broker"]) == ("***", {"token": "***", "port": 1883})


def test_a_literal_secret_goes_in_every_spelling():
    secret = Secret('p"ä ß/%\n4711').read()
    redactor = Redactor([secret])
    spelled = (secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), ascii(secret))
    for text in (*spelled, "p%22%C3%A4%20%C3%9F%2F%25%0A4711", "p%22%C3%A4+%C3%9F%2F%25%0A4711"):
        assert "4711" not in redactor(f"<{text}>")


def test_a_number_that_is_a_secret_goes_too():
    assert Redactor(["4711"]).field("pin", 4711) == "***"
    assert Redactor(["4711"]).field("port", 1883) == 1883


def test_a_secret_that_is_learnt_later_is_taken_out_from_then_on():
    redactor = Redactor()
    assert redactor("hunter22") == "hunter22"
    redactor.add("hunter22", "")
    assert redactor("hunter22 hunter") == "*** hunter"


def test_arguments_that_do_not_fit_are_not_printed():
    """logging's own answer is a traceback on stderr that shows the arguments."""
    desk = Desk()
    desk.log.info("opened %d", CAMERA)
    assert desk.messages == ["opened %d (its arguments do not fit: TypeError)"]


def test_a_handler_behind_ours_does_not_see_the_secret_either():
    desk = Desk()
    seen: list[logging.LogRecord] = []
    behind = logging.Handler()
    behind.emit = seen.append  # type: ignore[method-assign]
    desk.log.addHandler(behind)
    try:
        raise OSError(CAMERA)
    except OSError:
        desk.log.exception("cannot open %s", CAMERA, extra={"address": CAMERA})
    assert "hunter22" not in repr(seen[0].__dict__)


passwords = st.text(st.characters(blacklist_categories=["Cs"]), min_size=4, max_size=30)
words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, blacklist_characters="\"'\\"), min_size=4)
fillers = st.text(max_size=20)


def everywhere(password: str) -> str:
    """All that is written when a password stands in a message, an argument, a field, an exception and a template."""
    desk = Desk(password)
    try:
        raise ValueError(f"bad <{password}>", password)
    except ValueError:
        desk.log.exception("in the template " + password.replace("%", "%%"), extra={"a": password, "b": [password]})
    desk.log.error("%s and %r", password, {"x": password}, extra={"c": {password: 1}}, stack_info=True)
    desk.log.error("once")
    desk.log.error("once", extra={"d": password})
    desk.handler.close()
    return desk.text


@settings(max_examples=300, deadline=None)
@given(passwords)
def test_no_literal_secret_is_ever_in_a_line(password):
    assume(password not in everywhere("\0none of these\0").replace("***", ""))  # such as 'time' or 'File'
    assume("*" not in password)
    lines = everywhere(password)
    assert password not in lines
    assert all(password not in str(json.loads(line)) for line in lines.split("\n") if line)


@settings(max_examples=300, deadline=None)
@given(words, fillers, fillers, st.sampled_from(["rtsp", "mqtt+ssl", "HTTP"]))
def test_no_password_of_an_address_is_ever_in_a_line(password, before, after, scheme):
    """Though nobody told it the password: any text without white space, between any texts."""
    assume(not any(each.isspace() for each in password))
    desk = Desk()
    desk.log.info("%s %s://shop:%s@10.0.0.7/x %s", before, scheme, password, after)
    # what is left of the address itself, and of the texts around it
    assume(password not in before and password not in after and password not in "10.0.0.7/x ://***@")
    assert password not in desk.messages[0]


@settings(max_examples=300, deadline=None)
@given(words, fillers, st.sampled_from(["password=", "token: ", "MQTT_PASSWD = ", "Authorization: Basic ", "secret="]))
def test_no_named_password_is_ever_in_a_line(password, before, name):
    assume(not any(each.isspace() for each in password))
    assume(password not in before and password not in f"{name}***")
    desk = Desk()
    desk.log.info("%s %s%s", before, name, password)
    assert password not in desk.messages[0]


def test_without_the_filter_the_same_records_would_tell():
    """The control of the three above."""
    desk = Desk("hunter22")
    desk.handler.filters.clear()
    desk.log.info("opened %s", CAMERA, extra={"key": "hunter22"})
    assert desk.text.count("hunter22") == 2


# -- what repeats


def test_a_message_that_repeats_is_written_once_and_then_summed_up_each_minute():
    desk = Desk()
    for second in range(601):
        desk.clock.now = second
        desk.log.warning("no frame for %d s", second)
    assert desk.messages == [
        "no frame for 0 s",
        "repeated 59 times in 60 s: no frame for 59 s",
        *(f"repeated 60 times in 60 s: no frame for {second} s" for second in range(119, 600, 60)),
    ]


def test_what_came_again_and_then_stopped_is_summed_up_too():
    desk = Desk()
    desk.log.warning("refused")
    desk.log.warning("refused")
    desk.clock.now = 61
    desk.handler.write_due()
    desk.handler.write_due()
    assert desk.messages == ["refused", "once more in 61 s: refused"]


def test_after_a_quiet_minute_it_is_news_again():
    desk = Desk()
    for desk.clock.now in (0, 61, 122):
        desk.log.warning("refused")
    assert desk.messages == ["refused"] * 3


def test_cameras_levels_and_loggers_are_told_apart():
    desk = Desk()
    for subject in ("aisle 3", "aisle 4"):
        for _ in range(3):
            desk.log.warning("lost", extra={"subject": subject})
    desk.log.error("lost", extra={"subject": "aisle 3"})
    assert [(line["level"], line["subject"]) for line in desk.lines] == [
        ("WARNING", "aisle 3"),
        ("WARNING", "aisle 4"),
        ("ERROR", "aisle 3"),
    ]


def test_at_the_end_nothing_is_withheld():
    desk = Desk()
    for _ in range(5):
        desk.log.warning("refused")
    desk.handler.close()
    assert desk.messages == ["refused", "repeated 4 times: refused"]


def test_a_summary_carries_no_old_traceback():
    desk = Desk()
    for _ in range(3):
        try:
            raise OSError("gone")
        except OSError:
            desk.log.exception("failed")
    desk.handler.close()
    assert [("exception" in line) for line in desk.lines] == [True, False]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 90), st.sampled_from("abc")), max_size=80))
def test_nothing_is_lost_and_no_message_comes_more_than_twice_a_minute(arrivals):
    """Each record is written or counted, and what is written of one message is a minute apart."""
    repeats, now = Repeats(60.0), 0.0
    written: list[tuple[float, str]] = []
    for waited, text in arrivals:
        now += waited
        record = logging.makeLogRecord({"msg": text, "name": "shop"})
        written += [(now, each.getMessage()) for each in repeats.admit(record, now)]
    written += [(now, each.getMessage()) for each in repeats.rest()]
    for text in "abc":
        mine = [(at, message) for at, message in written if message.endswith(text)]
        assert sum(counted(message) for _, message in mine) == sum(each == text for _, each in arrivals)
        assert all(later - at >= 60 - 1e-6 for (at, _), (later, _) in pairwise(mine[:-1]))


def counted(message: str) -> int:
    if message.startswith("once more"):
        return 1
    return int(message.split()[1]) if message.startswith("repeated") else 1


def test_messages_that_are_never_the_same_do_not_fill_the_memory():
    repeats = Repeats()
    written = [
        each
        for i in range(5000)
        for text in (f"frame {i}", f"frame {i}")
        for each in repeats.admit(logging.makeLogRecord({"msg": text}), 0.0)
    ]
    assert len(repeats.rest()) == 1000
    assert len(written) == 5000 + 4000  # those that made room were summed up as they went


# -- the whole process


@pytest.fixture
def process() -> Iterator[None]:
    """logging and the hooks as they were before."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    logging.captureWarnings(False)
    root.handlers, root.level = handlers, level
    sys.excepthook, threading.excepthook = hooks


@pytest.mark.usefixtures("process")
def test_all_loggers_write_lines_to_a_file_and_text_to_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, begins in ((io.StringIO(), '{"time": "'), (Terminal(), "INFO edgekit.x: ready")):
        log_to(stream)
        logging.getLogger("edgekit.x").info("ready")
        logging.getLogger("edgekit.x").debug("not this")
        assert stream.getvalue().startswith(begins)
        assert stream.getvalue().count("\n") == 1


@pytest.mark.usefixtures("process")
def test_what_nobody_caught_is_a_record_without_secrets():
    stream = io.StringIO()
    log_to(stream, redactor=Redactor(["hunter22"]))

    def dies() -> None:
        raise OSError(f"cannot open {CAMERA}")

    thread = threading.Thread(target=dies, name="capture")
    thread.start()
    thread.join()
    try:
        dies()
    except OSError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["message"] for each in records] == ["a thread died", "nobody caught this"]
    assert records[0]["thread_name"] == "capture"
    assert "OSError" in records[1]["exception"]
    assert "hunter22" not in stream.getvalue()
