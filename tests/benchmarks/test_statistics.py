"""Bounds keep their word: where samples are independent, where they are not, and where there are too few."""

from __future__ import annotations

from math import gcd
from statistics import NormalDist

import numpy as np
import pytest

from edgekit.benchmarks.selftest.host import bursts
from edgekit.benchmarks.statistics import bounds, clustering, drift, share_bounds, unpaired_ratio

ONES = np.ones(10_000)


def spread(n):
    """0 to n - 1 in an order in which the large ones lie as far apart as can be."""
    stride = next(step for step in range(round(0.618 * n), n) if gcd(step, n) == 1)
    return [i * stride % n for i in range(n)]


@pytest.mark.parametrize(("percent", "needed"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_an_upper_bound_is_the_second_largest_of_as_many_samples_as_loadgen_needs(percent, needed):
    assert bounds(spread(needed), percent).high == needed - 2
    assert bounds(spread(needed - 1), percent).high is None


def test_the_bounds_of_a_median_are_those_of_the_sign_test():
    found = bounds(spread(100), 50)

    # P(Binomial(100, 1/2) <= 37) = 0.006 and P(<= 38) = 0.0105, so the 38th and the 63rd of 0, 1, ... 99
    assert (found.low, found.high, found.independent) == (37, 62, 100)


def test_a_tail_of_too_few_samples_is_at_least_what_the_median_is():
    slow = bounds([50.0] * 40, 99)

    assert (slow.low, slow.high) == (50.0, None)


def test_a_tail_of_too_few_samples_is_at_least_what_the_highest_percentile_with_enough_is():
    a_fifth_slow = [50.0 if i < 20 else 10.0 for i in spread(100)]

    assert bounds(a_fifth_slow, 99).low == bounds(a_fifth_slow, 90).low == 50.0
    assert bounds(a_fifth_slow, 50).low == 10.0


def test_a_sample_that_was_taken_four_times_over_is_still_one():
    once = np.random.default_rng(5).lognormal(0, 0.2, 2000)
    alone, together = bounds(once, 90), bounds(np.repeat(once, 4), 90)

    assert together.independent == pytest.approx(alone.independent, rel=0.15)
    assert together.low == pytest.approx(alone.low, rel=0.005)
    assert together.high == pytest.approx(alone.high, rel=0.005)


def test_no_samples_have_no_bounds():
    assert bounds([], 99) == bounds([], 50)
    assert bounds([], 50).high is None


@pytest.mark.parametrize("percent", [50, 90, 99])
def test_the_bounds_of_independent_samples_are_wrong_in_one_run_of_a_hundred(percent):
    chance, true = np.random.default_rng(2), float(np.exp(0.2 * NormalDist().inv_cdf(percent / 100)))
    found = [bounds(chance.lognormal(0, 0.2, 1500), percent) for _ in range(400)]

    assert sum(each.low > true for each in found) <= 12  # of 4; more than 12 are chance once in 2000
    assert sum(each.high is not None and each.high < true for each in found) <= 12


def test_slow_frames_in_bursts_count_for_less_than_as_many_apart():
    chance = np.random.default_rng(3)
    together = bursts(chance, 9000)
    apart = chance.permutation(together)

    assert bounds(together, 99).independent < 9000 / 4
    assert bounds(apart, 99).independent > 9000 / 2
    assert bounds(together, 99).high > bounds(apart, 99).high


def test_a_machine_that_slowed_down_half_way_proves_little_of_its_median():
    steps = [10.0] * 500 + [12.0] * 500

    assert bounds(steps, 50).independent < 50


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [
        (0, 900, 0.0, 0.00510),  # 1 - 0.01 ** (1 / 900)
        (9, 900, 0.00391, 0.02076),
        (5, 5, 0.39811, 1.0),  # 0.01 ** (1 / 5)
        (1, 1, 0.01, 1.0),
    ],
)
def test_a_share_has_the_interval_of_clopper_and_pearson(hits, of, low, high):
    found = share_bounds(hits, of)

    assert found.low == pytest.approx(low, abs=1e-5)
    assert found.high == pytest.approx(high, abs=1e-5)


def test_drops_in_clusters_widen_the_interval():
    assert share_bounds(30, 3000, clusters=10).high > share_bounds(30, 3000).high
    assert share_bounds(30, 3000, clusters=10).low < share_bounds(30, 3000).low


def test_nothing_that_came_says_nothing_of_the_share():
    assert share_bounds(0, 0).high is None


@pytest.mark.parametrize("wrong", [(2, 1, 1.0), (-1, 5, 1.0), (1, 5, 0.5)])
def test_a_share_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="hits must be"):
        share_bounds(*wrong)


def test_clustering_is_one_for_hits_apart_and_the_length_of_the_bursts_for_hits_together():
    apart, together = np.zeros(10_000), np.zeros(10_000)
    apart[::50] = 1
    together[:9900].reshape(-1, 198)[::5, 90:110] = 1  # bursts of 20 that no block cuts often

    assert clustering(apart, ONES) == 1.0
    assert clustering(together, ONES) == pytest.approx(20, rel=0.3)
    assert clustering(np.zeros(10_000), ONES) == 1.0


def test_two_runs_of_the_same_are_told_apart_by_chance_alone():
    chance = np.random.default_rng(4)
    found = [unpaired_ratio(chance.lognormal(0, 0.1, 40), chance.lognormal(0, 0.1, 40), draws=400) for _ in range(200)]

    assert sum(each.low <= 1 <= each.high for each in found) >= 180


def test_drift_is_what_the_slowest_quarter_has_on_the_quickest():
    assert drift(np.repeat([10.0, 10.0, 11.0, 12.0], 5)) == pytest.approx(0.2)
    assert drift(np.array([10.0])) == 0.0
