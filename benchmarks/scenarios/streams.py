"""Stream density: the most cameras that hold their rate. It is the figure that a shop buys boards by.

One process looks at all cameras with one session of each model on one thread plan, as `edgekit run` does: the newest
frame of one camera after the other, those that nobody took in time dropped. Cameras that play a video decode it, on the
same cores; pictures and scenes lie in memory and cost nothing. Not in it: a camera's driver or network, the copy from a
capture process, the outbox's disk.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from edgekit.benchmarks.result import Executed, Window
from edgekit.benchmarks.scenario import Streams
from edgekit.benchmarks.scenarios.cameras import BackToBack, Due
from edgekit.benchmarks.scenarios.clock import REAL, Clock
from edgekit.benchmarks.scenarios.film import Sight
from edgekit.benchmarks.scenarios.progress import Progress
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.benchmarks.scenarios.tape import WARM_UP, Answered, answered, warm_up

# So many cameras for one window: the rate that each of them got, in frames a second.
Trial: TypeAlias = Callable[[int], Sequence[float]]

_GUESS_S = 2.0  # back to back, at most, before the search


def run_streams(
    scenario: Streams,
    subjects: Sequence[Subject],
    sight: Sight,
    clock: Clock = REAL,
    progress: Progress | None = None,
) -> tuple[Executed, ...]:
    """The density of each subject, one after the other: a search of its own for each, with all of its windows.

    The search begins where one camera, back to back, says that it should end.
    """
    return tuple(_density(scenario, subject, sight, clock, progress) for subject in subjects)


def search(trial: Trial, scenario: Streams, first: int = 1) -> tuple[int, tuple[Window, ...]]:
    """The most cameras that hold their rate, 0 where not even one does, and the windows that led to it.

    The rules of intel-retail/performance-tools, benchmark-scripts/stream_density.py: a number of cameras holds after
    `windows` windows in a row in which every camera got `tolerance` of its rate, and fails after as many in which one
    did not. From a number that fails the search goes on with as many as the achieved rate is enough for, at least one
    less; from one that holds, one more; it ends between a number that holds and the next one, which fails.

    first: where to begin. Where `scenario.most` cameras hold, that is the answer, and a bound. Where windows differ by
    10 % (simulated, 1000 runs each, standard deviation) the answer is within one camera of the true one in 99.7 % of
    runs at 8 cameras and in 91 % at 16; at 32, 10 % is three cameras, and it is 67 %.
    """
    held, failed = 0, scenario.most + 1
    streams, windows = min(max(1, first), scenario.most), list[Window]()
    while held + 1 < failed:
        holds, tried = _holds(trial, scenario, streams)
        windows += tried
        if holds:
            held, streams = streams, streams + 1
        else:
            enough_for = int(sum(tried[-1].fps) / scenario.fps)
            failed, streams = streams, max(held + 1, min(streams - 1, enough_for))
    return held, tuple(windows)


def _holds(trial: Trial, scenario: Streams, streams: int) -> tuple[bool, list[Window]]:
    tried: list[Window] = []
    in_a_row = 0  # windows that passed; below 0: that failed
    while abs(in_a_row) < scenario.windows and len(tried) <= 2 * scenario.windows:  # only now and then has failed
        fps = tuple(trial(streams))
        least = scenario.tolerance * scenario.fps - (scenario.hysteresis_fps if tried else 0.0)
        passed = min(fps) >= least
        in_a_row = max(in_a_row, 0) + 1 if passed else min(in_a_row, 0) - 1
        tried.append(Window(streams, fps, passed))
    return in_a_row >= scenario.windows, tried


def _density(scenario: Streams, subject: Subject, sight: Sight, clock: Clock, progress: Progress | None) -> Executed:
    answers = [subject.answering() for _ in range(scenario.most)]
    warm_up(answers[0], sight.in_memory, clock)
    tried: Counter[int] = Counter()
    numbers = itertools.count(WARM_UP, Due(scenario.fps, scenario.window_s).frames)

    def trial(streams: int) -> Sequence[float]:
        with sight.cameras(Due(scenario.fps, scenario.window_s, streams), clock, next(numbers)) as cameras:
            rates = _rates(answered(cameras, answers, clock), streams, clock.now(), scenario.window_s)
        tried[streams] += 1
        if progress is not None:
            progress(f"{subject.name}, cameras: {streams}", min(tried[streams], scenario.windows), scenario.windows)
        return rates

    first = int(_alone(subject, sight, min(_GUESS_S, scenario.window_s), clock) / scenario.fps)
    streams, windows = search(trial, scenario, first)
    return subject.executed(streams=streams, windows=windows)


def _alone(subject: Subject, sight: Sight, seconds: float, clock: Clock) -> float:
    """Frames a second of one camera, back to back, from memory."""
    began = clock.now()
    seen = answered(BackToBack(sight.in_memory, seconds, clock), [subject.answering()], clock)
    return sum(1 for _ in seen) / (clock.now() - began)


def _rates(answers: Iterable[Answered], streams: int, began: float, window_s: float) -> tuple[float, ...]:
    """Frames a second of each camera, up to its last answer where that came after the window: a loop that is behind
    still answers what was due within it."""
    counts, ended = [0] * streams, [began + window_s] * streams
    for each in answers:
        counts[each.camera] += 1
        ended[each.camera] = max(ended[each.camera], each.at)
    return tuple(count / (end - began) for count, end in zip(counts, ended, strict=True))
