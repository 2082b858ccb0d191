"""A store file says which camera, which models and where to write; `run_store` does it until the source ends.

    profile = "raspberry-pi-5"

    [source]
    address = "/dev/v4l/by-id/usb-046d_C920-video-index0"
    name = "aisle 3"

    [detector]
    bundle = "shelf.ekb"

    [classifier]
    bundle = "products.ekb"

    [output]
    jsonl = "seen.jsonl"

Paths are relative to the file's own folder.
"""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Literal, TypeAlias

import numpy as np

from edgekit.profile import named_or_detected, profile_within
from edgekit.runtime.annotate import annotate
from edgekit.runtime.pipeline import Observation, Pipeline
from edgekit.runtime.settings import CameraMode, ClassifyPolicy, ModelSettings, TrackSettings, address_within
from edgekit.runtime.sources import Source, open_source
from edgekit.runtime.video import VideoFile
from edgekit.schema import STRICT, parse, read_toml
from edgekit.sinks.jsonl import JsonLines


@dataclass(frozen=True)
class SourceSettings:
    """address, name, pace, timeout_s: as for `open_source`. camera: what to ask a camera for."""

    __pydantic_config__ = STRICT

    address: str | int
    name: str = ""
    pace: Literal["file", "camera"] = "file"
    timeout_s: float = 10.0
    camera: CameraMode | None = None

    def open(self) -> Source:
        return open_source(self.address, self.name, mode=self.camera, pace=self.pace, timeout_s=self.timeout_s)


@dataclass(frozen=True)
class Output:
    """jsonl: a file that observations are appended to, '-' for stdout. video: an .mp4 with boxes drawn in.

    video_fps: its rate where the source has none of its own.
    """

    __pydantic_config__ = STRICT

    jsonl: str | None = None
    video: Path | None = None
    video_fps: float = 15.0

    def __post_init__(self) -> None:
        if self.video is not None and self.video.suffix.lower() != ".mp4":
            raise ValueError(f"video must end in .mp4; got '{self.video}'")
        if self.video_fps <= 0:
            raise ValueError(f"video_fps must be above 0; got {self.video_fps}")


@dataclass(frozen=True)
class Store:
    """One camera's settings. `track = false` leaves tracking out, for pictures that have nothing to do with one
    another. profile: this board's where none is named."""

    __pydantic_config__ = STRICT

    source: SourceSettings
    detector: ModelSettings
    classifier: ModelSettings | None = None
    track: TrackSettings | Literal[False] = field(default_factory=TrackSettings)
    classify: ClassifyPolicy = field(default_factory=ClassifyPolicy)
    output: Output = field(default_factory=Output)
    profile: str | None = None

    def __post_init__(self) -> None:
        if self.classifier is not None and self.classifier.score is not None:
            raise ValueError("a classifier has no score threshold; classify.margin says when it is sure")

    @classmethod
    def read(cls, path: Path | str) -> Store:
        """The store file at `path`; `SettingsError` names every fault in it."""
        return parse(cls, read_toml(path), str(path)).within(Path(path).parent)

    def within(self, folder: Path) -> Store:
        """With paths relative to `folder` made whole."""
        source, output = self.source, self.output
        jsonl = output.jsonl if output.jsonl in (None, "-") else str(folder / output.jsonl)
        return replace(
            self,
            profile=profile_within(self.profile, folder),
            source=replace(source, address=address_within(source.address, folder)),
            detector=replace(self.detector, bundle=folder / self.detector.bundle),
            classifier=self.classifier and replace(self.classifier, bundle=folder / self.classifier.bundle),
            output=replace(output, jsonl=jsonl, video=output.video and folder / output.video),
        )

    def open(self) -> Pipeline:
        """The pipeline that the file describes; close it."""
        named = self.classifier
        return Pipeline.open(
            self.detector.bundle,
            None if named is None else named.bundle,
            profile=named_or_detected(self.profile),
            variant=self.detector.variant,
            classifier_variant=None if named is None else named.variant,
            score=self.detector.score,
            track=self.track or None,
            classify=self.classify,
        )


Ending: TypeAlias = Literal["the source ended", "the limit was reached", "interrupted"]
_RECENT = 10_000  # frames whose times are kept: a loop that runs for years must not grow


@dataclass(frozen=True)
class Summary:
    """What a run saw and what it cost.

    frames: observed. dropped: not seen by the loop. things: detections reported, over all frames. tracks: different
    track ids. seconds: from the first frame asked for to the last answer. unreadable: what the source could not read,
    with the reasons.

    frame_ms, age_ms: medians of the time spent on a frame and of its age when the answer left; stages_ms: medians of
    the stages, each over the frames in which it ran. frame_p90_ms: None below 64 frames, where it means nothing. All of
    them over the last 10,000 frames.
    """

    source: str
    frames: int
    dropped: int
    things: int
    tracks: int
    seconds: float
    frame_ms: float | None
    frame_p90_ms: float | None
    age_ms: float | None
    stages_ms: dict[str, float]
    unreadable: tuple[str, ...]
    ending: Ending

    @property
    def fps(self) -> float:
        """Frames observed in a second."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


def run_store(
    store: Store, on_observation: Callable[[Observation], None] | None = None, limit: int | None = None
) -> Summary:
    """Run a store's pipeline on its source until that ends, `limit` frames were seen, or Ctrl-C; a summary of it.

    Observations go to the store's outputs and to `on_observation`. However it ends, the source is closed and the
    outputs are whole. A reader of stdout that goes away ends the run like Ctrl-C. Raises the `EdgekitError` of whatever
    failed.
    """
    with ExitStack() as opened:
        pipeline = opened.enter_context(store.open())
        source = opened.enter_context(store.source.open())
        return run(pipeline, source, store.output, on_observation, limit)


def run(
    pipeline: Pipeline,
    source: Source,
    output: Output | None = None,
    on_observation: Callable[[Observation], None] | None = None,
    limit: int | None = None,
) -> Summary:
    """The same with a pipeline and a source that are open already; the source is closed afterwards."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit counts frames and is at least 1; got {limit}")
    output = output or Output()
    tally = _Tally()
    ending: Ending = "the source ended"
    with ExitStack() as opened:
        lines = None if output.jsonl is None else opened.enter_context(JsonLines(output.jsonl))
        fps = source.fps or output.video_fps
        video = None if output.video is None else opened.enter_context(VideoFile(output.video, fps))
        seen = opened.enter_context(closing(pipeline.observe(source, keep_frames=video is not None)))
        try:
            for each in islice(seen, limit):
                with _wholly():
                    if lines is not None:
                        lines.write(each.to_json())
                    if video is not None and each.frame is not None:
                        video.write(annotate(each.frame.image, each), each.index)
                    tally.add(each)
                if on_observation is not None:
                    on_observation(each)
        except (KeyboardInterrupt, BrokenPipeError):
            ending = "interrupted"
        if limit is not None and tally.frames == limit:
            ending = "the limit was reached"
    return tally.summary(source, ending)


@contextmanager
def _wholly() -> Iterator[None]:
    """What is within is done to its end: a signal that would interrupt it does so afterwards, and a second one at once:
    a reader of stdout that stands still may never let it end. Other threads than the main one are never interrupted."""

    def on_signal(number: int, _: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, signal.default_int_handler)

    numbers = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    held = [number for number in numbers if signal.getsignal(number) is signal.default_int_handler]
    came: list[int] = []
    for number in held:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in held:
            signal.signal(number, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt


class _Tally:
    """Counts and times of a run, of bounded size."""

    def __init__(self) -> None:
        self.frames = self._dropped = self._things = self._tracks = 0
        self._started = time.monotonic()
        self._spent: deque[float] = deque(maxlen=_RECENT)
        self._age: deque[float] = deque(maxlen=_RECENT)
        self._stages: dict[str, deque[float]] = {}

    def add(self, seen: Observation) -> None:
        self.frames += 1
        self._dropped = seen.dropped
        self._things += len(seen.detections)
        ids = seen.detections.track_ids
        if ids is not None and len(ids):
            self._tracks = max(self._tracks, int(ids.max()))  # ids count from 1
        self._spent.append(seen.spent_ms)
        self._age.append(seen.age_ms)
        for stage, spent in seen.stages_ms.items():
            self._stages.setdefault(stage, deque(maxlen=_RECENT)).append(spent)

    def summary(self, source: Source, ending: Ending) -> Summary:
        return Summary(
            source=source.name,
            frames=self.frames,
            dropped=self._dropped,
            things=self._things,
            tracks=self._tracks,
            seconds=time.monotonic() - self._started,
            frame_ms=_median(self._spent),
            frame_p90_ms=float(np.percentile(self._spent, 90)) if len(self._spent) >= 64 else None,
            age_ms=_median(self._age),
            stages_ms={stage: float(np.median(spent)) for stage, spent in self._stages.items()},
            unreadable=tuple(source.unreadable),
            ending=ending,
        )


def _median(values: deque[float]) -> float | None:
    return float(np.median(values)) if values else None
