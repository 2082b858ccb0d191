"""A camera that does not wait: how old a frame is when its event is there, and how many were never looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.benchmarks.result import Executed
from edgekit.benchmarks.scenario import Camera
from edgekit.benchmarks.scenarios.cameras import Due
from edgekit.benchmarks.scenarios.clock import REAL, Clock
from edgekit.benchmarks.scenarios.film import Sight
from edgekit.benchmarks.scenarios.progress import Progress, Seconds
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.benchmarks.scenarios.tape import WARM_UP, Tape, answered, warm_up

SLICES = 4  # in which a variant's time is spent where there are several


def run_camera(
    scenario: Camera,
    subjects: Sequence[Subject],
    sight: Sight,
    clock: Clock = REAL,
    progress: Progress | None = None,
) -> tuple[Executed, ...]:
    """`scenario.seconds` of each subject, from a frame's due time to its event.

    Several subjects take turns, a quarter of their time each and in reversed order every other time (ABBA): so all of
    them see the host as it warms up. A turn's first frame is due at its beginning; tracks are kept between turns.
    """
    tapes = [Tape(clock.now()) for _ in subjects]
    answers = [subject.answering() for subject in subjects]
    for answer in answers:
        warm_up(answer, sight.in_memory, clock)
    slices = 1 if len(subjects) == 1 else SLICES
    seconds = scenario.seconds / slices
    due = Due(scenario.fps, seconds)
    tell = Seconds(progress, f"a camera of {scenario.fps:g}/s", scenario.seconds * len(subjects))
    for turn, i in _turns(slices, len(subjects)):
        with sight.cameras(due, clock, WARM_UP + turn * due.frames) as cameras:
            for each in tell.passing(answered(cameras, answers[i : i + 1], clock), clock.now(), seconds):
                tapes[i].record(each)
        tapes[i].count(cameras)
    return tuple(subject.executed(frames=tape.frames()) for subject, tape in zip(subjects, tapes, strict=True))


def _turns(slices: int, subjects: int) -> Iterator[tuple[int, int]]:
    """Which subject is next in which slice: 0 1 2, 2 1 0, 0 1 2, ..."""
    for turn in range(slices):
        order = range(subjects) if turn % 2 == 0 else reversed(range(subjects))
        yield from ((turn, i) for i in order)
