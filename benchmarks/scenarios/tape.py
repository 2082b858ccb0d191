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

STAGES = ("preprocess", "detect", "embed", "decode", "track", "crop", "classify", "event")
_DID_NOT_RUN = (0.0,) * len(STAGES)
WARM_UP = 10  # frames that are answered and not counted: an engine builds its kernels in the first


class Answered(NamedTuple):
    """A frame that was answered, at `at` on the monotonic clock; the other times as in `Frames`."""

    camera: int
    at: float
    frame_ms: float
    cpu_ms: float
    age_ms: float
    capture_ms: float
    stages_ms: Mapping[str, float]


def answered(cameras: Cameras, answers: Sequence[Answer], clock: Clock) -> Iterator[Answered]:
    """Answer the newest frame of each camera in turn until they end; `answers`: one a camera."""
    now, cpu = clock.now, clock.cpu
    for camera, frame, capture_ms in cameras:
        started, computed = now(), cpu()
        stages_ms = answers[camera](frame)
        at, computed = now(), cpu() - computed
        frame_ms, age_ms = (at - started) * 1e3, (at - frame.taken_at) * 1e3
        yield Answered(camera, at, frame_ms, computed * 1e3, age_ms, capture_ms, stages_ms)


def warm_up(answer: Answer, film: Film, clock: Clock) -> None:
    """The frames 0 to `WARM_UP` - 1; what is counted goes on from there."""
    for number in range(WARM_UP):
        answer(film.frame(number, clock.now()))


class Tape:
    """Records one camera's answers. began: when the measurement did, on the monotonic clock.

    All in one array: the garbage collector, which runs as it does in a shop, would walk through lists, the longer the
    slower, and one call a frame finds less of itself gone from the caches after an engine's run.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._rows = array("d")
        self._arrived = self._dropped = 0

    def record(self, each: Answered) -> None:
        _, at, frame_ms, cpu_ms, age_ms, capture_ms, stages_ms = each
        stages = map(stages_ms.get, STAGES, _DID_NOT_RUN)
        self._rows.extend((at - self._began, frame_ms, cpu_ms, age_ms, capture_ms, *stages))

    def count(self, cameras: Cameras) -> None:
        """What came and what was dropped, of a camera that has ended."""
        self._arrived += cameras.arrived[0]
        self._dropped += cameras.dropped[0]

    def frames(self) -> Frames:
        """All of it; of the stages those that ran."""
        width = 5 + len(STAGES)
        at_s, frame_ms, cpu_ms, age_ms, *stages = (tuple(self._rows[i::width]) for i in range(width))
        stages_ms = {name: times for name, times in zip(("capture", *STAGES), stages, strict=True) if any(times)}
        return Frames(at_s, frame_ms, cpu_ms, age_ms, stages_ms, self._arrived, self._dropped)


def transposed(stages_ms: Iterable[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    """A mapping a frame as a tuple a stage, of those that ran."""
    each = list(stages_ms)
    whole = {stage: tuple(times.get(stage, 0.0) for times in each) for stage in STAGES}
    return {stage: times for stage, times in whole.items() if any(times)}
