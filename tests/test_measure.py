"""The harness itself: known costs come back, drift does not lie, and no percentile without samples behind it."""

from __future__ import annotations

import random

import pytest

from edgekit.measure import Rounds, Samples, cpu_ratio, interleave, nearest_rank, percentile, ratio, samples_needed


def samples(wall, block=1):
    return Samples(tuple(wall), tuple(wall), (), block)


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_a_percentile_needs_as_many_samples_as_loadgen_asks_for(percent, needed):
    assert samples_needed(percent) == needed
    assert samples(range(needed - 1)).percentile(percent) is None
    assert samples(range(needed)).percentile(percent) is not None


def test_percentiles_are_order_statistics_and_one_stall_in_two_hundred_is_not_clipped():
    wall = [1.0] * 1000
    wall[::200] = [50.0] * 5
    random.Random(0).shuffle(wall)
    taken = samples(wall)
    assert taken.percentile(50) == 1.0
    assert taken.percentile(99) == 1.0
    assert max(taken.wall_ms) == 50.0
    assert samples(range(1, 101)).percentile(90) == 90


@pytest.mark.parametrize(
    ("count", "percent", "rank"),
    [(11, 50, 6), (64, 90, 58), (1000, 99, 990), (7000, 99.9, 6993), (41_000, 99.9, 40_959), (1000, 0.001, 1)],
)
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(count, percent, rank):
    values = list(range(1, count + 1))
    random.Random(0).shuffle(values)
    assert nearest_rank(values, percent) == rank


def test_a_percentile_of_any_values_is_not_measured_with_too_few_of_them():
    assert percentile([1.0] * 129, 95) is None
    assert percentile([1.0] * 130, 95) == 1.0


def test_a_subject_of_known_cost_comes_back_with_that_cost_and_a_stall_is_not_lost():
    now = [0, 0]

    def work(ms):
        now[0] += ms * 1_000_000
        now[1] += ms * 500_000  # half of it without the core

    costs = iter([4] * 13 + [90] + [4] * 10)
    subjects = {"two": lambda: work(2), "four": lambda: work(next(costs))}
    taken = interleave(subjects, Rounds(rounds=5, block=4, warm_up=1), clock=lambda: (now[0], now[1]))
    assert (taken["two"].wall_ms, taken["two"].cpu_ms) == ((2.0,) * 20, (1.0,) * 20)
    assert sorted(taken["four"].wall_ms) == [4.0] * 19 + [90.0]
    assert len(taken["two"].warm_up_ms) == 1
    assert taken["two"].interference == 2.0


def test_a_machine_that_slows_down_does_not_change_the_ratio():
    drift = [1.0 + i / 10 for i in range(20)]
    found = ratio(samples([2 * d for d in drift]), samples(drift))
    assert found.median == pytest.approx(2.0)
    assert found.low == pytest.approx(2.0)
    assert found.high == pytest.approx(2.0)


def test_a_neighbour_that_takes_the_core_does_not_change_the_ratio_of_cpu_time():
    quiet, disturbed = Samples((2.0, 2.0), (2.0, 2.0), (), 1), Samples((5.0, 1.0), (1.0, 1.0), (), 1)
    assert cpu_ratio(quiet, disturbed).median == 2
    assert ratio(quiet, disturbed).median != 2


def test_a_against_a_is_no_difference_in_at_least_ninety_of_a_hundred_noisy_runs():
    chance = random.Random(1)

    def noisy():
        return samples([chance.lognormvariate(0, 0.2) for _ in range(400)], block=10)

    found = [ratio(noisy(), noisy(), seed=i, draws=400) for i in range(100)]
    assert sum(each.low <= 1 <= each.high for each in found) >= 90


def test_every_subject_runs_in_every_round():
    calls = []
    interleave({name: lambda name=name: calls.append(name) for name in "abc"}, Rounds(rounds=4, block=2, warm_up=0))
    for i in range(4):
        assert sorted(calls[i * 6 : i * 6 + 6]) == list("aabbcc")


def test_samples_of_different_rounds_cannot_be_compared():
    with pytest.raises(ValueError, match="same rounds"):
        ratio(samples([1, 2]), samples([1]))
