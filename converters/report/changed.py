"""The pictures on which two models part: what each of them answered, and where in the picture it looked.

changed_answers(dataset, Side("framework", score, task, module), Side("onnx-int8", score, session_task))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from torch import nn

from edgekit.converters.data import Dataset, Sample
from edgekit.converters.evaluate import greedy
from edgekit.converters.paired import outcomes
from edgekit.converters.report.saliency import Saliency, grad_cam, occlusion
from edgekit.converters.scores import ClassificationScore, Score
from edgekit.frames import Detections, Image, IntArray
from edgekit.runtime.annotate import Colour, write
from edgekit.tasks import AnyTask, Classifier, Detector

Outcome: TypeAlias = Literal["lost", "won"]

_SIDE = 176  # pixels of a classifier's picture on the page, its longer side
_WIDE = 360  # of a detector's: boxes are smaller than what they are on
_QUALITY = 80
_TRUE, _RIGHT, _WRONG = (235, 235, 235), (115, 158, 0), (0, 94, 213)  # BGR: pale, green, vermilion


@dataclass(frozen=True, eq=False)
class Side:
    """One of the two models. module: where there is one, for Grad-CAM; a tensor, or a tuple of them, comes out."""

    name: str
    score: Score
    task: AnyTask
    module: nn.Module | None = None


@dataclass(frozen=True)
class Answer:
    """What a model said of a picture, in words; score: its probability, None where it is no classifier's."""

    label: str
    score: float | None = None


@dataclass(frozen=True)
class Changed:
    """A picture that was lost (right before, wrong after) or won. `shown`: JPEG files with their captions."""

    picture: str
    outcome: Outcome
    truth: str
    before: Answer
    after: Answer
    shown: tuple[tuple[bytes, str], ...]


def changed_answers(dataset: Dataset, before: Side, after: Side, count: int = 12) -> tuple[Changed, ...]:
    """At most `count` of the pictures that were lost and won, the most confidently answered first, half of each where
    there are as many.

    For a detector a picture is lost or won by the true boxes that only one side found at IoU 0.5. Both scores are of
    `dataset`, in its order (ValueError where they are not of the same pictures).
    """
    paired = outcomes(before.score, after.score)
    lost, won = paired.reference & ~paired.candidate, ~paired.reference & paired.candidate
    if isinstance(before.score, ClassificationScore) and isinstance(after.score, ClassificationScore):
        kinds = _by_confidence(lost, before.score), _by_confidence(won, after.score)
        return tuple(_classified(dataset, place, before, after, outcome) for place, outcome in _drawn(*kinds, count))
    places = np.array(_truth_pictures(before.score), int)
    kinds = _by_number(places[lost]), _by_number(places[won])
    return tuple(_detected(dataset.samples[place], before, after, outcome) for place, outcome in _drawn(*kinds, count))


def _drawn(lost: Sequence[int], won: Sequence[int], count: int) -> list[tuple[int, Outcome]]:
    """Half of each; what one kind has not is filled up with the other. A picture that is both counts as lost."""
    won = [place for place in won if place not in lost]
    first = max(count // 2, count - len(won))
    drawn: list[tuple[int, Outcome]] = [(place, "lost") for place in lost[:first]]
    return drawn + [(place, "won") for place in won[: count - len(drawn)]]


def _by_confidence(which: np.typing.NDArray[np.bool_], score: ClassificationScore) -> list[int]:
    places = np.flatnonzero(which)
    if not score.confidences:
        return [int(place) for place in places]
    return [int(place) for place in places[np.argsort(-np.array(score.confidences)[places], kind="stable")]]


def _by_number(places: IntArray) -> list[int]:
    """The pictures that occur, those that occur most often first."""
    found, times = np.unique(places, return_counts=True)
    return [int(place) for place in found[np.argsort(-times, kind="stable")]]


def _truth_pictures(score: Score) -> tuple[int, ...]:
    return () if isinstance(score, ClassificationScore) else score.truths.pictures


def _classified(dataset: Dataset, place: int, before: Side, after: Side, outcome: Outcome) -> Changed:
    sample = dataset.samples[place]
    image = sample.image()
    labels = [_label(side.score, place) for side in (before, after)]
    shown = [(_jpeg(image, _SIDE), "the picture")]
    for side, label in zip((before, after), labels, strict=True):
        shown += _maps(image, side, label, dataset.labels[label])
    return Changed(
        picture=sample.name,
        outcome=outcome,
        truth=dataset.labels[int(sample.label or 0)],
        before=Answer(dataset.labels[labels[0]], _confidence(before.score, place)),
        after=Answer(dataset.labels[labels[1]], _confidence(after.score, place)),
        shown=tuple(shown),
    )


def _label(score: Score, place: int) -> int:
    assert isinstance(score, ClassificationScore)
    return score.answers[place]


def _confidence(score: Score, place: int) -> float | None:
    assert isinstance(score, ClassificationScore)
    return score.confidences[place] if score.confidences else None


def _maps(image: Image, side: Side, label: int, name: str) -> list[tuple[bytes, str]]:
    """What a side looked at for the answer that it gave."""
    if not isinstance(side.task, Classifier):
        return []
    maps = []
    if side.module is not None:
        cam = grad_cam(side.module, side.task.spec, side.task.head, image, label)
        if cam is not None:
            maps.append((_jpeg(heated(image, cam), _SIDE), f"{side.name}, Grad-CAM for {name}"))
    hidden = occlusion(side.task, image, label)
    caption = f"{side.name}, occlusion for {name}: up to -{hidden.peak:.2f}"
    return [*maps, (_jpeg(heated(image, hidden), _SIDE), caption)]


def heated(image: Image, saliency: Saliency) -> Image:
    """The picture in grey, and over it, the warmer the more it counts, where the answer comes from."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    heat = cv2.applyColorMap((saliency.values * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = 0.75 * np.sqrt(saliency.values)[..., None]
    return np.asarray(grey * (1 - share) + heat * share, np.uint8)


def _detected(sample: Sample, before: Side, after: Side, outcome: Outcome) -> Changed:
    image = sample.image()
    answers, shown = [], []
    for side in (before, after):
        assert isinstance(side.task, Detector)
        found = side.task(image)
        right = _right(sample, found)
        answers.append(Answer(f"{int(right.sum())} right and {int((~right).sum())} wrong boxes"))
        shown.append((_jpeg(boxed(image, sample, found, right, side.task.labels), _WIDE), side.name))
    truth = f"{int((~sample.crowd).sum())} true boxes"
    return Changed(sample.name, outcome, truth, answers[0], answers[1], tuple(shown))


def _right(sample: Sample, found: Detections) -> np.typing.NDArray[np.bool_]:
    _, missed = greedy(sample.boxes[~sample.crowd], sample.labels[~sample.crowd], found)
    return ~missed


def boxed(
    image: Image, sample: Sample, found: Detections, right: np.typing.NDArray[np.bool_], labels: Sequence[str]
) -> Image:
    """A small copy with the true boxes in white, and detections over them: green where right, vermilion where not."""
    ratio = min(1.0, _WIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    drawn = np.asarray(small, np.uint8)
    for box in sample.boxes[~sample.crowd] * ratio:
        _frame(drawn, box, _TRUE, 3)
    for box, score, label, is_right in zip(found.boxes * ratio, found.scores, found.labels, right, strict=True):
        colour: Colour = _RIGHT if is_right else _WRONG
        _frame(drawn, box, colour, 2)
        corner = int(box[0]), int(box[1])
        write(drawn, f"{labels[int(label)]} {score:.2f}", corner, colour, above=True)
    return drawn


def _frame(drawn: Image, box: np.typing.NDArray[np.float32], colour: Colour, width: int) -> None:
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)


def _jpeg(image: Image, side: int) -> bytes:
    """At most `side` pixels on the longer side."""
    ratio = min(1.0, side / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA) if ratio < 1 else image
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
