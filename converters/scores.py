"""What an evaluation found: figures to read, and each picture's own result so that two models can be paired on them.

Figures are rounded to six digits, so that the same answers give the same evidence on every machine. A figure that
cannot be told from the data is None: the recall of a class of which there is no picture, AP of sizes that do not occur.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from edgekit.frames import IntArray

IOU_STEPS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))  # at which COCO's AP is taken
# COCO's sizes of true boxes: from and to, both included, in square pixels.
SIZES = {"all": (0, 1e10), "small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, 1e10)}


@dataclass(frozen=True)
class ClassScore:
    """One class of a classifier. `support`: how many pictures show it."""

    label: str
    support: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassificationScore:
    """How a classifier did. `top5` is None where there are five labels or fewer; `mean_recall` is over the classes
    that occur. truth, answers: the label of each picture, true and given, in the data set's order. confidences: the
    probability that each answer came with; empty for an embedding, which gives none."""

    images: int
    top1: float
    top5: float | None
    mean_recall: float
    classes: tuple[ClassScore, ...]
    truth: tuple[int, ...]
    answers: tuple[int, ...]
    confidences: tuple[float, ...] = ()

    @property
    def confusion(self) -> IntArray:
        """(labels, labels): how many pictures of each class, down, were given each label, across."""
        return confusion(np.array(self.truth), np.array(self.answers), len(self.classes))

    def figures(self) -> dict[str, float]:
        """The figures of the whole, by name."""
        return _told({"top1": self.top1, "top5": self.top5, "mean_recall": self.mean_recall})


@dataclass(frozen=True)
class DetectedClass:
    """One class of a detector. `number`: its place in the labels; `support`: how many boxes of it there are, crowds
    apart. recall: at the score that it will run at, IoU 0.5."""

    label: str
    number: int
    support: int
    ap: float | None
    ap50: float | None
    recall: float | None


@dataclass(frozen=True)
class Truths:
    """Every true box that counts, column by column: its picture's place in the data set, its label, the IoU of the
    detection that found it, 0 where none did, and its area in square pixels."""

    pictures: tuple[int, ...]
    labels: tuple[int, ...]
    ious: tuple[float, ...]
    areas: tuple[float, ...]


@dataclass(frozen=True)
class Candidates:
    """Every detection as COCO's matching took it, column by column.

    hits, ignored: bit 10 s + i is set where the detection is right, or counts neither way, at IoU 0.5 + 0.05 i when
    boxes of the s-th of SIZES are looked for: each size is matched by itself.
    """

    pictures: tuple[int, ...]
    labels: tuple[int, ...]
    scores: tuple[float, ...]
    hits: tuple[int, ...]
    ignored: tuple[int, ...]


@dataclass(frozen=True)
class DetectionScore:
    """How a detector did.

    ap: COCO's, the mean over IoU 0.5 to 0.95; ap50 and ap75 at one IoU; the others by the size of the true box.
    recall, precision, mean_iou: at `threshold`, the score that it will run at, a box being found at IoU 0.5 or more;
    mean_iou is over the boxes found. Only classes that occur in the data are counted, for and against.
    """

    images: int
    boxes: int
    threshold: float
    ap: float
    ap50: float
    ap75: float
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    recall: float
    precision: float | None
    mean_iou: float | None
    classes: tuple[DetectedClass, ...]
    truths: Truths
    candidates: Candidates

    def figures(self) -> dict[str, float]:
        """The figures of the whole, by name."""
        names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "recall", "precision", "mean_iou")
        return _told({name: getattr(self, name) for name in names})


Score: TypeAlias = ClassificationScore | DetectionScore


def accuracy_of(score: Score) -> float:
    """The one figure that a model is known by: top-1, or AP."""
    return score.top1 if isinstance(score, ClassificationScore) else score.ap


def confusion(truth: IntArray, answers: IntArray, labels: int) -> IntArray:
    """(labels, labels) counts: truth down, answers across."""
    return np.bincount(truth * labels + answers, minlength=labels * labels).reshape(labels, labels)


def ratio(part: float, whole: float) -> float | None:
    """`part` of `whole`, six digits; None of nothing."""
    return round(float(part) / float(whole), 6) if whole else None


def _told(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: figure for name, figure in figures.items() if figure is not None}
