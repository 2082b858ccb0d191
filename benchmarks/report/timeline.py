"""The plot of a measurement over time: how long frames took, and below it what the host did meanwhile.

Tracks have one axis of seconds. A sensor that the host has not is not drawn, and named as unknown below the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean, median
from typing import TypeAlias

from edgekit.benchmarks.result import Executed, Frames
from edgekit.benchmarks.watch import Look
from edgekit.svg import Scale, bar, hue, line, picture, span, text

_WIDTH, _LEFT, _RIGHT = 760, 84, 170
_TALL, _GAP = 74, 20  # pixels of a track of the host, and between two
_FRAMES = 190  # of the frames' track
_COLUMN = 3  # pixels that are drawn as one
_PAUSE = 30  # pixels without a frame that end a line

Track: TypeAlias = tuple[str, dict[str, list[tuple[float, float]]]]


def timeline(variants: Sequence[Executed], looks: Sequence[Look]) -> str:
    """Frame times of the variants that were under load, and the host's tracks; '' where there is neither."""
    loaded = [(each.variant, each.frames) for each in variants if each.frames is not None and each.frames.at_s]
    tracks = host_tracks(looks)
    if not loaded and not tracks:
        return ""
    ends = [frames.at_s[-1] for _, frames in loaded] + [look.at_s for look in looks]
    x = Scale(0, max([*ends, 1e-3]), _LEFT, _WIDTH - _RIGHT)
    parts: list[str] = []
    y = 10.0
    if loaded:
        parts += _frame_track(loaded, x, y)
        y += _FRAMES + _GAP
    for name, lines in tracks:
        parts += _host_track(name, lines, x, y)
        y += _TALL + _GAP
    parts += _throttled(looks, x, 10, y - _GAP)
    parts += [text(x(tick), y + 2, f"{tick:g}", "middle", "soft") for tick in x.ticks()]
    parts.append(text((x.start + x.end) / 2, y + 20, "seconds since the measurement began", "middle"))
    return picture(_WIDTH, round(y + 28), parts, "frame time and the host over time")


def unknown(looks: Sequence[Look]) -> list[str]:
    """What this host did not tell while it was measured."""
    there = {name for name, _ in host_tracks(looks)}
    missing = [name for name in _TRACKS if name not in there]
    throttle = [] if any(look.throttled is not None for look in looks) else ["throttling"]
    return [_WORDS[name] for name in missing] + throttle


def host_tracks(looks: Sequence[Look]) -> list[Track]:
    """What the looks tell, by track and by line: (seconds, value) of every look that knows the value."""
    found = []
    for name, values in _TRACKS.items():
        lines: dict[str, list[tuple[float, float]]] = {}
        for look in looks:
            for each, value in values(look).items():
                lines.setdefault(each, []).append((look.at_s, value))
        if lines:
            found.append((name, lines))
    return found


def _temperatures(look: Look) -> dict[str, float]:
    return {name: value for name, value in look.temperatures_c.items() if value is not None}


def _clock(look: Look) -> dict[str, float]:
    return {"slowest core": min(look.mhz), "fastest core": max(look.mhz)} if look.mhz else {}


def _cores(look: Look) -> dict[str, float]:
    return {} if look.others_cpu is None else {"other processes": look.others_cpu}


def _memory(look: Look) -> dict[str, float]:
    return {} if look.rss_mb is None else {"this process": look.rss_mb}


_TRACKS: dict[str, Callable[[Look], dict[str, float]]] = {
    "°C": _temperatures,
    "MHz": _clock,
    "W": lambda look: dict(look.power_w),
    "cores": _cores,
    "MB": _memory,
}
_FROM_ZERO = ("W", "cores")
_WORDS = {"°C": "temperature", "MHz": "clock", "W": "power", "cores": "what other processes used", "MB": "memory"}


def _frame_track(loaded: Sequence[tuple[str, Frames]], x: Scale, top: float) -> Iterator[str]:
    """Of every few pixels the slowest and the fastest frame as a thin line and the median as a thick one: a single
    stall stays visible in an hour of frames."""
    values = [max(ms, 1e-3) for _, frames in loaded for ms in frames.frame_ms]
    log = max(values) > 10 * min(values)
    low, high = (min(values) / 1.1, max(values) * 1.1) if log else span(values, floor=0.0)
    y = Scale(low, high, top + _FRAMES, top, log)
    yield from _track_axes("frame, ms", x, y)
    for i, (name, frames) in enumerate(loaded):
        columns = _columns(frames, x)
        thin = "".join(f"M{at:.1f} {y(min(each)):.1f}V{y(max(each)):.1f}" for at, each in columns)
        yield line(thin, hue(i), 1, ' stroke-opacity=".5"')
        yield line(_medians(columns, y), hue(i), 2)
        yield text(x.end + 8, top + 12 + 16 * i, name, kind=hue(i))


def _medians(columns: Sequence[tuple[float, list[float]]], y: Scale) -> str:
    """A line through them that breaks where nothing was measured for a while: another variant had its turn."""
    path, before = "", -math.inf
    for at, each in columns:
        stroke = "L" if at - before <= _PAUSE else "M"
        path += f"{stroke}{at:.1f} {y(median(each)):.1f}h.1"
        before = at
    return path


def _columns(frames: Frames, x: Scale) -> list[tuple[float, list[float]]]:
    held: dict[int, list[float]] = {}
    for at, ms in zip(frames.at_s, frames.frame_ms, strict=True):
        held.setdefault(int(x(at) // _COLUMN), []).append(max(ms, 1e-3))
    return [((place + 0.5) * _COLUMN, each) for place, each in sorted(held.items())]


def _host_track(name: str, lines: dict[str, list[tuple[float, float]]], x: Scale, top: float) -> Iterator[str]:
    values = [value for each in lines.values() for _, value in each]
    y = Scale(*span(values, floor=0.0 if name in _FROM_ZERO else None), top + _TALL, top)
    yield from _track_axes(name, x, y)
    for i, (each, points) in enumerate(lines.items()):
        yield line("M" + "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in points), hue(i), 1.5)
        yield text(x.end + 8, top + 12 + 14 * i, f"{each}: {fmean(v for _, v in points):.4g}", kind=hue(i))


def _track_axes(name: str, x: Scale, y: Scale) -> Iterator[str]:
    yield line(f"M{x.start} {y.end:.1f}V{y.start:.1f}H{x.end}", "soft")
    shown = y.ticks()
    step = max(1, round(len(shown) / max(2, (y.start - y.end) / 26)))
    for tick in shown[::step]:
        yield text(x.start - 8, y(tick) + 4, f"{tick:g}", "end", "soft")
    yield text(x.start - 66, (y.start + y.end) / 2, name, "middle", turned=True)


def _throttled(looks: Sequence[Look], x: Scale, top: float, bottom: float) -> Iterator[str]:
    """Where the firmware complained: a band over all tracks, with its words."""
    for before, look in zip((None, *looks), looks, strict=False):
        if look.throttled:
            start = x(before.at_s) if before else x.start
            yield bar(start, top, max(x(look.at_s) - start, 2), bottom - top, "hue7", ", ".join(look.throttled), 0.2)
