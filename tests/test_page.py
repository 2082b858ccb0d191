"""Pages and plots: text is escaped, ticks are round, and names on a front do not lie on each other."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.page import Folded, Grid, Lines, Pictures, Plots, Section, Text, Tiles, render
from edgekit.svg import Point, Scale, front, log_ticks, ticks

HOSTILE = "<img src=x onerror=alert(1)> & \"'"


def test_no_block_lets_markup_through() -> None:
    blocks = [
        Text(HOSTILE),
        Lines([HOSTILE, f"FAIL: {HOSTILE}"]),
        Tiles([(HOSTILE, HOSTILE, HOSTILE)]),
        Grid([HOSTILE], [[HOSTILE]], words=[0]),
        Pictures([(b"jpeg", HOSTILE)], HOSTILE),
        Folded(HOSTILE, [Text(HOSTILE)]),
        Plots([]),
    ]
    text = render(HOSTILE, HOSTILE, [Section(HOSTILE, blocks)])
    assert "<img src=x" not in text
    assert text.count("&lt;img src=x") == 17
    assert front([Point(1, 2, HOSTILE)], HOSTILE, HOSTILE).count("<img") == 0


@pytest.mark.parametrize("verdict", ["PASS", "FAIL", "INCONCLUSIVE", "VALID", "INVALID"])
def test_a_verdict_has_its_colour_wherever_it_stands(verdict: str) -> None:
    blocks = [Grid(["verdict"], [[verdict]]), Lines([f"{verdict}: why"]), Tiles([("all", verdict, "")])]
    assert render("", "", [Section("", blocks)]).count(f'class="{verdict}"') == 3


def test_a_word_that_only_begins_like_a_verdict_has_none() -> None:
    assert "<li>PASSED over</li>" in render("", "", [Section("", [Lines(["PASSED over"])])])


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_lie_within_the_range(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 3 <= len(found) <= 11
    assert all(low - 1e-4 * width <= tick <= low + width * 1.0001 for tick in found)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.08, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.7, 0.74, [0.7, 0.71, 0.72, 0.73, 0.74]), (0, 9.9, [0, 2, 4, 6, 8])],
)
def test_ticks(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_a_logarithmic_scale_has_a_tick_for_1_2_and_5_of_each_decade() -> None:
    assert log_ticks(0.9, 21) == [1, 2, 5, 10, 20]
    assert log_ticks(3, 4) == [3, 4]
    assert Scale(1, 100, 0, 10, log=True)(10) == pytest.approx(5)


def test_names_on_a_front_do_not_lie_on_each_other() -> None:
    points = [Point(1 + i / 100, 0.9, f"variant {i}") for i in range(7)]
    drawn = front(points, "ms", "ap", 340, 300)
    places = re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>variant \d</text>', drawn)
    assert len(places) == 7
    boxes = [(float(x), float(y)) for x, y in places]
    for i, (x, y) in enumerate(boxes):
        assert all(abs(y - other_y) > 11 or abs(x - other_x) > 50 for other_x, other_y in boxes[:i])


def test_no_name_is_struck_out_by_the_front() -> None:
    points = [Point(4, 0.95, "int8"), Point(7, 0.99, "float"), Point(6, 0.96, "between")]
    drawn = front(points, "ms", "ap")
    corners = re.findall(r"[MH]([\d.]+)(?: |V)([\d.]+)", re.findall(r'd="(M[\d.]+ [\d.]+H[^"]+)"', drawn)[0])
    ends = [(float(x), float(y)) for x, y in corners]
    for x, y, name in re.findall(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*>(int8|float|between)</text>', drawn):
        for (left, level), (right, _) in pairwise(ends):
            assert abs(float(y) - 4 - level) > 11 or not left < float(x) < right, name


def test_a_front_rises_along_those_that_nothing_beats() -> None:
    points = [Point(1, 0.5, "a"), Point(2, 0.4, "b"), Point(3, 0.6, "c"), Point(3, 0.55, "d")]
    drawn = front(points, "ms", "ap")
    (path,) = re.findall(r'd="M([\d.]+ [\d.]+H[\d.]+V[\d.]+(?:H[\d.]+V[\d.]+)*)"', drawn)
    a, _, c, _ = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    assert path == f"{a[0]} {a[1]}H{c[0]}V{c[1]}"
