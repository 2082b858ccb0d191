"""A host that is simulated, with what makes times hard to compare: its clock drifts, neighbours come in bursts, and now
and then a run takes many times as long."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


class NoisyHost:
    """A clock of wall and CPU time in nanoseconds that goes on only when something runs; by its seed.

        host = NoisyHost(seed=3)
        interleave({"a": host.engine(2.0), "b": host.engine(2.1)}, clock=host.now)

    The frequency wanders by some ten per cent over seconds. A neighbour takes the core for 0.2 s every 2 s or so and
    doubles wall time; one run in a hundred stalls, by a Pareto distribution without a variance.
    """

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._wall_ms = self._cpu_ms = 0.0
        self._slowness = 0.0  # the logarithm
        self._neighbour_until = self._neighbour_at = 0.0

    def now(self) -> tuple[int, int]:
        return round(self._wall_ms * 1e6), round(self._cpu_ms * 1e6)

    def engine(self, cost_ms: float) -> Callable[[], None]:
        """Something that takes so long on this host when it is quiet and at its usual frequency."""
        return lambda: self._run(cost_ms)

    def _run(self, cost_ms: float) -> None:
        chance = self._chance
        # an Ornstein-Uhlenbeck process: back to 0 within some 3 s, 0.1 its standard deviation
        back = math.exp(-cost_ms / 3000)
        self._slowness = back * self._slowness + 0.1 * math.sqrt(1 - back**2) * chance.gauss(0, 1)
        cpu = cost_ms * math.exp(self._slowness + chance.gauss(0, 0.01))
        stall = cost_ms * chance.paretovariate(1.5) if chance.random() < 0.01 else 0.0
        self._cpu_ms += cpu
        self._wall_ms += (2 if self._is_shared() else 1) * cpu + stall

    def _is_shared(self) -> bool:
        if self._wall_ms > self._neighbour_at:
            self._neighbour_until = self._wall_ms + self._chance.expovariate(1 / 200)
            self._neighbour_at = self._neighbour_until + self._chance.expovariate(1 / 2000)
        return self._wall_ms < self._neighbour_until


class StallingHost:
    """A clock as above, on which every run takes `cost_ms` and one in `every` takes `stall_ms` longer."""

    def __init__(self, cost_ms: float, stall_ms: float, every: int) -> None:
        self._cost_ms, self._stall_ms, self._every = cost_ms, stall_ms, every
        self._runs = 0
        self._wall_ms = 0.0

    def now(self) -> tuple[int, int]:
        return round(self._wall_ms * 1e6), round(self._runs * self._cost_ms * 1e6)

    def run(self) -> None:
        self._runs += 1
        self._wall_ms += self._cost_ms + (self._stall_ms if self._runs % self._every == 0 else 0.0)


def bursts(chance: np.random.Generator, frames: int, every: int = 400, length: int = 8) -> Array:
    """Times of so many frames in milliseconds, of which about one in `every` begins a burst of about `length` frames
    that take three times as long."""
    taken = chance.lognormal(np.log(10.0), 0.05, frames)
    for first in np.flatnonzero(chance.random(frames) < 1 / every):
        taken[first : first + chance.geometric(1 / length)] *= 3
    return taken
