"""The camera loop as a generator: frames in, observations out, the newest frame only.

with Pipeline.open("cart.ekb", classifier="products.ekb") as pipeline:
    for seen in pipeline.observe("/dev/v4l/by-id/usb-aisle-3"):
        print(seen.to_json())
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgekit.errors import ContractError
from edgekit.frames import Classification, Detections, Frame, Image
from edgekit.runtime.capture import Newest
from edgekit.runtime.products import Product, Products
from edgekit.runtime.settings import ClassifyPolicy, TrackSettings
from edgekit.runtime.sources import Clock, Source, open_source
from edgekit.runtime.track import Tracker

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.hostplan import Plans
    from edgekit.profile import DeviceProfile

Detect: TypeAlias = Callable[[Image], Detections]
Classify: TypeAlias = Callable[[Image], Classification]

_as_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_TRACK = TrackSettings()
_CLASSIFY = ClassifyPolicy()


@dataclass(frozen=True, eq=False)
class Observation:
    """What was seen in one frame.

    index, source, taken_at: the frame's, taken_at on the monotonic clock. wall_time: when that was, seconds since 1970,
    to label the event and nothing else. detections: with track ids where a tracker runs. labels, products: of each of
    them the detector's label and, where a classifier runs and is sure, the product.

    stages_ms: wait (for the frame), preprocess, detect, decode, track, crop, classify, those that ran. spent_ms: from
    the frame in hand to this answer, all stages but `wait` and what lies between them. age_ms: how old the frame was
    when the answer left. dropped: frames of the source, so far, that nobody was there to take. frame: the picture, if
    it was asked for.
    """

    index: int
    source: str
    taken_at: float
    wall_time: float
    detections: Detections
    labels: tuple[str, ...]
    products: tuple[Product | None, ...]
    stages_ms: Mapping[str, float]
    spent_ms: float
    age_ms: float
    dropped: int = 0
    frame: Frame | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it. Boxes are x0, y0, x1, y1 in pixels; `id` and `product` are there where they are known.

        {"source": "aisle 3", "frame": 12, "time": "2026-11-21T09:30:00.125Z", "taken_at": 301.225, "age_ms": 41.2,
         "spent_ms": 22.81, "dropped": 0, "stages_ms": {"wait": 11.2, "detect": 20.4, "track": 0.17},
         "detections": [{"label": "bottle", "score": 0.912, "box": [10.5, 20.0, 60.0, 180.3], "id": 1,
                         "product": {"label": "cola 0.5 l", "score": 0.87}}]}
        """
        moment = datetime.fromtimestamp(self.wall_time, timezone.utc)
        return {
            "source": self.source,
            "frame": self.index,
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "taken_at": round(self.taken_at, 4),
            "age_ms": round(self.age_ms, 2),
            "spent_ms": round(self.spent_ms, 3),
            "dropped": self.dropped,
            "stages_ms": {stage: round(spent, 3) for stage, spent in self.stages_ms.items()},
            "detections": self._things(),
        }

    def to_json(self) -> str:
        """One line of JSON, without the line's end."""
        return _as_line(self.to_dict())

    def _things(self) -> list[dict[str, Any]]:
        """Rounded and listed for all at once: one by one, twenty things took longer than writing the whole line."""
        found = self.detections
        scores = found.scores.astype(np.float64).round(3).tolist()
        boxes = found.boxes.astype(np.float64).round(1).tolist()
        things: list[dict[str, Any]] = [
            {"label": label, "score": score, "box": box}
            for label, score, box in zip(self.labels, scores, boxes, strict=True)
        ]
        if found.track_ids is not None:
            for thing, track_id in zip(things, found.track_ids.tolist(), strict=True):
                thing["id"] = track_id
        for thing, product in zip(things, self.products, strict=True):
            if product is not None:
                thing["product"] = {"label": product.label, "score": round(product.score, 3)}
        return things


@dataclass(frozen=True, eq=False)
class Pipeline:
    """Detector, tracker and classifier in a row. Holds no state of a camera: each `observe` has its own.

    detector, classifier: a task of edgekit.tasks, or any callable on a picture; where it has `stages_ms`, the times of
    its last call, they go into the observation. labels, products: their labels. track: None leaves tracking out, for
    pictures that have nothing to do with one another. clock is monotonic, wall gives seconds since 1970.
    """

    detector: Detect
    labels: tuple[str, ...]
    classifier: Classify | None = None
    products: tuple[str, ...] = ()
    track: TrackSettings | None = _TRACK
    classify: ClassifyPolicy = _CLASSIFY
    clock: Clock = time.monotonic
    wall: Clock = time.time

    def __post_init__(self) -> None:
        if self.classifier is not None and not self.products:
            raise ValueError("a classifier needs `products`, its labels")
        strange = [name for name in self.classify.only if name not in self.labels]
        if strange:
            raise ValueError(f"the detector has no label '{strange[0]}' to classify; it has: {', '.join(self.labels)}")

    @classmethod
    def open(
        cls,
        detector: Bundle | Path | str,
        classifier: Bundle | Path | str | None = None,
        *,
        profile: DeviceProfile | str | None = None,
        variant: str | None = None,
        classifier_variant: str | None = None,
        score: float | None = None,
        track: TrackSettings | None = _TRACK,
        classify: ClassifyPolicy = _CLASSIFY,
        plans: Plans | None = None,
    ) -> Pipeline:
        """A pipeline of bundles; close it, or use it in a `with` block.

        profile, variant and plans as for `edgekit.tasks.open_task`. score: the detector's threshold instead of the
        bundle's. `ContractError` where a bundle's model is not a detector, or not a classifier.
        """
        from edgekit.tasks import Classifier, Detector, open_task

        with ExitStack() as opened:
            detect = opened.enter_context(open_task(detector, profile, variant, plans=plans))
            if not isinstance(detect, Detector):
                raise ContractError(f"{_named(detector)} holds a {type(detect).__name__.lower()}, not a detector")
            if score is not None:
                detect.head = replace(detect.head, score=score)
            pipeline = cls(detect, detect.labels, track=track)
            if classifier is not None:
                recognise = opened.enter_context(open_task(classifier, profile, classifier_variant, plans=plans))
                if not isinstance(recognise, Classifier):
                    kind = type(recognise).__name__.lower()
                    raise ContractError(f"{_named(classifier)} holds a {kind}, not a classifier")
                pipeline = replace(pipeline, classifier=recognise, products=recognise.labels, classify=classify)
            opened.pop_all()
            return pipeline

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close detector and classifier, those that can be."""
        for task in (self.detector, self.classifier):
            close = getattr(task, "close", None)
            if close is not None:
                close()

    def watch(self, keep_frames: bool = False) -> Watch:
        """What looks at one source's frames, one by one, for a loop of one's own; `observe` is the usual way."""
        return Watch(self, keep_frames)

    def observe(
        self, source: Source | str | int | Path, *, keep_frames: bool = False
    ) -> Generator[Observation, None, None]:
        """An observation a frame, until the source ends or the loop is left; either way the source is closed.

        A live source goes through `Newest`: the loop sees the newest frame, the others are counted as dropped. A file
        is read frame by frame. keep_frames: put the picture into the observation, to draw on it.

        Raises `SourceError` where the source fails, `ContractError` naming the frame where a model gives nonsense.
        """
        opened = open_source(source, clock=self.clock) if isinstance(source, str | int | Path) else source
        watch = self.watch(keep_frames)
        with Newest(opened) if opened.live else opened as frames:
            asked = self.clock()
            for frame in frames:
                yield watch.look(frame, asked, frames.dropped if isinstance(frames, Newest) else 0)
                asked = self.clock()


class Watch:
    """What a pipeline remembers of one source while it observes it: tracks, and which products they are."""

    def __init__(self, pipeline: Pipeline, keep_frames: bool) -> None:
        self._pipeline = pipeline
        self._keep_frames = keep_frames
        self._tracker = None if pipeline.track is None else Tracker(pipeline.track)
        self._products = (
            None
            if pipeline.classifier is None
            else Products(pipeline.classifier, pipeline.products, pipeline.classify, pipeline.clock)
        )
        only = pipeline.classify.only
        self._wanted = {i for i, name in enumerate(pipeline.labels) if name in only} if only else None
        self._last_index: int | None = None

    def look(self, frame: Frame, asked: float, dropped: int = 0) -> Observation:
        """What is to be seen in the next frame. asked: when the loop began to wait for it."""
        pipeline, clock = self._pipeline, self._pipeline.clock
        started = clock()
        stages_ms = {"wait": (started - asked) * 1e3}
        try:
            found = self._track(self._detect(frame, stages_ms), frame, stages_ms)
            products = self._recognise(found, frame, stages_ms)
        except ContractError as error:
            raise ContractError(f"frame {frame.index} of {frame.source}: {error}") from error
        labels = tuple(pipeline.labels[label] for label in found.labels.tolist())
        kept = frame if self._keep_frames else None
        now = clock()
        return Observation(
            index=frame.index,
            source=frame.source,
            taken_at=frame.taken_at,
            wall_time=pipeline.wall() - (now - frame.taken_at),
            detections=found,
            labels=labels,
            products=products,
            stages_ms=stages_ms,
            spent_ms=(now - started) * 1e3,
            age_ms=(now - frame.taken_at) * 1e3,
            dropped=dropped,
            frame=kept,
        )

    def _detect(self, frame: Frame, stages_ms: dict[str, float]) -> Detections:
        detector, clock = self._pipeline.detector, self._pipeline.clock
        started = clock()
        found = detector(frame.image)
        spent_ms = (clock() - started) * 1e3
        stages_ms.update(getattr(detector, "stages_ms", {"detect": spent_ms}))
        if not np.isfinite(found.boxes.sum() + found.scores.sum()):
            raise ContractError("the detector gave boxes or scores that are not finite")
        if len(found) and not 0 <= found.labels.min() <= found.labels.max() < len(self._pipeline.labels):
            raise ContractError(f"the detector gave a label beyond its {len(self._pipeline.labels)} labels")
        return found

    def _track(self, found: Detections, frame: Frame, stages_ms: dict[str, float]) -> Detections:
        if self._tracker is None:
            return found
        started = self._pipeline.clock()
        gap = 1 if self._last_index is None else frame.index - self._last_index
        self._last_index = frame.index
        found = self._tracker.update(found, gap)
        stages_ms["track"] = (self._pipeline.clock() - started) * 1e3
        return found

    def _recognise(self, found: Detections, frame: Frame, stages_ms: dict[str, float]) -> tuple[Product | None, ...]:
        if self._products is None:
            return (None,) * len(found)
        products = self._products.update(frame.image, found, frame.index, self._wanted)
        if self._tracker is not None:
            self._products.forget(self._tracker.alive)
        stages_ms.update(self._products.stages_ms)
        return products


def _named(bundle: Bundle | Path | str) -> str:
    return str(bundle if isinstance(bundle, str | Path) else bundle.path)
