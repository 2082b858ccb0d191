"""Takes times so that they can be compared: subjects in turn, in shuffled order, every sample kept.

A machine drifts: clocks fall, a neighbour wakes up. Two subjects are therefore never measured one after the other but
round by round, and compared within each round. A percentile is given only where enough samples stand behind it.
"""

from __future__ import annotations

import gc
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

# told (rounds done, rounds in all)
Progress: TypeAlias = Callable[[int, int], None]
Clock: TypeAlias = Callable[[], tuple[int, int]]


def _now() -> tuple[int, int]:
    return time.perf_counter_ns(), time.process_time_ns()


@dataclass(frozen=True)
class Rounds:
    """How much is measured: `rounds`, in which each subject runs `block` times, after `warm_up` uncounted runs."""

    rounds: int = 20
    block: int = 10
    warm_up: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.rounds, self.block) < 1 or self.warm_up < 0:
            raise ValueError(f"rounds and block must be at least 1 and warm_up at least 0; got {self}")


USUAL = Rounds()


@dataclass(frozen=True)
class Samples:
    """The times of one subject in the order they were taken, in milliseconds.

    wall_ms and cpu_ms belong together, one pair a run; cpu_ms is the time of all threads of this process. The first
    `block` runs are round 0, and so on. warm_up_ms: the runs before, the first of which paid for lazy initialisation.
    """

    wall_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    warm_up_ms: tuple[float, ...]
    block: int

    def percentile(self, percent: float) -> float | None:
        """Of wall time, as the function `percentile` gives it."""
        return percentile(self.wall_ms, percent)

    @property
    def median_cpu_ms(self) -> float:
        return float(np.median(self.cpu_ms))

    @property
    def interference(self) -> float:
        """Wall over CPU time: of one thread about 1.0 on a quiet machine; more means that others had the core."""
        return sum(self.wall_ms) / max(sum(self.cpu_ms), 1e-9)

    @property
    def round_medians(self) -> list[float]:
        """Of wall time, in milliseconds."""
        return _medians(self.wall_ms, self.block)

    @property
    def cpu_round_medians(self) -> list[float]:
        return _medians(self.cpu_ms, self.block)


@dataclass(frozen=True)
class Ratio:
    """How many times as long A takes as B: the median over rounds, and a 95 % bootstrap interval of it."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


@lru_cache
def samples_needed(percent: float) -> int:
    """The samples behind a percentile: so many that at most one may lie above it at 99 % confidence.

    That is the smallest n with P(Binomial(n, 1 - p) <= 1) <= 0.01: 11 for p50, 64 for p90, 130 for p95, 662 for p99,
    the rule by which MLPerf's LoadGen stops early (mlcommons/inference, loadgen/early_stopping.cc). Below the median it
    is the same from the other end: p10 needs as many as p90.
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentile lies between 0 and 100; got {percent}")
    p, n = max(percent, 100 - percent) / 100, 1
    while p**n + n * (1 - p) * p ** (n - 1) > 0.01:
        n += 1
    return n


def percentile(values: Sequence[float], percent: float) -> float | None:
    """By nearest rank; None, which is "not measured", where there are fewer values than `samples_needed(percent)`."""
    return None if len(values) < samples_needed(percent) else nearest_rank(values, percent)


def nearest_rank(values: Sequence[float], percent: float) -> float:
    """The least of the values that at least `percent` per cent of them do not exceed, however few they are."""
    rank = math.ceil(len(values) * percent / 100 - 1e-9)  # 99.9 % of 41000 is 40959, which floats overshoot
    return sorted(values)[max(rank, 1) - 1]


def interleave(
    subjects: Mapping[str, Callable[[], object]],
    rounds: Rounds = USUAL,
    progress: Progress | None = None,
    clock: Clock = _now,
) -> dict[str, Samples]:
    """Run every subject `rounds.rounds` times `rounds.block`, the order shuffled anew in each round.

    The garbage collector rests meanwhile. A subject that raises ends the measurement. clock: wall and CPU time in
    nanoseconds.
    """
    warm = {name: [_once(run, clock) for _ in range(rounds.warm_up)] for name, run in subjects.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    order, chance = list(subjects), random.Random(rounds.seed)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds.rounds):
            chance.shuffle(order)
            for name in order:
                taken[name] += [_once(subjects[name], clock) for _ in range(rounds.block)]
            if progress:
                progress(i + 1, rounds.rounds)
    finally:
        if collecting:
            gc.enable()
    return {name: _samples(taken[name], warm[name], rounds.block) for name in subjects}


def ratio(a: Samples, b: Samples, seed: int = 0, draws: int = 2000) -> Ratio:
    """A over B in wall time, round by round; both must come from the same `interleave`."""
    return _ratio(a.round_medians, b.round_medians, seed, draws)


def cpu_ratio(a: Samples, b: Samples, seed: int = 0, draws: int = 2000) -> Ratio:
    """The same in CPU time, which hardly moves when a neighbour takes the core: for what one thread computes."""
    return _ratio(a.cpu_round_medians, b.cpu_round_medians, seed, draws)


def _ratio(a: Sequence[float], b: Sequence[float], seed: int, draws: int) -> Ratio:
    if len(a) != len(b):
        raise ValueError("only samples of the same rounds can be compared")
    ratios = np.array(a) / np.array(b)
    drawn = np.random.default_rng(seed).choice(ratios, (draws, len(ratios)))
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Ratio(float(np.median(ratios)), float(low), float(high))


def _medians(taken_ms: Sequence[float], block: int) -> list[float]:
    return [float(np.median(taken_ms[i : i + block])) for i in range(0, len(taken_ms), block)]


def _once(run: Callable[[], object], clock: Clock) -> tuple[float, float]:
    wall, cpu = clock()
    run()
    wall_then, cpu_then = clock()
    return (wall_then - wall) / 1e6, (cpu_then - cpu) / 1e6


def _samples(taken: Sequence[tuple[float, float]], warm: Sequence[tuple[float, float]], block: int) -> Samples:
    return Samples(tuple(w for w, _ in taken), tuple(c for _, c in taken), tuple(w for w, _ in warm), block)
