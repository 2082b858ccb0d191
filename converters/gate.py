"""Whether a converted model may be shipped: its score held against the framework's, picture by picture.

    verdict = judge(reference, candidate, Gate(max_drop=0.01))
    sys.exit(verdict.exit_code)

PASS needs proof. Too few pictures to see the drop that is forbidden are INCONCLUSIVE, even where both models gave the
same answers. They can still show that a model is broken: FAIL then needs a limit exceeded and losses beyond chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, TypeAlias

import numpy as np

from edgekit.contract import Task
from edgekit.converters.paired import (
    Interval,
    Outcomes,
    chance_of_loss,
    detection_intervals,
    outcomes,
    top1_interval,
)
from edgekit.converters.scores import ClassificationScore, DetectionScore, Score
from edgekit.errors import SettingsError
from edgekit.schema import STRICT

Outcome: TypeAlias = Literal["PASS", "INCONCLUSIVE", "FAIL"]

_RANK: dict[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}
_EXIT: dict[Outcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}
_CHANCE = 0.05
_LEAST_TO_LOSE = 5  # all of fewer could be lost by chance: 1/2 ** 4 > 0.05


@dataclass(frozen=True)
class Gate:
    """How much worse than the framework an artifact may be. All drops are absolute: 0.01 is one point.

    max_drop: of top-1, or of COCO AP.
    max_class_drop: of the recall of any one class (boxes: at IoU 0.5 and the head's own score), where the loss is more
        than chance; a class of which the framework finds fewer than five is not judged, and said so. None: not judged.
    max_ap50_drop: of AP at IoU 0.5; None: not judged.
    max_box_iou_drop: of the mean IoU of the true boxes that both found, for boxes can break while scores stay right.
    min_images: fewer are INCONCLUSIVE, and so are fewer than 1 / max_drop: one alone would exceed it.
    min_top1, min_ap: what an artifact must reach by itself, whatever the framework reached.
    """

    __pydantic_config__ = STRICT

    max_drop: float = 0.01
    max_class_drop: float | None = 0.2
    max_ap50_drop: float | None = None
    max_box_iou_drop: float | None = 0.02
    min_images: int = 100
    min_top1: float | None = None
    min_ap: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_drop", "max_class_drop", "max_ap50_drop", "max_box_iou_drop", "min_top1", "min_ap"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is a share, 0 to 1 (one point is 0.01); got {value}")
        if self.min_images < 1:
            raise ValueError(f"min_images must be at least 1; got {self.min_images}")

    @property
    def needed_images(self) -> int:
        """The fewest pictures on which `max_drop` can be judged."""
        return max(self.min_images, ceil(1 / self.max_drop - 1e-9) if self.max_drop else 0)

    def check(self, task: Task) -> None:
        """SettingsError where a limit was set that says nothing of such a model."""
        foreign = ("min_top1",) if task == "detect" else ("min_ap", "max_ap50_drop")
        set_ = [name for name in foreign if getattr(self, name) is not None]
        if set_:
            raise SettingsError(f"gate: {' and '.join(set_)} cannot be judged for a model that does '{task}'")


@dataclass(frozen=True)
class Figure:
    """One figure of both models, what it may drop by, and the 95 % interval of the drop over such pictures."""

    name: str
    reference: float
    candidate: float
    limit: float
    interval: Interval | None

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
        return _EXIT[self.outcome]


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
    can_fail = not few or chance_of_loss(paired.lost, paired.won) < _CHANCE
    findings = [_enough(reference.images, gate)] if few else []
    findings += [_judge_figure(each, can_fail) for each in _figures(reference, candidate, gate, paired)]
    findings += _judge_classes(reference, paired, gate.max_class_drop)
    findings += _judge_floor(candidate, gate, few)
    return Verdict(
        _worst(each.outcome for each in findings),
        tuple(f"{each.outcome}: {each.reason}" for each in findings),
        tuple(each.figure for each in findings if each.figure is not None),
    )


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for several: FAIL if any failed, PASS only if all passed. ValueError where there are none."""
    if not verdicts:
        raise ValueError("there is no verdict to take the worst of")
    reasons = tuple(reason for each in verdicts for reason in each.reasons)
    figures = tuple(figure for each in verdicts for figure in each.figures)
    return Verdict(_worst(each.outcome for each in verdicts), reasons, figures)


def _worst(found: Iterable[Outcome]) -> Outcome:
    return max(found, key=_RANK.__getitem__)


def _enough(images: int, gate: Gate) -> _Finding:
    needed = f"{gate.needed_images} are needed to see a drop of {gate.max_drop:g}"
    return _Finding("INCONCLUSIVE", f"{images} pictures, and {needed}")


def _figures(reference: Score, candidate: Score, gate: Gate, paired: Outcomes) -> Iterator[Figure]:
    """The figures of the whole that the gate limits."""
    if isinstance(reference, ClassificationScore) and isinstance(candidate, ClassificationScore):
        yield Figure("top1", reference.top1, candidate.top1, gate.max_drop, top1_interval(paired))
    if isinstance(reference, DetectionScore) and isinstance(candidate, DetectionScore):
        intervals = detection_intervals(reference, candidate)
        yield Figure("ap", reference.ap, candidate.ap, gate.max_drop, intervals["ap"])
        if gate.max_ap50_drop is not None:
            yield Figure("ap50", reference.ap50, candidate.ap50, gate.max_ap50_drop, intervals["ap50"])
        if gate.max_box_iou_drop is not None:
            before, after = _box_ious(reference, candidate)
            yield Figure("box_iou", before, after, gate.max_box_iou_drop, intervals["box_iou"])


def _box_ious(reference: DetectionScore, candidate: DetectionScore) -> tuple[float, float]:
    """The mean IoU of the true boxes that both models found, for each; where there is none the candidate has 0."""
    pairs = np.array([reference.truths.ious, candidate.truths.ious])
    both = pairs[:, (pairs > 0).all(axis=0)]
    if not both.size:
        return reference.mean_iou or 0.0, 0.0
    before, after = both.mean(axis=1)
    return round(float(before), 6), round(float(after), 6)


def _judge_figure(figure: Figure, can_fail: bool) -> _Finding:
    between = "" if figure.interval is None else f", 95 % interval {figure.interval[0]:.4f} to {figure.interval[1]:.4f}"
    told = f"{figure.name} {figure.reference:.4f} -> {figure.candidate:.4f}, drop {figure.drop:.4f}{between}"
    told += f"; {figure.limit:g} is allowed"
    if figure.reference <= figure.limit:
        return _Finding("INCONCLUSIVE", f"{told}, and the framework itself reached no more than that", figure)
    if figure.drop <= figure.limit + 1e-9:
        return _Finding("PASS", told, figure)
    return _Finding("FAIL" if can_fail else "INCONCLUSIVE", told, figure)


def _judge_classes(reference: Score, paired: Outcomes, limit: float | None) -> Iterator[_Finding]:
    """A FAIL for each class whose recall fell by more than the limit and more than chance, and one line on the rest."""
    if limit is None:
        return
    classes = [paired.of(label) for label in np.unique(paired.labels).tolist()]
    judged = [each for each in classes if each.reference.sum() >= _LEAST_TO_LOSE]
    fallen = [each for each in judged if _has_fallen(each, limit)]
    for each in fallen:
        yield _Finding("FAIL", f"class '{_name(reference, each)}' {_losses(each)}; {limit:g} is allowed")
    rest = f"{len(judged) - len(fallen)} of {len(classes)} classes held their recall within {limit:g} or within chance"
    unjudged = len(classes) - len(judged)
    few = f"; {unjudged} could not be judged, the framework found fewer than {_LEAST_TO_LOSE} of each"
    yield _Finding("PASS", rest + (few if unjudged else ""))


def _has_fallen(outcomes: Outcomes, limit: float) -> bool:
    drop = (outcomes.lost - outcomes.won) / len(outcomes.labels)
    return drop > limit + 1e-9 and chance_of_loss(outcomes.lost, outcomes.won) < _CHANCE


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
