"""`edgekit run` unattended: real processes, a real engine, a rendered camera and a real outbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")
from edgekit.benchmarks.reliability.mosquitto import Mosquitto, find_mosquitto
from edgekit.benchmarks.reliability.small_shop import write_detector
from edgekit.errors import EngineMissing, SettingsError
from edgekit.host import Host
from edgekit.probe import as_text, describe
from edgekit.secret import no_log
from edgekit.supervisor.run import _Box as Box
from edgekit.supervisor.run import run_unattended
from edgekit.supervisor.settings import Unattended

EDGEKIT = [sys.executable, "-c", "from edgekit.cli import main; main()"]
STORE = """
device = "cart-1"
profile = "{profile}"
largest_frame = [640, 480]

[[cameras]]
name = "left"
address = "scene:shelf?seed=3&frames=60"
fps = 10
health = {{ frozen_s = 0 }}

[[cameras]]
name = "right"
address = "rtsp://clerk:hunter2@127.0.0.1:9/live"

[detector]
bundle = "detector.ekb"

[events]
observations = "all"

[sinks.jsonl]
path = "events.jsonl"
{more}
"""


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    write_detector(tmp_path / "detector.ekb", cell=16)

    def write(more: str = "", profile: str = "generic") -> Path:
        path = tmp_path / "store.toml"
        path.write_text(STORE.format(more=more, profile=profile))
        return path

    return write


class Running:
    """`edgekit run` as a shop starts it."""

    def __init__(self, store: Path, *options: str) -> None:
        self.store = store
        self.log = store.parent / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([*EDGEKIT, "run", str(store), *options], stderr=log, stdout=log)

    def events(self) -> list[dict[str, Any]]:
        path = self.store.parent / "events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, what: Callable[[dict[str, Any]], bool], within_s: float = 30.0) -> dict[str, Any]:
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            found = [event for event in self.events() if what(event)]
            if found:
                return found[0]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"it did not come: {self.log.read_text()}")

    def children(self) -> list[int]:
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            found += [int(pid) for pid in (task / "children").read_text().split()]
        return found

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def start(store: Callable[..., Path]) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def begin(*options: str, more: str = "", profile: str = "generic") -> Running:
        running.append(Running(store(more, profile), *options))
        return running[-1]

    yield begin
    for each in running:
        each.process.kill()
        each.process.wait()


def is_observation(event: Mapping[str, Any]) -> bool:
    return event["type"] == "edgekit.observation"


def test_it_sees_tells_and_ends_when_it_is_told_to(start: Callable[..., Running]) -> None:
    shop = start()
    seen = shop.wait_for(is_observation)
    children = shop.children()
    assert seen["subject"] == "left"
    assert len(children) == 3, "two cameras and one engine"
    assert shop.end() == 0
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_a_profile_of_ones_own_reaches_the_inference_child(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "board.toml").write_text(as_text(describe(Host("aarch64"), name="board")))
    shop = start(profile="board.toml")
    assert shop.wait_for(is_observation)
    assert shop.end() == 0


def test_ids_count_up_without_a_gap(start: Callable[..., Running]) -> None:
    shop = start()
    shop.wait_for(is_observation)
    shop.end(signal.SIGINT)
    sequences = [int(event["sequence"]) for event in shop.events()]
    assert sequences == list(range(1, len(sequences) + 1))


def test_no_log_no_event_and_no_error_tells_an_address_or_a_password(start: Callable[..., Running]) -> None:
    shop = start()
    shop.wait_for(lambda event: event["type"] == "edgekit.boot")
    shop.wait_for(is_observation)
    shop.end()
    told = shop.log.read_text() + json.dumps(shop.events())
    assert "hunter2" not in told
    assert "clerk" not in told


def test_children_end_with_a_supervisor_that_is_killed(start: Callable[..., Running]) -> None:
    shop = start()
    shop.wait_for(is_observation)
    children = shop.children()
    shop.end(signal.SIGKILL)
    until = time.monotonic() + 5
    while (left := [pid for pid in children if _runs(pid)]) and time.monotonic() < until:
        time.sleep(0.05)
    assert not left


def test_an_inference_child_that_is_killed_is_replaced_and_looks_again(start: Callable[..., Running]) -> None:
    shop = start()
    shop.wait_for(is_observation)
    engine = next(pid for pid in shop.children() if b"inference" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(engine, signal.SIGKILL)
    failed = shop.wait_for(lambda event: event["data"].get("restarts") == 1 and event["data"]["state"] == "restarting")
    assert "SIGKILL" in failed["data"]["reason"]
    shop.wait_for(lambda event: is_observation(event) and int(event["sequence"]) > int(failed["sequence"]))
    assert shop.end() == 0


def test_a_second_start_goes_on_with_what_the_first_left(start: Callable[..., Running], tmp_path: Path) -> None:
    first = start()
    first.wait_for(is_observation)
    first.end(signal.SIGKILL)
    told = {event["id"] for event in first.events()}
    second = start()
    second.wait_for(lambda event: is_observation(event) and event["id"] not in told)
    second.end()
    boots = {event["boot"] for event in second.events()}
    assert len(boots) == 2


def test_options_of_a_single_source_are_refused(store: Callable[..., Path]) -> None:
    asked = [*EDGEKIT, "run", str(store()), "--video", "a.mp4"]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert ended.returncode == 64
    assert "--video" in ended.stderr


def test_frames_larger_than_memory_allows_are_refused_before_anything_starts(
    store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Host("aarch64", memory_mb=16)
    monkeypatch.setattr(Host, "probe", lambda: small)
    with pytest.raises(SettingsError, match="more than a quarter of the 16 MB of this host"):
        run_unattended(Unattended.read(store()))


def test_two_in_one_state_folder_are_refused(start: Callable[..., Running], store: Callable[..., Path]) -> None:
    shop = start()
    shop.wait_for(is_observation)
    ended = subprocess.run([*EDGEKIT, "run", str(store())], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "another edgekit runs in" in ended.stderr
    assert shop.end() == 0


def test_a_full_disk_stops_no_camera(start: Callable[..., Running], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "good.json").mkdir()  # as good as full: it cannot be replaced by a file
    shop = start(more="[engine]\nhealthy_s = 0.5")
    seen = shop.wait_for(is_observation)
    until = time.monotonic() + 3
    shop.wait_for(lambda event: is_observation(event) and event["time"] > seen["time"] and time.monotonic() > until)
    assert "the last good variant is not kept" in shop.log.read_text()
    assert shop.end() == 0


def test_the_last_good_variant_is_kept_once_there_is_room_again(
    store: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = tmp_path / "state" / "good.json"
    kept.mkdir(parents=True)
    with Box(Unattended.read(store()), None, no_log) as box:
        box._remember("onnx-f32")
        box._remember("onnx-f32")
        assert caplog.text.count("the last good variant is not kept") == 1
        kept.rmdir()
        box._remember_at = time.monotonic()  # a minute later
        box._remember("onnx-f32")
        assert json.loads(kept.read_text())["variant"] == "onnx-f32"


@pytest.mark.parametrize(
    ("more", "heat_c"),
    [("", (67.0, 75.0)), ("[ladder]\nmissed_high = 0.5", (67.0, 75.0)), ("[ladder]\nheat_high_c = 70.0", (62.0, 70.0))],
)
def test_a_ladder_of_ones_own_keeps_the_boards_temperature_where_it_says_none(
    store: Callable[..., Path], more: str, heat_c: tuple[float, float]
) -> None:
    with Box(Unattended.read(store(more, "rk3588")), None, no_log) as box:
        assert box.supervisor.ladder._heat_c == heat_c


def test_a_ladder_that_contradicts_the_boards_temperature_is_refused(store: Callable[..., Path]) -> None:
    with (
        pytest.raises(SettingsError, match=r"\[ladder\]: heat_low_c must be below the board's 75 °C"),
        Box(Unattended.read(store("[ladder]\nheat_low_c = 78.0", "rk3588")), None, no_log),
    ):
        pass


def test_an_event_that_no_consumer_acknowledges_is_sent_again_when_the_sinks_settings_say_so(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    mqtt = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed: pip install 'edgekit[mqtt]'")
    (tmp_path / "broker").mkdir()
    heard_at: list[float] = []
    with Mosquitto(tmp_path / "broker") as broker:
        broker.start()
        consumer = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        consumer.on_message = lambda *_: heard_at.append(time.monotonic())
        consumer.connect("127.0.0.1", broker.port)
        consumer.subscribe("edgekit/cart-1/events/edgekit.boot", qos=1)
        consumer.loop_start()
        sink = f'[sinks.mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nack = "application"\nack_timeout_s = 0.5'
        start(more=sink)
        until = time.monotonic() + 20
        while len(heard_at) < 4 and time.monotonic() < until:
            time.sleep(0.1)
        consumer.disconnect()
        consumer.loop_stop()
    waits_s = [round(after - before, 1) for before, after in pairwise(heard_at)]
    assert len(waits_s) == 3
    assert 0.4 < waits_s[0] < waits_s[1] < waits_s[2]


def test_a_wrong_password_is_told_as_an_event_without_the_address(start: Callable[..., Running]) -> None:
    shop = start()
    lost = shop.wait_for(lambda event: event["type"] == "edgekit.camera.state" and event["subject"] == "right")
    assert lost["data"]["state"] == "LOST"
    assert "127.0.0.1" not in json.dumps(lost)


def test_a_smaller_variant_that_cannot_run_here_is_refused(store: Callable[..., Path]) -> None:
    path = store()
    path.write_text('smaller = "tflite-int8"\n' + path.read_text())
    with pytest.raises(SettingsError, match="smaller = 'tflite-int8' cannot run here"):
        run_unattended(Unattended.read(path))


def test_a_bundle_whose_engine_is_missing_says_what_to_do(
    store: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.supervisor.run.installed", dict)
    with pytest.raises(EngineMissing, match="edgekit doctor"):
        run_unattended(Unattended.read(store()))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('name = "right"', 'name = "left"', "every camera needs a name of its own"),
        ('name = "right"', 'name = "a/b"', "name has 1 to 64 letters"),
        ("fps = 10", "fps = 0", "fps must be above 0"),
        ("fps = 10", "fps = 0.5", "health.stale_s must be more"),
        ("fps = 10", "fps = inf", "fps"),
        ("[640, 480]", "[0, 480]", "largest_frame is a width and a height"),
        (
            'name = "right"',
            'name = "right"\nhealth = { quiet_s = 2 }',
            "unknown key 'cameras.1.health.quiet_s', which is of another table",
        ),
        ("[sinks.jsonl]", "[sinks.json]", "unknown key 'sinks.json', did you mean 'jsonl'"),
        ('[sinks.jsonl]\npath = "events.jsonl"', "[sinks]", "events must go somewhere"),
        ('device = "cart-1"', 'device = "cart/1"', "device is part of ids"),
        ('"all"', '"some"', "observations"),
    ],
)
def test_a_store_file_that_makes_no_sense_says_where(
    store: Callable[..., Path], before: str, after: str, said: str
) -> None:
    path = store()
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(SettingsError, match=said):
        Unattended.read(path)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
