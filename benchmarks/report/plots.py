"""The plots of what was timed: histogram, tail, stages, stream density and cold starts. Nothing is clipped.

A variant has one colour in all of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from statistics import fmean, median

from edgekit.benchmarks.report.series import Series, Stage
from edgekit.benchmarks.result import Start, Window
from edgekit.svg import Scale, axes, bar, hue, line, picture, span, text

_WIDTH = 760
_LEFT = 230  # room for the names of rows
_RIGHT = 230  # room for the names of lines
_STEP = 4  # pixels of a histogram's bar


def histogram(series: Sequence[Series]) -> str:
    """One row a series on a common logarithmic axis of milliseconds; the height of a bar goes by the logarithm of its
    count, so a single stall among thousands of runs is a bar of its own. The median is a thick line."""
    row, bottom = 46, 46
    height = row * len(series) + bottom
    x = _log_ms([value for each in series for value in each.drawn_ms], _LEFT, _WIDTH - 16)
    parts = [line(f"M{x(tick):.1f} 0V{height - bottom}") for tick in x.ticks()]
    kinds = _hues([each.variant for each in series])
    for i, each in enumerate(series):
        parts += _row(each, x, row * (i + 1) - 4, row - 14, kinds[each.variant])
    parts += [text(x(tick), height - 28, f"{tick:g}", "middle", "soft") for tick in x.ticks()]
    parts.append(text((x.start + x.end) / 2, height - 8, "ms", "middle"))
    return picture(_WIDTH, height, parts, "histogram of times")


def _row(series: Series, x: Scale, floor: float, tall: float, kind: str) -> list[str]:
    counts = Counter(int((x(value) - x.start) // _STEP) for value in series.drawn_ms)
    most = math.log1p(max(counts.values()))
    parts = [text(x.start - 10, floor - tall / 2 + 4, series.name, "end")]
    for place, count in sorted(counts.items()):
        height = tall * math.log1p(count) / most
        left = x.start + place * _STEP
        told = f"{count} of {len(series.wall_ms)} about {_value(x, left + _STEP / 2):.3g} ms"
        parts.append(bar(left, floor - height, _STEP - 0.5, height, kind, told))
    middle = x(median(series.drawn_ms))
    return [*parts, line(f"M{middle:.1f} {floor + 2}v{-tall - 6}", "", 2)]


def _value(x: Scale, place: float) -> float:
    share = (place - x.start) / (x.end - x.start)
    return x.low * math.exp(share * math.log(x.high / x.low))


def _hues(variants: Sequence[str]) -> dict[str, str]:
    return {name: hue(i) for i, name in enumerate(dict.fromkeys(variants))}


def tail(series: Sequence[Series]) -> str:
    """Which share of the runs took longer than so many milliseconds, both on logarithmic axes: p99 is read where a line
    crosses 0.01, and one stall in a thousand runs is the step at 0.001. Of each variant the first series is dashed
    where it has another."""
    top, height = 12, 320
    most = max(len(each.wall_ms) for each in series)
    x = _log_ms([value for each in series for value in each.drawn_ms], 72, _WIDTH - _RIGHT)
    y = Scale(0.7 / most, 1, height - 46, top, log=True)
    parts = axes(x, y, "ms", "share that took longer")
    kinds, last = _hues([each.variant for each in series]), {each.variant: each for each in series}
    for i, each in enumerate(series):
        kind, dash = kinds[each.variant], "" if each is last[each.variant] else ' stroke-dasharray="4 3"'
        parts.append(line(_steps(sorted(each.drawn_ms), x, y), kind, 1.5, dash))
        parts.append(line(f"M{x.end + 12:.1f} {top + 8 + 18 * i}h18", kind, 1.5, dash))
        parts.append(text(x.end + 36, top + 12 + 18 * i, each.name, kind=kind))
    return picture(_WIDTH, max(height, top + 18 * len(series)), parts, "the share of runs that took longer")


def _steps(values: Sequence[float], x: Scale, y: Scale) -> str:
    """A step at every value, those that fall on the same pixel drawn as one; the last ends at the lower edge."""
    path = f"M{x(values[0]):.1f} {y(1):.1f}"
    at = -1.0
    for rank, value in enumerate(values, 1):
        left = len(values) - rank
        if round(x(value)) == at and left:
            continue
        at = round(x(value))
        path += f"H{x(value):.1f}V{y(left / len(values)) if left else y.start:.1f}"
    return path


def _log_ms(values: Sequence[float], start: float, end: float) -> Scale:
    """A logarithmic axis on which all of them lie."""
    return Scale(min(values) / 1.08, max(values) * 1.08, start, end, log=True)


def waterfall(variants: Sequence[tuple[str, Sequence[Stage], float | None]]) -> str:
    """From the frame to its event: of each variant (name, stages, mean of the bare engine in ms) every stage begins
    where the last one ends. The bare engine, where it was measured, is the thin line below."""
    row, head, top = 15, 22, 4
    lengths = [head + row * (len(each) + 1) + 8 for _, each, _ in variants]
    height = top + sum(lengths) + 42
    longest = max(max(sum(each.mean_ms for each in found), engine or 0.0) for _, found, engine in variants)
    x = Scale(0, longest or 1.0, _LEFT, _WIDTH - 70)
    parts = [line(f"M{x(tick):.1f} {top}V{height - 40}") for tick in x.ticks()]
    y = float(top)
    for (name, found, engine), length in zip(variants, lengths, strict=True):
        parts += _falling(name, found, engine, x, y, row, head)
        y += length
    parts += [text(x(tick), height - 26, f"{tick:g}", "middle", "soft") for tick in x.ticks()]
    parts.append(text((x.start + x.end) / 2, height - 8, "mean over all frames, ms", "middle"))
    return picture(_WIDTH, height, parts, "from frame to event, by stage")


def _falling(
    name: str, found: Sequence[Stage], engine: float | None, x: Scale, y: float, row: float, head: float
) -> Iterator[str]:
    yield text(0, y + 14, name)
    spent = 0.0
    for i, stage in enumerate(found):
        place = y + head + i * row
        end = x(spent + stage.mean_ms)
        yield text(x.start - 10, place + row - 4, stage.name, "end", "soft")
        kind = "soft" if not stage.taken_ms else hue(i)
        yield bar(x(spent), place + 2, max(end - x(spent), 1), row - 4, kind, f"{stage.name}: {stage.mean_ms:.3f} ms")
        yield text(end + 5, place + row - 4, f"{stage.mean_ms:.2f}", kind=kind)
        spent += stage.mean_ms
    if engine is not None:
        place = y + head + len(found) * row
        yield text(x.start - 10, place + row - 4, "bare engine", "end", "soft")
        yield line(f"M{x(0):.1f} {place + row / 2}H{x(engine):.1f}", "", 2)
        yield text(x(engine) + 5, place + row - 4, f"{engine:.2f}")


def density(windows: Sequence[tuple[str, Sequence[Window]]], fps: float, tolerance: float) -> str:
    """The rate that each camera got, against how many there were: one mark a window at its slowest camera, full where
    it held, a line up to its fastest; the dashed line is the least that holds."""
    top, height = 12, 300
    counts = [window.streams for _, each in windows for window in each]
    rates = [rate for _, each in windows for window in each for rate in window.fps]
    x = Scale(min(counts) - 0.5, max(counts) + 0.5, 72, _WIDTH - _RIGHT)
    y = Scale(*span([*rates, fps, 0.0], floor=0.0), height - 46, top)
    parts = axes(x, y, "cameras", "frames a second, each")
    limit = y(fps * tolerance)
    parts.append(line(f"M{x.start} {limit:.1f}H{x.end}", "hue7", 1.5, ' stroke-dasharray="5 4"'))
    parts.append(text(x.end, limit - 5, f"{fps * tolerance:.4g} holds", "end", "hue7"))
    for i, (name, each) in enumerate(windows):
        parts += _windows(name, [window for window in each if window.fps], x, y, hue(i))
        parts.append(text(x.end + 12, top + 12 + 18 * i, name, kind=hue(i)))
    return picture(_WIDTH, height, parts, "rate against cameras")


def _windows(name: str, windows: Sequence[Window], x: Scale, y: Scale, kind: str) -> Iterator[str]:
    slowest = {count: min(min(w.fps) for w in windows if w.streams == count) for count in {w.streams for w in windows}}
    points = [f"{x(count):.1f} {y(slowest[count]):.1f}" for count in sorted(slowest)]
    yield line("M" + "L".join(points), kind, 1.5)
    for window in windows:
        place, low, high = x(window.streams), y(min(window.fps)), y(max(window.fps))
        told = f"{name}: {window.streams} cameras, {min(window.fps):.2f} to {max(window.fps):.2f} a second"
        yield line(f"M{place:.1f} {low:.1f}V{high:.1f}", kind)
        yield (
            f'<circle cx="{place:.1f}" cy="{low:.1f}" r="4.5" class="{kind}" fill="currentColor" stroke="currentColor" '
            f'fill-opacity="{1 if window.passed else 0}"><title>{escape(told)}</title></circle>'
        )


def cold(variants: Sequence[tuple[str, Sequence[Start]]]) -> str:
    """The mean of each variant's cold starts, in its parts; every single start is a mark above its bar."""
    row, bottom = 44, 46
    height = row * len(variants) + bottom + 20
    longest = max(start.wall_s for _, each in variants for start in each)
    x = Scale(0, longest * 1.02, _LEFT, _WIDTH - 150)
    parts = list(_keys(x.start))
    for i, (name, each) in enumerate(variants):
        parts += _started(name, each, x, 24 + row * i)
    floor = height - bottom
    parts += [text(x(tick), floor + 18, f"{tick:g}", "middle", "soft") for tick in x.ticks()]
    parts.append(line(f"M{x.start} {floor}H{x.end}", "soft"))
    parts.append(text((x.start + x.end) / 2, floor + 38, "seconds from nothing to the first result", "middle"))
    return picture(_WIDTH, height, parts, "cold starts")


_PARTS = ("import edgekit", "load the model", "the rest, up to the first result")


def _keys(left: float) -> Iterator[str]:
    for i, name in enumerate(_PARTS):
        yield bar(left + 140 * i, 2, 12, 12, hue(i))
        yield text(left + 140 * i + 18, 12, name)


def _started(name: str, starts: Sequence[Start], x: Scale, y: float) -> Iterator[str]:
    wall, imported, loaded = (fmean(getattr(s, part) for s in starts) for part in ("wall_s", "import_s", "load_s"))
    yield text(x.start - 10, y + 24, name, "end")
    begin = 0.0
    for i, spent in enumerate((imported, loaded, wall - imported - loaded)):
        yield bar(x(begin), y + 10, x(begin + spent) - x(begin), 20, hue(i), f"{_PARTS[i]}: {spent:.3f} s")
        begin += spent
    yield line("".join(f"M{x(start.wall_s):.1f} {y + 2}v6" for start in starts), "", 1.5)
    peak = max(start.peak_mb for start in starts)
    yield text(max(x(wall), x(max(s.wall_s for s in starts))) + 8, y + 24, f"{wall:.2f} s, {peak:.0f} MB")
