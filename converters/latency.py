"""How much faster one exported file is than another, measured on this host: the two in turn, block by block.

What one thread computes is paid in CPU time, so that is what decides: it hardly moves when a neighbour takes the core.
Wall time is kept beside it. Results are this host's, and no two runs give the same.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from edgekit.converters.export import Exported
from edgekit.engines import open_session
from edgekit.plan import ENGINES, EngineName, EnginePlan

BLOCKS = 40
_BLOCK_MS = 10.0  # wall time of one block at least, so that the clock's own steps do not count
_DRAWS = 2000


@dataclass(frozen=True)
class Interval:
    """The median over blocks, and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f}x ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Speedup:
    """How many times as fast one file is as another, in CPU and in wall time, by one thread of `engine`."""

    engine: EngineName
    cpu: Interval
    wall: Interval

    def __str__(self) -> str:
        return f"{self.cpu} in {self.engine}, one thread"


def compare(before: Exported, after: Exported, blocks: int = BLOCKS) -> Speedup:
    """How many times as fast `after` is as `before`, both of one format and run in its own engine.

    `EngineMissing` where that is not installed.
    """
    if before.artifact.format != after.artifact.format:
        raise ValueError(f"only files of one format are compared; got {_formats(before, after)}")
    if blocks < 2:
        raise ValueError(f"an interval needs at least 2 blocks; got {blocks}")
    plan = EnginePlan(ENGINES[before.artifact.format][0], threads=1)
    with open_session(before.artifact, plan) as old, open_session(after.artifact, plan) as new:
        pixels = [_noise(exported) for exported in (before, after)]
        pairs = _in_turn(lambda: old.run(pixels[0]), lambda: new.run(pixels[1]), blocks)
    ratios = pairs[:, 0] / pairs[:, 1]
    return Speedup(plan.engine, cpu=_interval(ratios[:, 0]), wall=_interval(ratios[:, 1]))


def _formats(*files: Exported) -> str:
    return " and ".join(each.artifact.format for each in files)


def _noise(exported: Exported) -> np.ndarray:
    spec = exported.input
    return np.random.default_rng(0).integers(0, 256, spec.shape).astype(spec.dtype)


def _in_turn(old: Callable[[], object], new: Callable[[], object], blocks: int) -> np.ndarray:
    """(blocks, 2, 2): for each block and each of the two, CPU and wall time of one run in milliseconds."""
    runs = [(index, run, _runs_a_block(run)) for index, run in enumerate((old, new))]
    taken, chance = np.empty((blocks, 2, 2)), random.Random(0)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for block in range(blocks):
            chance.shuffle(runs)
            for index, run, count in runs:
                taken[block, index] = _timed(run, count)
    finally:
        if collecting:
            gc.enable()
    return taken


def _runs_a_block(run: Callable[[], object]) -> int:
    """As many as fill a block, judged by the fastest of some runs; these are the warm-up too."""
    _timed(run, 3)
    fastest = min(_timed(run, 1)[1] for _ in range(5))
    return max(1, math.ceil(_BLOCK_MS / max(fastest, 1e-3)))


def _timed(run: Callable[[], object], count: int) -> tuple[float, float]:
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(count):
        run()
    wall, cpu = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    return cpu / 1e6 / count, wall / 1e6 / count


def _interval(ratios: np.ndarray) -> Interval:
    drawn = np.random.default_rng(0).choice(ratios, (_DRAWS, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Interval(float(np.median(ratios)), float(low), float(high))
