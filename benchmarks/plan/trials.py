"""Which of many ways to run a model is best: candidates in turn, fewer and fewer of them, and the rule that chooses.

Candidates are measured frame by frame while cameras deliver (see load.py), paced at the cameras' rate as well as back
to back: between two paced frames threads that spin show what they cost, and back to back shows what is left to give.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Generic, TypeAlias, TypeVar

from edgekit.frames import Image
from edgekit.measure import Samples

T = TypeVar("T")

# does a stage's work on a frame
Subject: TypeAlias = Callable[[Image], object]

FRUGAL = 1.25  # times the CPU time of the cheapest: what a plan may take to be faster
SAME = 1.05  # times the shortest latency: what counts as equal
_MOST_IN_A_ROW = 10  # frames of one candidate before the next one's turn
_NOTHING = Samples((), (), (), 1)


@dataclass(frozen=True)
class Trial:
    """What was measured of one candidate, all rungs together; wall and CPU-milliseconds a frame, the stage's alone.

    The CPU time is that of all threads, and of paced frames it is counted on until the next frame: what idle threads
    burn between two frames is in it.
    """

    paced: Samples = _NOTHING
    back_to_back: Samples = _NOTHING

    @property
    def shown(self) -> Samples:
        """What there is to judge it by: paced frames, or while there are none, those back to back."""
        return self.paced if self.paced.wall_ms else self.back_to_back

    @property
    def p50_ms(self) -> float:
        return median(self.shown.wall_ms)

    @property
    def cpu_ms(self) -> float:
        return self.shown.median_cpu_ms

    def __add__(self, other: Trial) -> Trial:
        return Trial(_joined(self.paced, other.paced), _joined(self.back_to_back, other.back_to_back))


def _nothing(image: Image) -> None:
    """A stage that stands alone."""


@dataclass(frozen=True)
class Ports:
    """Where frames come from, what else is done with each of them before the stage that is measured, and the time.

    clock: wall seconds. cpu: of this process, all threads.
    """

    frame: Callable[[], Image]
    beside: Subject = _nothing
    clock: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Halving(Generic[T]):
    """The outcome. trials: of every candidate that was measured. rungs: who was measured in each, the last one last.
    ranking: the last rung's candidates, the best first, and behind them those that fell out, the last to fall first."""

    trials: Mapping[T, Trial]
    rungs: tuple[tuple[T, ...], ...]
    ranking: tuple[T, ...]


def ranked(trials: Mapping[T, Trial]) -> list[T]:
    """The rule: best first.

    Of the candidates that take at most 1.25 times the CPU time of the cheapest, the one with the shortest p50; where
    some are within 5 % of it, the cheapest of those. Behind them the other cheap ones by p50, then the rest by CPU
    time.

    Why not simply the fastest: the cores are the cameras' and the outbox's too, and on a board without a fan CPU time
    is heat. A second thread that shares the work well costs little beyond it; one that waits or spins costs whole
    cores. Measured at 20 frames/s with a YOLOX-Nano of 320 pixels on two busy cores: a second thread took 0 to 26 % off
    the p50 for 25 % (LiteRT), 38 % (ONNX Runtime, INT8) or 65 % (OpenVINO) more CPU time; with spinning it was 5 times
    the CPU time, 35 ms a frame instead of 7, and the frame was slower.
    """
    cheapest = min(trial.cpu_ms for trial in trials.values())
    cheap = {name for name, trial in trials.items() if trial.cpu_ms <= FRUGAL * cheapest}
    fastest = min(trials[name].p50_ms for name in cheap)

    def place(name: T) -> tuple[int, float]:
        trial = trials[name]
        if name not in cheap:
            return 2, trial.cpu_ms
        return (0, trial.cpu_ms) if trial.p50_ms <= SAME * fastest else (1, trial.p50_ms)

    return sorted(trials, key=place)


def halve(
    subjects: Mapping[T, Subject],
    ports: Ports,
    period_s: float,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Halving[T]:
    """Successive halving (Jamieson and Talwalkar, AISTATS 2016): in rung after rung all that are left are measured, and
    the better half by `ranked` goes on to the next, down to two.

    The cheapest candidate always goes on: the others are held against it. Samples of all rungs count. The last rung
    takes half of `seconds`, since a p90 needs 64 frames of the winner; the others share the rest.
    """
    chance, trials = random.Random(seed), {name: Trial() for name in subjects}
    left, rungs = list(subjects), _rungs(len(subjects))
    done: list[tuple[T, ...]] = []
    fallen: list[T] = []
    for rung in range(rungs):
        done.append(tuple(left))
        share_s = seconds / 2 if rung + 1 == rungs else seconds / 2 / (rungs - 1)
        rounds, in_a_row = _effort(share_s, len(left), period_s)
        until = ports.clock() + share_s
        for i in range(rounds):
            if i and ports.clock() >= until:  # frames take longer than the cameras' period
                break
            chance.shuffle(left)
            for name in left:
                trials[name] += visit(subjects[name], ports, period_s, in_a_row)
        if progress:
            progress(rung + 1, rungs)
        order = ranked({name: trials[name] for name in left})
        if rung + 1 < rungs:
            cheapest = min(left, key=lambda name: trials[name].cpu_ms)
            stay = set(order[: -(-len(left) // 2)]) | {cheapest}
            fallen = [name for name in order if name not in stay] + fallen
            left = [name for name in left if name in stay]
            order = [name for name in order if name in stay]
    return Halving(trials, tuple(done), (*order, *fallen))


def visit(subject: Subject, ports: Ports, period_s: float, frames: int) -> Trial:
    """`frames` frames at the cameras' rate and as many back to back."""
    return Trial(paced(subject, ports, period_s, frames), paced(subject, ports, 0.0, frames))


def paced(subject: Subject, ports: Ports, period_s: float, frames: int) -> Samples:
    """`frames` frames, one every `period_s` or when the last is done, after one that is not counted.

    A frame that is late does not make the next one early.
    """
    taken: list[tuple[float, float]] = []
    due = ports.clock()
    for _ in range(frames + 1):
        image = ports.frame()
        ports.beside(image)
        started, cpu = ports.clock(), ports.cpu()
        subject(image)
        ended = ports.clock()
        due = max(due + period_s, ended)
        ports.sleep(due - ended)
        taken.append(((ended - started) * 1e3, (ports.cpu() - cpu) * 1e3))
    return Samples(tuple(wall for wall, _ in taken[1:]), tuple(cpu for _, cpu in taken[1:]), (), 1)


def _rungs(candidates: int) -> int:
    """How often they can be halved down to two, and that rung itself."""
    rungs = 1
    while candidates > 2:
        candidates, rungs = -(-candidates // 2), rungs + 1
    return rungs


def _effort(seconds: float, candidates: int, period_s: float) -> tuple[int, int]:
    """Rounds, and frames in a row, that fill `seconds`: two short rounds rather than a long one."""
    each = seconds / candidates / period_s
    in_a_row = min(max(int(each / 2) - 1, 2), _MOST_IN_A_ROW)
    return max(1, int(each / (in_a_row + 1))), in_a_row


def _joined(a: Samples, b: Samples) -> Samples:
    return replace(a, wall_ms=a.wall_ms + b.wall_ms, cpu_ms=a.cpu_ms + b.cpu_ms)
