"""What stands in the way of each target, all of it at once, before anything is calibrated, measured or written.

    for block in explain(read_recipe("cart.toml")):
        print(block)

A converter names one operator and stops. Here the traced network is taken apart as each converter would, and every
operator is looked up in the converter's own table. Where that finds nothing the float file is made, to be sure: tables
do not tell of every argument. An ONNX file is first held against the importer's table.
"""

from __future__ import annotations

import copy
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import torch
from torch import fx, nn
from torch.export import ExportedProgram

from edgekit.contract import Format, InputSpec
from edgekit.converters.costly import costly
from edgekit.converters.export import Exported, example_of
from edgekit.converters.export.to_onnx import OPSET, to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import quiet, to_tflite
from edgekit.converters.load import RawOutputs, load_model
from edgekit.converters.onnx_to_torch import explain as explain_onnx
from edgekit.converters.recipe import Recipe
from edgekit.converters.steering import own_line, own_line_of, steered_lines
from edgekit.errors import ConversionError

Shape: TypeAlias = tuple[int, ...]
Found: TypeAlias = Iterator[tuple[fx.Node, str]]

_OUTSIDE = "leave it to the code after the model's outputs, or write it in other operators"
_FLOAT = "take one that has (ReLU6 to activate, nearest to upsample), or measure whether INT8 pays: edgekit bench"
_BRANCHLESS = "write it without a branch (torch.where), or leave it to the code after the model's outputs"


# What torch.export raises on a module that it cannot trace.
_UNTRACED = (
    AssertionError,
    AttributeError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    torch._dynamo.exc.UserError,
)


@dataclass(frozen=True)
class Block:
    """An operator in the way of a target.

    operator: as torch ('aten.linalg_svd') or the ONNX file calls it. path: the torch module that it is called in
    ('features.3.conv'), or the ONNX node. shape: of what it gives; None where that depends on the picture. line: where
    the model's code calls it, 'net.py:12'. Each is None where it is not known. fatal: there will be no artifact;
    without it there will be one, whose INT8 form pays for this operator.
    """

    target: Format
    operator: str
    why: str
    remedy: str
    path: str | None = None
    shape: Shape | None = None
    line: str | None = None
    fatal: bool = True

    def __str__(self) -> str:
        place = f" in {self.path}" * bool(self.path) + f" ({self.line})" * bool(self.line)
        shape = f", giving {'x'.join(map(str, self.shape))}" if self.shape else ""
        return f"{self.target}: {self.operator}{place}{shape}: {self.why}; {self.remedy}"


def explain(recipe: Recipe) -> tuple[Block, ...]:
    """Every operator that blocks one of the recipe's targets, then those that INT8 pays for where it quantizes.

    Raises the errors of `load_model` where the model cannot be loaded or does not take its input.
    """
    if recipe.model.onnx is not None and (blocks := _of_onnx(Path(recipe.folder, recipe.model.onnx), recipe)):
        return blocks
    module = load_model(recipe.model, recipe.folder, recipe.input, recipe.head).module
    own = module.model if isinstance(module, RawOutputs) else module
    return explain_module(own, recipe.input, recipe.targets, int8=recipe.quantize is not None)


def explain_module(
    module: nn.Module,
    spec: InputSpec,
    targets: Sequence[Format] = ("onnx", "openvino", "tflite"),
    *,
    int8: bool = True,
) -> tuple[Block, ...]:
    """The same for a module in eval mode that takes (1, 3, h, w) as `spec` normalises it."""
    example = example_of(spec)
    program = _traced(module, example, strict=False)
    float_onnx = cache(lambda: to_onnx(module, spec))
    converters: dict[Format, Callable[[], Exported]] = {
        "onnx": float_onnx,
        "openvino": lambda: as_openvino(float_onnx()),
        "tflite": lambda: to_tflite(module, spec),
    }
    fatal: list[Block] = []
    for target in targets:
        fatal += _in_tables(module, example, program, target) or _proved(converters[target], target)
    if not int8 or isinstance(program, Exception):
        return tuple(fatal)
    paid = costly(program.graph, targets)
    return (*fatal, *(replace(_block(node, target, why, _FLOAT), fatal=False) for node, target, why in paid))


def _of_onnx(path: Path, recipe: Recipe) -> tuple[Block, ...]:
    """What the importer refuses: without it no target is made."""
    problems = explain_onnx(path, recipe.input.shape)
    shapes = _onnx_shapes(path) if problems else {}
    return tuple(
        Block(target, each.operator, each.reason, _OUTSIDE, each.node, shapes.get(each.node))
        for each in problems
        for target in recipe.targets
    )


def _onnx_shapes(path: Path) -> dict[str, Shape]:
    """What each node of the file gives, as far as shapes can be inferred, by its name or its first output's."""
    graph = onnx.shape_inference.infer_shapes(onnx.load_model(path)).graph
    sides = {each.name: each.type.tensor_type.shape.dim for each in (*graph.value_info, *graph.output)}
    known = {name: tuple(side.dim_value for side in dims) for name, dims in sides.items()}
    named = {node.name or node.output[0]: known.get(node.output[0], ()) for node in graph.node}
    return {name: shape for name, shape in named.items() if shape and all(shape)}


def _in_tables(
    module: nn.Module, example: torch.Tensor, program: ExportedProgram | Exception, target: Format
) -> list[Block]:
    """What the target's converter has no entry for; or the control flow for which there is nothing to look up."""
    if isinstance(program, Exception) and target != "tflite":
        program = _traced(module, example, strict=True)  # torch's ONNX exporter tries that next
    if isinstance(program, Exception):
        return _steered(module, example, program, target)
    walk = _not_in_tflite if target == "tflite" else _not_in_onnx
    try:
        return [_block(node, target, why) for node, why in walk(program)]
    except _UNTRACED:
        return []  # the converter stumbles over this on its own way, and says over what


def _traced(module: nn.Module, example: torch.Tensor, strict: bool) -> ExportedProgram | Exception:
    """The module's graph, or why torch.export has none."""
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(module, (example,), strict=strict)
    except _UNTRACED as error:
        return error


def _not_in_onnx(program: ExportedProgram) -> Found:
    """Calls that torch's ONNX exporter has no function for, after it took apart what it knows how to take apart.

    It has no public way to ask for more than the first of them.
    """
    from torch.onnx._internal.exporter import _dispatching, _fx_passes, _registration

    registry = _registration.ONNXRegistry.from_torchlib(opset_version=OPSET)
    with quiet():
        graph = _fx_passes.decompose_with_registry(program, registry).graph
    for node in _calls(graph):
        if _dispatching.dispatch(node, registry)[0] is None:
            yield node, "torch's ONNX exporter has no such operator"


def _not_in_tflite(program: ExportedProgram) -> Found:
    """Calls that litert-torch cannot lower, after its own passes, and those whose size depends on the picture."""
    with quiet():
        from litert_torch.backend import lowerings
    for node in _calls(_as_lowered(program)):
        if _is_dynamic(node.meta.get("val")) and not any(
            _is_dynamic(each.meta.get("val")) for each in node.all_input_nodes
        ):
            yield node, "the size of what it gives depends on the picture"
        elif lowerings.lookup(node.target) is None:
            yield node, "litert-torch has no such operator"


def _as_lowered(program: ExportedProgram) -> fx.Graph:
    """The graph that litert-torch would lower. Its passes write to the program, so it gets a copy."""
    with quiet():
        from litert_torch import config, fx_infra
        from litert_torch._convert.core import _run_convert_passes
        from litert_torch.backend import export

        config.show_progress = False
        graphs: list[fx.Graph] = []

        def see(ready: ExportedProgram) -> None:
            graphs.append(ready.graph)
            raise _Seen

        taken_apart = fx_infra.safe_run_decompositions(
            copy.deepcopy(program), fx_infra.decomp.pre_convert_decomp(), can_skip=False
        )
        with suppress(_Seen):
            export.exported_program_to_mlir(_run_convert_passes(taken_apart), _pre_lower_pass=see)
    return graphs[0]


class _Seen(Exception):
    """The graph that was to be lowered has been seen; lowering it is not wanted."""


def _calls(graph: fx.Graph) -> Iterator[fx.Node]:
    """Calls of operators, without Python's own arithmetic on sizes and torch's assertions about them."""
    for node in graph.nodes:
        if isinstance(node.target, torch._ops.OpOverload) and "assert" not in str(node.target):
            yield node


def _is_dynamic(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not all(isinstance(side, int) for side in value.shape)


def _block(node: fx.Node, target: Format, why: str, remedy: str = _OUTSIDE) -> Block:
    original = node.meta.get("original_aten")
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    value = node.meta.get("val")
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    shape = tuple(first.shape) if isinstance(first, torch.Tensor) and not _is_dynamic(first) else None
    operator = _operator(str(node.target if original is None else original))
    line = own_line_of(node.stack_trace or "")
    return Block(target, operator, why, remedy, stack[-1] if stack else None, shape, line)


def _operator(target: str) -> str:
    """'aten.linalg_svd': without the overload."""
    return ".".join(target.replace("::", ".").split(".")[:2])


def _steered(module: nn.Module, example: torch.Tensor, error: Exception, target: Format) -> list[Block]:
    """Each line of the model's code that is steered by what the picture shows, or the one at which torch gave up."""
    why = "Python is steered by values computed from the picture"
    if lines := steered_lines(module, example):
        return [Block(target, "control flow", why, _BRANCHLESS, line=line) for line in lines]
    line_ = own_line(traceback.extract_tb(error.__traceback__))
    return [Block(target, "the module", f"torch.export: {_first_line(error)}", _BRANCHLESS, line=line_)]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _proved(convert: Callable[[], Exported], target: Format) -> list[Block]:
    """Nothing where the float file can be made; otherwise what its converter says."""
    try:
        convert()
    except ConversionError as error:
        text = str(error.__cause__ or error)
        named = re.search(r"target=torch\.ops\.([\w.]+)", text)
        operator = _operator(named[1]) if named else "the module"
        return [Block(target, operator, str(error), _OUTSIDE, line=own_line_of(text))]
    return []
