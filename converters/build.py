"""From a recipe to a bundle: load, export, quantize, hold every artifact against the framework, judge, seal.

`build` computes and judges; nothing is written before `Built.write`, and that writes one whole file or none.
"""

from __future__ import annotations

import importlib.metadata
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from edgekit import schema
from edgekit.bundle import (
    CLASSES,
    Evidence,
    Golden,
    Manifest,
    Variant,
    VariantEvidence,
    canonical,
    golden_files,
    write_bundle,
)
from edgekit.contract import AnyHead, Format, InputSpec, task_of
from edgekit.converters.data import Dataset, open_dataset
from edgekit.converters.evaluate import evaluate
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.framework import ModuleSession
from edgekit.converters.gate import Verdict, judge, worst
from edgekit.converters.load import load_model
from edgekit.converters.parity import Precision, check_parity
from edgekit.converters.quantize.coverage import coverage_of
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.quantize.for_tflite import quantize_tflite
from edgekit.converters.recipe import COMPARED, Recipe
from edgekit.converters.scores import Score
from edgekit.engines import check_loads, open_session
from edgekit.frames import Image
from edgekit.plan import ENGINES, EnginePlan
from edgekit.preprocess import preprocess
from edgekit.tasks import AnyTask, make_task
from edgekit.verify import relative_error

# told (what is being done, how much of it is done, how much there is)
Progress: TypeAlias = Callable[[str, int, int], None]

_TOOLS = (
    "edgekit", "torch", "torchvision", "onnx", "onnxruntime", "openvino", "nncf", "ai-edge-litert", "litert-torch",
    "ai-edge-quantizer", "numpy", "opencv-python-headless",
)  # fmt: skip
_GOLDEN_SIDE = 640  # the longer side of a golden frame, at most


@dataclass(frozen=True, eq=False)
class Built:
    """A bundle that is ready to be written, and the gate's word on it."""

    manifest: Manifest
    files: Mapping[str, bytes]
    verdict: Verdict

    def allowing(self, what: str) -> Built:
        """The same with a note in its evidence, for ever, that somebody allowed `what` the gate did not."""
        evidence = replace(self.manifest.evidence, allowed=(*self.manifest.evidence.allowed, what))
        return replace(self, manifest=replace(self.manifest, evidence=evidence))

    def write(self, path: Path | str, measured: Mapping[str, Any] | None = None) -> str:
        """Write the bundle to `path`, whole or not at all; returns its digest."""
        return write_bundle(path, self.manifest, self.files, measured)


def build(recipe: Recipe, progress: Progress | None = None) -> Built:
    """Run a recipe from end to end. Raises EdgekitError with the step's own words where one cannot be done.

    The verdict is the worst of all variants': it is the caller's business not to ship a bundle that did not pass.
    """
    tell = progress or (lambda stage, done, total: None)
    _seed(recipe.seed)
    recipe.gate.check(task_of(recipe.head))
    labels = recipe.read_labels()
    evaluation = open_dataset(recipe.evaluation, labels, recipe.folder, recipe.seed)
    calibration = None
    if recipe.calibration is not None:
        calibration = open_dataset(recipe.calibration, labels, recipe.folder, recipe.seed)
    for data in filter(None, (evaluation, calibration)):
        data.check_readable()
    loaded = load_model(recipe.model, recipe.folder, recipe.input, recipe.head)
    reference = make_task(ModuleSession(loaded.module, recipe.input), recipe.input, loaded.head, labels)
    bench = _Bench(recipe, labels, loaded.head, evaluation, reference, tell)
    exports = dict(_exports(recipe, loaded.module, calibration, tell))
    judged = {name: bench.judge(name, exported) for name, exported in exports.items()}
    verdict = worst([_named(name, each.verdict) for name, each in judged.items()])
    return Built(*_seal(recipe, labels, bench, exports, judged, calibration), verdict)


@dataclass(frozen=True, eq=False)
class _Judged:
    evidence: VariantEvidence
    verdict: Verdict
    score: Score


class _Bench:
    """Where artifacts are held against the framework: its outputs and its score are computed once."""

    def __init__(
        self,
        recipe: Recipe,
        labels: tuple[str, ...],
        head: AnyHead,
        evaluation: Dataset,
        reference: AnyTask,
        tell: Progress,
    ) -> None:
        self.recipe, self.labels, self.head, self.evaluation, self.tell = recipe, labels, head, evaluation, tell
        drawn = evaluation.draw(COMPARED, recipe.seed)
        self.pictures = [_small(image) for _, image in drawn.pictures()]
        self.outputs = [reference.session.run(preprocess(each, recipe.input)[0]) for each in self.pictures]
        self.score = self._evaluate(reference, "evaluating the framework")

    @property
    def golden(self) -> list[Golden]:
        pairs = zip(self.pictures, self.outputs, strict=True)
        return [Golden(picture, outputs) for picture, outputs in list(pairs)[: self.recipe.golden]]

    def judge(self, name: str, exported: Exported) -> _Judged:
        """Run one artifact in its own engine against the framework's outputs and the evaluation set."""
        plan = EnginePlan(ENGINES[exported.artifact.format][0], threads=os.cpu_count() or 1)
        check_loads(exported.artifact, plan)
        precision = _precision(name)
        with open_session(exported.artifact, plan) as session:
            answers = [session.run(preprocess(each, exported.input)[0]) for each in self.pictures]
            parity = check_parity(self.outputs, answers, self.head, self.recipe.input, len(self.labels), precision)
            score = self._evaluate(make_task(session, exported.input, self.head, self.labels), f"evaluating {name}")
        verdict = worst([judge(self.score, score, self.recipe.gate), parity.verdict])
        golden = zip(self.outputs[: self.recipe.golden], answers, strict=False)
        coverage = coverage_of(exported.artifact) if precision == "int8" else None
        evidence = VariantEvidence(
            engine=session.engine,
            outcome=verdict.outcome,
            reasons=verdict.reasons,
            figures=score.figures(),
            parity=parity.figures(),
            golden_error=round(max((relative_error(want, got) for want, got in golden), default=0.0), 6),
            int8_convolutions=(coverage.int8, coverage.total) if coverage else None,
        )
        return _Judged(evidence, verdict, score)

    def _evaluate(self, task: AnyTask, stage: str) -> Score:
        return evaluate(task, self.evaluation, lambda done, total: self.tell(stage, done, total))


def _exports(
    recipe: Recipe, module: torch.nn.Module, calibration: Dataset | None, tell: Progress
) -> Iterator[tuple[str, Exported]]:
    """Each variant's name and artifact: of each target in float, then in INT8 where the recipe quantizes."""
    onnx = cache(lambda: to_onnx(module, recipe.input))
    tflite = cache(lambda: to_tflite(module, recipe.input))
    for done, target in enumerate(recipe.targets):
        tell("exporting", done, len(recipe.targets))
        yield f"{target}-float", _for_target(target, onnx, tflite)
    tell("exporting", len(recipe.targets), len(recipe.targets))
    step = recipe.quantize
    if step is None or calibration is None:
        return

    def quantized(start: Exported, target: Literal["onnx", "tflite"]) -> Exported:
        tensors = [preprocess(image, start.input)[0] for _, image in calibration.pictures()]
        stage = f"calibrating {target}"
        run = {"onnx": quantize_onnx, "tflite": quantize_tflite}[target]
        return run(start, tensors, step.settings(target), lambda done, total: tell(stage, done, total))

    int8_onnx = cache(lambda: quantized(onnx(), "onnx"))
    int8_tflite = cache(lambda: quantized(tflite(), "tflite"))
    for target in recipe.targets:
        yield f"{target}-int8", _for_target(target, int8_onnx, int8_tflite)


def _for_target(target: Format, onnx: Callable[[], Exported], tflite: Callable[[], Exported]) -> Exported:
    """OpenVINO's files are made of the ONNX ones, in float and in INT8."""
    if target == "tflite":
        return tflite()
    return onnx() if target == "onnx" else as_openvino(onnx())


def _seal(
    recipe: Recipe,
    labels: tuple[str, ...],
    bench: _Bench,
    exports: Mapping[str, Exported],
    judged: Mapping[str, _Judged],
    calibration: Dataset | None,
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest and the files of a bundle."""
    files: dict[str, bytes] = golden_files(bench.golden)
    variants = []
    for name, exported in exports.items():
        variant = _variant(name, exported)
        variants.append(variant)
        files[variant.model] = exported.artifact.model
        if variant.weights is not None:
            files[variant.weights] = exported.artifact.weights
    scores = {"framework": bench.score} | {name: each.score for name, each in judged.items()}
    files[CLASSES] = canonical({name: schema.dump(score)["classes"] for name, score in scores.items()})
    data = {"evaluation": bench.evaluation.digest()}
    if calibration is not None:
        data["calibration"] = calibration.digest()
    evidence = Evidence(
        images=len(bench.evaluation),
        framework=bench.score.figures(),
        variants={name: each.evidence for name, each in judged.items()},
        data=data,
        tools={name: version for name in _TOOLS if (version := _version(name))},
    )
    manifest = Manifest(
        name=recipe.name,
        release=recipe.release,
        input=recipe.input,
        head=bench.head,
        labels=labels,
        variants=tuple(variants),
        evidence=evidence,
        golden=len(bench.golden),
    )
    return manifest, files


def _variant(name: str, exported: Exported) -> Variant:
    artifact, ending = exported.artifact, {"onnx": "onnx", "openvino": "xml", "tflite": "tflite"}
    return Variant(
        name=name,
        format=artifact.format,
        precision=_precision(name),
        input=exported.input,
        model=f"{name}/model.{ending[artifact.format]}",
        weights=f"{name}/model.bin" if artifact.weights else None,
    )


def _precision(name: str) -> Precision:
    return "int8" if name.endswith("-int8") else "float"


def _named(name: str, verdict: Verdict) -> Verdict:
    return replace(verdict, reasons=tuple(f"{name}: {reason}" for reason in verdict.reasons))


def _small(image: Image) -> Image:
    """At most 640 pixels on the longer side, so that golden frames do not weigh more than the model."""
    longer = max(image.shape[:2])
    if longer <= _GOLDEN_SIDE:
        return image
    height, width = (max(1, round(side * _GOLDEN_SIDE / longer)) for side in image.shape[:2])
    spec = InputSpec(width, height, fit="stretch", interpolation="area", colour="BGR").raw("uint8", "NHWC")
    return np.asarray(preprocess(image, spec)[0][0], np.uint8)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  third parties draw from it
    torch.manual_seed(seed)


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
