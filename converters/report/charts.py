"""The plots of a build's page. Each is 340 pixels wide, so that two stand side by side and a phone shows one whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edgekit.converters.report.classes import Confusion
from edgekit.converters.report.front import Placed
from edgekit.converters.report.reliability import Reliability
from edgekit.converters.report.report import Layer
from edgekit.svg import Point, Scale, bar, front, line, picture, text

_WIDTH = 340
_EXACT_DB = 120.0  # what the rounding of floats leaves
_NAMED = 24  # from more classes on, the names at a heat map's sides could not be read


def front_plot(places: Sequence[Placed], cost: str, cost_name: str, accuracy: str) -> str:
    """Accuracy against 'latency_ms' or 'size' (as MB), of the candidates that have both; the optimal ones are full."""
    points = []
    for each in places:
        spent, reached = getattr(each.candidate, cost), each.candidate.accuracy
        if spent is not None and reached is not None:
            scaled = spent / 1e6 if cost == "size" else spent
            points.append(Point(scaled, reached, each.candidate.name, full=bool(each.optimal)))
    return front(points, cost_name, accuracy, _WIDTH, 300) if points else ""


def layer_bars(layers: Sequence[Layer], label: str) -> str:
    """A bar for each layer in the order given, as long as its SQNR in dB; one that is exact goes to the edge."""
    row, left, right, top = 15, 132, 46, 22
    finite = [each.sqnr_db for each in layers if each.sqnr_db < _EXACT_DB]
    x = Scale(min([0.0, *finite]), max([1.0, *finite]), left, _WIDTH - right)
    height = top + row * len(layers) + 6
    parts = [line(f"M{x(0):.1f} {top - 4}V{height}"), text(x(0), top - 8, "SQNR, dB", kind="soft")]
    for i, each in enumerate(layers):
        parts += _layer(each, x, top + i * row, row)
    return picture(_WIDTH, height, parts, label)


def _layer(layer: Layer, x: Scale, y: float, row: float) -> list[str]:
    exact = layer.sqnr_db >= _EXACT_DB
    end = x.end if exact else x(layer.sqnr_db)
    said = "exact" if exact else f"{layer.sqnr_db:.1f}"
    told = f"{layer.operator}: {said}{'' if exact else ' dB'}{', kept in float' if layer.in_float else ''}"
    kind = "hue1" if layer.in_float else "hue0"
    start, width = min(x(0), end), max(abs(end - x(0)), 1)
    return [
        text(126, y + row - 4, _cut(layer.operator, 18), "end", "soft"),
        bar(start, y + 2, width, row - 4, kind, told),
        text(max(end, x(0)) + 4, y + row - 4, said, kind=kind),
    ]


def _cut(name: str, length: int) -> str:
    """The end of a long name: its beginning is the same for all layers of a block."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def reliability_plot(found: Reliability, name: str) -> str:
    """How often answers are right, by how sure they are; below it how many there are of each sureness."""
    left, top, side, low = 44, 12, 240, 40
    x, y = Scale(0, 1, left, left + side), Scale(0, 1, top + side, top)
    most = max(each.count for each in found.bins)
    tall = Scale(0, most, 0, low)
    parts = [line(f"M{x(0)} {y(0)}L{x(1)} {y(1)}", "soft", more=' stroke-dasharray="4 4"')]
    for each in found.bins:
        told = f"{each.count} answers, confidence {each.confidence:.4f}, right {each.accuracy:.4f}"
        place, width = x(each.low) + 1, x(each.high) - x(each.low) - 2
        parts.append(bar(place, y(each.accuracy), width, y(0) - y(each.accuracy), "hue0", told, 0.8))
        parts.append(line(f"M{place:.1f} {y(each.confidence):.1f}h{width:.1f}", "hue1", 2))
        bottom = y(0) + 14 + low
        parts.append(bar(place, bottom - tall(each.count), width, tall(each.count), "soft", told, 0.6))
    for tick in (0, 0.5, 1):
        parts.append(text(left - 6, y(tick) + 4, f"{tick:g}", "end", "soft"))
        parts.append(text(x(tick), y(0) + low + 30, f"{tick:g}", "middle", "soft"))
    parts.append(line(f"M{x(0)} {y(1)}V{y(0)}H{x(1)}", "soft"))
    parts.append(text(x(0.5), y(0) + low + 46, "confidence", "middle"))
    parts.append(text(14, y(0.5), "share right", "middle", turned=True))
    return picture(_WIDTH, top + side + low + 64, parts, f"reliability of {name}")


def heat_map(confusion: Confusion, name: str) -> str:
    """Truth down, answers across, each cell the share of its row; what is right is blue and what is wrong orange.

    Only cells that hold pictures are drawn, and each tells its classes and count where the mouse rests on it.
    """
    labels = confusion.labels
    named = len(labels) <= _NAMED
    edge = 110 if named else 24
    cell = (700 - edge) / len(labels)
    support: Counter[int] = Counter()
    for (row, _), count in confusion.counts.items():
        support[row] += count
    side = cell * len(labels)
    parts = [line(f"M{edge} {edge}h{side:.1f}v{side:.1f}h{-side:.1f}z")]
    parts += _edge_names(labels, cell, edge) if named else _edge_titles(edge, side)
    for (i, j), count in sorted(confusion.counts.items()):
        told = f"{labels[i]} given as {labels[j]}: {count} of {support[i]}"
        opacity = 0.3 + 0.7 * count / support[i]
        kind = "hue0" if i == j else "hue1"
        parts.append(bar(edge + j * cell, edge + i * cell, cell, cell, kind, told, opacity))
    return picture(700, 702, parts, f"confusion matrix of {name}", fluid=True)


def _edge_titles(edge: float, side: float) -> list[str]:
    across, down = (
        text(edge + side / 2, 16, "answer", "middle"),
        text(16, edge + side / 2, "truth", "middle", turned=True),
    )
    return [across, down]


def _edge_names(labels: Sequence[str], cell: float, edge: float) -> list[str]:
    parts = []
    for i, label in enumerate(labels):
        middle = edge + (i + 0.5) * cell + 4
        parts.append(text(edge - 6, middle, _cut(label, 16), "end", "soft"))
        parts.append(text(middle, edge - 6, _cut(label, 16), "start", "soft", turned=True))
    return parts
