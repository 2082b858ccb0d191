"""The pictures on which two models part: what each of them answered, and where in the picture it looked.

    changed_answers(dataset, Side("framework", score, task, module), Side("onnx-int8", score, session_task))

What is shown is made here, small and as JPEG, so that a report can be kept without the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from torch import nn

from edgekit.converters.data import Dataset, Sample
from edgekit.converters.evaluate import greedy, in_crowd
from edgekit.converters.paired import outcomes
from edgekit.converters.report.saliency import Saliency, grad_cam, occlusion
from edgekit.converters.scores import ClassificationScore, Score
from edgekit.frames import Detections, FloatArray, Image, IntArray
from edgekit.runtime.annotate import Colour, write
from edgekit.tasks import AnyTask, Classifier, Detector

Outcome: TypeAlias = Literal["lost", "won"]

_SIDE = 176  # pixels of a classifier's picture on the page, its longer side
_WIDE = 420  # of a detector's: boxes are smaller than what they are on
_QUALITY = 80
_RIGHT, _WRONG, _MISSED = (115, 158, 0), (0, 94, 213), (66, 228, 240)  # BGR: green, vermilion, yellow
_LEAST_LOSS = 0.05  # of probability that is drawn in full: less must not look like much


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


def _by_confidence(which: npt.NDArray[np.bool_], score: ClassificationScore) -> list[int]:
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
            caption = f"{side.name}, Grad-CAM for {name}, of a map of {cam.grid[0]} x {cam.grid[1]}"
            maps.append((_jpeg(heated(image, cam, 1e-12), _SIDE), caption))
    hidden = occlusion(side.task, image, label)
    caption = f"{side.name}, occlusion for {name}: up to -{hidden.values.max():.3f}"
    return [*maps, (_jpeg(heated(image, hidden, _LEAST_LOSS), _SIDE), caption)]


def heated(image: Image, saliency: Saliency, least: float) -> Image:
    """The picture in grey, and over it, the warmer the more it counts, where the answer comes from.

    The warmest is the greatest value, or `least` where that is less.
    """
    values = saliency.values / max(float(saliency.values.max()), least)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    heat = cv2.applyColorMap((values * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    share = 0.75 * np.sqrt(values)[..., None]
    return np.asarray(grey * (1 - share) + heat * share, np.uint8)


def _detected(sample: Sample, before: Side, after: Side, outcome: Outcome) -> Changed:
    image = sample.image()
    answers, shown = [], []
    for side in (before, after):
        assert isinstance(side.task, Detector)
        found = side.task(image)
        best, wrong = greedy(sample.boxes[~sample.crowd], sample.labels[~sample.crowd], found)
        counts = ~(wrong & in_crowd(sample, found))
        found, wrong = found[counts], wrong[counts]
        answers.append(Answer(f"{int((~wrong).sum())} right and {int(wrong.sum())} wrong"))
        missed = sample.boxes[~sample.crowd][best == 0]
        shown.append((_jpeg(boxed(image, found, wrong, missed, side.task.labels), _WIDE), side.name))
    boxes = int((~sample.crowd).sum())
    truth = f"{boxes} true {'box' if boxes == 1 else 'boxes'}"
    return Changed(sample.name, outcome, truth, answers[0], answers[1], tuple(shown))


def boxed(
    image: Image,
    found: Detections,
    wrong: npt.NDArray[np.bool_],
    missed: FloatArray,
    labels: Sequence[str],
) -> Image:
    """A small copy with the detections in green where right and in vermilion where wrong, and in yellow the true boxes
    that none of them found. The label is left out where there is only one."""
    ratio = _WIDE / max(image.shape[:2])
    drawn = np.asarray(_resized(image, ratio), np.uint8)
    for box in missed * ratio:
        _frame(drawn, box, _MISSED, 3)
    for box, score, label, is_wrong in zip(found.boxes * ratio, found.scores, found.labels, wrong, strict=True):
        colour = _WRONG if is_wrong else _RIGHT
        _frame(drawn, box, colour, 2)
        name = f"{labels[int(label)]} " if len(labels) > 1 else ""
        write(drawn, f"{name}{score:.2f}", (int(box[0]), int(box[1])), colour, above=True)
    return drawn


def _frame(drawn: Image, box: FloatArray, colour: Colour, width: int) -> None:
    x0, y0, x1, y1 = (round(float(edge)) for edge in box)
    cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, width, cv2.LINE_AA)


def _jpeg(image: Image, side: int) -> bytes:
    """`side` pixels on the longer side, whatever it was."""
    small = _resized(image, side / max(image.shape[:2]))
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def _resized(image: Image, ratio: float) -> npt.NDArray[Any]:
    interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=interpolation)
