"""What may be believed of a camera, from the facts of its frames; time is told, nothing waits."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.supervisor.camera import CameraHealth, Change, Facts, HealthSettings

FPS = 10.0


@dataclass
class Camera:
    """A camera that plays `FPS` frames a second into its health, with whatever is wrong with them."""

    settings: HealthSettings = field(default_factory=HealthSettings)
    now: float = 100.0
    used: int = 0

    def __post_init__(self) -> None:
        self.health = CameraHealth(self.settings, self.now)
        self.changes: list[Change] = []
        self._number = itertools.count(1)
        self._stamp = 0.0
        self._arrived = 0

    def open(self, fps: float | None = FPS) -> Camera:
        self.health.opened(self.now, fps)
        return self

    def play(self, seconds: float, still: int | None = None, step: float = 0.1, **facts) -> Camera:
        """Frames for so long; the last of them was given at `now`. still: the digest of each of them."""
        for _ in range(round(seconds * FPS)):
            self.now += 1 / FPS
            self._stamp += step
            number = next(self._number)
            self._arrived += facts.get("every", 1)
            digest = number * 2654435761 if still is None else still
            whole = {"width": 640, "height": 480, "mean": 90.0, "stamp": self._stamp, "age": 0.0} | facts
            taken_at = self.now - whole.pop("age")
            whole.pop("every", None)
            usable, change = self.health.arrived(
                Facts(number, taken_at, digest=digest, arrived=self._arrived, **whole), self.now
            )
            self.used += usable
            self._note(change)
            self._note(self.health.tick(self.now))
        return self

    def silence(self, seconds: float) -> Camera:
        for _ in range(round(seconds * FPS)):
            self.now += 1 / FPS
            self._note(self.health.tick(self.now))
        return self

    def _note(self, change: Change | None) -> None:
        if change is not None:
            self.changes.append(change)

    @property
    def states(self) -> list[str]:
        return [change.after for change in self.changes]


def live(**settings) -> Camera:
    camera = Camera(HealthSettings(**settings)).open().play(2)
    camera.changes.clear()
    camera.used = 0
    return camera


def test_a_camera_is_lost_until_it_has_shown_new_frames():
    camera = Camera()
    assert (camera.health.state, camera.health.reason) == ("LOST", "not opened yet")
    camera.open()
    assert camera.health.reason == "open, no frame yet"
    camera.play(0.1)
    assert (camera.health.state, camera.used) == ("LOST", 0)
    camera.play(0.1)
    assert (camera.health.state, camera.used) == ("LIVE", 1)


def test_a_camera_that_is_well_stays_live_and_every_frame_may_be_looked_at():
    camera = live().play(60)

    assert camera.changes == []
    assert camera.used == 600
    assert camera.health.fps == pytest.approx(FPS)


def test_silence_makes_it_stale_then_lost_and_a_process_that_says_nothing_of_it_is_closed():
    camera = live().silence(6)

    assert camera.states == ["STALE", "LOST"]
    assert [change.reason for change in camera.changes] == ["no frame for 1.5 s", "no frame for 4 s"]
    assert camera.changes[1].held_s == pytest.approx(2.5, abs=0.2)
    assert camera.health.open
    camera.silence(2.1)
    assert not camera.health.open
    assert camera.states == ["STALE", "LOST"]
    assert camera.health.reason == "no frame for 8 s"


def test_frames_that_come_back_before_it_is_closed_make_it_live_again():
    camera = live().silence(6).play(1)

    assert camera.states == ["STALE", "LOST", "LIVE"]


def test_a_frame_that_was_on_its_way_when_the_source_failed_is_not_looked_at():
    camera = live()
    camera.health.failed(camera.now, "reset")
    camera.play(1)

    assert camera.health.state == "LOST"
    assert camera.used == 0
    assert camera.health.refused["not open"] == 10


def test_the_same_picture_for_long_is_a_frozen_camera_and_none_of_them_is_looked_at():
    camera = live().play(3.5, still=7)

    assert camera.states == ["FROZEN"]
    assert camera.used == 1  # the first of them was new
    camera.play(1)
    assert camera.states == ["FROZEN", "LIVE"]


def test_a_source_that_is_a_drawing_may_stand_still():
    camera = live(frozen_s=0).play(60, still=7)

    assert camera.changes == []
    assert camera.used == 600


def test_a_dark_camera_is_dark_and_not_looked_at():
    camera = live().play(2, mean=3.0)

    assert camera.states == ["DARK"]
    assert camera.used == 0
    camera.play(1)
    assert camera.states == ["DARK", "LIVE"]


def test_one_dark_frame_is_left_out_and_no_state():
    camera = live().play(0.1, mean=0.0).play(1)

    assert camera.changes == []
    assert camera.used == 10
    assert camera.health.refused["dark"] == 1


def test_timestamps_that_run_backwards_are_noticed_and_then_not_believed():
    camera = live().play(3, step=-0.1)

    assert "STALE" in camera.states
    assert camera.used == 0
    assert camera.health.take_notices() == ["timestamps run backwards"]
    assert camera.health.notices["timestamps run backwards"] == 30


def test_frames_that_come_late_are_stale():
    camera = live().play(5, age=2.0)

    assert camera.states[0] == "STALE"
    assert camera.used == 0
    assert camera.health.refused["stale"] > 0


def test_another_size_is_noticed_and_looked_at():
    camera = live().play(1, width=1280, height=720)

    assert camera.changes == []
    assert camera.used == 10
    assert camera.health.size == (1280, 720)
    assert camera.health.take_notices() == ["size changed"]
    assert camera.health.take_notices() == []


def test_a_flood_is_noticed_and_damaged_frames_too():
    camera = live()
    camera.play(3, every=10)
    camera.play(1, damaged=2)

    assert camera.health.notices["too fast"] >= 1
    assert camera.health.notices["damaged frames"] >= 1


def test_a_cable_that_damages_a_frame_now_and_then_is_told_once_and_counted():
    camera = live()
    for damaged in range(1, 2401):  # an hour
        camera.play(1.5, damaged=damaged)

    assert camera.health.take_notices() == ["damaged frames"]
    assert camera.health.notices["damaged frames"] == 2400
    camera.play(601, damaged=2400).play(1.5, damaged=2401)
    assert camera.health.take_notices() == ["damaged frames"]


def test_a_reason_that_differs_in_its_numbers_alone_is_no_new_one():
    camera = live()
    camera.health.failed(camera.now, "gives no more frames, after 3: nothing came within 1 s")
    told = [camera.health.failed(camera.now, f"gives no more frames, after {n}: nothing came") for n in range(100)]
    told += [camera.health.failed(camera.now, "refused"), camera.health.failed(camera.now, "refused")]

    assert [change.reason for change in told if change] == ["gives no more frames, after 0: nothing came", "refused"]
    assert camera.health.reason == "refused"
    assert len(camera.health._told) == 3


@pytest.mark.parametrize(
    "facts", [{"arrived": "a"}, {"mean": None}, {"digest": 1.5}, {"stamp": "0"}, {"width": [640]}, {"damaged": True}]
)
def test_facts_that_are_no_numbers_are_refused(facts):
    whole = {"number": 1, "taken_at": 1.0, "width": 64, "height": 48, "digest": 7, "mean": 90}
    assert Facts(**whole).mean == 90
    with pytest.raises(TypeError, match="numbers"):
        Facts(**{**whole, **facts})


def test_what_stays_stale_or_frozen_is_opened_anew():
    camera = live(reopen_s=20).play(25, still=7)

    assert camera.states == ["FROZEN", "LOST"]
    assert camera.changes[-1].reason.startswith("opened anew after 20 s of FROZEN")
    assert not camera.health.open


def test_a_dark_camera_is_not_opened_anew_at_night():
    camera = live(reopen_s=20).play(3600, mean=2.0)

    assert camera.states == ["DARK"]


def test_a_source_that_fails_is_lost_with_its_reason_and_the_next_connection_begins_afresh():
    camera = live()
    camera.health.failed(camera.now, "connection reset")
    assert (camera.health.state, camera.health.reason) == ("LOST", "connection reset")
    camera._stamp = -1000.0  # another connection counts anew
    camera.open().play(1)

    assert camera.health.state == "LIVE"
    assert "timestamps run backwards" not in camera.health.notices


def test_a_closed_camera_has_nothing_to_be_checked():
    camera = live()
    camera.health.failed(camera.now, "unplugged")

    assert camera.health.next_check() == float("inf")
    assert camera.health.tick(camera.now + 1e6) is None


def test_it_is_checked_when_silence_becomes_a_fault():
    camera = live(stale_s=1.5)

    assert camera.health.next_check() == pytest.approx(camera.now + 1.5)


PHASES = st.sampled_from(["good", "still", "dark", "late", "back", "silence", "fail", "open"])


@given(st.lists(st.tuples(PHASES, st.integers(1, 60)), max_size=20))
def test_no_frame_is_used_that_is_not_new_bright_and_in_time_from_a_camera_that_is_live(phases):
    camera = Camera().open()
    for phase, tenths in phases:
        seconds, before = tenths / 10, camera.used
        if phase == "fail":
            camera.health.failed(camera.now, "reset")
        elif phase == "open":
            camera.open()
        elif phase == "silence":
            camera.silence(seconds)
        else:
            wrong = {
                "good": {},
                "still": {"still": 7},
                "dark": {"mean": 1.0},
                "late": {"age": 9.0},
                "back": {"step": -1.0},
            }
            camera.play(seconds, **wrong[phase])
        # A still picture is new once; a connection's first frame has nothing that it could run back from.
        assert camera.used - before <= {"good": tenths, "still": 1, "back": 1}.get(phase, 0)
        assert (camera.health.state == "LIVE") <= camera.health.open
    for change, after in itertools.pairwise(camera.changes):
        assert change.held_s >= 0
        assert after.after != after.before or (after.after == "LOST" and after.reason != change.reason)


BAD = [{"stale_s": 5.0, "lost_s": 4.0}, {"lost_s": 9.0}, {"stale_s": 0}, {"frozen_s": -1}, {"dark_s": -1}, {"back": 0}]


@pytest.mark.parametrize("settings", BAD)
def test_limits_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="need 0 < stale_s < lost_s"):
        HealthSettings(**settings)
