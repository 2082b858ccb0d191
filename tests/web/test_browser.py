"""The page as people see it: in a real Chromium, without a screen, driven over the plain WebDriver protocol."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest

from edgekit.events import BOOT, OBSERVATION
from edgekit.web.board import Board

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium with its chromedriver on this host")

TOKEN = "bF3kQ9-wmZ7_xY2p"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --window-size=1400,1000"
)
STATE = "return document.querySelector('#state').textContent"
BADGE = "return document.querySelector('[data-camera=\"{}\"] .badge')?.textContent"
SHOWN_WIDTH = "return document.querySelector('[data-camera=\"{}\"] img')?.naturalWidth"
DOUBTED = "return document.querySelector('[data-camera=\"{}\"]').classList.contains('doubted')"


@dataclass(frozen=True)
class Browser:
    """One window. https://www.w3.org/TR/webdriver2/, and Chromium's own logs."""

    session: httpx2.Client

    def ask(self, command: str, **what: Any) -> Any:
        answer = self.session.post(command, json=what)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def open(self, url: str) -> None:
        self.ask("url", url=url)

    def run(self, script: str) -> Any:
        return self.ask("execute/sync", script=script, args=[])

    def shows(self, script: str, wanted: Any, patience_s: float = 8.0) -> bool:
        """Whether the script gives what is wanted, now or soon."""
        end = time.monotonic() + patience_s
        while (last := self.run(script)) != wanted:
            if time.monotonic() > end:
                raise AssertionError(f"{script}: {last!r}, not {wanted!r}; {self.complaints()}")
            time.sleep(0.05)
        return True

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the last time: scripts', the network's, the content policy's."""
        return [entry["message"] for entry in self.ask("se/log", type="browser") if entry["level"] != "DEBUG"]


@contextmanager
def driver(folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([str(DRIVER), f"--port={port}", "--silent"], stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(200):
                try:
                    httpx2.get(f"{url}/status")
                    break
                except httpx2.TransportError:
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("chromium")
    wish = {
        "goog:loggingPrefs": {"browser": "ALL"},
        "goog:chromeOptions": {"binary": CHROMIUM, "args": [*FLAGS.split(), f"--user-data-dir={folder}"]},
    }
    with driver(folder) as url:
        made = httpx2.post(f"{url}/session", json={"capabilities": {"alwaysMatch": wish}}, timeout=60).json()["value"]
        window = f"{url}/session/{made['sessionId']}"
        with httpx2.Client(base_url=window, timeout=30) as session:
            try:
                yield Browser(session)
            finally:
                assert httpx2.delete(window, timeout=30).status_code == 200, "Chromium would outlive the tests"


@pytest.fixture
def browser(chromium) -> Iterator[Browser]:
    """The window, empty before and after, and without cookies."""
    chromium.open("about:blank")
    chromium.complaints()
    yield chromium
    chromium.open("about:blank")


@pytest.fixture
def told(status) -> Iterator[Callable[..., None]]:
    """A board with a supervisor that speaks five times a second; call it to change what it says."""
    board = Board(lambda camera: picture())
    stop = threading.Event()

    def speak() -> None:
        while not stop.is_set():
            board.show(status)
            stop.wait(0.2)

    def change(**changes: Any) -> None:
        status.update(changes)

    thread = threading.Thread(target=speak)
    thread.start()
    change.board, change.status, change.stop = board, status, stop  # type: ignore[attr-defined]
    yield change
    stop.set()
    thread.join()


def picture() -> bytes:
    noise = np.random.default_rng(time.monotonic_ns()).integers(0, 255, (90, 160, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


def test_the_page_shows_what_the_box_says_and_complains_of_nothing(browser, told, serving, event) -> None:
    told.board.add([event("", BOOT, version="0.1.0"), event("door", OBSERVATION, counts={"bottle": 3, "cola": 1})])
    with serving(told.board) as url:
        browser.open(url)
        assert browser.shows(STATE, "OK")
        assert browser.shows(BADGE.format("shelf 3"), "LIVE")
        assert browser.shows(SHOWN_WIDTH.format("shelf 3"), 160)
        assert browser.shows(SHOWN_WIDTH.format("door"), 160)
        assert browser.shows(DOUBTED.format("door"), False)
        text = browser.run("return document.body.innerText")
        for said in ("cart-7", "9.9", "onnx-int8", "25.0", "detect", "62 °C", "mqtt", "connection refused"):
            assert said in text
        assert "3 bottle, 1 cola" in text
        assert "started, version 0.1.0" in text
        widths = browser.run("return [...document.querySelectorAll('#stages span')].map(each => each.offsetWidth)")
        assert widths[1] > 3 * widths[2] > widths[0], "detect, classify, preprocess: as long as they took"
        assert browser.complaints() == []


def test_what_changes_is_seen_without_a_reload(browser, told, serving, event) -> None:
    with serving(told.board) as url:
        browser.open(url)
        assert browser.shows(STATE, "OK")
        browser.run("window.notReloaded = true")
        told.status["cameras"]["door"].update(state="LOST", reason="connection refused", since_s=0.5)
        told(state="degraded", reasons=["camera door is LOST: connection refused"])
        told.board.add([event("door", state="LOST", before="LIVE", reason="connection refused")])
        assert browser.shows(BADGE.format("door"), "LOST")
        assert browser.shows(DOUBTED.format("door"), True), "what was seen before is not shown as if it were now"
        assert browser.shows(BADGE.format("shelf 3"), "LIVE")
        assert browser.shows(STATE, "DEGRADED")
        assert browser.run("return document.title") == "degraded: cart-7"
        first = "return document.querySelector('#events li').innerText"
        assert "LIVE → LOST: connection refused" in browser.run(first)
        told.status["cameras"]["door"].update(state="LIVE", reason="")
        assert browser.shows(BADGE.format("door"), "LIVE")
        assert browser.complaints() == []
        told(cameras={"shelf 3": told.status["cameras"]["shelf 3"]})
        assert browser.shows(BADGE.format("door"), None), "a camera that is gone is gone"
        assert browser.run("return window.notReloaded") is True


def test_pictures_move_and_stop_when_nobody_is_there_to_see_them(browser, told, serving) -> None:
    source = "return document.querySelector('[data-camera=door] img').src"
    with serving(told.board) as url:
        browser.open(url)
        assert browser.shows(SHOWN_WIDTH.format("door"), 160)
        before = browser.run(source)
        assert browser.shows(f"{source} !== '{before}'", True)
        assert told.board.watching() == ("door", "shelf 3")
        browser.open("about:blank")
        end = time.monotonic() + 8
        while told.board.watching() and time.monotonic() < end:
            time.sleep(0.05)
        assert told.board.watching() == ()


def test_a_supervisor_that_falls_silent_is_not_shown_as_if_it_spoke(browser, told, serving) -> None:
    told.board.stale_s = 1.0
    with serving(told.board) as url:
        browser.open(url)
        assert browser.shows(STATE, "OK")
        told.stop.set()
        assert browser.shows(STATE, "SILENT")
        assert browser.shows(BADGE.format("door"), "UNKNOWN")
        assert "no status from the supervisor for" in browser.run("return document.querySelector('#heard').textContent")
        told.board.show(told.status)
        assert browser.shows(STATE, "OK")
        assert browser.complaints() == []


def test_a_box_that_is_gone_is_said_to_be_and_found_again(browser, told, serving) -> None:
    with serving(told.board) as url:
        browser.open(url)
        assert browser.shows(STATE, "OK")
    assert browser.shows(STATE, "SILENT", patience_s=12)
    heard = browser.run("return document.querySelector('#heard').textContent")
    assert heard.startswith("the box has not answered for")


def test_text_from_outside_is_text_and_never_markup(browser, told, serving, event) -> None:
    evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1<script>\'"&'
    camera = {
        **told.status["cameras"]["door"],
        "state": "LOST",
        "reason": evil,
        "dropped": {evil: 1},
        "notices": {evil: 1},
    }
    sink = {"up": False, "reason": evil, "waiting": 1, "acked": 0, "refused": 1}
    told(
        device=evil,
        reasons=[evil],
        cameras={evil: camera},
        engine={**told.status["engine"], "state": evil, "variant": evil, "reason": evil, "stages_ms": {evil: 5.0}},
        ladder={"step": 1, "name": evil, "reason": evil},
        outbox={**told.status["outbox"], "dropped": {evil: 2}, "sinks": {evil: sink}},
    )
    told.board.add([event(evil, state=evil, reason=evil), event(evil, "strange.type", x=evil)])
    told.board.add([event(evil, OBSERVATION, counts={evil: 3})])
    with serving(told.board) as url:
        browser.open(url)
        name = "return document.querySelector('.camera h2').textContent"
        assert browser.shows("return document.querySelector('.camera h2') !== null", True)
        assert browser.run(name) == evil
        assert browser.shows("return document.querySelectorAll('#events li').length", 3)
        assert browser.shows("return document.querySelector('.camera img').naturalWidth", 160)
        assert browser.run("return document.querySelectorAll('body script, [onerror], img[src=x]').length") == 0
        assert browser.run("return window.hacked ?? null") is None
        assert browser.complaints() == []


def test_the_content_policy_is_what_stops_a_script_that_gets_in_all_the_same(browser, told, serving) -> None:
    """The control of the test above: markup that does get in runs nothing, and the console tells."""
    with serving(told.board) as url:
        browser.open(url)
        assert browser.shows(STATE, "OK")
        for attack in (
            "document.body.innerHTML = '<img src=x onerror=window.hacked=1>'",
            "document.body.setAttribute('onclick', 'window.hacked = 1')",
            "const made = document.createElement('script'); made.textContent = 'window.hacked = 1'; "
            "document.body.append(made)",
        ):
            assert browser.run(f"try {{ {attack} }} catch (error) {{ return error.name }}") in (
                "TypeError",
                "EvalError",
            )
        assert browser.run("document.body.click(); return window.hacked ?? null") is None
        assert any("Content Security Policy" in said or "TrustedHTML" in said for said in browser.complaints())


def test_a_person_logs_in_and_out(browser, told, serving) -> None:
    with serving(told.board, TOKEN) as url:
        browser.open(url)
        assert browser.run("return location.pathname") == "/login"
        submit = "document.querySelector('#token').value = '{}'; document.querySelector('button').click()"
        browser.run(submit.format("not the token"))
        assert browser.shows("return document.querySelector('#refused')?.hidden", False)
        browser.complaints()  # Chromium calls every 401 an error
        browser.run(submit.format(TOKEN))
        assert browser.shows("return location.pathname", "/")
        assert browser.shows("return document.querySelector('#state')?.textContent", "OK")
        assert browser.shows(SHOWN_WIDTH.format("door"), 160)
        assert browser.run("return document.cookie") == "", "no script can read the session"
        assert browser.complaints() == []
        browser.run("document.querySelector('#logout button').click()")
        assert browser.shows("return location.pathname", "/login")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1400])
def test_nothing_sticks_out_on_a_phone_or_a_wall(browser, told, serving, width, scheme) -> None:
    def emulate(command: str, **what: Any) -> Any:
        return browser.ask("goog/cdp/execute", cmd=f"Emulation.{command}", params=what)

    told(reasons=["camera " + "x" * 80 + " is LOST"], device="cart-with-a-very-long-name-" + "9" * 40)
    try:
        emulate("setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 600)
        emulate("setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        with serving(told.board) as url:
            browser.open(url)
            assert browser.shows(STATE, "OK")
            assert browser.run("return document.documentElement.scrollWidth - window.innerWidth") <= 0
            ink, paper = browser.run(
                "const look = getComputedStyle(document.body); return [look.color, look.backgroundColor]"
            )
            assert (brightness(ink) > brightness(paper)) == (scheme == "dark")
            shot = base64.b64decode(browser.session.get("screenshot").json()["value"])
            assert cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR).std() > 10, "something is drawn"
    finally:
        emulate("clearDeviceMetricsOverride")
        emulate("setEmulatedMedia", features=[])


def brightness(colour: str) -> int:
    """Of `rgb(1, 2, 3)`."""
    return sum(map(int, colour[colour.index("(") + 1 : -1].split(",")[:3]))
