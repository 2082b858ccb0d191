"""So many frames a second of whatever the camera gives, each as it arrives, and how many turns were missed."""

from __future__ import annotations

import random

import pytest

from edgekit.supervisor.pace import Pace, Turns


def taken(pace: Pace, arrivals: list[float]) -> list[float]:
    chosen = []
    for at in arrivals:
        if pace.due(at):
            pace.took(at)
            chosen.append(at)
    return chosen


@pytest.mark.parametrize(("camera", "wished"), [(30, 10), (15, 10), (25, 10), (60, 7), (10, 10), (30, 29), (8, 10)])
def test_a_camera_of_any_rate_gives_the_rate_that_is_wished_for(camera, wished):
    chosen = taken(Pace(wished), [n / camera for n in range(camera * 20)])

    assert len(chosen) == pytest.approx(20 * min(wished, camera), rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_frames_that_come_unevenly_give_the_rate_too_and_never_more(seed):
    draw = random.Random(seed)
    chosen = taken(Pace(10), [n / 30 + draw.uniform(0, 0.03) for n in range(1800)])

    assert 580 <= len(chosen) <= 601


def test_the_first_frame_is_taken_at_once():
    assert Pace(1).due(-1e9)


def test_a_frame_a_third_of_a_period_early_is_taken_and_an_earlier_one_is_not():
    pace = Pace(10)
    pace.took(0.0)
    next_due = 0.1 - 0.1 / 3  # the one before counts from a third early as well

    assert not pace.due(next_due - 0.1 / 3 - 1e-6)
    assert pace.due(next_due - 0.1 / 3 + 1e-6)


def test_a_long_silence_does_not_lead_to_a_burst():
    pace = Pace(10)
    taken(pace, [n / 10 for n in range(10)])
    after = taken(pace, [60 + n / 100 for n in range(100)])

    assert len(after) <= 11


def test_no_turns_say_nothing_and_some_say_the_share_that_was_missed():
    turns = Turns(window_s=10)
    assert turns.missed(0.0) is None
    for at in range(8):
        turns.note(float(at), missed=at % 4 == 0)

    assert turns.missed(8.0) == 0.25


def test_turns_are_forgotten_when_the_window_has_gone_by():
    turns = Turns(window_s=10)
    turns.note(0.0, missed=True)
    turns.note(9.0, missed=False)

    assert turns.missed(10.0) == 0.5
    assert turns.missed(10.5) == 0.0
    assert turns.missed(20.0) is None


def test_another_rate_begins_without_the_turns_of_the_one_before():
    turns = Turns()
    turns.note(0.0, missed=True)
    turns.clear()

    assert turns.missed(0.0) is None
