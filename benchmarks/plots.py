"""All samples of a measurement as an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgekit.svg import Scale, hue, line, log_ticks, picture, text


def strips(samples: Mapping[str, Sequence[float]], unit: str = "ms", width: int = 760) -> str:
    """One row a name: every sample as a thin line on a common logarithmic axis, the median as a thick one.

    A strip hides nothing: a single stall among thousands of runs stands at the right, alone and visible.
    """
    left, row, bottom = 190, 34, 30
    values = [value for row_ in samples.values() for value in row_]
    x = Scale(min(values) * 0.95, max(values) * 1.05, left, width - 20, log=True)
    height = row * len(samples) + bottom
    parts = []
    for i, (name, taken) in enumerate(samples.items()):
        top = i * row + 6
        median = sorted(taken)[(len(taken) - 1) // 2]
        parts.append(text(left - 10, top + 15, name, "end"))
        parts.append(
            line("".join(f"M{x(v):.1f} {top}v{row - 12}" for v in taken), hue(i), more=' stroke-opacity=".35"')
        )
        parts.append(line(f"M{x(median):.1f} {top - 3}v{row - 6}", "", 2.5))
    for tick in log_ticks(x.low, x.high):
        parts.append(line(f"M{x(tick):.1f} 0v{height - bottom}"))
        parts.append(text(x(tick), height - 8, f"{tick:g} {unit}", "middle"))
    return picture(width, height, parts)
