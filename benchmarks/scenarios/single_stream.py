"""Back to back: the bare engine and the whole way from a frame to its event, of all variants, in turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from edgekit.benchmarks.result import Executed
from edgekit.benchmarks.scenario import SingleStream
from edgekit.benchmarks.scenarios.clock import REAL, Clock
from edgekit.benchmarks.scenarios.film import Film, Sight
from edgekit.benchmarks.scenarios.progress import Progress
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.benchmarks.scenarios.tape import transposed
from edgekit.measure import interleave
from edgekit.preprocess import preprocess


def run_single_stream(
    scenario: SingleStream,
    subjects: Sequence[Subject],
    sight: Sight,
    clock: Clock = REAL,
    progress: Progress | None = None,
) -> tuple[Executed, ...]:
    """All subjects round by round, each on the same frames in the same order, which lie in memory.

    The difference between `whole` and `engine_only` is what edgekit costs, and a classifier where there is one.
    """
    stages_ms: dict[str, list[Mapping[str, float]]] = {subject.name: [] for subject in subjects}
    runs: dict[str, Callable[[], object]] = {}
    for subject in subjects:
        runs[f"{subject.name}/engine"] = _engine(subject, sight.in_memory)
        runs[f"{subject.name}/whole"] = _whole(subject, sight.in_memory, clock, stages_ms[subject.name])
    rounds = scenario.rounds
    taken = interleave(runs, rounds, progress and (lambda done, total: progress("measuring", done, total)), clock.ns)
    return tuple(
        subject.executed(
            engine_only=taken[f"{subject.name}/engine"],
            whole=taken[f"{subject.name}/whole"],
            stages_ms=transposed(stages_ms[subject.name][rounds.warm_up :]),
        )
        for subject in subjects
    )


def _engine(subject: Subject, film: Film) -> Callable[[], object]:
    tensor, _ = preprocess(film.pictures[0], subject.task.spec)
    return lambda: subject.task.session.run(tensor)


def _whole(subject: Subject, film: Film, clock: Clock, stages_ms: list[Mapping[str, float]]) -> Callable[[], object]:
    answer, numbers = subject.answering(), itertools.count()
    return lambda: stages_ms.append(answer(film.frame(next(numbers), clock.now())))
