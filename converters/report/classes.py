"""What became of each class, and which classes are taken for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edgekit.converters.scores import ClassificationScore, DetectionScore, Score


@dataclass(frozen=True)
class ClassRow:
    """One class: how many pictures (or boxes) of it there are, and its recall (or AP) by each score, in their order.

    `lost`: the most that any of them is below the first, which is the framework's.
    """

    label: str
    support: int
    figures: tuple[float | None, ...]

    @property
    def lost(self) -> float:
        first, *others = self.figures
        return max((first - each for each in others if first is not None and each is not None), default=0.0)


@dataclass(frozen=True)
class Confused:
    """How often pictures of one class were given another, by the framework and by the artifact."""

    truth: str
    answer: str
    before: int
    after: int


@dataclass(frozen=True)
class Confusion:
    """(truth, answer) counts of one classifier, by their labels' places; what is not there is 0."""

    labels: tuple[str, ...]
    counts: Mapping[tuple[int, int], int]


def class_rows(scores: Mapping[str, Score]) -> tuple[ClassRow, ...]:
    """The classes that occur in the data, worst first: by what was lost, then by what is left."""
    by_score = [_classes(score) for score in scores.values()]
    rows = [
        ClassRow(label, support, tuple(each[label][1] for each in by_score))
        for label, (support, _) in by_score[0].items()
        if support
    ]
    return tuple(sorted(rows, key=lambda row: (-round(row.lost, 6), min(_known(row), default=0.0), row.label)))


def confusion_of(score: ClassificationScore) -> Confusion:
    table = score.confusion
    counts = {(int(i), int(j)): int(table[i, j]) for i, j in np.argwhere(table)}
    return Confusion(tuple(each.label for each in score.classes), counts)


def commonest(before: Confusion, after: Confusion, count: int = 20) -> tuple[Confused, ...]:
    """The confusions that the artifact makes most often, beside the framework's."""
    pairs = [(times, pair) for pair, times in after.counts.items() if pair[0] != pair[1]]
    pairs.sort(key=lambda each: (-each[0], each[1]))
    return tuple(
        Confused(after.labels[i], after.labels[j], before.counts.get((i, j), 0), times)
        for times, (i, j) in pairs[:count]
    )


def _classes(score: Score) -> dict[str, tuple[int, float | None]]:
    if isinstance(score, DetectionScore):
        return {each.label: (each.support, each.ap) for each in score.classes}
    return {each.label: (each.support, each.recall) for each in score.classes}


def _known(row: ClassRow) -> list[float]:
    return [each for each in row.figures if each is not None]
