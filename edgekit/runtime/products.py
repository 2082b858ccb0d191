"""Which product a tracked thing is: a classifier looks at it until it is sure, then leaves it alone.

Classifying every box of every frame is what makes a cascade slow. A track is looked at on its first sightings, the
probabilities are averaged, and once the best stands clear of the second the answer holds until the next check.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from edgekit.boxes import area, clip
from edgekit.errors import ContractError
from edgekit.frames import Classification, Detections, FloatArray, Image
from edgekit.preprocess import crop
from edgekit.runtime.settings import ClassifyPolicy

Classify: TypeAlias = Callable[[Image], Classification]
Clock: TypeAlias = Callable[[], float]

_FOR_EVER = 1 << 60  # frames


@dataclass(frozen=True)
class Product:
    """What a thing was recognised as: a label of the classifier, and its probability, the mean of all looks."""

    label: str
    score: float


@dataclass(frozen=True, eq=False)
class _Looks:
    """What the classifier has said of one track so far: the sum of its probabilities over `count` looks."""

    total: FloatArray
    count: int = 0
    last: int = -1
    wait_until: int = 0
    product: Product | None = None


@dataclass
class Products:
    """Remembers, for one camera, what each track was recognised as. `stages_ms` holds the times of the last `update`:
    crop and classify."""

    classify: Classify
    labels: Sequence[str]
    policy: ClassifyPolicy = field(default_factory=ClassifyPolicy)
    clock: Clock = time.perf_counter
    stages_ms: dict[str, float] = field(default_factory=dict)
    _looks: dict[int, _Looks] = field(default_factory=dict)

    def update(
        self, image: Image, found: Detections, frame: int, wanted: Collection[int] | None = None
    ) -> tuple[Product | None, ...]:
        """The product of each detection, None where it is not sure; looks at some of them in this frame.

        frame: its number. wanted: the detector's labels to look at, None for all.
        """
        self.stages_ms = {"crop": 0.0, "classify": 0.0}
        tracked = found.track_ids is not None
        keys = list(range(len(found))) if found.track_ids is None else found.track_ids.tolist()
        if not tracked:
            self._looks.clear()
        for i in self._due(image, found, keys, frame, wanted):
            scores = self._look(image, found.boxes[i])
            self._looks[keys[i]] = self._learn(self._looks.get(keys[i]), scores, frame, tracked)
        return tuple(looks.product if (looks := self._looks.get(key)) else None for key in keys)

    def forget(self, alive: Collection[int]) -> None:
        """Drop what is known of tracks that have ended."""
        for key in [key for key in self._looks if key not in alive]:
            del self._looks[key]

    def _due(
        self, image: Image, found: Detections, keys: list[int], frame: int, wanted: Collection[int] | None
    ) -> list[int]:
        """Positions of the detections to look at now, the most urgent first."""
        sizes = area(clip(found.boxes, image.shape[1], image.shape[0])).tolist()
        due = []
        for i, (key, label, size) in enumerate(zip(keys, found.labels.tolist(), sizes, strict=True)):
            looks = self._looks.get(key)
            if size > 0 and (wanted is None or label in wanted) and (looks is None or looks.wait_until <= frame):
                due.append((-1 if looks is None else looks.last, -size, i))
        return [i for _, _, i in sorted(due)[: self.policy.crops]]

    def _look(self, image: Image, box: FloatArray) -> FloatArray:
        started = self.clock()
        cut = crop(image, box, self.policy.crop_margin)
        there = self.clock()
        scores = self.classify(cut).scores
        self.stages_ms["crop"] += (there - started) * 1e3
        self.stages_ms["classify"] += (self.clock() - there) * 1e3
        if len(scores) != len(self.labels):
            raise ContractError(f"the classifier gave {len(scores)} scores; it has {len(self.labels)} labels")
        if not np.isfinite(scores).all():
            raise ContractError("the classifier gave scores that are not finite")
        return scores

    def _learn(self, before: _Looks | None, scores: FloatArray, frame: int, tracked: bool) -> _Looks:
        policy = self.policy
        total, count = (scores, 1) if before is None else (before.total + scores, before.count + 1)
        mean = total / count
        best = int(mean.argmax())
        second = float(np.delete(mean, best).max(initial=0.0))
        enough = count >= policy.sightings or not tracked
        sure = enough and float(mean[best]) - second >= policy.margin
        rest = policy.recheck or _FOR_EVER
        wait_until = frame + (rest if sure or count >= policy.attempts else 1)
        return _Looks(total, count, frame, wait_until, Product(self.labels[best], float(mean[best])) if sure else None)
