"""How much others disturbed a measurement: the interference index, wall over CPU time.

A neighbour that takes the core costs wall time and no CPU time, so of one thread the two tell them apart: 1.005 was
measured on a quiet machine, 1.4 to 1.9 beside one neighbour on the same core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from edgekit.benchmarks.result import Executed
from edgekit.benchmarks.statistics import Array

FLAGGED, REFUSED = 1.1, 1.5
WINDOW_S = 60.0  # in the mean of a longer run, one bad minute would hide
_PAUSE_S = 5.0  # of a longer one between two moments, so much counts
_BLOCK = 10  # runs or frames: CPU time of one alone is too coarse on some kernels
_BEST = 90  # per cent of the blocks had fewer cores

_Timed: TypeAlias = tuple[Array, Array, Array]  # wall and CPU time in milliseconds, and the window of each


def interference(executed: Executed) -> float | None:
    """Of a variant, the worst of what was timed of it, and of frames the worst minute. None where no CPU time was
    taken, as of streams and cold starts, and on an accelerator, for which the CPU waits by design.

    One thread has a core or waits for one, and its index is wall over CPU time. It misses what the CPU time of the
    process holds besides, such as a capture thread's.

    Of several threads that quotient is the inverse of the cores that they kept busy, which is less than their number on
    a quiet host too, for no net is parallel throughout: two threads at 1.7 times the speed would read 1.18 as
    wall / (CPU / threads). So they are held against their own best blocks of ten: how many times as many cores those
    kept busy as the run did. That is 1.0 undisturbed; a neighbour who was there all the time is not in it and shows
    in `Look.others_cpu` alone.
    """
    if executed.device != "cpu":
        return None
    found = (_index(*timed, executed.threads) for timed in _timed(executed) if timed[1].sum() > 0)
    return max(found, default=None)


def windows(at_s: Sequence[float]) -> Array:
    """Which window each of these moments, in order, falls into, counted from the last one back, (n,): each is
    `WINDOW_S` long but the first, which has what is left beside. Pauses in which other variants had their turn are left
    out, lest a window hold a frame or two."""
    at = np.cumsum(np.minimum(np.diff(np.array(at_s), prepend=at_s[:1]), _PAUSE_S))
    back = at[-1:] - at
    window: Array = np.minimum(back // WINDOW_S, np.maximum(back[:1] // WINDOW_S - 1, 0))
    return window


def _timed(executed: Executed) -> Iterator[_Timed]:
    for samples in filter(None, (executed.engine_only, executed.whole)):
        yield np.array(samples.wall_ms), np.array(samples.cpu_ms), np.zeros(len(samples.wall_ms))
    if executed.frames is not None:
        yield np.array(executed.frames.frame_ms), np.array(executed.frames.cpu_ms), windows(executed.frames.at_s)


def _index(wall: Array, cpu: Array, window: Array, threads: int) -> float:
    held = [window == each for each in np.unique(window)]
    worst = max(float(wall[each].sum() / cpu[each].sum()) for each in held if cpu[each].sum() > 0)
    if threads == 1:
        return worst
    starts = np.arange(0, len(wall), _BLOCK)
    busy = np.add.reduceat(cpu, starts) / np.add.reduceat(wall, starts)
    return float(np.percentile(busy, _BEST)) * worst
