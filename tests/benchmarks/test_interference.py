"""The interference index: 1 on a quiet host whatever a net's threads do, more where others had the cores."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made import executed, frames, samples

from edgekit.benchmarks.interference import FLAGGED, REFUSED, interference, windows


def test_the_index_of_one_thread_is_wall_over_cpu_time_of_the_worst_that_was_timed():
    measured = executed(whole=samples([3.0] * 20, [2.0] * 20), engine_only=samples([1.0] * 20, [1.0] * 20))

    assert interference(measured) == pytest.approx(1.5)


def test_the_cpu_waits_for_an_accelerator_and_is_not_disturbed_by_it():
    assert interference(replace(executed(whole=samples([3.0] * 20, [1.0] * 20)), device="npu")) is None


def test_a_neighbour_on_the_core_is_refused_and_a_quiet_host_is_not_even_flagged():
    quiet, shared = (executed(whole=samples([wall] * 50, [10.0] * 50)) for wall in (10.05, 19.0))

    assert interference(quiet) < FLAGGED < REFUSED < interference(shared)


def test_two_threads_that_wait_for_each_other_on_a_quiet_host_are_not_disturbed():
    half_parallel = samples([10.0] * 200, [15.0] * 200)

    assert interference(executed(threads=2, whole=half_parallel)) == pytest.approx(1.0)


def test_two_threads_that_lost_a_core_for_half_of_the_run_are():
    wall, cpu = [10.0] * 100 + [16.0] * 100, [16.0] * 200

    assert interference(executed(threads=2, whole=samples(wall, cpu))) == pytest.approx(1.3)


def test_the_frames_of_a_camera_have_an_index_too():
    assert interference(executed(frames=frames([10.0] * 100))) == 1.0


@pytest.mark.parametrize("threads", [1, 2])
def test_a_neighbour_in_the_last_minute_of_ten_is_not_diluted(threads):
    ran = frames([10.0] * 8100 + [22.0] * 900)
    measured = executed(threads=threads, frames=replace(ran, cpu_ms=(10.0,) * 9000))

    assert interference(measured) == pytest.approx(2.2, rel=0.01)


def test_turns_with_pauses_between_are_one_minute_and_no_window_holds_a_frame_or_two():
    turns = [start + i / 15 for start in (0, 105, 120, 225) for i in range(225)]
    one_slow = (1000.0,) + (10.0,) * 899

    assert set(windows(turns)) == {0}
    assert interference(executed(frames=replace(frames(one_slow), at_s=tuple(turns), cpu_ms=(10.0,) * 900))) < 1.2


@pytest.mark.parametrize("measured", [executed(streams=3), executed(whole=samples([1.0] * 20, [0.0] * 20))])
def test_what_has_no_cpu_time_has_no_index(measured):
    assert interference(measured) is None
