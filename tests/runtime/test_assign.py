"""The assignment is the cheapest one there is; scipy is the judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.runtime.assign import assign, assign_below

optimize = pytest.importorskip("scipy.optimize")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_no_assignment_is_cheaper_than_ours(n: int, m: int, seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    costs = rng.integers(-3, 4, (n, m)).astype(float) if ties else rng.normal(size=(n, m))
    rows, columns = assign(costs)
    assert len(rows) == min(n, m)
    assert len(set(columns.tolist())) == len(columns)
    assert list(rows) == sorted(set(rows.tolist()))
    assert costs[rows, columns].sum() == pytest.approx(costs[optimize.linear_sum_assignment(costs)].sum())


def test_a_hundred_by_a_hundred_and_twenty() -> None:
    costs = np.random.default_rng(1).random((100, 120))
    assert costs[assign(costs)].sum() == pytest.approx(costs[optimize.linear_sum_assignment(costs)].sum())


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 2**32 - 1), st.sampled_from([0.2, 0.5, 0.8]))
def test_below_a_limit_the_sum_of_what_is_saved_is_largest(n: int, m: int, seed: int, limit: float) -> None:
    costs = np.random.default_rng(seed).random((n, m))
    costs[costs > 0.9] = np.inf
    rows, columns = assign_below(costs, limit)
    gains = np.minimum(costs - limit, 0)
    assert (costs[rows, columns] < limit).all()
    assert len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows)
    assert gains[rows, columns].sum() == pytest.approx(gains[optimize.linear_sum_assignment(gains)].sum())


def test_two_good_pairs_are_better_than_one_perfect_pair() -> None:
    rows, columns = assign_below(np.array([[0.0, 0.2], [0.2, 0.9]]), limit=0.5)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [1, 0])
