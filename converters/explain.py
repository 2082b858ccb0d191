"""What stands in the way of each target, all of it at once, before anything is converted.

    for block in explain(read_recipe("cart.toml")):
        print(block)

A converter names one operator and stops. Here the traced network is taken apart as each converter would, and every
operator is looked up in the converter's own table. An ONNX file is first held against the importer's.
"""

from __future__ import annotations

import copy
import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import getitem
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

from edgekit.contract import Format, InputSpec
from edgekit.converters.export import example_of
from edgekit.converters.export.to_onnx import OPSET
from edgekit.converters.export.to_tflite import quiet
from edgekit.converters.load import load_model
from edgekit.converters.onnx_to_torch import explain as explain_onnx
from edgekit.converters.recipe import Recipe

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """An operator in the way of a target.

    operator: as torch ('aten.linalg_svd') or the ONNX file calls it. path: the torch module that it is called in
    ('features.3.conv'), or the ONNX node. shape: of what it gives; None where that depends on the picture or is not
    known. line: where the model's code calls it, 'net.py:12', where that is known. fatal: there will be no artifact;
    without it there will be one, whose INT8 form pays for this operator.
    """

    target: Format
    operator: str
    path: str
    shape: Shape | None
    why: str
    remedy: str
    line: str | None = None
    fatal: bool = True

    def __str__(self) -> str:
        shape = "" if self.shape is None else f" giving {'x'.join(map(str, self.shape))}"
        place = f" at {self.path}" + (f" ({self.line})" if self.line else "")
        return f"{self.target}: {self.operator}{place}{shape}: {self.why}; {self.remedy}"


def explain(recipe: Recipe) -> tuple[Block, ...]:
    """Every operator that blocks one of the recipe's targets, and those that INT8 pays for where it quantizes.

    Fatal ones first. Raises the errors of `load_model` where the model cannot be loaded or does not take its input.
    """
    if recipe.model.onnx is not None and (blocks := _of_onnx(Path(recipe.folder, recipe.model.onnx), recipe)):
        return tuple(blocks)
    module = load_model(recipe.model, recipe.folder, recipe.input, recipe.head).module
    return explain_module(module, recipe.input, recipe.targets, int8=recipe.quantize is not None)


def explain_module(
    module: nn.Module,
    spec: InputSpec,
    targets: Sequence[Format] = ("onnx", "openvino", "tflite"),
    *,
    int8: bool = True,
) -> tuple[Block, ...]:
    """The same for a module in eval mode that takes (1, 3, h, w) as `spec` normalises it."""
    example = example_of(spec)
    with quiet():
        program = _traced(module, example, strict=False)
        fatal = [
            replace(block, target=target) for target in targets for block in (_fatal(module, example, program, target))
        ]
    warnings = _costly(program, targets) if int8 and isinstance(program, ExportedProgram) else []
    return (*fatal, *warnings)


def _fatal(
    module: nn.Module, example: torch.Tensor, program: ExportedProgram | Exception, target: Format
) -> list[Block]:
    if isinstance(program, Exception) and target != "tflite":
        program = _traced(module, example, strict=True)  # torch's ONNX exporter tries that too
    if isinstance(program, Exception):
        return list(_steering(module, example, program))
    walk = _not_in_tflite if target == "tflite" else _not_in_onnx
    return [_block(node, why) for node, why in walk(program)]


def _traced(module: nn.Module, example: torch.Tensor, strict: bool) -> ExportedProgram | Exception:
    """The module's graph, or why torch.export has none."""
    try:
        with torch.no_grad():
            return torch.export.export(module, (example,), strict=strict)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, torch._dynamo.exc.UserError) as error:
        return error


def _not_in_onnx(program: ExportedProgram) -> Iterator[tuple[fx.Node, str]]:
    """Calls that torch's ONNX exporter has no function for, after it took apart what it knows how to take apart.

    It has no public way to ask for more than the first of them.
    """
    from torch.onnx._internal.exporter import _dispatching, _fx_passes, _registration

    registry = _registration.ONNXRegistry.from_torchlib(opset_version=OPSET)
    graph = _fx_passes.remove_assertion_nodes(_fx_passes.decompose_with_registry(program, registry).graph_module).graph
    for node in _calls(graph):
        function, _ = _dispatching.dispatch(node, registry)
        if function is None:
            yield node, "torch's ONNX exporter has no such operator"


def _not_in_tflite(program: ExportedProgram) -> Iterator[tuple[fx.Node, str]]:
    """Calls that litert-torch cannot lower, after its own passes and decompositions. They change `program`'s copy."""
    from litert_torch import fx_infra
    from litert_torch._convert.core import _run_convert_passes
    from litert_torch.backend import export, lowerings

    ready = fx_infra.safe_run_decompositions(
        copy.deepcopy(program), fx_infra.decomp.pre_convert_decomp(), can_skip=False
    )
    graphs: list[fx.Graph] = []

    def seen(lowered: ExportedProgram) -> None:
        graphs.append(lowered.graph)
        raise _Seen

    with suppress(_Seen):
        export.exported_program_to_mlir(_run_convert_passes(ready), _pre_lower_pass=seen)
    for node in _calls(graphs[0]):
        if lowerings.lookup(node.target) is None:
            yield node, "litert-torch has no such operator"


class _Seen(Exception):
    """The graph that was to be lowered has been seen; lowering it is not wanted."""


def _calls(graph: fx.Graph) -> Iterator[fx.Node]:
    return (node for node in graph.nodes if node.op == "call_function" and node.target is not getitem)


def _block(node: fx.Node, why: str) -> Block:
    """What is to be said of a node, but for the target."""
    original = node.meta.get("original_aten")
    stack = list(node.meta.get("nn_module_stack", {}).values())
    operator = _operator(original if original is not None else node.target)
    return Block(
        "onnx",
        operator,
        stack[-1][0] or "forward" if stack else "forward",
        _shape(node.meta.get("val")),
        why,
        _remedy(operator),
        _line(node),
    )


def _operator(target: Any) -> str:
    """'aten.linalg_svd', without the overload."""
    name = str(target).replace("::", ".")
    return ".".join(name.split(".")[:2])


def _shape(value: Any) -> Shape | None:
    """Of a tensor, or the first of several; None where a side depends on the picture."""
    first = value[0] if isinstance(value, (tuple, list)) and value else value
    if not isinstance(first, torch.Tensor) or not all(isinstance(side, int) for side in first.shape):
        return None
    return tuple(first.shape)


def _line(node: fx.Node) -> str | None:
    """The innermost line of the stack that is the model's own, not torch's."""
    places = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [f"{Path(file).name}:{line}" for file, line in places if not _is_torchs(file)]
    return own[-1] if own else None


def _is_torchs(file: str) -> bool:
    return Path(file).is_relative_to(Path(torch.__file__).parent) or file.startswith("<")


class _Watch(TorchFunctionMode):
    """Notes where a tensor's value is taken into Python while a module runs, which no graph can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INTO_PYTHON:
            own = [frame for frame in traceback.extract_stack()[:-1] if not _is_torchs(frame.filename)]
            self.lines.append(f"{Path(own[-1].filename).name}:{own[-1].lineno}")
        return func(*args, **(kwargs or {}))


_INTO_PYTHON = {getattr(torch.Tensor, name) for name in ("__bool__", "__int__", "__index__", "item", "tolist", "numpy")}


def _steering(module: nn.Module, example: torch.Tensor, error: Exception) -> Iterator[Block]:
    """Each line of the model's code that a picture's values steer, or the one on which torch.export gave up."""
    with torch.no_grad(), _Watch() as watch:
        module(example)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_torchs(frame.filename)]
    lines = list(dict.fromkeys(watch.lines)) or [f"{Path(own[-1].filename).name}:{own[-1].lineno}"]
    for line in lines:
        yield Block("onnx", "control flow", "forward", None, f"torch.export: {_first(error)}", "x", line)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _remedy(operator: str) -> str:
    return "take it out of the module, to be done after the outputs, or write it in other operators"


def _costly(program: ExportedProgram, targets: Sequence[Format]) -> list[Block]:
    return []


_REMEDY_ONNX = "x"


def _onnx_shapes(path: Path) -> dict[str, Shape]:
    return {}


def _of_onnx(path: Path, recipe: Recipe) -> Iterator[Block]:
    """What the importer refuses: no target is made without it."""
    problems = explain_onnx(path, recipe.input.shape)
    shapes = _onnx_shapes(path) if problems else {}
    for problem in problems:
        for target in recipe.targets:
            yield Block(target, problem.operator, problem.node, shapes.get(problem.node), problem.reason, _REMEDY_ONNX)
