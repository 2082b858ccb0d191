"""PASS and FAIL need proof; what was not measured, or not in peace, is INCONCLUSIVE."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from made import executed, frames, noise, result, samples
from null_subject import FILM, null_subject

from edgekit.benchmarks.limits import Limits
from edgekit.benchmarks.result import Start
from edgekit.benchmarks.scenario import Camera, ColdStart, SingleStream, Streams, Sustained
from edgekit.benchmarks.scenarios.clock import FakeTime
from edgekit.benchmarks.scenarios.sustained import run_sustained
from edgekit.benchmarks.timed import missed_frames
from edgekit.benchmarks.verdict import exit_code, verdict
from edgekit.benchmarks.watch import Validity
from edgekit.errors import ResultError, SettingsError

CAMERA = Camera(fps=15, seconds=60)


def judged(measured, scenario, **limits):
    (found,) = verdict(result(measured, scenario=scenario), Limits(**limits))
    return found


def whole(**limits):
    return judged(executed(whole=samples(noise(10, 0.02, 2000))), SingleStream(), **limits)


@pytest.mark.parametrize(
    ("limits", "outcome", "said"),
    [
        ({"p50_ms": 11}, "PASS", "p50 of the frame time 9.99 ms"),
        ({"p99_ms": 11}, "PASS", "11 ms is the limit"),
        ({"p99_ms": 9}, "FAIL", "surely above 10."),
        ({"p99_ms": 10.48}, "INCONCLUSIVE", "surely above 10.4"),  # the true one is 10.476
        (
            {"p999_ms": 20},
            "INCONCLUSIVE",
            "not measured: 2000 samples count as 2000 independent ones, 6636",
        ),
        ({"p999_ms": 9}, "FAIL", "not measured"),
        ({"p50_ms": 11, "p99_ms": 9}, "FAIL", "p99"),
        ({"p50_ms": 11, "p99_ms": 10.48}, "INCONCLUSIVE", "p99"),
    ],
)
def test_a_percentile_passes_by_its_upper_bound_and_fails_by_its_lower(limits, outcome, said):
    found = whole(**limits)

    assert found.outcome == outcome
    assert said in str(found.findings[-1])


def test_a_frame_time_is_from_the_picture_on_and_not_the_bare_engine_s():
    measured = executed(whole=samples([40.0] * 700), engine_only=samples([10.0] * 700))

    assert judged(measured, SingleStream(), p99_ms=33).outcome == "FAIL"


@pytest.mark.parametrize(
    ("dropped", "outcome"),
    [
        (range(0), "PASS"),
        (range(100, 900, 200), "INCONCLUSIVE"),
        (range(5, 900, 20), "FAIL"),
        (range(100, 130), "INCONCLUSIVE"),  # three per cent, but all of them in one stall
    ],
)
def test_dropped_frames_are_judged_by_how_often_they_came_about(dropped, outcome):
    dropped = list(dropped)
    times = noise(10, 0.02, 900 - len(dropped))
    if len(dropped) == 30:
        times[99] = 2050.0  # the frame behind which they were dropped

    assert judged(executed(frames=frames(times, dropped=dropped)), CAMERA, max_drop=0.01).outcome == outcome


def test_a_pause_between_two_turns_of_a_variant_is_no_drop():
    first = frames(noise(10, 0.02, 450))
    later = tuple(at + 600.0 for at in first.at_s)
    both = frames(noise(10, 0.02, 900))
    both = type(both)(first.at_s + later, first.frame_ms * 2, first.cpu_ms * 2, first.age_ms * 2, {}, 900, 0)

    two = result(executed(frames=both), executed("onnx-float", frames=both), scenario=CAMERA)

    assert missed_frames(both, 15, turn_s=15).sum() == 0
    assert exit_code(verdict(two, Limits(max_drop=0.01))) == 0


def test_what_a_sustained_load_dropped_is_all_that_its_camera_counted_in_the_last_minute():
    """The loop is quick and is woken late, once in a hundred times: then no answer hides the drops."""
    time, slept = FakeTime(), itertools.count(1)
    clock = replace(time.clock, sleep=lambda s: time.sleep(s + (0.6 if next(slept) % 100 == 0 else 0.0)))
    (measured,) = run_sustained(Sustained(fps=15), [null_subject(10, time.sleep)], FILM, clock)
    frames = measured.frames

    assert frames.dropped > 600
    assert missed_frames(frames, 15).sum() == frames.dropped
    assert judged(measured, Sustained(fps=15), max_drop=0.05).outcome != "PASS"


def test_slow_frames_of_one_thread_that_computed_in_time_are_no_failure_of_the_variant():
    cpu = noise(20, 0.02, 2000)
    wall = [3 * ms if i % 25 == 0 else ms for i, ms in enumerate(cpu)]
    beside, slow = (executed(whole=samples(wall, each)) for each in (cpu, wall))

    assert judged(beside, SingleStream(), p99_ms=33).outcome == "INCONCLUSIVE"
    assert "others had the core" in str(judged(beside, SingleStream(), p99_ms=33).findings[0])
    assert judged(slow, SingleStream(), p99_ms=33).outcome == "FAIL"
    assert judged(replace(beside, threads=2), SingleStream(), p99_ms=33).outcome == "FAIL"


def test_the_age_of_frames_has_a_limit_of_its_own():
    found = judged(executed(frames=frames(noise(50, 0.02, 900))), CAMERA, p95_ms=60, age_p95_ms=45)

    assert [each.outcome for each in found.findings] == ["PASS", "FAIL"]


def test_of_a_sustained_load_the_end_is_judged():
    times = noise(10, 0.02, 8100) + noise(40, 0.02, 900)  # throttled in the last minute

    assert judged(executed(frames=frames(times)), Sustained(fps=15), p90_ms=33).outcome == "FAIL"
    assert judged(executed(frames=frames(times)), CAMERA, p90_ms=33).outcome != "FAIL"


@pytest.mark.parametrize(
    ("streams", "most", "outcome"),
    [
        (4, 64, "PASS"),
        (5, 64, "PASS"),
        (3, 64, "FAIL"),
        (3, 3, "INCONCLUSIVE"),
        (2, 3, "FAIL"),
        (None, 64, "INCONCLUSIVE"),
    ],
)
def test_so_many_cameras_must_hold_their_rate(streams, most, outcome):
    assert judged(executed(streams=streams), Streams(most=most), min_streams=4).outcome == outcome


@pytest.mark.parametrize(
    ("peaks", "outcome"),
    [
        ([90, 91, 92, 93, 94], "PASS"),
        ([101, 102, 103, 104, 105], "FAIL"),
        ([90, 91, 92, 93, 105], "INCONCLUSIVE"),
        ([90, 91, 92, 93], "INCONCLUSIVE"),
    ],
)
def test_five_cold_starts_must_all_keep_a_limit(peaks, outcome):
    starts = tuple(Start(1.0, 0.3, 0.2, 0.4, peak) for peak in peaks)

    assert judged(executed(starts=starts), ColdStart(), max_peak_mb=100).outcome == outcome


@pytest.mark.parametrize("limits", [{"p99_ms": 11}, {"p99_ms": 9}])
def test_in_an_invalid_run_nothing_passes_and_nothing_fails(limits):
    disturbed = result(
        executed(whole=samples(noise(10, 0.02, 2000))), validity=Validity(invalid=("the board throttled",))
    )
    (found,) = verdict(disturbed, Limits(**limits))

    assert found.outcome == "INCONCLUSIVE"
    assert found.notes == ("the run is invalid: the board throttled",)


def test_what_the_caller_allowed_is_said():
    measured = executed(whole=samples(noise(10, 0.02, 2000)))
    (found,) = verdict(result(measured, validity=Validity(allowed=("wall over CPU 1.6",))), Limits(p99_ms=11))

    assert (found.outcome, found.notes) == ("PASS", ("allowed by the caller: wall over CPU 1.6",))


@pytest.mark.parametrize(
    ("scenario", "limit", "said"),
    [
        (
            SingleStream(),
            {"min_streams": 4},
            "not measured under 'single-stream'; it is under 'streams'",
        ),
        (SingleStream(), {"max_drop": 0.01}, "it is under 'camera' and 'sustained'"),
        (Sustained(), {"max_drop": 0.01}, "with fps"),
        (Streams(), {"p99_ms": 33}, "not measured under 'streams'"),
        (ColdStart(), {"p99_ms": 33}, "not measured under 'cold-start'"),
        (CAMERA, {"max_peak_mb": 100}, "it is under 'cold-start'"),
    ],
)
def test_a_limit_of_which_the_scenario_measures_nothing_is_an_error(scenario, limit, said):
    with pytest.raises(SettingsError, match="is not measured") as raised:
        verdict(result(executed(), scenario=scenario), Limits(**limit))

    assert said in str(raised.value)


def test_a_variant_can_be_judged_alone_and_one_that_is_not_there_is_an_error():
    two = result(
        executed("onnx-int8", whole=samples(noise(10, 0.02, 700))),
        executed("onnx-float", whole=samples(noise(40, 0.02, 700))),
        not_run={"tflite-int8": "litert is not installed"},
    )

    assert exit_code(verdict(two, Limits(p50_ms=33))) == 1
    assert exit_code(verdict(two, Limits(p50_ms=33), "onnx-int8")) == 0
    with pytest.raises(ResultError, match="litert is not installed; there are: onnx-int8, onnx-float"):
        verdict(two, Limits(p50_ms=33), "tflite-int8")
    with pytest.raises(ResultError, match="no variant 'onnx' was measured"):
        verdict(two, Limits(p50_ms=33), "onnx")


def test_nothing_measured_is_inconclusive():
    assert exit_code(()) == 2
    assert judged(executed(), SingleStream(), p99_ms=33).outcome == "INCONCLUSIVE"
    assert judged(executed(frames=frames([])), CAMERA, max_drop=0.01).outcome == "INCONCLUSIVE"


@pytest.mark.parametrize("wrong", [{"p99_ms": 0}, {"max_drop": 1.0}, {"min_streams": -1}])
def test_a_limit_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be above 0|below 1"):
        Limits(**wrong)


def test_no_limit_is_no_question():
    with pytest.raises(ValueError, match="no limit is set"):
        verdict(result(executed()), Limits())
