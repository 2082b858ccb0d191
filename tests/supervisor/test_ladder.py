"""The ladder of what is given up under heat, missed frames and memory pressure, and taken back."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import SettingsError
from edgekit.schema import parse
from edgekit.supervisor.ladder import Ladder, LadderSettings, Rung, Step, default_rungs
from edgekit.supervisor.sensors import Reading

HOT, WARM, COOL, UNKNOWN = Reading(heat_c=85.0), Reading(heat_c=76.0), Reading(heat_c=60.0), Reading()
QUICK = LadderSettings(worse_after_s=10, better_after_s=60, held_after_s=300, longest_wait_s=480)

Moves: TypeAlias = list[tuple[float, Step]]


def play(ladder: Ladder, seconds: Iterable[float], reading: Reading, missed: float | None = None) -> Moves:
    """The moves that come of the same reading at each of these times."""
    steps = ((now, ladder.update(now, reading, missed)) for now in seconds)
    return [(now, step) for now, step in steps if step is not None]


def ladder(limits: LadderSettings = QUICK) -> Ladder:
    return Ladder(limits, default_rungs("tflite-int8"))


def test_heat_takes_it_down_rung_by_rung_to_the_last_and_there_it_stays():
    moves = play(ladder(), range(1000), HOT)
    assert [(now, step.name) for now, step in moves] == [
        (10, "half rate"),
        (21, "quarter rate"),
        (32, "smaller variant"),
        (43, "detector only"),
    ]
    assert moves[0][1] == Step(1, "half rate", "85.0 °C for 10 s", "down")


def test_when_it_cools_it_climbs_one_rung_at_a_time_to_the_top():
    hot = ladder()
    play(hot, range(50), HOT)
    moves = play(hot, range(50, 1000), COOL)
    assert [(now, step.rung, step.direction) for now, step in moves] == [
        (110, 3, "up"),
        (171, 2, "up"),
        (232, 1, "up"),
        (293, 0, "up"),
    ]
    assert moves[-1][1].reason == "60.0 °C for 60 s"
    assert hot.rung == Rung("full")


def test_a_short_spell_is_nothing():
    steady = ladder()
    for start in range(0, 200, 20):
        assert not play(steady, range(start, start + 9), HOT)
        assert not play(steady, range(start + 9, start + 20), COOL)


def test_between_high_and_low_nothing_moves_either_way():
    down = ladder()
    play(down, range(11), HOT)
    assert down.index == 1
    assert not play(down, range(11, 10_000), WARM)
    assert down.index == 1


GAUGES = [
    ("missed", UNKNOWN, 0.5, "50% of the frames missed"),
    ("memory", Reading(memory_available_mb=64.0), None, "64 MB available"),
    ("pressure", Reading(memory_pressure=33.3), None, "memory pressure 33.3 %"),
    ("heat and missed", HOT, 1.0, "85.0 °C, 100% of the frames missed"),
]


@pytest.mark.parametrize(("gauge", "reading", "missed", "says"), GAUGES, ids=[each[0] for each in GAUGES])
def test_each_gauge_alone_takes_it_down_and_is_named(gauge, reading, missed, says):
    ((_, step),) = play(ladder(), range(15), reading, missed)
    assert (step.direction, step.reason) == ("down", f"{says} for 10 s")


@pytest.mark.parametrize("missed", [0.0, None])
def test_one_gauge_that_is_not_well_keeps_it_from_climbing(missed):
    down = ladder()
    play(down, range(11), HOT)
    assert not play(down, range(11, 5000), replace(COOL, memory_available_mb=150.0), missed)


def test_an_unknown_sensor_counts_neither_as_ill_nor_as_well():
    """A board without a sensor climbs by what it has; one whose every sensor went silent stays where it is."""
    down = ladder()
    play(down, range(11), HOT)
    assert not play(down, range(11, 10_000), UNKNOWN)
    assert play(down, range(10_000, 10_100), UNKNOWN, missed=0.0)[0][1].direction == "up"


def test_silence_in_between_starts_the_wait_anew():
    down = ladder()
    play(down, range(6), HOT)
    play(down, [6], UNKNOWN)
    assert not play(down, range(7, 17), HOT)
    assert play(down, [17], HOT)


def hot_unless_slowed(rung: int) -> Reading:
    """A shop in which the first rung always overheats and the second never does."""
    return HOT if rung == 0 else COOL


def run(ladder: Ladder, until: int, plant: Callable[[int], Reading]) -> Moves:
    steps = ((float(now), ladder.update(now, plant(ladder.index), None)) for now in range(until))
    return [(now, step) for now, step in steps if step is not None]


def test_a_climb_that_does_not_hold_doubles_the_wait_up_to_a_bound():
    moves = run(ladder(), 4000, hot_unless_slowed)
    falls = [now for now, step in moves if step.direction == "down"]
    waits = [up - down for (down, a), (up, b) in itertools.pairwise(moves) if a.direction == "down"]
    assert [round(wait - 1) for wait in waits][:6] == [60, 120, 240, 480, 480, 480]
    assert len(falls) < 12  # it still tries again, and seldom


def test_without_the_growing_wait_the_same_shop_would_flap():
    """The control: with the wait bound to its first value, moves never become rarer."""
    flapping = run(ladder(replace(QUICK, longest_wait_s=QUICK.better_after_s)), 4000, hot_unless_slowed)
    assert len(flapping) > 3 * len(run(ladder(), 4000, hot_unless_slowed))


def test_a_climb_that_held_makes_the_next_wait_short_again():
    once_bitten = ladder()
    run(once_bitten, 400, hot_unless_slowed)
    play(once_bitten, range(400, 3000), COOL)
    assert once_bitten.index == 0
    assert len(play(once_bitten, range(3000, 3011), HOT)) == 1
    [(climbed_at, _)] = play(once_bitten, range(3011, 3500), COOL)
    assert climbed_at - 3011 == QUICK.better_after_s


readings = st.builds(
    Reading,
    heat_c=st.none() | st.floats(-20, 120),
    memory_available_mb=st.none() | st.floats(0, 1000),
    memory_pressure=st.none() | st.floats(0, 100),
)
moments = st.tuples(st.floats(0, 100), readings, st.none() | st.floats(0, 1))


@settings(max_examples=300, deadline=None)
@given(st.lists(moments, max_size=60), st.integers(1, 5))
def test_whatever_comes_it_stays_on_the_ladder_and_never_moves_twice_within_the_dwell(moments, rungs):
    limits = LadderSettings(worse_after_s=5, better_after_s=20, held_after_s=60, longest_wait_s=160)
    ladder = Ladder(limits, [Rung(str(i)) for i in range(rungs)])
    now, moved_at, before = 0.0, 0.0, 0
    for waited, reading, missed in moments:
        now += waited
        step = ladder.update(now, reading, missed)
        assert 0 <= ladder.index < rungs
        if step is None:
            assert ladder.index == before
            continue
        assert step.rung == ladder.index == before + (1 if step.direction == "down" else -1)
        assert now - moved_at >= (limits.worse_after_s if step.direction == "down" else limits.better_after_s)
        moved_at, before = now, ladder.index


@settings(max_examples=200, deadline=None)
@given(readings, st.none() | st.floats(0, 1), st.integers(0, 4))
def test_constant_input_never_makes_it_turn_round(reading, missed, start):
    tried = Ladder(QUICK, default_rungs("tflite-int8"))
    now = 0
    while tried.index < start:
        tried.update(now, HOT, None)
        now += 1
    moves = play(tried, range(now, now + 1500), reading, missed)
    assert len({step.direction for _, step in moves}) <= 1
    assert len(moves) <= 4


@pytest.mark.parametrize(
    ("said", "soft_c", "limits"),
    [
        ({}, None, (72.0, 80.0)),
        ({}, 75.0, (67.0, 75.0)),
        ({"missed_high": 0.5}, 75.0, (67.0, 75.0)),
        ({"heat_high_c": 70.0}, 75.0, (62.0, 70.0)),
        ({"heat_low_c": 60.0}, 75.0, (60.0, 75.0)),
        ({"heat_low_c": 60.0, "heat_high_c": 65.0}, 75.0, (60.0, 65.0)),
    ],
)
def test_what_is_not_said_of_the_heat_the_board_says(said, soft_c, limits):
    assert LadderSettings(**said).heat_c(soft_c) == limits
    hot = Reading(heat_c=limits[1])
    assert play(Ladder(LadderSettings(**said), default_rungs(), soft_c), range(12), hot)


def test_the_rungs_are_what_the_bundle_allows():
    assert [rung.name for rung in default_rungs()] == ["full", "half rate", "quarter rate", "detector only"]
    assert [rung.name for rung in default_rungs(classifier=False)] == ["full", "half rate", "quarter rate"]
    assert default_rungs("tflite-int8")[-1] == Rung("detector only", 0.25, "tflite-int8", detector_only=True)


def test_limits_that_contradict_each_other_are_refused_where_they_are_read():
    with pytest.raises(SettingsError, match=r"heat_low_c must be below heat_high_c; got 90\.0 and 80\.0"):
        parse(LadderSettings, {"heat_low_c": 90.0, "heat_high_c": 80.0}, "store.toml")
    with pytest.raises(ValueError, match="heat_low_c must be below the board's 75 °C; got 76"):
        Ladder(LadderSettings(heat_low_c=76.0), default_rungs(), 75.0)
    with pytest.raises(SettingsError, match="did you mean 'heat_high_c'"):
        parse(LadderSettings, {"heat_hihg_c": 90.0}, "store.toml")
    with pytest.raises(ValueError, match="worse_after_s <= better_after_s"):
        LadderSettings(worse_after_s=90, better_after_s=60)


def test_a_ladder_without_rungs_and_a_rung_that_does_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one rung"):
        Ladder(LadderSettings(), [])
    with pytest.raises(ValueError, match="above 0"):
        Rung("nothing", rate=0.0)
