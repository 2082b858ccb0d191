"""The loop of a camera scenario, and what keeps its answers: an entry a frame, nothing thrown away."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from edgekit.benchmarks.result import Frames
from edgekit.benchmarks.scenarios.cameras import Cameras
from edgekit.benchmarks.scenarios.clock import Clock
from edgekit.benchmarks.scenarios.film import Film
from edgekit.benchmarks.scenarios.subject import Answer

STAGES = ("capture", "preprocess", "detect", "embed", "decode", "track", "crop", "classify", "event")
WARM_UP = 10  # frames that are answered and not counted: an engine builds its kernels in the first


class Answered(NamedTuple):
    """A frame that was answered, at `at` on the monotonic clock; the other times as in `Frames`."""

    camera: int
    at: float
    frame_ms: float
    cpu_ms: float
    age_ms: float
    stages_ms: Mapping[str, float]


def answered(cameras: Cameras, answers: Sequence[Answer], clock: Clock) -> Iterator[Answered]:
    """Answer the newest frame of each camera in turn until they end; `answers`: one a camera."""
    now, cpu = clock.now, clock.cpu
    for camera, frame, capture_ms in cameras:
        started, computed = now(), cpu()
        stages_ms = answers[camera](frame)
        at, computed = now(), cpu() - computed
        frame_ms, age_ms = (at - started) * 1e3, (at - frame.taken_at) * 1e3
        yield Answered(camera, at, frame_ms, computed * 1e3, age_ms, {**stages_ms, "capture": capture_ms})


def warm_up(answer: Answer, film: Film, clock: Clock) -> None:
    """The frames 0 to `WARM_UP` - 1; what is counted goes on from there."""
    for number in range(WARM_UP):
        answer(film.frame(number, clock.now()))


class Tape:
    """Records one camera's answers. began: when the measurement did, on the monotonic clock.

    In arrays, since the garbage collector walks through lists, the longer the slower, and runs as it does in a shop.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._at_s, self._frame_ms, self._cpu_ms, self._age_ms = (array("d") for _ in range(4))
        self._stages_ms = {stage: array("d") for stage in STAGES}
        self._arrived = self._dropped = 0

    def record(self, each: Answered) -> None:
        self._at_s.append(each.at - self._began)
        self._frame_ms.append(each.frame_ms)
        self._cpu_ms.append(each.cpu_ms)
        self._age_ms.append(each.age_ms)
        for stage, times in self._stages_ms.items():
            times.append(each.stages_ms.get(stage, 0.0))

    def count(self, cameras: Cameras) -> None:
        """What came and what was dropped, of a camera that has ended."""
        self._arrived += cameras.arrived[0]
        self._dropped += cameras.dropped[0]

    def frames(self) -> Frames:
        """All of it; of the stages those that ran."""
        return Frames(
            tuple(self._at_s),
            tuple(self._frame_ms),
            tuple(self._cpu_ms),
            tuple(self._age_ms),
            {stage: tuple(times) for stage, times in self._stages_ms.items() if any(times)},
            self._arrived,
            self._dropped,
        )


def transposed(stages_ms: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """A mapping a frame as a tuple a stage, of those that ran."""
    each = list(stages_ms)
    whole = {stage: tuple(times.get(stage, 0.0) for times in each) for stage in STAGES}
    return {stage: times for stage, times in whole.items() if any(times)}
