"""How far apart two models are on the same pictures, and how much of it may be chance.

Both have seen every picture, so what counts are the pictures on which they differ: McNemar's test on those that one
lost and the other won (McNemar, Psychometrika 12, 1947; its exact form), and a bootstrap that draws pictures, not
answers (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13). Everything is seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.converters.scores import IOU_STEPS, ClassificationScore, DetectionScore, Score

Array: TypeAlias = npt.NDArray[Any]
Interval: TypeAlias = tuple[float, float]

_RESAMPLES = 500
_RECALLS = np.linspace(0.0, 1.0, 101)


def chance_of_loss(lost: int, won: int) -> float:
    """The chance that as many or more of the pictures that changed were lost, if losing and winning were alike.

    One-sided exact McNemar: five lost and none won is the least that is below 0.05.
    """
    chance: float = sum(comb(lost + won, k) for k in range(won + 1)) / 2 ** (lost + won)
    return chance


@dataclass(frozen=True, eq=False)
class Outcomes:
    """For each thing to be found (a picture's class, a true box): its label, and whether each model found it."""

    labels: Array
    reference: Array
    candidate: Array

    def of(self, label: int) -> Outcomes:
        which = self.labels == label
        return Outcomes(self.labels[which], self.reference[which], self.candidate[which])

    @property
    def lost(self) -> int:
        return int((self.reference & ~self.candidate).sum())

    @property
    def won(self) -> int:
        return int((~self.reference & self.candidate).sum())


def top1_interval(outcomes: Outcomes, seed: int = 0) -> Interval | None:
    """The 95 % interval of the candidate's drop in top-1.

    A drawn set of pictures is known by how many of it were lost, won or neither, so those are drawn directly.
    """
    n = len(outcomes.labels)
    lost, won = outcomes.lost / n, outcomes.won / n
    drawn = np.random.default_rng(seed).multinomial(n, [lost, won, 1 - lost - won], size=20 * _RESAMPLES)
    return _interval((drawn[:, 0] - drawn[:, 1]) / n)


def detection_intervals(
    reference: DetectionScore, candidate: DetectionScore, seed: int = 0
) -> dict[str, Interval | None]:
    """The 95 % intervals of the candidate's drop in 'ap', 'ap50' and 'box_iou', over sets of pictures drawn anew."""
    precision_of = [average_precision(each) for each in (reference, candidate)]
    iou_drop = box_iou_drop(reference, candidate)
    rng, n = np.random.default_rng(seed), reference.images
    drops: dict[str, list[float]] = {"ap": [], "ap50": [], "box_iou": []}
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, n, n), minlength=n)
        before, after = (precision(times) for precision in precision_of)
        drops["ap"].append(float(np.nanmean(before) - np.nanmean(after)))
        drops["ap50"].append(float(np.nanmean(before[:, 0]) - np.nanmean(after[:, 0])))
        drops["box_iou"].append(iou_drop(times))
    return {name: _interval(np.array(drawn)) for name, drawn in drops.items()}


def average_precision(score: DetectionScore) -> Callable[[Array], Array]:
    """A function of how often each picture is drawn, that gives (classes, IoU steps) average precisions.

    All pictures once is what pycocotools computes. A drawn picture's detections keep the matches they have, so a draw
    costs a few cumulative sums. NaN for a class of which no box was drawn.
    """
    found, truths = score.candidates, score.truths
    pictures, labels, scores = np.array(found.pictures, int), np.array(found.labels, int), np.array(found.scores)
    hits, ignored = _bits(found.hits), _bits(found.ignored)
    true_pictures, true_labels = np.array(truths.pictures, int), np.array(truths.labels, int)
    columns = []
    for label in np.unique(true_labels):
        order = np.flatnonzero(labels == label)
        order = order[np.argsort(-scores[order], kind="stable")]
        right, wrong = hits[:, order] & ~ignored[:, order], ~hits[:, order] & ~ignored[:, order]
        columns.append((pictures[order], right, wrong, true_pictures[true_labels == label]))
    return lambda times: np.stack([_precisions(times, *each) for each in columns])


def box_iou_drop(reference: DetectionScore, candidate: DetectionScore) -> Callable[[Array], float]:
    """A function of how often each picture is drawn, that gives how much IoU the candidate's boxes lost.

    Over the true boxes that both found, so that a box which only one found moves it neither way; NaN where none is.
    """
    before, after = np.array(reference.truths.ious), np.array(candidate.truths.ious)
    both = (before > 0) & (after > 0)
    pictures = np.array(reference.truths.pictures, int)[both]
    lost = np.bincount(pictures, (before - after)[both], minlength=reference.images)
    count = np.bincount(pictures, minlength=reference.images)
    return lambda times: float(times @ lost / (times @ count)) if times @ count else float("nan")


def outcomes(reference: Score, candidate: Score) -> Outcomes:
    """What each model found of what there is; ValueError where they were not scored on the same pictures."""
    if isinstance(reference, ClassificationScore) and isinstance(candidate, ClassificationScore):
        _check_same(reference.truth, candidate.truth, "pictures")
        truth = np.array(reference.truth)
        return Outcomes(truth, truth == np.array(reference.answers), truth == np.array(candidate.answers))
    if isinstance(reference, DetectionScore) and isinstance(candidate, DetectionScore):
        _check_same((reference.images,), (candidate.images,), "pictures")
        _check_same(reference.truths.labels, candidate.truths.labels, "boxes")
        _check_same(reference.truths.pictures, candidate.truths.pictures, "boxes")
        labels, truths = np.array(reference.truths.labels), (reference.truths, candidate.truths)
        return Outcomes(labels, *(np.array(each.ious) > 0 for each in truths))
    raise ValueError(f"a {type(candidate).__name__} cannot be held against a {type(reference).__name__}")


def _check_same(reference: tuple[int, ...], candidate: tuple[int, ...], what: str) -> None:
    if reference != candidate:
        raise ValueError(f"the two scores are not of the same {what}: {len(reference)} and {len(candidate)} of them")


def _bits(columns: tuple[int, ...]) -> Array:
    """(IoU steps, n) booleans."""
    return (np.array(columns, int)[None] >> np.arange(len(IOU_STEPS))[:, None] & 1).astype(bool)


def _precisions(times: Array, pictures: Array, right: Array, wrong: Array, true_pictures: Array) -> Array:
    """(IoU steps,) average precisions of one class: the mean over 101 recalls of the best precision from there on."""
    there = times[true_pictures].sum()
    if not there:
        return np.full(len(right), np.nan)
    drawn = times[pictures]
    hits, misses = np.cumsum(right * drawn, axis=1), np.cumsum(wrong * drawn, axis=1)
    recall = hits / there
    precision = hits / np.maximum(hits + misses, 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate((best, np.zeros((len(best), 1))), axis=1)
    places = [np.searchsorted(each, _RECALLS, side="left") for each in recall]
    return np.array([row[place].mean() for row, place in zip(best, places, strict=True)])


def _interval(drawn: Array) -> Interval | None:
    if np.isnan(drawn).all():
        return None
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return round(float(low), 6) + 0.0, round(float(high), 6) + 0.0  # -0.0 reads as a gain
