"""Everything that the page about a build shows, worked out once and held as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgekit.bundle import Evidence, VariantEvidence
from edgekit.converters.gate import Verdict, worst
from edgekit.converters.paired import Interval, outcomes
from edgekit.converters.report.changed import Changed
from edgekit.converters.report.classes import (
    ClassRow,
    Confused,
    Confusion,
    class_rows,
    commonest,
    confusion_of,
)
from edgekit.converters.report.front import Candidate, Placed, pareto
from edgekit.converters.report.reliability import Reliability, reliability_of
from edgekit.converters.scores import ClassificationScore, Score, accuracy_of
from edgekit.outcome import Outcome

FRAMEWORK = "framework"


@dataclass(frozen=True)
class Latency:
    """Milliseconds: the median, and the range that the runs are told by."""

    median_ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True)
class StepRow:
    """The model after a step; the first row is the model as it came.

    accuracy: top-1 or AP, where it was evaluated. interval: the 95 % interval of its drop against the row before.
    size: bytes. figures, notes: the step's own words. seconds: what it took on this host.
    """

    title: str
    accuracy: float | None = None
    interval: Interval | None = None
    macs: int | None = None
    params: int | None = None
    size: int | None = None
    latency: Latency | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True)
class Layer:
    """One operator of a net. sqnr_db: signal to noise at the net's outputs where this operator alone is in INT8, 120 or
    more where nothing is lost. in_float: it stays in float in the artifact."""

    operator: str
    sqnr_db: float
    in_float: bool


@dataclass(frozen=True)
class VariantRow:
    """The framework, which has no `evidence` of its own, or one artifact. None: not measured."""

    name: str
    figures: Mapping[str, float]
    size: int | None
    latency: Latency | None
    evidence: VariantEvidence | None = None


@dataclass(frozen=True)
class Parted:
    """How the compared artifact parts from the framework, in `things`, of which there are `total`."""

    things: Literal["pictures", "true boxes"]
    total: int
    lost: int
    won: int


@dataclass(frozen=True)
class Report:
    """A build as its page shows it.

    outcome: the build's, the worst of all that was judged. figure: what accuracy means here, 'top1' or 'ap'. compared:
    the artifact whose classes, confusions and changed pictures are held against the framework's. scored: the names
    behind the columns of `classes`. confusions: the framework's and the compared artifact's; None for a detector.
    changed: None where nobody looked.
    """

    name: str
    release: int
    host: str
    evidence: Evidence
    outcome: Outcome
    figure: Literal["top1", "ap"]
    compared: str
    variants: tuple[VariantRow, ...]
    front: tuple[Placed, ...]
    scored: tuple[str, ...]
    classes: tuple[ClassRow, ...]
    confusions: tuple[Confusion, Confusion] | None
    confused: tuple[Confused, ...]
    reliability: Mapping[str, Reliability | None]
    steps: tuple[StepRow, ...]
    sensitivity: Mapping[str, tuple[Layer, ...]]
    parted: Parted
    changed: tuple[Changed, ...] | None

    def variant(self, name: str) -> VariantRow:
        return next(each for each in self.variants if each.name == name)


def weakest(scores: Mapping[str, Score]) -> str:
    """The artifact that reached least; the later one of equals, for INT8 comes after float."""
    artifacts = [name for name in scores if name != FRAMEWORK]
    if FRAMEWORK not in scores or not artifacts:
        raise ValueError(f"a report needs the score of '{FRAMEWORK}' and of an artifact; got {', '.join(scores)}")
    return min(reversed(artifacts), key=lambda name: accuracy_of(scores[name]))


def report_of(
    name: str,
    release: int,
    evidence: Evidence,
    scores: Mapping[str, Score],
    *,
    outcome: Outcome | None = None,
    sizes: Mapping[str, int] | None = None,
    latency: Mapping[str, Latency] | None = None,
    host: str = "",
    steps: Sequence[StepRow] = (),
    sensitivity: Mapping[str, Sequence[Layer]] | None = None,
    changed: Sequence[Changed] | None = None,
    compared: str | None = None,
) -> Report:
    """The report of a build.

    scores: of the 'framework' and of every variant in `evidence`, on the same pictures. outcome: the build's; the worst
    of the variants' where there was nothing else to judge. sizes: bytes, and latency, by
    the same names. host: where latency was measured. changed: by `changed_answers`, of `compared`, which is the
    `weakest` artifact where it is not named. What is left out is told as not measured.
    ValueError where the scores are not those of the evidence's variants.
    """
    if set(scores) != {FRAMEWORK, *evidence.variants}:
        raise ValueError(
            f"scores are of '{FRAMEWORK}' and the evidence's variants, {', '.join(evidence.variants)}; "
            f"got {', '.join(scores)}"
        )
    scores = {FRAMEWORK: scores[FRAMEWORK], **{each: scores[each] for each in evidence.variants}}
    compared = compared or weakest(scores)
    before, after = scores[FRAMEWORK], scores[compared]
    variants = tuple(_variants(evidence, sizes or {}, latency or {}))
    confusions = None
    if isinstance(before, ClassificationScore) and isinstance(after, ClassificationScore):
        confusions = confusion_of(before), confusion_of(after)
    figure: Literal["top1", "ap"] = "ap" if confusions is None else "top1"
    return Report(
        name=name,
        release=release,
        host=host,
        evidence=evidence,
        outcome=outcome or worst([Verdict(each.outcome, each.reasons) for each in evidence.variants.values()]).outcome,
        figure=figure,
        compared=compared,
        variants=variants,
        front=pareto([_candidate(each, figure) for each in variants] + [_stage(each) for each in steps]),
        scored=tuple(scores),
        classes=class_rows(scores),
        confusions=confusions,
        confused=commonest(*confusions) if confusions else (),
        reliability={name: reliability_of(score) for name, score in scores.items()},
        steps=tuple(steps),
        sensitivity={target: tuple(layers) for target, layers in (sensitivity or {}).items()},
        parted=_parted(before, after),
        changed=None if changed is None else tuple(changed),
    )


def _variants(evidence: Evidence, sizes: Mapping[str, int], latency: Mapping[str, Latency]) -> Iterator[VariantRow]:
    yield VariantRow(FRAMEWORK, evidence.framework, sizes.get(FRAMEWORK), latency.get(FRAMEWORK))
    for name, found in evidence.variants.items():
        yield VariantRow(name, found.figures, sizes.get(name), latency.get(name), found)


def _candidate(row: VariantRow, figure: str) -> Candidate:
    return Candidate(row.name, row.figures.get(figure), row.latency.median_ms if row.latency else None, row.size)


def _stage(row: StepRow) -> Candidate:
    return Candidate(row.title, row.accuracy, row.latency.median_ms if row.latency else None, row.size)


def _parted(before: Score, after: Score) -> Parted:
    paired = outcomes(before, after)
    things: Literal["pictures", "true boxes"] = "pictures" if isinstance(before, ClassificationScore) else "true boxes"
    return Parted(things, len(paired.labels), paired.lost, paired.won)
