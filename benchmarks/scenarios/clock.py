"""Time as a scenario sees it: a port, so that ten minutes of a board pass in a moment of a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """now: seconds of the monotonic clock. sleep: for so many seconds; less than none returns at once. cpu: seconds
    that all threads of this process have computed."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = lambda seconds: time.sleep(max(0.0, seconds))
    cpu: Callable[[], float] = time.process_time

    def ns(self) -> tuple[int, int]:
        """Wall and CPU time in nanoseconds, as `edgekit.measure` wants them."""
        return round(self.now() * 1e9), round(self.cpu() * 1e9)


REAL = Clock()


class FakeTime:
    """A clock that goes on only when somebody sleeps on it; all of its time is CPU time.

    time = FakeTime()
    run_sustained(Sustained(), [subject], film, time.clock)
    """

    def __init__(self, seconds: float = 1000.0) -> None:
        self.seconds = seconds
        self.clock = Clock(lambda: self.seconds, self.sleep, lambda: self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += max(0.0, seconds)
