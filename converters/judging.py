"""Where artifacts are held against the framework: parity on a few pictures, accuracy on all, each in its own engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from edgekit.bundle import Golden, VariantEvidence
from edgekit.contract import AnyHead, InputSpec
from edgekit.converters.data import Dataset
from edgekit.converters.evaluate import evaluate
from edgekit.converters.export import Exported
from edgekit.converters.framework import ModuleSession
from edgekit.converters.gate import Verdict, judge, worst
from edgekit.converters.parity import Precision, check_parity
from edgekit.converters.quantize.coverage import coverage_of
from edgekit.converters.quantize.in_float import operators_in_float
from edgekit.converters.recipe import COMPARED, Recipe
from edgekit.converters.scores import Score
from edgekit.converters.steps import Progress
from edgekit.engines import check_loads, open_session
from edgekit.frames import Image
from edgekit.outcome import Outcome
from edgekit.plan import ENGINES, EnginePlan
from edgekit.preprocess import fit, preprocess
from edgekit.tasks import AnyTask, make_task
from edgekit.verify import relative_error

_GOLDEN_SIDE = 640  # the longer side of a golden frame, at most


@dataclass(frozen=True, eq=False)
class Judged:
    """One artifact, and what was found of it."""

    exported: Exported
    evidence: VariantEvidence
    verdict: Verdict
    score: Score

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome

    def because(self, why: object) -> Judged:
        """The same with one more reason beside its verdict; as it is where there is none."""
        if why is None:
            return self
        reasons = (*self.verdict.reasons, f"{self.outcome}: {why}")
        verdict, evidence = replace(self.verdict, reasons=reasons), replace(self.evidence, reasons=reasons)
        return replace(self, verdict=verdict, evidence=evidence)

    def after_training(self, before: Judged) -> Judged:
        """The same, told after what was tried on the model before it was trained for INT8."""
        own = (f"after training for it, {each}" for each in self.evidence.attempts)
        return replace(self, evidence=replace(self.evidence, attempts=(*before.evidence.attempts, *own)))


class Evaluator:
    """Scores modules of one contract on the evaluation set, by the framework itself."""

    def __init__(
        self, recipe: Recipe, labels: tuple[str, ...], head: AnyHead, evaluation: Dataset, tell: Progress
    ) -> None:
        self.recipe, self.labels, self.head, self.evaluation, self.tell = recipe, labels, head, evaluation, tell

    def framework(self, module: nn.Module) -> AnyTask:
        """The module as a task that is ready to be called."""
        return make_task(ModuleSession(module, self.recipe.input), self.recipe.input, self.head, self.labels)

    def score_of(self, module: nn.Module, stage: str) -> Score:
        return self.score(self.framework(module), stage)

    def score(self, task: AnyTask, stage: str) -> Score:
        return evaluate(task, self.evaluation, lambda done, total: self.tell(stage, done, total))


class Judge:
    """Holds artifacts against one module, whose outputs are computed once.

    score: the module's own on the evaluation set.
    """

    def __init__(self, evaluator: Evaluator, module: nn.Module, score: Score) -> None:
        reference = evaluator.framework(module)
        recipe = evaluator.recipe
        self._by = evaluator
        self.pictures = [_small(image) for _, image in evaluator.evaluation.draw(COMPARED, recipe.seed).pictures()]
        self.outputs = [reference.session.run(preprocess(each, recipe.input)[0]) for each in self.pictures]
        self.score = score

    @property
    def golden(self) -> list[Golden]:
        """The frames that travel in the bundle, with the framework's outputs for them."""
        pairs = zip(self.pictures, self.outputs, strict=True)
        spec, few = self._by.recipe.input, self._by.recipe.golden
        return [Golden(picture, outputs, fit(picture, spec)) for picture, outputs in list(pairs)[:few]]

    def judge(self, name: str, exported: Exported) -> Judged:
        """Run one artifact in its own engine against the framework's outputs and the evaluation set."""
        by, golden = self._by, self._by.recipe.golden
        plan = EnginePlan(ENGINES[exported.artifact.format][0], threads=os.cpu_count() or 1)
        check_loads(exported.artifact, plan)
        precision = precision_of(name)
        with open_session(exported.artifact, plan) as session:
            answers = [session.run(preprocess(each, exported.input)[0]) for each in self.pictures]
            parity = check_parity(self.outputs, answers, by.head, by.recipe.input, len(by.labels), precision)
            score = by.score(make_task(session, exported.input, by.head, by.labels), f"evaluating {name}")
        verdict = worst([judge(self.score, score, by.recipe.gate), parity.verdict])
        int8 = precision == "int8"
        coverage = coverage_of(exported.artifact) if int8 else None
        pairs = zip(self.outputs[:golden], answers, strict=False)
        evidence = VariantEvidence(
            engine=session.engine,
            outcome=verdict.outcome,
            reasons=verdict.reasons,
            figures=score.figures(),
            parity=parity.figures(),
            golden_error=round(max((relative_error(want, got) for want, got in pairs), default=0.0), 6),
            int8_convolutions=(coverage.int8, coverage.total) if coverage else None,
            in_float=dict(operators_in_float(exported.artifact)) if int8 else {},
        )
        return Judged(exported, evidence, verdict, score)


def precision_of(variant: str) -> Precision:
    return "int8" if variant.endswith("-int8") else "float"


def all_of(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The worst of several verdicts, each line with whom it is about."""
    told = [replace(each, reasons=tuple(f"{name}: {why}" for why in each.reasons)) for name, each in verdicts.items()]
    return worst(told)


def _small(image: Image) -> Image:
    """At most 640 pixels on the longer side, so that golden frames do not weigh more than the model."""
    longer = max(image.shape[:2])
    if longer <= _GOLDEN_SIDE:
        return image
    height, width = (max(1, round(side * _GOLDEN_SIDE / longer)) for side in image.shape[:2])
    spec = InputSpec(width, height, fit="stretch", interpolation="area", colour="BGR").raw("uint8", "NHWC")
    return np.asarray(preprocess(image, spec)[0][0], np.uint8)
