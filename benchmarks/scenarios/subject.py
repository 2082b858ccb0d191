"""What a scenario measures: one variant of a bundle, open, alone and with all that stands around it in a shop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgekit.benchmarks.result import Executed
from edgekit.events import OBSERVATION, Author
from edgekit.frames import Frame
from edgekit.runtime.pipeline import Pipeline
from edgekit.tasks import AnyTask

# From a frame to its event; what the stages took, in milliseconds.
Answer: TypeAlias = Callable[[Frame], Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Subject:
    """A variant's name, its task, and the pipeline around it where it is a detector.

    Subjects run in one thread, in turn, so that several may share a classifier.
    """

    name: str
    task: AnyTask
    pipeline: Pipeline | None = None

    def answering(self) -> Answer:
        """What answers one camera's frames: each has tracks of its own.

        With a pipeline it ends with the event as one line of JSON, ready for an outbox; writing that to the disk is
        not in it. A classifier or an embedder alone has no event: there it ends with the decoded result.
        """
        return _decoding(self.task) if self.pipeline is None else _watching(self.pipeline)

    def executed(self, **measured: Any) -> Executed:
        """How the variant really ran, with what was measured of it."""
        session = self.task.session
        plan = session.plan
        return Executed(
            self.name, session.engine, plan.device, session.precision, session.threads, plan.spinning, **measured
        )


def _decoding(task: AnyTask) -> Answer:
    def answer(frame: Frame) -> Mapping[str, float]:
        task(frame.image)
        return task.stages_ms

    return answer


def _watching(pipeline: Pipeline) -> Answer:
    watch, author, clock = pipeline.watch(), Author("bench"), pipeline.clock

    def answer(frame: Frame) -> Mapping[str, float]:
        seen = watch.look(frame, clock())
        started = clock()
        author.event(OBSERVATION, frame.source, seen.to_dict()).to_json()
        return {**seen.stages_ms, "event": (clock() - started) * 1e3}

    return answer
