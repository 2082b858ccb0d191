"""SVG as text, for plots that stand in a page without any library: scales, ticks, marks, and accuracy against cost.

Colours are the page's: 'hue0' to 'hue7', 'soft' and 'line' are classes that `edgekit.page` gives a colour in light and
in dark. Words are escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TypeAlias

HUES = 8
Room: TypeAlias = tuple[float, float, float, float]  # left, top, right, bottom
Span: TypeAlias = tuple[float, float, float]  # from, to, and at which height
_LETTER, _LINE = 6.8, 14.0  # pixels of the 12 px font: the mean width of a letter, the height of a line


def hue(number: int) -> str:
    """The class of the number-th thing's colour."""
    return f"hue{number % HUES}"


@dataclass(frozen=True)
class Scale:
    """From values `low` to `high`, to pixels `start` to `end`; by their logarithms where `log`."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values that lie on it."""
        return log_ticks(self.low, self.high) if self.log else ticks(self.low, self.high)


@dataclass(frozen=True)
class Point:
    """One thing on a front: where it lies, what it is called, and whether it is drawn full or hollow."""

    x: float
    y: float
    name: str
    full: bool = True


def picture(width: int, height: int, parts: Sequence[str], label: str = "", fluid: bool = False) -> str:
    """The whole SVG. `label`: what it is, for those who do not see it. `fluid`: as wide as there is room."""
    size = 'width="100%"' if fluid else f'width="{width}" height="{height}"'
    described = f' role="img" aria-label="{escape(label)}"' if label else ""
    kind = "fluid" if fluid else "fixed"
    box = f'class="{kind}" viewBox="0 0 {width} {height}" {size}{described}'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>{"".join(parts)}</svg>'


def text(x: float, y: float, words: str, anchor: str = "start", kind: str = "", turned: bool = False) -> str:
    """Words at a place; `turned` by a quarter, to be read upwards."""
    place = f'transform="translate({x:.1f} {y:.1f}) rotate(-90)"' if turned else f'x="{x:.1f}" y="{y:.1f}"'
    marked = f' class="{kind}"' if kind else ""
    return f'<text {place} text-anchor="{anchor}"{marked}>{escape(words)}</text>'


def line(path: str, kind: str = "line", width: float = 1, more: str = "") -> str:
    """A path that is drawn and not filled."""
    return f'<path d="{path}" class="{kind}" stroke="currentColor" stroke-width="{width:g}" fill="none"{more}/>'


def bar(x: float, y: float, width: float, height: float, kind: str, title: str = "", opacity: float = 1.0) -> str:
    """A filled rectangle; `title` is shown where the mouse rests on it."""
    seen = "" if opacity == 1 else f' fill-opacity="{opacity:.2f}"'
    shape = (
        f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" class="{kind}" fill="currentColor"{seen}'
    )
    return f"<rect {shape}><title>{escape(title)}</title></rect>" if title else f"<rect {shape}/>"


def front(points: Sequence[Point], x_name: str, y_name: str, width: int = 760, height: int = 360) -> str:
    """Accuracy against cost: up and to the left is better; a line rises along the best of both.

    Costs that lie further apart than one to ten stand on a logarithmic axis.
    """
    left, bottom, top, right = 72, 46, 16, 24
    x = _cost_scale([p.x for p in points], left, width - right)
    low, high = span([p.y for p in points])
    y = Scale(low, min(high, 1.0) if low < 1 else high, height - bottom, top)  # no accuracy is above 1
    parts = axes(x, y, x_name, y_name)
    first, *others = best = _best(points)
    steps = "".join(f"H{x(p.x):.1f}V{y(p.y):.1f}" for p in others)
    parts.append(line(f"M{x(first.x):.1f} {y(first.y):.1f}{steps}", "soft"))
    parts += [_mark(x(p.x), y(p.y), p, hue(i)) for i, p in enumerate(points)]
    flats = [(x(p.x), x(then.x), y(p.y)) for p, then in pairwise(best)]
    parts += _names(points, x, y, (left, _LINE / 2, width, height - bottom - _LINE / 2), flats)
    return picture(width, height, parts, f"{y_name} against {x_name}")


def axes(x: Scale, y: Scale, x_name: str, y_name: str) -> list[str]:
    """The two lines of a plot with round values along them, and what they are; needs 58 pixels on the left of it and
    38 below."""
    parts = [line(f"M{x.start:.1f} {y.end:.1f}V{y.start:.1f}H{x.end:.1f}", "soft")]
    parts += [text(x(tick), y.start + 18, f"{tick:g}", "middle", "soft") for tick in x.ticks()]
    parts += [text(x.start - 8, y(tick) + 4, f"{tick:g}", "end", "soft") for tick in y.ticks()]
    parts.append(text((x.start + x.end) / 2, y.start + 38, x_name, "middle"))
    parts.append(text(x.start - 58, (y.start + y.end) / 2, y_name, "middle", turned=True))
    return parts


def _cost_scale(costs: Sequence[float], start: float, end: float) -> Scale:
    if min(costs) > 0 and max(costs) > 10 * min(costs):
        return Scale(min(costs) / 1.25, max(costs) * 1.25, start, end, log=True)
    return Scale(*span(costs, floor=0.0), start, end)


def _mark(x: float, y: float, point: Point, kind: str) -> str:
    opacity = 0.85 if point.full else 0
    what = f"{point.name}: {point.x:.4g}, {point.y:.4f}"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" class="{kind}" fill="currentColor" fill-opacity="{opacity}" '
        f'stroke="currentColor" stroke-width="1.5"><title>{escape(what)}</title></circle>'
    )


def _names(points: Sequence[Point], x: Scale, y: Scale, room: Room, flats: Sequence[Span]) -> list[str]:
    """Each point's name beside its mark, or further off at the end of a thin line where others stand in the way, or
    the line along the best: `flats` are its level parts."""
    taken = [*((x(p.x) - 7, x(p.x) + 7, y(p.y)) for p in points), *flats]
    parts = []
    for i, p in enumerate(points):
        at, width = (x(p.x), y(p.y)), _LETTER * len(p.name)
        start, middle = _free(*at, width, taken, room)
        taken.append((start, start + width, middle))
        if abs(middle - at[1]) > _LINE:
            near = start if start > at[0] else start + width
            parts.append(line(f"M{at[0]:.1f} {at[1]:.1f}L{near:.1f} {middle:.1f}", hue(i), 0.5))
        parts.append(text(start, middle + 4, p.name, kind=hue(i)))
    return parts


def _free(x: float, y: float, width: float, taken: Sequence[Span], room: Room) -> tuple[float, float]:
    """Where words of a width begin, and their middle's height: as near to (x, y) as nothing else stands.

    Where there is no room at all they stand on others, beside their mark.
    """
    left_edge, top, right_edge, bottom = room
    for away in range(2 * len(taken) + 2):
        middle = y + (away + 1) // 2 * _LINE * (1 if away % 2 else -1)
        for start in (x + 11, x - 11 - width):
            clear = all(
                start + width < left or start > right or abs(middle - other) >= _LINE for left, right, other in taken
            )
            if clear and start >= left_edge and start + width <= right_edge and top <= middle <= bottom:
                return start, middle
    return x + 11, y


def _best(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, from the cheapest to the most accurate."""
    found: list[Point] = []
    for p in sorted(points, key=lambda each: (each.x, -each.y)):
        if not found or p.y > found[-1].y:
            found.append(p)
    return found


def span(values: Sequence[float], floor: float | None = None) -> tuple[float, float]:
    """The range of the values with a margin, from `floor` on where there is one."""
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or abs(high) * 0.05 or 1.0
    return (low - margin if floor is None else floor), high + margin


def ticks(low: float, high: float) -> list[float]:
    """Four to ten round values from `low` to `high`: multiples of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / 4))
    step = next(m * power for m in (5, 2, 1) if m * power <= (high - low) / 4)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{place * step:.12g}") for place in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 and their decades within the range; the two ends where it holds fewer than two of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    return ticks if len(ticks) > 1 else [float(f"{low:.3g}"), float(f"{high:.3g}")]
