"""How far apart two models are on the same pictures, and how much of it may be chance.

Both have seen every picture, so what counts are the pictures on which they differ: McNemar's test on those that one
lost and the other won (McNemar, Psychometrika 12, 1947; its exact form), and a bootstrap that draws pictures, not
answers (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13). Everything is seeded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb, lgamma, log, log1p
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.converters.scores import IOU_STEPS, SIZES, ClassificationScore, DetectionScore, Score

Array: TypeAlias = npt.NDArray[Any]
Interval: TypeAlias = tuple[float, float]

_RESAMPLES, _AT_ONCE = 500, 25
_RECALLS = np.linspace(0.0, 1.0, 101)


def chance_of_loss(lost: int, won: int) -> float:
    """The chance that as many or more of the pictures that changed got worse, if losing and winning were alike.

    One-sided exact McNemar: five lost and none won is the least that is below 0.05.
    """
    chance: float = sum(comb(lost + won, k) for k in range(won + 1)) / 2 ** (lost + won)
    return chance


def chance_of_losses(lost: int, things: int, changed: float) -> float:
    """The chance that `lost` or more of `things` are lost, where each is by a chance of `changed` / 2: the tail of the
    binomial distribution.

    `changed`, the share of everything that was lost or won, says how often answers change at all. A class that is held
    against it is told from the many whose answers change now and then.
    """
    if not lost:
        return 1.0
    if not changed:
        return 0.0
    share = changed / 2
    ways = [lgamma(things + 1) - lgamma(k + 1) - lgamma(things - k + 1) for k in range(lost, things + 1)]
    logs = [way + k * log(share) + (things - k) * log1p(-share) for k, way in enumerate(ways, lost)]
    return min(1.0, float(np.exp(logs).sum()))


@dataclass(frozen=True, eq=False)
class Outcomes:
    """For each thing to be found (a picture's class, a true box): its picture, its label, and whether each model found
    it. Boxes of one picture are lost together, so chance is counted in pictures: those `worse` and those `better`."""

    pictures: Array
    labels: Array
    reference: Array
    candidate: Array

    def of(self, label: int) -> Outcomes:
        which = self.labels == label
        return Outcomes(self.pictures[which], self.labels[which], self.reference[which], self.candidate[which])

    @property
    def lost(self) -> int:
        return int((self.reference & ~self.candidate).sum())

    @property
    def won(self) -> int:
        return int((~self.reference & self.candidate).sum())

    @property
    def by_picture(self) -> Array:
        """(pictures, 2): how many things more each lost than won, and how many it holds; of those that hold any."""
        _, of = np.unique(self.pictures, return_inverse=True)
        net = np.bincount(of, self.reference.astype(int) - self.candidate)
        return np.stack((net, np.bincount(of)), axis=1).astype(int)

    @property
    def worse(self) -> int:
        return int((self.by_picture[:, 0] > 0).sum())

    @property
    def better(self) -> int:
        return int((self.by_picture[:, 0] < 0).sum())


def found_interval(outcomes: Outcomes, seed: int = 0) -> Interval | None:
    """The 95 % interval of the candidate's drop in the share that it found, over sets of pictures drawn anew: top-1,
    or recall. None where nothing changed, for then no set that is drawn says how much might.

    A drawn set is known by how many pictures of each kind are in it, so those are drawn directly.
    """
    kinds, count = np.unique(outcomes.by_picture, axis=0, return_counts=True)
    n = int(count.sum())
    drawn = np.random.default_rng(seed).multinomial(n, count / n, size=20 * _RESAMPLES)
    return _interval(drawn @ kinds[:, 0] / (drawn @ kinds[:, 1]))


def detection_intervals(
    reference: DetectionScore, candidate: DetectionScore, sizes: Sequence[str] = (), seed: int = 0
) -> dict[str, Interval | None]:
    """The 95 % intervals of the candidate's drop in 'ap', 'ap50', 'precision' and 'box_iou', over sets of pictures
    drawn anew; None for a figure that no such set has, or that none of them changes.

    sizes: of SIZES, those for which 'ap_small', 'ap_medium' or 'ap_large' is asked for too.
    """
    ways = {
        f"ap_{size}" if size != "all" else "ap": [average_precision(each, size) for each in (reference, candidate)]
        for size in ("all", *sizes)
    }
    others = {"precision": precision_drop(reference, candidate), "box_iou": box_iou_drop(reference, candidate)}
    drops: dict[str, list[Array]] = {name: [] for name in (*ways, "ap50", *others)}
    for times in _draws(reference.images, seed):
        for name, models in ways.items():
            before, after = (precision(times) for precision in models)
            drops[name].append(_mean(before) - _mean(after))
            if name == "ap":
                drops["ap50"].append(_mean(before[..., :1]) - _mean(after[..., :1]))
        for name, drop in others.items():
            drops[name].append(drop(times))
    return {name: _interval(np.concatenate(drawn)) for name, drawn in drops.items()}


def _draws(images: int, seed: int) -> Iterator[Array]:
    """How often each picture is in a set drawn anew, for all the sets: blocks of (sets, images)."""
    rng = np.random.default_rng(seed)
    for _ in range(_RESAMPLES // _AT_ONCE):
        drawn = [rng.integers(0, images, images) for _ in range(_AT_ONCE)]
        yield np.stack([np.bincount(each, minlength=images) for each in drawn])


def average_precision(score: DetectionScore, size: str = "all") -> Callable[[Array], Array]:
    """A function of how often each picture is drawn, (..., images), that gives average precisions, (..., classes, IoU
    steps), of true boxes of one of SIZES.

    All pictures once is what pycocotools computes. A drawn picture's detections keep the matches they have, so a draw
    costs a few cumulative sums. NaN for a class of which no such box was drawn; ValueError where the data has none.
    """
    found, truths = score.candidates, score.truths
    pictures, labels, scores = np.array(found.pictures, int), np.array(found.labels, int), np.array(found.scores)
    first = len(IOU_STEPS) * list(SIZES).index(size)
    hits, ignored = _bits(found.hits, first), _bits(found.ignored, first)
    true_pictures, true_labels = np.array(truths.pictures, int), np.array(truths.labels, int)
    least, most = SIZES[size]
    counted = (np.array(truths.areas) >= least) & (np.array(truths.areas) <= most)
    if not counted.any():
        raise ValueError(f"there is no true box of size '{size}'")
    columns = []
    for label in np.unique(true_labels[counted]):
        order = np.flatnonzero((labels == label) & ~ignored.all(axis=0))
        order = order[np.argsort(-scores[order], kind="stable")]
        ranked = _Ranked(pictures[order], hits[:, order] & ~ignored[:, order], ignored[:, order])
        columns.append((ranked, true_pictures[counted & (true_labels == label)]))
    return lambda times: np.stack([_precisions(times, *each) for each in columns], axis=-2)


def precision_drop(reference: DetectionScore, candidate: DetectionScore) -> Callable[[Array], Array]:
    """A function of how often each picture is drawn, (..., images), that gives how much precision the candidate lost.

    Each model's is at its own threshold and IoU 0.5, as `DetectionScore.precision` is; NaN where one finds nothing.
    """
    (right, found), (candidate_right, candidate_found) = _strong(reference), _strong(candidate)
    return lambda times: _share(times @ right, times @ found) - _share(times @ candidate_right, times @ candidate_found)


def _strong(score: DetectionScore) -> tuple[Array, Array]:
    """(images,) counts of the detections at the threshold or above it: those that are right, and all that count."""
    found = score.candidates
    kept = (np.array(found.scores) >= score.threshold) & ~_bits(found.ignored, 0)[0]
    pictures, right = np.array(found.pictures, int)[kept], _bits(found.hits, 0)[0][kept]
    return np.bincount(pictures[right], minlength=score.images), np.bincount(pictures, minlength=score.images)


def box_iou_drop(reference: DetectionScore, candidate: DetectionScore) -> Callable[[Array], Array]:
    """A function of how often each picture is drawn, (..., images), that gives how much IoU the candidate's boxes lost.

    Over the true boxes that both found, so that a box which only one found moves it neither way; NaN where none is.
    """
    before, after = np.array(reference.truths.ious), np.array(candidate.truths.ious)
    both = (before > 0) & (after > 0)
    pictures = np.array(reference.truths.pictures, int)[both]
    lost = np.bincount(pictures, (before - after)[both], minlength=reference.images)
    count = np.bincount(pictures, minlength=reference.images)
    return lambda times: _share(times @ lost, times @ count)


def outcomes(reference: Score, candidate: Score) -> Outcomes:
    """What each model found of what there is; ValueError where they were not scored on the same pictures."""
    if isinstance(reference, ClassificationScore) and isinstance(candidate, ClassificationScore):
        _check_same(reference.truth, candidate.truth, "pictures")
        truth = np.array(reference.truth)
        found = (truth == np.array(each.answers) for each in (reference, candidate))
        return Outcomes(np.arange(len(truth)), truth, *found)
    if isinstance(reference, DetectionScore) and isinstance(candidate, DetectionScore):
        _check_same((reference.images,), (candidate.images,), "pictures")
        _check_same(reference.truths.labels, candidate.truths.labels, "boxes")
        _check_same(reference.truths.pictures, candidate.truths.pictures, "boxes")
        pictures, labels = np.array(reference.truths.pictures), np.array(reference.truths.labels)
        found = (np.array(each.truths.ious) > 0 for each in (reference, candidate))
        return Outcomes(pictures, labels, *found)
    raise ValueError(f"a {type(candidate).__name__} cannot be held against a {type(reference).__name__}")


def _check_same(reference: tuple[int, ...], candidate: tuple[int, ...], what: str) -> None:
    if reference != candidate:
        raise ValueError(f"the two scores are not of the same {what}: {len(reference)} and {len(candidate)} of them")


def _bits(columns: tuple[int, ...], first: int) -> Array:
    """(IoU steps, n) booleans, from bit `first` on."""
    places = first + np.arange(len(IOU_STEPS))[:, None]
    return (np.array(columns, int)[None] >> places & 1).astype(bool)


class _Ranked:
    """One class's detections, best first, kept where precision can change: at those that are right, or count neither
    way, at some IoU. All others are wrong at every IoU, and there are often a hundred of them for one that is kept."""

    def __init__(self, pictures: Array, right: Array, ignored: Array) -> None:
        self.pictures = pictures
        self.kept = np.flatnonzero((right | ignored).any(axis=0))
        self.right, self.ignored = right[:, self.kept], ignored[:, self.kept]


def _precisions(times: Array, found: _Ranked, true_pictures: Array) -> Array:
    """(..., IoU steps) average precisions of one class: the mean over 101 recalls of the best precision from there on.

    Each kept detection stands for the recalls that it is the first to reach.
    """
    there = times[..., true_pictures].sum(axis=-1)[..., None, None]
    drawn = times[..., found.pictures]
    counted = np.cumsum(drawn, axis=-1)[..., None, found.kept]
    kept = drawn[..., None, found.kept]
    hits, ignored = np.cumsum(found.right * kept, axis=-1), np.cumsum(found.ignored * kept, axis=-1)
    precision = hits / np.maximum(counted - ignored, 1)
    best = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    reached = np.searchsorted(_RECALLS, hits / np.maximum(there, 1), side="right")
    mean = (best * np.diff(reached, axis=-1, prepend=0)).sum(axis=-1) / len(_RECALLS)
    return np.where(there[..., 0] > 0, mean, np.nan)


def _mean(precisions: Array) -> Array:
    """(...,) means over classes and IoU steps, without those of which no box was drawn; NaN where none was."""
    there = ~np.isnan(precisions)
    return _share(np.where(there, precisions, 0).sum(axis=(-2, -1)), there.sum(axis=(-2, -1)))


def _share(part: Array, whole: Array) -> Array:
    share: Array = np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
    return share


def _interval(drawn: Array) -> Interval | None:
    """None where no drawn set tells the two apart."""
    if not np.nan_to_num(drawn).any():
        return None
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return round(float(low), 6) + 0.0, round(float(high), 6) + 0.0  # -0.0 reads as a gain
