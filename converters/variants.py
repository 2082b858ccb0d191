"""A model's artifacts, each judged: of every target in float, and in INT8 where the recipe quantizes.

INT8 that the gate refuses is repaired as the recipe allows, see `quantize.escalate`; every try is in the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from torch import nn

from edgekit.contract import Format
from edgekit.converters.data import Dataset
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.judging import Judge, Judged
from edgekit.converters.ladder import export_divergence, int8_divergence
from edgekit.converters.quantize import Calibrator
from edgekit.converters.quantize.escalate import Escalation, Grade, quantize_until
from edgekit.converters.quantize.static import Seen
from edgekit.converters.recipe import Quantize, Recipe
from edgekit.converters.scores import accuracy_of
from edgekit.converters.steps import Progress

_LOOKED_INTO = 2  # pictures, to find where a file that failed parts from what it was made of


@dataclass(frozen=True, eq=False)
class Variants:
    """What was made of a model. judged: by the variant's name. int8: how each target came to its INT8."""

    judged: Mapping[str, Judged]
    int8: Mapping[Format, Escalation]

    @property
    def failed_int8(self) -> tuple[Format, ...]:
        """The targets whose INT8 the gate refused."""
        return tuple(target for target in self.int8 if self.judged[f"{target}-int8"].outcome == "FAIL")


def make_variants(
    recipe: Recipe, module: nn.Module, calibration: Dataset | None, judge: Judge, tell: Progress
) -> Variants:
    """Export `module` to every target, quantize it, and hold each file against it."""
    floats = _Floats(recipe, module)
    judged = {}
    for done, target in enumerate(recipe.targets):
        tell("exporting", done, len(recipe.targets))
        start = floats.start(target)
        exported = as_openvino(start) if target == "openvino" else start
        found = judge.judge(f"{target}-float", exported)
        failed = target == "onnx" and found.outcome == "FAIL"
        parted = export_divergence(module, recipe.input, start, judge.pictures[:_LOOKED_INTO]) if failed else None
        judged[f"{target}-float"] = found.because(parted)
    tell("exporting", len(recipe.targets), len(recipe.targets))
    made = _all_in_int8(recipe, recipe.targets, floats, calibration, judge, tell)
    return Variants({**judged, **made.judged}, made.int8)


def again_in_int8(
    variants: Variants, recipe: Recipe, trained: nn.Module, calibration: Dataset | None, judge: Judge, tell: Progress
) -> Variants:
    """The same, with the INT8 that the gate refused made anew of `trained`, the module after training for it.

    All else stays: float files, and INT8 that passed, are of the model that was not trained for it. `judge`: of that
    model, which INT8 still has to come up to.
    """
    made = _all_in_int8(recipe, variants.failed_int8, _Floats(recipe, trained), calibration, judge, tell)
    judged = {name: each.after_training(variants.judged[name]) for name, each in made.judged.items()}
    return Variants({**variants.judged, **judged}, {**variants.int8, **made.int8})


class _Floats:
    """A module's float files, each made when it is first asked for."""

    def __init__(self, recipe: Recipe, module: nn.Module) -> None:
        self._onnx = cache(lambda: to_onnx(module, recipe.input))
        self._tflite = cache(lambda: to_tflite(module, recipe.input))

    def start(self, target: Format) -> Exported:
        """What the target's INT8 is made of: for OpenVINO the ONNX file."""
        return (self._tflite if target == "tflite" else self._onnx)()


def _all_in_int8(
    recipe: Recipe,
    targets: Iterable[Format],
    floats: _Floats,
    calibration: Dataset | None,
    judge: Judge,
    tell: Progress,
) -> Variants:
    """INT8 alone; nothing where the recipe does not quantize."""
    step = recipe.quantize
    if step is None or calibration is None:
        return Variants({}, {})
    judged, int8 = {}, {}
    seen: dict[Format, dict[Calibrator, Seen]] = {"onnx": {}, "tflite": {}}
    for target in targets:
        start = floats.start(target)
        known = seen[start.artifact.format]
        judged[f"{target}-int8"], int8[target] = _in_int8(target, start, known, step, calibration, judge, tell)
    return Variants(judged, int8)


def _in_int8(
    target: Format,
    start: Exported,
    seen: dict[Calibrator, Seen],
    step: Quantize,
    calibration: Dataset,
    judge: Judge,
    tell: Progress,
) -> tuple[Judged, Escalation]:
    tensors = calibration.tensors(start.input)
    tries: dict[int, Judged] = {}

    def graded(exported: Exported) -> Grade:
        tries[id(exported)] = found = judge.judge(f"{target}-int8", exported)
        return Grade(found.outcome, accuracy_of(found.score))

    settings = step.settings("tflite" if target == "tflite" else "onnx")
    found = quantize_until(start, target, tensors, settings, graded, step.repair, tell, seen)
    best = tries[id(found.best)]
    if best.outcome == "FAIL" and target != "openvino":  # whose file is made of the ONNX one
        best = best.because(int8_divergence(start, found.best, tensors[:_LOOKED_INTO]))
    return replace(best, evidence=replace(best.evidence, attempts=tuple(map(str, found.attempts)))), found
