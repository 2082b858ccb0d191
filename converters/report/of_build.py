"""The report of a build, from what the build has at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgekit.converters.build import Built
from edgekit.converters.framework import ModuleSession
from edgekit.converters.judging import Judged
from edgekit.converters.paired import Interval, detection_intervals, found_interval, outcomes
from edgekit.converters.quantize.escalate import Escalation
from edgekit.converters.report.changed import Changed, Side, changed_answers
from edgekit.converters.report.report import (
    FRAMEWORK,
    Latency,
    Layer,
    Report,
    StepRow,
    report_of,
    weakest,
)
from edgekit.converters.scores import DetectionScore, Score, accuracy_of
from edgekit.converters.stepping import Standing
from edgekit.engines import open_session
from edgekit.plan import ENGINES, EnginePlan
from edgekit.tasks import make_task


def report_on(built: Built, measured: Mapping[str, Any]) -> Report:
    """Everything that is known of a build. measured: what its bundle keeps of this host's times; may be empty."""
    judged = built.variants.judged
    scores = {FRAMEWORK: built.score} | {name: each.score for name, each in judged.items()}
    compared = weakest(scores)
    return report_of(
        built.manifest.name,
        built.manifest.release,
        built.manifest.evidence,
        scores,
        outcome=built.verdict.outcome,
        sizes={name: _size(each) for name, each in judged.items()},
        latency={name: found for name, each in measured.get("latency", {}).items() if (found := _latency(each))},
        host=measured.get("environment", ""),
        steps=tuple(_steps(built)) if built.steps else (),
        sensitivity={target: tuple(_layers(found)) for target, found in built.variants.int8.items() if found.sensitive},
        changed=_changed(built, compared),
        compared=compared,
    )


def _size(judged: Judged) -> int:
    artifact = judged.exported.artifact
    return len(artifact.model) + len(artifact.weights)


def _latency(found: Mapping[str, Any]) -> Latency | None:
    """The bare engine's; None where too few runs were measured."""
    percentiles = [found[f"p{p}_ms"] for p in (10, 50, 90)]
    return None if None in percentiles else Latency(percentiles[1], percentiles[0], percentiles[2])


def _steps(built: Built) -> Iterator[StepRow]:
    """The model as it came, then after each step."""
    before = built.start
    yield _row("as it came", before)
    for number, done in enumerate(built.steps, 1):
        yield _row(
            f"{number}. {done.step.kind}",
            done.after,
            interval=_interval(before.score, done.after.score),
            figures={**done.entry.figures, **done.entry.measured},
            notes=done.entry.notes,
            seconds=done.entry.seconds,
        )
        before = done.after


def _row(title: str, standing: Standing, **more: Any) -> StepRow:
    return StepRow(title, accuracy_of(standing.score), macs=standing.macs, params=standing.parameters, **more)


def _interval(before: Score, after: Score) -> Interval | None:
    """Of the drop in the one figure that a model is known by."""
    if isinstance(before, DetectionScore) and isinstance(after, DetectionScore):
        return detection_intervals(before, after)["ap"]
    return found_interval(outcomes(before, after))


def _layers(found: Escalation) -> Iterator[Layer]:
    for each in found.sensitive:
        yield Layer(each.operator, each.sqnr_db, found.settings.keeps(each.operator))


def _changed(built: Built, compared: str) -> tuple[Changed, ...]:
    """The pictures on which the framework and the weakest artifact part, each looked at anew."""
    opened, judged = built.opened, built.variants.judged[compared]
    spec, head, labels = opened.recipe.input, opened.loaded.head, opened.labels
    framework = make_task(ModuleSession(built.module, spec), spec, head, labels)
    artifact = judged.exported.artifact
    with open_session(artifact, EnginePlan(ENGINES[artifact.format][0])) as session:
        task = make_task(session, judged.exported.input, head, labels)
        sides = Side(FRAMEWORK, built.score, framework, built.module), Side(compared, judged.score, task)
        return changed_answers(opened.pictures["evaluation"], *sides)
