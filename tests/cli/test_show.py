"""What long work says of itself where nobody draws a bar."""

from __future__ import annotations

import pytest

from edgekit.cli import show


def test_a_line_a_stage_and_once_a_minute_how_long_the_rest_may_take(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0, 1, 30, 61, 90, 122, 182, 183, 243])
    tell = show.lines(clock=lambda: next(times))
    for stage, done in (
        ("training", 0),
        ("training", 50),
        ("training", 100),
        ("training", 150),
        ("evaluating", 0),
        ("evaluating", 0),
        ("training", 200),
        ("training", 400),
    ):
        tell(stage, done, 400)

    assert capsys.readouterr().err.splitlines() == [
        "training",
        "training: 100 of 400, 3 min 0 s left",
        "evaluating",
        "evaluating: 0 of 400",
    ]


def test_what_was_done_before_counts_for_nothing_in_the_time_that_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    tell = show.lines(clock=lambda: now)
    tell("training", 300, 400)
    now = 60.0
    tell("training", 310, 400)

    assert capsys.readouterr().err.splitlines()[1] == "training: 310 of 400, 9 min 0 s left"
