"""Whether a model is as often right as it says: the reliability diagram and the expected calibration error.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017. For a detector the scores are held against hits at IoU
0.5, of the detections that it runs with (Kuppers et al., Multivariate Confidence Calibration for Object Detection,
CVPR workshops 2020): the thousands below its threshold would make any model look calibrated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgekit.converters.scores import ClassificationScore, Score

BINS = 15  # as in the paper


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies above `low` and at most at `high`. confidence, accuracy: their means."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """bins: those that hold answers. ece: the mean gap between confidence and accuracy, each bin by its share."""

    bins: tuple[Bin, ...]
    count: int
    ece: float


def reliability_of(score: Score) -> Reliability | None:
    """None where no answer came with a confidence: an embedding's, or those of a detector that found nothing."""
    if isinstance(score, ClassificationScore):
        confidences = np.array(score.confidences, float)
        right = np.array(score.truth) == np.array(score.answers)
    else:
        found = score.candidates
        scores, ignored = np.array(found.scores, float), np.array(found.ignored, int) & 1 > 0
        counts = (scores >= score.threshold) & ~ignored
        confidences, right = scores[counts], (np.array(found.hits, int) & 1 > 0)[counts]
    return calibration(confidences, right) if len(confidences) else None


def calibration(confidences: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> Reliability:
    """(n,) confidences in 0..1 and whether each answer was right; n is 1 or more."""
    places = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    bins = tuple(_bin(place, confidences[places == place], right[places == place]) for place in np.unique(places))
    gaps = sum(each.count * abs(each.accuracy - each.confidence) for each in bins)
    return Reliability(bins, len(confidences), round(gaps / len(confidences), 6))


def _bin(place: int, confidences: npt.NDArray[np.float64], right: npt.NDArray[np.bool_]) -> Bin:
    low, high = place / BINS, (place + 1) / BINS
    return Bin(low, high, len(right), float(confidences.mean()), float(right.mean()))
