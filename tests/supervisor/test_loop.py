"""The supervisor over children that say what a test tells them to say, on a clock that a test moves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.events import CAMERA_NOTICE, CAMERA_STATE, DEGRADE, ENGINE_STATE, OBSERVATION, Event
from edgekit.outbox import Outbox
from edgekit.runtime.settings import ModelSettings
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.supervisor.ladder import Ladder, LadderSettings, Rung, default_rungs
from edgekit.supervisor.loop import Ports, Supervisor
from edgekit.supervisor.sensors import Reading
from edgekit.supervisor.settings import CameraSettings, EventSettings, SinkSettings, Unattended
from edgekit.supervisor.status import snapshot

PERIOD_S = 0.1


class Scripted:
    """A child that says what it is given to say, and remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.says: list[dict[str, Any]] = []
        self.end: str | None = None
        self.killed = False
        self.dies = True  # of being killed, unless it is stuck in a driver
        self.listens = True

    def send(self, message: Mapping[str, Any]) -> bool:
        self.told.append(dict(message))
        return self.listens

    def receive(self) -> list[dict[str, Any]]:
        said, self.says = self.says, []
        return said

    def ended(self) -> str | None:
        return self.end

    def kill(self) -> None:
        self.killed = True
        if self.dies:
            self.end = self.end or "its process was killed by SIGKILL"


class Shop:
    """A supervisor with its ports in the test's hand."""

    def __init__(self, folder: Path, cameras: int | tuple[CameraSettings, ...] = 1, **changes: Any) -> None:
        self.now = 100.0
        self.captures: dict[str, list[Scripted]] = {}
        self.inferences: list[tuple[str, Scripted]] = []
        self.heat_c: float | None = None
        self.outbox = Outbox(folder / "outbox.db", ["sink"])
        self.remembered: list[str] = []
        self.events: list[Event] = []
        self._numbers = 0
        settings = replace(
            Unattended(
                cameras=_scripted(cameras) if isinstance(cameras, int) else cameras,
                detector=ModelSettings(Path("none.ekb")),
                sinks=SinkSettings(jsonl=JsonlSettings("-")),
                device="cart-1",
                events=EventSettings(settle=2),
            ),
            **changes,
        )
        ports = Ports(
            clock=lambda: self.now,
            wall=lambda: 1.8e9,
            random=random.Random(1),
            capture=self._capture,
            inference=self._inference,
            outbox=self.outbox,
            sense=lambda: Reading(heat_c=self.heat_c),
            remember=self.remembered.append,
        )
        ladder = Ladder(LadderSettings(), default_rungs("small"))
        self.supervisor = Supervisor(settings, ports, ("int8", "float"), 0.05, ladder)

    def _capture(self, camera: CameraSettings) -> Scripted:
        self.captures.setdefault(camera.name, []).append(Scripted())
        return self.captures[camera.name][-1]

    def _inference(self, variant: str, rung: Rung) -> Scripted:
        self.inferences.append((variant, Scripted()))
        return self.inferences[-1][1]

    @property
    def engine(self) -> Scripted:
        return self.inferences[-1][1]

    def camera(self, number: int = 0) -> Scripted:
        return self.captures[f"camera {number}"][-1]

    def step(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.supervisor.step()
        self.events += self.supervisor.take_events()

    def wait(self, seconds: float) -> None:
        """As the real loop would: a step whenever one is due."""
        until = self.now + seconds
        while self.now < until:
            wait_s = self.supervisor.step()
            self.events += self.supervisor.take_events()
            self.now = min(until, self.now + max(wait_s, 1e-3))
        self.step()

    def show(self, number: int = 0, **facts: Any) -> int:
        """A camera's next frame; its number."""
        self._numbers += 1
        frame = {
            "kind": "frame",
            "number": self._numbers,
            "taken_at": self.now,
            "width": 64,
            "height": 48,
            "digest": self._numbers,
            "mean": 100.0,
            "stamp": None,
            "arrived": self._numbers,
            "damaged": 0,
        }
        self.camera(number).says.append({**frame, **facts})
        return self._numbers

    def begin(self) -> None:
        """Every camera open and LIVE, the engine ready, nothing asked."""
        self.step()
        self.ready()
        for number in range(len(self.captures)):
            self.camera(number).says.append({"kind": "opened", "fps": 10.0})
        self.step()
        for _ in range(2):
            for number in range(len(self.captures)):
                self.show(number)
            self.step(PERIOD_S)
            self.answer_all()
        self.events.clear()

    def ready(self) -> None:
        self.engine.says.append({"kind": "ready", "engine": "ort", "precision": "f32"})
        self.step()

    def looks(self) -> list[dict[str, Any]]:
        return [each for each in self.engine.told if each["kind"] == "look"]

    def answer(self, *labels: str, look: Mapping[str, Any] | None = None) -> None:
        look = look or self.looks()[-1]
        detections = [{"label": label, "score": 0.9, "box": [0, 0, 9, 9]} for label in labels]
        observation = {"stages_ms": {"detect": 5.0}, "detections": detections}
        said = {"kind": "seen", "camera": look["camera"], "number": look["number"], "observation": observation}
        self.engine.says.append(said)
        self.step()

    def answer_all(self) -> None:
        """Until nothing more is asked: each answer may bring the next camera's turn."""
        while not self.supervisor.worker.idle:
            self.answer()

    def see(self, *labels: str, number: int = 0) -> None:
        """One frame of a camera, and what is seen in it."""
        self.show(number)
        self.step(PERIOD_S)
        self.answer(*labels)

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.type == kind]


def _scripted(cameras: int) -> tuple[CameraSettings, ...]:
    return tuple(CameraSettings(f"camera {n}", "scripted", 1 / PERIOD_S) for n in range(cameras))


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    shops: list[Shop] = []

    def open_one(**changes: Any) -> Shop:
        shops.append(Shop(tmp_path, **changes))
        return shops[-1]

    yield open_one
    for shop in shops:
        shop.supervisor.close()
        shop.outbox.close()


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    shop = open_shop()
    shop.begin()
    return shop


def state(shop: Shop, number: int = 0) -> str:
    return shop.supervisor.cameras[f"camera {number}"].health.state


def test_a_live_camera_is_looked_at_frame_by_frame(shop: Shop) -> None:
    before = len(shop.looks())
    for _ in range(5):
        shop.see("bottle")
    assert len(shop.looks()) == before + 5


def test_a_count_is_told_once_it_has_settled_and_not_again(shop: Shop) -> None:
    shop.see("bottle")
    assert not shop.of(OBSERVATION)
    shop.see("bottle")
    shop.see("bottle")
    assert [event.data["counts"] for event in shop.of(OBSERVATION)] == [{"bottle": 1}]


def test_one_errant_frame_is_no_event(shop: Shop) -> None:
    for labels in (["bottle"], ["bottle"], [], ["bottle"], ["bottle"]):
        shop.see(*labels)
    assert len(shop.of(OBSERVATION)) == 1


@pytest.mark.parametrize(
    ("facts", "after"),
    [({"mean": 1.0}, "DARK"), ({"digest": 7}, "FROZEN"), ({"taken_at": 0.0}, "STALE")],
    ids=["black", "repeated", "old"],
)
def test_a_frame_that_shows_nothing_new_is_not_looked_at_and_ends_in_a_state(
    shop: Shop, facts: dict[str, Any], after: str
) -> None:
    shop.show(**({**facts} if "digest" not in facts else {"digest": 7}))
    shop.step(PERIOD_S)
    shop.answer_all()
    before = len(shop.looks())
    for _ in range(60):
        shop.show(**facts)
        shop.step(PERIOD_S)
    assert len(shop.looks()) == before
    assert state(shop) == after


def test_an_answer_for_a_camera_that_is_no_longer_live_is_no_event(shop: Shop) -> None:
    shop.see("bottle")
    shop.show()
    shop.step(PERIOD_S)
    look = shop.looks()[-1]
    shop.camera().says.append({"kind": "failed", "reason": "unplugged"})
    shop.step()
    shop.answer("bottle", look=look)
    assert not shop.of(OBSERVATION)
    assert shop.supervisor.cameras["camera 0"].dropped["no longer LIVE"] == 1


def test_a_camera_that_went_is_told_opened_again_and_forgotten_by_the_tracker(shop: Shop) -> None:
    shop.camera().says.append({"kind": "failed", "reason": "unplugged"})
    shop.step()
    assert [(event.data["before"], event.data["state"]) for event in shop.of(CAMERA_STATE)] == [("LIVE", "LOST")]
    assert {"kind": "forget", "camera": "camera 0"} in shop.engine.told
    shop.wait(1.0)
    assert shop.camera().told[-1] == {"kind": "open"}
    assert len(shop.captures["camera 0"]) == 1, "the same process: it did not hang"


def test_a_camera_that_falls_silent_is_stale_then_lost_and_gets_a_new_process(shop: Shop) -> None:
    shop.wait(2.0)
    assert state(shop) == "STALE"
    first = shop.camera()
    shop.wait(4.0)
    assert state(shop) == "LOST"
    assert not first.killed, "its own limits may still find out"
    shop.wait(3.0)
    assert first.killed
    assert len(shop.captures["camera 0"]) == 2


def test_a_process_that_never_opens_its_camera_is_replaced(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    shop.wait(20.0)
    assert len(shop.captures["camera 0"]) >= 2
    assert "does not open within" in shop.supervisor.cameras["camera 0"].health.reason


def test_a_camera_is_tried_again_for_ever(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    shop.step()
    for _ in range(500):
        if shop.camera().told[-1:] == [{"kind": "open"}]:
            shop.camera().told.clear()
            shop.camera().says.append({"kind": "failed", "reason": "refused"})
        shop.wait(0.4)
    assert shop.supervisor.cameras["camera 0"].opens > 100


@pytest.mark.parametrize(("took_s", "opens"), [(0.0, 1), (3.0, 2)])
def test_an_opening_that_took_long_to_fail_is_tried_again_at_once(
    open_shop: Callable[..., Shop], took_s: float, opens: int
) -> None:
    shop = open_shop()
    shop.step()
    shop.step(took_s)
    shop.camera().says.append({"kind": "failed", "reason": "no video"})
    shop.step()
    assert shop.supervisor.cameras["camera 0"].opens == opens
    shop.step(1.0)
    assert shop.supervisor.cameras["camera 0"].opens == 2


def test_a_lost_camera_does_not_keep_another_from_being_looked_at(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(cameras=2)
    shop.begin()
    shop.camera(0).end = "its process was killed by SIGSEGV"
    shop.step()
    before = len(shop.looks())
    for _ in range(10):
        shop.see("bottle", number=1)
    assert len(shop.looks()) == before + 10
    assert (state(shop, 0), state(shop, 1)) == ("LOST", "LIVE")


def test_the_camera_that_waited_longest_is_looked_at_next(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop(cameras=3)
    shop.begin()
    start = len(shop.looks())
    for _ in range(12):
        for number in range(3):
            shop.show(number)
        shop.step(PERIOD_S / 2)
        shop.answer()
    asked = Counter(look["camera"] for look in shop.looks()[start:])
    assert len(asked) == 3
    assert max(asked.values()) - min(asked.values()) <= 1


def test_beside_a_process_that_does_not_die_no_other_is_started(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    shop.step()
    stuck = shop.camera()
    stuck.dies = False
    shop.wait(60.0)
    assert stuck.killed
    assert shop.supervisor.cameras["camera 0"].health.reason == "its process is stuck and does not die"
    assert len(shop.captures["camera 0"]) == 1
    stuck.end = "its process was killed by SIGKILL"
    shop.wait(2.0)
    assert len(shop.captures["camera 0"]) == 2


def test_another_size_in_mid_stream_is_noticed_and_looked_at(shop: Shop) -> None:
    before = len(shop.looks())
    shop.show(width=32, height=24)
    shop.step(PERIOD_S)
    [event] = shop.of(CAMERA_NOTICE)
    assert event.data == {"notice": "size changed", "count": 1, "size": (32, 24)}
    assert len(shop.looks()) == before + 1


def test_an_engine_that_hangs_is_replaced_within_its_limit(shop: Shop) -> None:
    shop.show()
    shop.step(PERIOD_S)
    hung = shop.engine
    shop.wait(2.9)
    assert not hung.killed
    shop.wait(0.2)
    assert hung.killed
    shop.wait(1.0)
    assert shop.engine is not hung
    assert shop.supervisor.cameras["camera 0"].dropped["engine failed"] == 1


def test_beside_an_engine_that_does_not_die_no_other_is_started(shop: Shop) -> None:
    shop.engine.dies = False
    shop.show()
    shop.step(PERIOD_S)
    shop.wait(15.0)
    assert shop.engine.killed
    assert shop.supervisor.engine.reason == "its process is stuck and does not die"
    assert [event.data["reason"] for event in shop.of(ENGINE_STATE)] == [
        "no answer for 3 s",
        "its process is stuck and does not die",
    ]
    assert shop.supervisor.stuck() is None
    assert shop.supervisor.worker.next_step() - shop.now >= 0.5, "nobody need look often"
    shop.wait(30.0)
    assert "has not died for 30 s" in (shop.supervisor.stuck() or "")
    assert len(shop.inferences) == 1
    shop.engine.end = "its process was killed by SIGKILL"
    shop.wait(2.0)
    assert len(shop.inferences) == 2
    assert shop.supervisor.stuck() is None
    shop.ready()
    assert shop.supervisor.engine.state == "ok"


def test_an_engine_that_has_become_much_slower_is_replaced(shop: Shop) -> None:
    for _ in range(20):
        shop.see()
    slow = shop.engine
    for _ in range(4):
        shop.show()
        shop.step(PERIOD_S)
        if slow.killed:
            break
        shop.wait(1.0)
        if not slow.killed:
            shop.answer()
    assert slow.killed
    assert "times slower than usual" in shop.supervisor.engine.reason


def test_after_three_failures_the_next_variant_runs_and_the_state_is_degraded(shop: Shop) -> None:
    for _ in range(3):
        shop.engine.end = "its process was killed by SIGSEGV"
        shop.wait(3.0)
    shop.ready()
    assert shop.inferences[-1][0] == "float"
    last = shop.of(ENGINE_STATE)[-1]
    assert (last.data["state"], last.data["variant"]) == ("degraded", "float")
    assert "int8 failed 3 times" in last.data["reason"]
    assert snapshot(shop.supervisor)["state"] == "degraded"


def test_nonsense_counts_as_a_failure_and_is_no_observation(shop: Shop) -> None:
    shop.show()
    shop.step(PERIOD_S)
    shop.engine.says.append({"kind": "nonsense", "camera": "camera 0", "reason": "scores that are not finite"})
    shop.step()
    assert shop.supervisor.engine.restarts == 1
    assert not shop.of(OBSERVATION)


@pytest.mark.parametrize("facts", [{"arrived": "a"}, {"mean": {}}, {"size": 3}, {"damaged": None}])
def test_a_camera_process_that_talks_nonsense_takes_nobody_along(shop: Shop, facts: dict[str, Any]) -> None:
    shop.show(**facts)
    shop.step(PERIOD_S)
    assert shop.supervisor.cameras["camera 0"].health.reason == "its process talks nonsense"
    shop.wait(2.0)
    assert len(shop.captures["camera 0"]) == 2


@pytest.mark.parametrize(
    "observation",
    [
        {"stages_ms": {"detect": 5.0}},
        {"stages_ms": {"detect": "x"}, "detections": []},
        {"stages_ms": {"detect": []}, "detections": []},
        {"stages_ms": {}, "detections": [{"label": []}]},
        {"stages_ms": {}, "detections": [{"label": 7}]},
        {"stages_ms": {}, "detections": [{"label": "bottle", "product": "cola"}]},
        {"stages_ms": {}, "detections": 3},
        [],
        None,
    ],
)
def test_an_engine_process_that_talks_nonsense_takes_nobody_along(shop: Shop, observation: Any) -> None:
    shop.show()
    shop.step(PERIOD_S)
    look = shop.looks()[-1]
    said = {"kind": "seen", "camera": look["camera"], "number": look["number"], "observation": observation}
    shop.engine.says.append(said)
    shop.step()
    assert shop.supervisor.engine.reason == "its process talks nonsense"
    assert snapshot(shop.supervisor)["engine"]["stages_ms"] == {"detect": 5.0}
    assert not shop.of(OBSERVATION)
    shop.wait(1.0)
    assert len(shop.inferences) == 2


def test_a_variant_that_ran_well_for_a_while_is_remembered(shop: Shop) -> None:
    for _ in range(700):
        shop.see()
    assert shop.remembered[-1] == "int8"


def test_an_engine_that_does_not_listen_is_a_failure_not_a_crash_of_ours(shop: Shop) -> None:
    shop.engine.listens = False
    shop.show()
    shop.step(PERIOD_S)
    assert shop.supervisor.engine.reason == "its process does not listen"


def test_heat_leads_down_the_ladder_and_the_rate_with_it(shop: Shop) -> None:
    shop.heat_c = 95.0
    looks = []
    for _ in range(8):
        start = len(shop.looks())
        for _ in range(50):
            shop.show()
            shop.step(PERIOD_S)
            shop.answer_all()
        looks.append(len(shop.looks()) - start)
    steps = [event.data["name"] for event in shop.of(DEGRADE)]
    assert steps[:2] == ["half rate", "quarter rate"]
    assert looks[0] == 50
    assert min(looks) <= 20


def test_the_smaller_variant_of_the_ladder_takes_another_child(shop: Shop) -> None:
    shop.heat_c = 95.0
    shop.wait(60.0)
    assert "small" in [variant for variant, _ in shop.inferences]
    assert shop.supervisor.engine.restarts == 0, "that was no failure"


def test_the_status_says_what_ails_and_holds_no_address(open_shop: Callable[..., Shop]) -> None:
    secret = CameraSettings("door", "rtsp://clerk:hunter2@10.0.0.9/live", 10.0)
    shop = open_shop(cameras=(secret,))
    shop.step()
    shop.captures["door"][-1].says.append({"kind": "failed", "reason": "refused"})
    shop.step()
    status = str(snapshot(shop.supervisor))
    assert "camera door is LOST: refused" in status
    assert "hunter2" not in status
    assert "10.0.0.9" not in status


def test_every_event_is_in_the_outbox_before_anybody_hears_of_it(shop: Shop) -> None:
    shop.see("bottle")
    shop.see("bottle")
    stored = {row.id for row in shop.outbox.pending("sink", 1000)}
    assert {event.id for event in shop.events} <= stored


def test_a_disk_that_fails_stops_no_camera(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.outbox, "put", lambda *events: False)
    before = len(shop.looks())
    for _ in range(5):
        shop.see("bottle")
    assert len(shop.looks()) == before + 5


def test_it_is_stuck_when_frames_come_and_a_ready_engine_answers_none(shop: Shop, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(shop.supervisor.cameras["camera 0"]), "due", False)
    for _ in range(400):
        shop.show()
        shop.step(PERIOD_S)
    assert "none was answered" in (shop.supervisor.stuck() or "")
    assert snapshot(shop.supervisor)["state"] == "stuck"


def test_a_lost_camera_alone_is_no_reason_to_start_all_anew(shop: Shop) -> None:
    shop.camera().says.append({"kind": "failed", "reason": "unplugged"})
    shop.wait(60.0)
    assert shop.supervisor.stuck() is None
