"""The wall clock jumps by milliseconds and by decades; only the labels of events may show it."""

from __future__ import annotations

from edgekit.benchmarks.reliability import clock_jumps


def test_a_thousand_jumps_of_the_wall_clock_start_nothing_anew_and_lose_nothing():
    figures = clock_jumps.run(1_000, seed=1)

    assert figures.counts["jumps"] == 1_000
    assert figures.counts["restarts"] == 0
    assert figures.counts["events"] > 5_000
    assert figures.counts["states"] > 100  # so there are durations that could have been negative
    assert figures.kept, figures
    assert figures.caught, figures.control


def test_a_supervisor_that_computes_with_the_wall_clock_is_caught_by_more_than_one_sign():
    wrong = clock_jumps.control(50, seed=3)

    assert wrong["restarts"] > 0
    assert wrong["wrong_durations"] > 0


def test_the_clock_that_jumps_reaches_both_ends_of_its_range():
    world = clock_jumps.World(1)
    seen = []
    for _ in range(2_000):
        world.jump()
        seen.append(world.wall())

    year = 365.25 * 86400
    assert min(seen) < year
    assert max(seen) > 130 * year
    assert world.clock() == 1000.0
