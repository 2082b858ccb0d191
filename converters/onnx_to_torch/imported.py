"""Walks an ONNX graph once: what the picture does not touch is computed, the rest is written down as a torch module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import fx

from edgekit.converters.onnx_to_torch import arithmetic, layers, resize, shaping, windows
from edgekit.converters.onnx_to_torch.fold import can_fold, fold
from edgekit.converters.onnx_to_torch.net import TorchNet
from edgekit.converters.onnx_to_torch.read import OnnxFile, every_node, first_line, read_onnx
from edgekit.converters.onnx_to_torch.values import OPERATORS, Constant, Live, Node, Refused, Value
from edgekit.errors import ConversionError, UnsupportedOperators

OPERATOR_FILES = (arithmetic, layers, resize, shaping, windows)
"""They enter their operators into the table when they are imported."""

REASONS = {
    "NonMaxSuppression": "edgekit decodes the boxes: export the model without its post-processing, raw outputs only",
    "NonZero": "the size of its output depends on the picture",
    "If": "control flow that depends on the picture",
    "Loop": "control flow",
    "Scan": "control flow",
}
MALFORMED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What torch and onnx raise on nodes whose inputs do not fit together."""


@dataclass(frozen=True)
class Problem:
    """One node that cannot become torch: `operator` as ONNX calls it, `node` its name, `reason` in words."""

    operator: str
    node: str
    reason: str


class ImportedOnnx(fx.GraphModule):
    """An ONNX net in torch: takes the one picture as float32, in the file's own layout, gives a tuple in ONNX order.

    `code` shows it as plain torch. State_dict keys follow the names in the file and are the same every time.
    """

    @property
    def input_name(self) -> str:
        return str(self.meta["input_name"])

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the picture, usually (1, 3, height, width)."""
        return tuple(self.meta["input_shape"])

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(self.meta["output_names"])

    def takes_batches(self) -> bool:
        """Whether two pictures at once give what they give one by one; some files fix the batch in their reshapes."""
        pictures = torch.rand((2, *self.input_shape[1:]), generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            apart = [self(picture[None]) for picture in pictures]
            try:
                together = self(pictures)
            except RuntimeError:
                return False
        joined = [torch.cat(each) for each in zip(*apart, strict=True)]
        pairs = zip(together, joined, strict=True)
        return all(a.shape == b.shape and torch.allclose(a, b, 1e-3, 1e-4) for a, b in pairs)


def import_onnx(model: Path | str | bytes, input_shape: tuple[int, ...] | None = None) -> ImportedOnnx:
    """An ONNX detector or classifier as a torch module in eval mode.

    `model`: a file, its external weights beside it, or a file's bytes. `input_shape` fills the free dimensions of the
    input; a free batch alone becomes 1. Raises `UnsupportedOperators` with all that cannot be imported, and
    `ConversionError` for files that are no ONNX, quantized already, or have other than one float input.
    """
    file = read_onnx(model, input_shape)
    walk = _Walk(file)
    if walk.problems:
        raise _unsupported(file.what, walk.problems)
    return walk.module()


def explain(model: Path | str | bytes, input_shape: tuple[int, ...] | None = None) -> list[Problem]:
    """Everything in the file that cannot be imported, in the file's order; empty where `import_onnx` will work.

    What lies behind a problem is judged by its operators' names only.
    """
    return _Walk(read_onnx(model, input_shape)).problems


@dataclass(frozen=True)
class _Unknown:
    """What a node gives that cannot be imported, or its shape, which would be a constant."""

    constant: bool = False


class _Walk:
    """One pass over the nodes. `values` holds every tensor by its ONNX name, `problems` what cannot become torch."""

    def __init__(self, file: OnnxFile) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._net = TorchNet(file.input_name, file.input_shape)
        self._values: dict[str, Value | _Unknown | None] = {"": None, file.input_name: self._net.picture}
        self._wanted = {name for node in every_node(file.graph) for name in node.input} | set(file.output_names)
        self._nodes(file.graph)

    def module(self) -> ImportedOnnx:
        outputs = [self._values[name] for name in self._file.output_names]
        root, graph = self._net.finish(each for each in outputs if isinstance(each, Constant | Live))
        module = ImportedOnnx(root, graph)
        if graph.eliminate_dead_code():
            module.delete_all_unused_submodules()
            module.recompile()
        module.meta["input_name"] = self._file.input_name
        module.meta["input_shape"] = self._file.input_shape
        module.meta["output_names"] = self._file.output_names
        module.eval()
        return module

    def _nodes(self, graph: Any) -> None:
        """A graph, or a branch of a decided If, in order."""
        for tensor in graph.initializer:
            self._values[tensor.name] = _stored(self._file.what, tensor)
        for proto in graph.node:
            try:
                self._keep(proto, self._node(proto))
            except Refused as refusal:
                self._keep(proto, self._problem(proto, str(refusal)))
            except MALFORMED as error:
                place = f"{self._file.what}: {_operator(proto)} '{_name(proto)}'"
                raise ConversionError(f"{place} does not fit its inputs: {first_line(error)}") from error

    def _node(self, proto: Any) -> Sequence[Value | _Unknown | None]:
        """What a node gives: constants, live values after its torch calls are written down, or unknowns."""
        inputs = [self._values[name] for name in proto.input]
        folds = can_fold(proto) and not any(_depends_on_picture(each) for each in inputs)
        known = [each for each in inputs if not isinstance(each, _Unknown)]
        if proto.op_type == "If" and isinstance(inputs[0], Constant):
            return self._branch(proto, bool(inputs[0].array.item()))
        if folds and len(known) == len(inputs):
            return fold(proto, [each for each in known if not isinstance(each, Live)], self._file.opset)
        if folds or (len(known) < len(inputs) and proto.op_type in ("Shape", "Size")):
            return [_Unknown(constant=True)] * len(proto.output)
        if _operator(proto) not in OPERATORS:
            return self._problem(proto, REASONS.get(proto.op_type, "not known to this importer"))
        if len(known) < len(inputs):
            return [_Unknown()] * len(proto.output)
        given = OPERATORS[_operator(proto)](_as_node(proto, known, self._file.opset, self._wanted), self._net)
        return given if isinstance(given, tuple) else (given,)

    def _branch(self, proto: Any, condition: bool) -> list[Value | _Unknown | None]:
        """An If that is decided before any picture is seen, as exporters write around a squeeze."""
        branch = next(a.g for a in proto.attribute if a.name == ("then_branch" if condition else "else_branch"))
        self._wanted.update(output.name for output in branch.output)
        self._nodes(branch)
        return [self._values[output.name] for output in branch.output]

    def _keep(self, proto: Any, values: Sequence[Value | _Unknown | None]) -> None:
        self._values.update((name, value) for name, value in zip(proto.output, values, strict=False) if name)

    def _problem(self, proto: Any, reason: str) -> list[_Unknown]:
        self.problems.append(Problem(_operator(proto), _name(proto), reason))
        return [_Unknown()] * len(proto.output)


def _depends_on_picture(value: Value | _Unknown | None) -> bool:
    return isinstance(value, Live) or (isinstance(value, _Unknown) and not value.constant)


def _unsupported(what: str, problems: list[Problem]) -> UnsupportedOperators:
    """One line: each operator, how often, why, and where."""
    counts = Counter(problem.operator for problem in problems)
    places: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        places.setdefault((problem.operator, problem.reason), []).append(f"'{problem.node}'")
    lines = (f"{name} x{len(at)} (at {_some(at)}): {reason}" for (name, reason), at in places.items())
    return UnsupportedOperators(f"{what}: cannot be imported: {'; '.join(lines)}", dict(counts))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _stored(what: str, tensor: Any) -> Constant:
    try:
        return Constant(tensor.name, numpy_helper.to_array(tensor))
    except MALFORMED as error:
        raise ConversionError(f"{what}: the weights '{tensor.name}' are damaged: {first_line(error)}") from error


def _as_node(proto: Any, inputs: list[Value | None], opset: int, wanted: set[str]) -> Node:
    attributes = {each.name: _attribute(each) for each in proto.attribute}
    outputs = tuple(name if name in wanted else "" for name in proto.output)
    return Node(proto.op_type, proto.name, tuple(inputs), attributes, outputs, opset)


def _attribute(attribute: Any) -> Any:
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode() if isinstance(value, bytes) else value


def _operator(proto: Any) -> str:
    return proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"


def _name(proto: Any) -> str:
    """The node's own name, or that of its first output where exporters gave none."""
    return proto.name or next((name for name in proto.output if name), "")
