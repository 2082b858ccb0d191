"""How much others disturbed a measurement: the interference index, wall over CPU time.

A neighbour that takes the core costs wall time and no CPU time, so of one thread the two tell them apart: 1.005 was
measured on a quiet machine, 1.4 to 1.9 beside one neighbour on the same core.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgekit.benchmarks.result import Executed

FLAGGED, REFUSED = 1.1, 1.5
_BLOCK = 10  # runs or frames: CPU time of one alone is too coarse on some kernels
_BEST = 90  # per cent of the blocks had fewer cores


def interference(executed: Executed) -> float | None:
    """Of a variant, the worst of what was timed of it. None where no CPU time was taken, as of streams and cold starts,
    and on an accelerator, for which the CPU waits by design.

    One thread has a core or waits for one, and its index is wall over CPU time. It misses what the CPU time of the
    process holds besides, such as a capture thread's.

    Of several threads that quotient is the inverse of the cores that they kept busy, which is less than their number on
    a quiet host too, for no net is parallel throughout: two threads at 1.7 times the speed would read 1.18 as
    wall / (CPU / threads). So they are held against their own best blocks of ten: how many times as many cores those
    kept busy as the whole run. That is 1.0 undisturbed; a neighbour who was there all the time is not in it and shows
    in `Look.others_cpu` alone.
    """
    if executed.device != "cpu":
        return None
    found = (_index(wall, cpu, executed.threads) for wall, cpu in _timed(executed) if cpu.sum() > 0)
    return max(found, default=None)


def _timed(executed: Executed) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for samples in filter(None, (executed.engine_only, executed.whole)):
        yield np.array(samples.wall_ms), np.array(samples.cpu_ms)
    if executed.frames is not None:
        yield np.array(executed.frames.frame_ms), np.array(executed.frames.cpu_ms)


def _index(wall: np.ndarray, cpu: np.ndarray, threads: int) -> float:
    if threads == 1:
        return float(wall.sum() / cpu.sum())
    starts = np.arange(0, len(wall), _BLOCK)
    busy = np.add.reduceat(cpu, starts) / np.add.reduceat(wall, starts)
    return float(np.percentile(busy, _BEST) / (cpu.sum() / wall.sum()))
