"""Plots as SVG text, small enough to stand in a page without any library: a strip of all samples, and a front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#8d6708", "#5a6b7b", "#d44c47")
_STYLE = "font:12px system-ui,sans-serif;fill:#37352f"


@dataclass(frozen=True)
class Point:
    """One thing on a front: where it lies and what it is called."""

    x: float
    y: float
    name: str


def strips(samples: Mapping[str, Sequence[float]], unit: str = "ms", width: int = 760) -> str:
    """One row a name: every sample as a thin line on a common logarithmic axis, the median as a thick one.

    A strip hides nothing: a single stall among thousands of runs stands at the right, alone and visible.
    """
    left, row, bottom = 190, 34, 30
    values = [value for row_ in samples.values() for value in row_]
    low, high = min(values) * 0.95, max(values) * 1.05
    height = row * len(samples) + bottom

    def x(value: float) -> float:
        return left + (width - left - 20) * math.log(value / low) / math.log(high / low)

    parts = []
    for i, (name, taken) in enumerate(samples.items()):
        top, colour = i * row + 6, COLOURS[i % len(COLOURS)]
        lines = "".join(f"M{x(v):.1f} {top}v{row - 12}" for v in taken)
        median = sorted(taken)[(len(taken) - 1) // 2]
        parts.append(f'<text x="{left - 10}" y="{top + 15}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<path d="{lines}" stroke="{colour}" stroke-opacity=".35"/>')
        parts.append(f'<path d="M{x(median):.1f} {top - 3}v{row - 6}" stroke="#37352f" stroke-width="2.5"/>')
    for tick in _log_ticks(low, high):
        label = f'<text x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{tick:g} {unit}</text>'
        parts.append(f'<path d="M{x(tick):.1f} 0v{height - bottom}" stroke="#e3e2e0"/>{label}')
    return _svg(width, height, parts)


def front(points: Sequence[Point], x_name: str, y_name: str, width: int = 760, height: int = 360) -> str:
    """Accuracy against latency: up and to the left is better; the best of both are joined by a line."""
    left, bottom, top, right = 70, 46, 16, 130
    x_low, x_high = _span([p.x for p in points], floor=0.0)
    y_low, y_high = _span([p.y for p in points])

    def at(p: Point) -> tuple[float, float]:
        x = left + (width - left - right) * (p.x - x_low) / (x_high - x_low)
        return x, height - bottom - (height - bottom - top) * (p.y - y_low) / (y_high - y_low)

    parts = [f'<path d="M{left} {top}V{height - bottom}H{width - right}" stroke="#9b9a97" fill="none"/>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        tick_x, tick_y = x_low + share * (x_high - x_low), y_low + share * (y_high - y_low)
        x, _ = at(Point(tick_x, y_low, ""))
        _, y = at(Point(x_low, tick_y, ""))
        parts.append(f'<text x="{x:.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick_x:.3g}</text>')
        parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{tick_y:.4f}</text>')
    best = [at(p) for p in _best(points)]
    parts.append('<path d="M' + "L".join(f"{x:.1f} {y:.1f}" for x, y in best) + '" stroke="#9b9a97" fill="none"/>')
    taken: list[tuple[float, float]] = []
    for i, p in enumerate(points):
        x, y = at(p)
        colour = COLOURS[i % len(COLOURS)]
        circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="12" fill="{colour}" fill-opacity=".75"/>'
        label = _free(x + 16, y + 4, taken)
        parts.append(f'{circle}<text x="{label[0]:.1f}" y="{label[1]:.1f}" fill="{colour}">{escape(p.name)}</text>')
    middle = (width + left - right) / 2
    parts.append(f'<text x="{middle}" y="{height - 8}" text-anchor="middle">{escape(x_name)}</text>')
    parts.append(
        f'<text transform="translate(14 {height / 2}) rotate(-90)" text-anchor="middle">{escape(y_name)}</text>'
    )
    return _svg(width, height, parts)


def _best(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats in both, from the fastest to the most accurate."""
    found: list[Point] = []
    for p in sorted(points, key=lambda each: (each.x, -each.y)):
        if not found or p.y > found[-1].y:
            found.append(p)
    return found


def _free(
    x: float, y: float, taken: list[tuple[float, float]], line: float = 14, word: float = 100
) -> tuple[float, float]:
    """The place for a label nearest to (x, y), going down, where no other one stands; it is added to `taken`."""
    while any(abs(x - other_x) < word and abs(y - other_y) < line for other_x, other_y in taken):
        y += line
    taken.append((x, y))
    return x, y


def _span(values: Sequence[float], floor: float | None = None) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.1 or abs(high) * 0.05 or 1.0
    return (low - margin if floor is None else floor), high + margin


def _log_ticks(low: float, high: float) -> list[float]:
    """1, 2, 5 and their decades within the range; the two ends where it holds fewer than two of them."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    return ticks if len(ticks) > 1 else [float(f"{low:.3g}"), float(f"{high:.3g}")]


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} style="{_STYLE};max-width:100%">{"".join(parts)}</svg>'
