"""Whether a converted model may be shipped: its score held against the framework's, picture by picture.

    verdict = judge(reference, candidate, Gate(max_drop=0.01))
    sys.exit(verdict.exit_code)

PASS says that on these pictures each figure stayed within its limit, and that there were enough of them for one picture
alone not to exceed it. It does not prove that the same holds of all pictures: how far a drop may lie from the one that
was seen is what the intervals are for, and they decide only where a limit says so. Too few pictures are INCONCLUSIVE,
even where both models gave the same answers. They can still show that a model is broken: FAIL then needs a limit
exceeded and losses beyond chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from edgekit.contract import Task
from edgekit.converters.paired import (
    Interval,
    Outcomes,
    chance_of_loss,
    chance_of_losses,
    detection_intervals,
    found_interval,
    outcomes,
)
from edgekit.converters.scores import SIZES, ClassificationScore, DetectionScore, Score
from edgekit.errors import SettingsError
from edgekit.outcome import EXIT_CODES, Outcome
from edgekit.outcome import worst as worst_outcome
from edgekit.schema import STRICT

_CHANCE = 0.05
_LEAST_TO_LOSE = 5  # all of fewer could be lost by chance: 1/2 ** 4 > 0.05
_SHARES = (
    "max_drop", "max_class_drop", "max_recall_drop", "max_precision_drop", "max_ap50_drop", "max_size_drop",
    "max_box_iou_drop", "min_top1", "min_ap",
)  # fmt: skip


@dataclass(frozen=True)
class Gate:
    """How much worse than the framework an artifact may be. All drops are absolute: 0.01 is one point.

    max_drop: of top-1, or of COCO AP.
    max_class_drop: of the recall of any one class, and so of the worst (boxes: at IoU 0.5 and the head's own score),
        where the loss is more than chance among so many classes, counted in pictures; a class that the framework finds
        in fewer than five of them is not judged, and said so. None: not judged.
    max_recall_drop: of the recall of all true boxes, at IoU 0.5 and the head's own score, for scores that sink leave AP
        as it is; what may be chance is INCONCLUSIVE. None: not judged. A classifier's is top-1, and not judged twice.
    max_precision_drop: of the share of its boxes that are right, at the same IoU and score, for scores that rise bring
        false alarms and leave AP as it is; as `max_recall_drop`.
    max_ap50_drop: of AP at IoU 0.5; None: not judged.
    max_size_drop: of AP of any one of COCO's sizes of boxes, small, medium and large, of which the data has some; what
        may be chance is INCONCLUSIVE, for often one size is rare. None: not judged.
    max_box_iou_drop: of the mean IoU of the true boxes that both found, for boxes can break while scores stay right.
    min_images: fewer are INCONCLUSIVE, and so are fewer than 1 / max_drop: one alone would exceed it.
    min_top1, min_ap: what an artifact must reach by itself, whatever the framework reached.
    """

    __pydantic_config__ = STRICT

    max_drop: float = 0.01
    max_class_drop: float | None = 0.2
    max_recall_drop: float | None = 0.05
    max_precision_drop: float | None = 0.05
    max_ap50_drop: float | None = None
    max_size_drop: float | None = None
    max_box_iou_drop: float | None = 0.02
    min_images: int = 100
    min_top1: float | None = None
    min_ap: float | None = None

    def __post_init__(self) -> None:
        for name in _SHARES:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is a share, 0 to 1 (one point is 0.01); got {value}")
        if self.min_images < 1:
            raise ValueError(f"min_images must be at least 1; got {self.min_images}")

    @property
    def needed_images(self) -> int:
        """The fewest pictures: one more that is wrong must not exceed `max_drop` alone."""
        return max(self.min_images, ceil(1 / self.max_drop - 1e-9) if self.max_drop else 0)

    def check(self, task: Task) -> None:
        """SettingsError where a limit was set that says nothing of such a model."""
        foreign = ("min_top1",) if task == "detect" else ("min_ap", "max_ap50_drop", "max_size_drop")
        set_ = [name for name in foreign if getattr(self, name) is not None]
        if set_:
            raise SettingsError(f"gate: {' and '.join(set_)} cannot be judged for a model that does '{task}'")


@dataclass(frozen=True)
class Figure:
    """One figure of both models, what it may drop by, the 95 % interval of the drop over such pictures (None where
    nothing changed), and what came of it: a line of a report's table.

    label: the class that a 'class_recall' is of. There is one for each class that fell; the worst's where none did.
    """

    name: str
    reference: float
    candidate: float
    limit: float
    interval: Interval | None
    outcome: Outcome
    label: str | None = None

    @property
    def drop(self) -> float:
        return round(self.reference - self.candidate, 6)


@dataclass(frozen=True)
class Verdict:
    """What the gate says, a line for each thing that it looked at, and the figures behind the lines."""

    outcome: Outcome
    reasons: tuple[str, ...]
    figures: tuple[Figure, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 for PASS, 1 for FAIL, 2 for INCONCLUSIVE."""
        return EXIT_CODES[self.outcome]


@dataclass(frozen=True)
class _Finding:
    outcome: Outcome
    reason: str
    figure: Figure | None = None


def judge(reference: Score, candidate: Score, gate: Gate) -> Verdict:
    """`candidate`, an artifact's score, against `reference`, the framework's on the same pictures.

    Raises ValueError where the two were not scored on the same pictures, SettingsError where the gate sets a limit
    that such a model has no figure for.
    """
    gate.check("detect" if isinstance(reference, DetectionScore) else "classify")
    paired = outcomes(reference, candidate)
    few = reference.images < gate.needed_images
    # Few pictures that show a loss beyond chance convict; few that show none acquit nobody.
    can_fail = not few or chance_of_loss(paired.worse, paired.better) < _CHANCE
    findings = [_enough(reference.images, gate)] if few else []
    findings += _one_class(reference)
    findings += _judge_whole(reference, candidate, gate, paired, can_fail)
    findings += _judge_classes(reference, paired, gate.max_class_drop)
    findings += _judge_floor(candidate, gate, few)
    return Verdict(
        worst_outcome(each.outcome for each in findings),
        tuple(f"{each.outcome}: {each.reason}" for each in findings),
        tuple(each.figure for each in findings if each.figure is not None),
    )


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for several: FAIL if any failed, PASS only if all passed. ValueError where there are none."""
    if not verdicts:
        raise ValueError("there is no verdict to take the worst of")
    reasons = tuple(reason for each in verdicts for reason in each.reasons)
    figures = tuple(figure for each in verdicts for figure in each.figures)
    return Verdict(worst_outcome(each.outcome for each in verdicts), reasons, figures)


def _enough(images: int, gate: Gate) -> _Finding:
    needed = f"{gate.needed_images} are needed to judge a drop of {gate.max_drop:g}"
    return _Finding("INCONCLUSIVE", f"{images} pictures, and {needed}")


def _one_class(reference: Score) -> Iterator[_Finding]:
    if isinstance(reference, ClassificationScore) and len(set(reference.truth)) == 1:
        label = reference.classes[reference.truth[0]].label
        yield _Finding("INCONCLUSIVE", f"every picture shows '{label}': a model that answers nothing else would pass")


def _judge_whole(
    reference: Score, candidate: Score, gate: Gate, paired: Outcomes, can_fail: bool
) -> Iterator[_Finding]:
    """The figures of the whole that the gate limits."""
    if isinstance(reference, ClassificationScore) and isinstance(candidate, ClassificationScore):
        yield _judge("top1", (reference.top1, candidate.top1), gate.max_drop, found_interval(paired), can_fail)
    if isinstance(reference, DetectionScore) and isinstance(candidate, DetectionScore):
        yield from _judge_detector(reference, candidate, gate, paired, can_fail)


def _judge_detector(
    reference: DetectionScore, candidate: DetectionScore, gate: Gate, paired: Outcomes, can_fail: bool
) -> Iterator[_Finding]:
    sizes = [size for size in list(SIZES)[1:] if gate.max_size_drop is not None]
    there = [size for size in sizes if getattr(reference, f"ap_{size}") is not None]
    intervals = {**detection_intervals(reference, candidate, there), "recall": found_interval(paired)}
    limits = {"ap": gate.max_drop, "ap50": gate.max_ap50_drop}
    limits |= {"recall": gate.max_recall_drop, "precision": gate.max_precision_drop}
    limits |= {f"ap_{size}": gate.max_size_drop for size in there}
    for name, limit in limits.items():
        if limit is not None:
            pair = getattr(reference, name), getattr(candidate, name)
            if None in pair:
                yield _Finding("INCONCLUSIVE", f"a model that finds nothing at its score has no {name}")
                continue
            surely = name in ("ap", "ap50") or _is_beyond_chance(intervals[name])
            yield _judge(name, pair, limit, intervals[name], can_fail and surely)
    if gate.max_box_iou_drop is not None:
        pair = _box_ious(reference, candidate)
        yield _judge("box_iou", pair, gate.max_box_iou_drop, intervals["box_iou"], can_fail)
    if absent := [size for size in sizes if size not in there]:
        yield _Finding("PASS", f"there are no {' and no '.join(absent)} boxes to be judged")


def _is_beyond_chance(interval: Interval | None) -> bool:
    return interval is not None and interval[0] > 0


def _box_ious(reference: DetectionScore, candidate: DetectionScore) -> tuple[float, float]:
    """The mean IoU of the true boxes that both models found, for each; where there is none the candidate has 0."""
    pairs = np.array([reference.truths.ious, candidate.truths.ious])
    both = pairs[:, (pairs > 0).all(axis=0)]
    if not both.size:
        return reference.mean_iou or 0.0, 0.0
    before, after = both.mean(axis=1)
    return round(float(before), 6), round(float(after), 6)


def _judge(name: str, pair: tuple[float, float], limit: float, interval: Interval | None, can_fail: bool) -> _Finding:
    """`pair`: the figure of the reference and of the candidate. A limit exceeded is a FAIL if it `can_fail`."""
    before, after = pair
    drop = round(before - after, 6)
    told = f"{name} {before:.4f} -> {after:.4f}, drop {drop:.4f}{_between(interval)}; {limit:g} is allowed"
    outcome: Outcome = "FAIL" if can_fail else "INCONCLUSIVE"
    if before <= limit:
        outcome, told = "INCONCLUSIVE", f"{told}, and the framework itself reached no more than that"
    elif drop <= limit + 1e-9:
        outcome = "PASS"
    return _Finding(outcome, told, Figure(name, before, after, limit, interval, outcome))


def _between(interval: Interval | None) -> str:
    return "" if interval is None else f", 95 % interval {interval[0]:.4f} to {interval[1]:.4f}"


def _judge_classes(reference: Score, paired: Outcomes, limit: float | None) -> Iterator[_Finding]:
    """A FAIL for each class whose recall fell by more than the limit and more than chance, the worst first, and one
    line on the rest, with the worst of those."""
    if limit is None:
        return
    classes = [paired.of(label) for label in np.unique(paired.labels).tolist()]
    judged = sorted((each for each in classes if _found_in(each) >= _LEAST_TO_LOSE), key=_drop, reverse=True)
    changed = sum(each.worse + each.better for each in classes) / sum(len(each.by_picture) for each in classes)
    fallen = [each for each in judged if _has_fallen(each, limit, changed, len(judged))]
    for each in fallen:
        figure = _class_figure(reference, each, limit, "FAIL")
        yield _Finding("FAIL", f"class '{figure.label}' {_losses(each)}; {limit:g} is allowed", figure)
    rest = [each for each in judged if each not in fallen]
    held = [each for each in rest if _drop(each) <= limit + 1e-9]
    told = f"{len(held)} of {len(classes)} classes held their recall within {limit:g}"
    if unclear := len(rest) - len(held):
        told += f", {unclear} lost more, none of them beyond chance among so many"
    if rest:
        worst_left = _class_figure(reference, rest[0], limit, "PASS")
        told += f", the worst of them '{worst_left.label}', {_losses(rest[0])}"
    if unjudged := len(classes) - len(judged):
        told += f"; {unjudged} could not be judged, the framework found them in fewer than {_LEAST_TO_LOSE} pictures"
    yield _Finding("PASS", told, worst_left if rest and not fallen else None)


def _found_in(outcomes: Outcomes) -> int:
    return len(np.unique(outcomes.pictures[outcomes.reference]))


def _has_fallen(outcomes: Outcomes, limit: float, changed: float, classes: int) -> bool:
    """Beyond the limit, and beyond what the worst of so many `classes` loses by chance (Bonferroni's bound), all of it
    counted in pictures: by its own that changed, or, where answers seldom change, by how often they do over all
    classes (`changed`)."""
    own = chance_of_loss(outcomes.worse, outcomes.better)
    if _drop(outcomes) <= limit + 1e-9 or own >= _CHANCE:
        return False
    among_all = chance_of_losses(outcomes.worse, len(outcomes.by_picture), changed)
    return classes * min(own, among_all) < _CHANCE


def _drop(outcomes: Outcomes) -> float:
    return (outcomes.lost - outcomes.won) / len(outcomes.labels)


def _class_figure(score: Score, outcomes: Outcomes, limit: float, outcome: Outcome) -> Figure:
    before, after = (round(float(found.mean()), 6) for found in (outcomes.reference, outcomes.candidate))
    interval = found_interval(outcomes)
    return Figure("class_recall", before, after, limit, interval, outcome, _name(score, outcomes))


def _losses(outcomes: Outcomes) -> str:
    n, before, after = len(outcomes.labels), outcomes.reference.sum(), outcomes.candidate.sum()
    return f"recall {before / n:.4f} -> {after / n:.4f}, {outcomes.lost} lost and {outcomes.won} won of {n}"


def _name(score: Score, outcomes: Outcomes) -> str:
    """The name of the one label that these outcomes are of."""
    label = int(outcomes.labels[0])
    if isinstance(score, ClassificationScore):
        return score.classes[label].label
    return next(each.label for each in score.classes if each.number == label)


def _judge_floor(candidate: Score, gate: Gate, few: bool) -> Iterator[_Finding]:
    floor, name = (gate.min_ap, "ap") if isinstance(candidate, DetectionScore) else (gate.min_top1, "top1")
    if floor is None:
        return
    reached = candidate.figures()[name]
    held: Outcome = "PASS" if reached >= floor - 1e-9 else "FAIL"
    yield _Finding("INCONCLUSIVE" if few else held, f"{name} {reached:.4f}; {floor:g} is the least")
