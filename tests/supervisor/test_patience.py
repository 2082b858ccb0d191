"""How long a camera's opening may take, by what its last ones took."""

from __future__ import annotations

import pytest

from edgekit.supervisor.patience import Patience

LONGEST_S = 3.0


@pytest.mark.parametrize(
    ("took", "limit_s"),
    [
        ([], LONGEST_S),
        ([0.01], 0.75),
        ([0.5], 1.5),
        ([2.0], LONGEST_S),
        ([2.0, 0.01], 0.75),  # the first one also loads FFmpeg
        ([0.01, 0.01, 0.4, 0.4, 0.4], 1.2),
    ],
)
def test_an_opening_may_take_three_times_as_long_as_openings_usually_do(took: list[float], limit_s: float) -> None:
    patience = Patience(LONGEST_S)
    for each in took:
        patience.opened(each)
    assert patience.limit_s == pytest.approx(limit_s)


def test_a_camera_that_has_become_slow_is_given_all_the_time_once_in_a_while() -> None:
    patience = Patience(LONGEST_S)
    patience.opened(0.01)
    limits = []
    for _ in range(20):
        limits.append(patience.limit_s)
        patience.failed()
    assert limits.count(LONGEST_S) == 2
    assert limits[0] == 0.75
    patience.opened(1.0)
    assert patience.limit_s == 0.75
    patience.opened(1.0)
    assert patience.limit_s == LONGEST_S


def test_a_camera_that_never_opened_is_given_all_the_time_each_time() -> None:
    patience = Patience(LONGEST_S)
    for _ in range(12):
        patience.failed()
        assert patience.limit_s == LONGEST_S
