"""The prune step of a recipe: takes channels out, exports both nets, and refuses what is no faster for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from torch import nn

from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.latency import Speedup, compare
from edgekit.converters.prune.cost import parameters
from edgekit.converters.prune.gradients import Gradients, training_gradients
from edgekit.converters.prune.search import Pruned, Search
from edgekit.converters.prune.settings import Prune
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.quantize.for_openvino import quantize_openvino
from edgekit.converters.quantize.for_tflite import quantize_tflite
from edgekit.converters.steps import StepContext, Stepped
from edgekit.errors import ConversionError

# What is measured: a module as the file that will run.
Export: TypeAlias = Callable[[nn.Module], Exported]

_QUANTIZERS: dict[str, Callable[..., Exported]] = {
    "onnx": quantize_onnx,
    "openvino": quantize_openvino,
    "tflite": quantize_tflite,
}
_CALIBRATION = 8  # pictures are enough here: how long integers take does not hang on their ranges
_SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)  # of the multiply-adds, tried in turn for a speed-up


def run_prune(
    module: nn.Module,
    step: Prune,
    context: StepContext,
    export: Export | None = None,
    gradients: Gradients | None = None,
) -> Stepped:
    """A copy of `module` with fewer channels, its outputs' shapes unchanged; `module` itself stays as it is.

    `module`: eval mode, float32, on the CPU, as `load_model` gives it. `export`: what makes the file that is measured;
    by default `step.measure` in `step.precision`, calibrated on 8 of the training pictures. `gradients`: what 'taylor'
    goes by; by default those of the training loss, see `training_gradients`.
    `ConversionError` where the net cannot be traced or pruned, not so far, or is no faster for it.
    """
    if step.importance == "taylor":
        gradients = gradients or training_gradients(context)
    elif gradients is not None:
        raise ValueError(f"only the importance 'taylor' goes by gradients; the step has '{step.importance}'")
    context.tell("pruning", 0, 1)
    search = Search(module, step, context.input, gradients)
    pruned, gained = _measured(search, export or exporter(step, context), context)
    context.tell("pruning", 1, 1)
    return _stepped(search, pruned, gained)


def _measured(search: Search, make: Export, context: StepContext) -> tuple[Pruned, Speedup | None]:
    """What reaches the step's goal, and how much faster it is; None where that is not measured."""
    step = search.step
    if step.macs is None:
        return _mildest(search, make(search.module), make, context)
    pruned = search.at_most(step.macs)
    if step.measure == "none":
        return pruned, None
    gained = compare(make(search.module), make(pruned.module))
    if gained.cpu.low <= 1:
        raise ConversionError(
            f"prune: {pruned.share:.2f} of the multiply-adds are not faster on this host: {gained}; prune further, or "
            'leave the step out; if another machine is the target, build on such a one, or say measure = "none"'
        )
    return pruned, gained


def exporter(step: Prune, context: StepContext) -> Export:
    """`step.measure` in `step.precision`; `ConversionError` for INT8 without training pictures to calibrate on."""

    def in_float(module: nn.Module) -> Exported:
        return to_tflite(module, context.input) if step.measure == "tflite" else to_onnx(module, context.input)

    def make(module: nn.Module) -> Exported:
        made = in_float(module)
        if step.precision == "int8":
            return _QUANTIZERS[step.measure](made, pictures.tensors(made.input))
        return as_openvino(made) if step.measure == "openvino" else made

    if step.precision == "float" or step.measure == "none":
        return make
    if context.training is None:
        raise ConversionError(
            "prune: INT8 is measured and there are no training pictures to calibrate on; name some in [training], or "
            'say precision = "float"'
        )
    pictures = context.training.draw(_CALIBRATION, context.seed)
    return make


def _mildest(search: Search, before: Exported, make: Export, context: StepContext) -> tuple[Pruned, Speedup]:
    """The mildest pruning whose file is fast enough; `ConversionError` lists all that was measured where none is."""
    wanted = float(search.step.speedup or 0)
    tried = []
    for done, pruned in enumerate(_ladder(search)):
        context.tell("measuring prunings", done, len(_SHARES) + 1)
        gained = compare(before, make(pruned.module))
        if gained.cpu.low >= wanted:
            return pruned, gained
        tried.append(f"{gained.cpu} at {pruned.share:.2f}")
    raise ConversionError(
        f"prune: no pruning is {wanted:g} times as fast in {gained.engine} on this host; of the multiply-adds: "
        f"{', '.join(tried)}"
    )


def _ladder(search: Search) -> Iterator[Pruned]:
    """From mild to harsh, each once: rounding makes the same net of many shares."""
    last = None
    for share in (*(share for share in _SHARES if share > search.least), search.least):
        pruned = search.at_most(share)
        if pruned.plan != last:
            yield pruned
        last = pruned.plan


def _stepped(search: Search, pruned: Pruned, gained: Speedup | None) -> Stepped:
    figures = {
        "macs_before_m": round(search.macs / 1e6, 3),
        "macs_after_m": round(pruned.macs / 1e6, 3),
        "macs_share": round(pruned.share, 4),
        "parameters_before": parameters(search.module),
        "parameters_after": parameters(pruned.module),
    }
    notes = tuple(_notes(search, pruned))
    if gained is None:
        return Stepped(pruned.module, figures, notes=(*notes, "how much faster it is was not measured"))
    measured = {
        "speedup": gained.cpu.median,
        "speedup_low": gained.cpu.low,
        "speedup_high": gained.cpu.high,
        "speedup_wall": gained.wall.median,
    }
    return Stepped(pruned.module, figures, measured, notes)


def _notes(search: Search, pruned: Pruned) -> Iterator[str]:
    gone = sum(len(channels) for channels in pruned.plan.values())
    yield f"{gone} channels of {len(pruned.plan)} layers went; {pruned.share:.3f} of the multiply-adds stay"
    if search.refused:
        layer, reason = next(iter(search.refused.items()))
        yield f"{len(search.refused)} layers that could have given channels stay whole, such as '{layer}': {reason}"
