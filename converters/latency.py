"""How much faster one exported file is than another, measured on this host: the two in turn, round by round.

What one thread computes is paid in CPU time, so that is what decides; wall time is kept beside it. Results are this
host's, and no two runs give the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.converters.export import Exported
from edgekit.engines import open_session
from edgekit.measure import Ratio, Rounds, cpu_ratio, interleave, ratio
from edgekit.plan import ENGINES, EngineName, EnginePlan

ROUNDS = 40
_BLOCK_MS = 10.0  # of wall time in a round at least, so that one stall does not make its median


@dataclass(frozen=True)
class Speedup:
    """How many times as fast one file is as another, in CPU and in wall time, by one thread of `engine`."""

    engine: EngineName
    cpu: Ratio
    wall: Ratio

    def __str__(self) -> str:
        return f"{self.cpu} times as fast in {self.engine}, one thread"


def compare(before: Exported, after: Exported, rounds: int = ROUNDS) -> Speedup:
    """How many times as fast `after` is as `before`, both of one format and run in its own engine.

    `EngineMissing` where that is not installed.
    """
    if before.artifact.format != after.artifact.format:
        raise ValueError(f"only files of one format are compared; got {_formats(before, after)}")
    if rounds < 2:
        raise ValueError(f"an interval needs at least 2 rounds; got {rounds}")
    plan = EnginePlan(ENGINES[before.artifact.format][0], threads=1)
    with open_session(before.artifact, plan) as old, open_session(after.artifact, plan) as new:
        pixels = _noise(before), _noise(after)
        runs = {"before": lambda: old.run(pixels[0]), "after": lambda: new.run(pixels[1])}
        taken = interleave(runs, Rounds(rounds, _block(runs), warm_up=3))
    pair = taken["before"], taken["after"]
    return Speedup(plan.engine, cpu=cpu_ratio(*pair), wall=ratio(*pair))


def _formats(*files: Exported) -> str:
    return " and ".join(each.artifact.format for each in files)


def _noise(exported: Exported) -> np.ndarray:
    spec = exported.input
    return np.random.default_rng(0).integers(0, 256, spec.shape).astype(spec.dtype)


def _block(runs: Mapping[str, Callable[[], object]]) -> int:
    """As many runs a round as fill `_BLOCK_MS` with the slower file, judged by the fastest of some of each."""
    tried = interleave(runs, Rounds(rounds=1, block=5, warm_up=3))
    slower = max(min(each.wall_ms) for each in tried.values())
    return math.ceil(_BLOCK_MS / max(slower, 1e-3))
