"""Whether two cameras would be better served by two sessions of one thread each than by one session of two threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median

from edgekit.benchmarks.plan.candidates import Candidate
from edgekit.bundle import Bundle
from edgekit.frames import Image
from edgekit.tasks import AnyTask

ROUNDS = 3


@dataclass(frozen=True)
class Streams:
    """Frames a second, back to back: two sessions of one thread that work at once, and one session of two threads.

    A finding and no setting: one process with one session of each model serves all cameras of a box, so that a crash
    of an engine is one crash and a model's memory is taken once.
    """

    variant: str
    two_sessions: float
    one_session: float
    used: bool = False

    def line(self) -> str:
        return (
            f"{self.variant}: two sessions of one thread would look at {self.two_sessions:.0f} frames/s, one session "
            f"of two threads at {self.one_session:.0f} ({self.two_sessions / self.one_session:.2f}x). Not used: one "
            "session serves all cameras"
        )


def compare_streams(bundle: Bundle, candidate: Candidate, image: Callable[[], Image], seconds: float) -> Streams:
    """In turn, `ROUNDS` times, `seconds` in all; the medians. `candidate` runs on the CPU."""
    one = Candidate(candidate.variant, replace(candidate.plan, threads=1, spinning=False))
    two = Candidate(candidate.variant, replace(candidate.plan, threads=2, spinning=False))
    with ExitStack() as opened:
        pair = [opened.enter_context(one.open(bundle)) for _ in range(2)]
        single = opened.enter_context(two.open(bundle))
        each_s = seconds / ROUNDS / 2
        rates = [(_rate(pair, image(), each_s), _rate([single], image(), each_s)) for _ in range(ROUNDS)]
    return Streams(candidate.variant, median(a for a, _ in rates), median(b for _, b in rates))


def _rate(tasks: Sequence[AnyTask], image: Image, seconds: float) -> float:
    """Frames a second of all tasks together, each on a thread of its own; what one of them raises is raised."""
    start = threading.Barrier(len(tasks))

    def work(task: AnyTask) -> float:
        start.wait()
        began, frames = time.perf_counter(), 0
        while (spent := time.perf_counter() - began) < seconds:
            task(image)
            frames += 1
        return frames / spent

    for task in tasks:
        task(image)
    with ThreadPoolExecutor(len(tasks)) as threads:
        return sum(threads.map(work, tasks))
