"""Ten minutes of a board that gets warm, on a clock that needs no ten minutes."""

from __future__ import annotations

import pytest
from null_subject import FILM, costing, null_subject

from edgekit.benchmarks.result import Frames
from edgekit.benchmarks.scenario import Sustained
from edgekit.benchmarks.scenarios.clock import FakeTime
from edgekit.benchmarks.scenarios.sustained import burst, run_sustained, steady, sustained, sustained_over_burst
from edgekit.benchmarks.watch import Look

TEN = Sustained(minutes=10)


def soaked(costs_s, scenario=TEN) -> Frames:
    fake = FakeTime()
    (executed,) = run_sustained(scenario, [null_subject(1, costing(costs_s, fake))], FILM, fake.clock)
    return executed.frames


def warming(per_minute: float, start=50.0, zone="cpu-thermal"):
    return [Look(float(second), temperatures_c={zone: start + per_minute * second / 60}) for second in range(600)]


def test_a_board_that_throttles_after_four_minutes_takes_twice_as_long_and_is_steady_at_the_end():
    frames = soaked(lambda seconds: 1.0 if seconds < 240 else 2.0)
    assert burst(frames, TEN) == pytest.approx([1000] * 30)
    assert sustained(frames, TEN) == pytest.approx([2000] * 30)
    assert sustained_over_burst(frames, TEN) == pytest.approx(2)
    assert steady(frames) is None


@pytest.mark.parametrize(
    ("costs_s", "looks", "why"),
    [
        pytest.param(lambda _: 1.0, [], None, id="a board whose temperature is unknown"),
        pytest.param(lambda _: 1.0, warming(0.4), None, id="a board that hardly warms up any more"),
        pytest.param(lambda _: 1.0, warming(0.6), "cpu-thermal changes by +0.6 °C a minute", id="one that still does"),
        pytest.param(lambda _: 1.0, warming(-2), "cpu-thermal changes by -2.0 °C a minute", id="one that cools"),
        pytest.param(lambda _: 1.0, [Look(5.0, temperatures_c={"gpu": None})], None, id="a sensor that tells nothing"),
        pytest.param(lambda s: 1.02 ** (s / 60), [], "the frame time changes by +2.0 %", id="ever slower"),
        pytest.param(lambda s: 1.005 ** (s / 60), [], None, id="within one per cent a minute"),
        pytest.param(lambda s: 1.0 if s < 480 else 2.0, [], "the frame time changes by +", id="throttled at the end"),
        pytest.param(
            lambda s: 1.3 if 420 < s < 480 else 1.0, [], "differs by 28 % from minute", id="up and down again"
        ),
        pytest.param(lambda _: 100.0, [], "no frame was answered for 60 s", id="an engine that hangs"),
    ],
)
def test_a_run_is_steady_when_neither_time_nor_temperature_moves(costs_s, looks, why):
    found = steady(soaked(costs_s), looks)
    assert found is None if why is None else why in found


def test_a_temperature_that_rose_before_the_last_five_minutes_is_forgotten():
    assert steady(soaked(lambda _: 1.0), warming(5.0)[:240] + warming(0.0, 70.0)[300:]) is None


def test_five_minutes_are_needed_to_be_steady():
    frames = Frames((1.0, 200.0), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0), {}, 2, 0)
    assert "less than 5 windows" in steady(frames)


def test_back_to_back_every_frame_is_new_and_at_a_rate_they_are_a_cameras():
    frames = soaked(lambda _: 1.25)
    assert (frames.arrived, frames.dropped, frames.age_ms) == (len(frames.at_s), 0, frames.frame_ms)
    assert frames.arrived == pytest.approx(480, abs=1)

    frames = soaked(lambda _: 1.25, Sustained(minutes=10, fps=2))
    assert frames.arrived == 1200
    assert frames.drop == pytest.approx(0.6, abs=0.001)


def test_a_second_variant_would_find_a_warm_board():
    with pytest.raises(ValueError, match=r"one variant is measured at a time.*got a, b"):
        run_sustained(TEN, [null_subject(1, name="a"), null_subject(1, name="b")], FILM, FakeTime().clock)


def test_progress_is_told_once_a_second_up_to_the_end():
    told, fake = [], FakeTime()
    subject = null_subject(400, fake.sleep)
    run_sustained(TEN, [subject], FILM, fake.clock, lambda *each: told.append(each))
    assert len(told) == pytest.approx(500, abs=5)  # once in three frames of 0.4 s
    assert told[-1] == ("10 minutes", 600, 600)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
