"""Reads an ONNX file and settles what an importer must know: one picture in, its shape, one opset, no functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import onnx
import onnx.inliner
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto

from edgekit.errors import ConversionError

OLDEST_OPSET = 7
"""Before it, arithmetic broadcast by an attribute and dropout had a mode; no exporter of the last years writes it."""

QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """A checked float model with one input: `what` names it in messages, `input_shape` has no free dimension."""

    what: str
    graph: Any
    opset: int
    input_name: str
    input_shape: tuple[int, ...]

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(output.name for output in self.graph.output)


def read_onnx(model: Path | str | bytes, input_shape: tuple[int, ...] | None = None) -> OnnxFile:
    """The file, checked. `input_shape` fills the free dimensions; a free batch alone becomes 1.

    Raises `ConversionError` for what is not ONNX, cut short, older than opset 7, already quantized, or has other than
    one float tensor as input; `ValueError` for an `input_shape` that is not made of positive whole numbers.
    """
    if input_shape is not None and not all(isinstance(size, int) and size > 0 for size in input_shape):
        raise ValueError(f"input_shape is made of whole numbers above 0; got {input_shape}")
    what = "the ONNX model" if isinstance(model, bytes) else str(model)
    proto = _load(model, what)
    _refuse_quantized(proto, what)
    picture = _only_input(proto.graph, what)
    _join_biases(proto.graph)
    return OnnxFile(what, proto.graph, _opset(proto, what), picture.name, _static(picture, input_shape, what))


def external_weights(path: Path) -> list[Path]:
    """The files beside an ONNX file that hold its weights, as far as it can be read."""
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except (OSError, DecodeError):
        return []
    places = {entry.value for each in graph.initializer for entry in each.external_data if entry.key == "location"}
    return [path.parent / place for place in sorted(places)]


def _load(model: Path | str | bytes, what: str) -> Any:
    try:
        proto = onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load_model(model)
        onnx.checker.check_model(_with_shapes(proto))
        return onnx.inliner.inline_local_functions(proto)
    except FileNotFoundError as error:
        raise ConversionError(f"{what}: no such file, or weights beside it are missing: {error}") from error
    except DecodeError as error:
        raise ConversionError(f"{what}: not an ONNX model, or cut short: {error}") from error
    except (onnx.checker.ValidationError, OSError, ValueError, RuntimeError) as error:
        raise ConversionError(f"{what}: not a valid ONNX model: {first_line(error)}") from error


def _with_shapes(proto: Any) -> Any:
    """A copy for the checker, which wants a shape on every input and output; exporters leave them out."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    for value in (*copy.graph.input, *copy.graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()
    return copy


def _opset(proto: Any, what: str) -> int:
    versions = [each.version for each in proto.opset_import if each.domain in ("", "ai.onnx")]
    if not versions or versions[0] < OLDEST_OPSET:
        found = f"opset {versions[0]}" if versions else "no operators of ONNX itself"
        raise ConversionError(f"{what}: has {found}; export it again with opset {OLDEST_OPSET} or newer")
    return int(versions[0])


def _refuse_quantized(proto: Any, what: str) -> None:
    found = sorted({n.op_type for n in every_node(proto.graph) if n.op_type in QUANTIZED or "QLinear" in n.op_type})
    if found:
        raise ConversionError(
            f"{what}: is already quantized ({', '.join(found)}); give the float model, edgekit quantizes it per target"
        )


def every_node(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs inside its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from every_node(inner)


def _join_biases(graph: Any) -> None:
    """x @ w + b, as exporters write a linear layer on more than two axes, becomes one node of our own: Linear."""
    stored = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    read = Counter(name for node in every_node(graph) for name in node.input) + Counter(o.name for o in graph.output)
    products = {n.output[0]: n for n in graph.node if n.op_type == "MatMul" and len(stored.get(n.input[1], ())) == 2}
    for add in (node for node in graph.node if node.op_type == "Add"):
        for product, bias in permutations(add.input):
            matmul = products.get(product)
            if matmul and read[product] == 1 and stored.get(bias) == stored[matmul.input[1]][1:]:
                matmul.domain, matmul.op_type = "edgekit", "Linear"
                matmul.input.append(bias)
                add.op_type = "Identity"
                add.input.remove(bias)


def _only_input(graph: Any, what: str) -> Any:
    stored = {tensor.name for tensor in graph.initializer} | {t.values.name for t in graph.sparse_initializer}
    inputs = [each for each in graph.input if each.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(f"'{each.name}'" for each in inputs) or "none"
        raise ConversionError(
            f"{what}: has {len(inputs)} inputs ({names}), and one picture is expected; "
            "export the model with the image as its only input"
        )
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type not in FLOATS:
        kind = TensorProto.DataType.Name(tensor.elem_type).lower()
        raise ConversionError(
            f"{what}: its input '{inputs[0].name}' is {kind}; give the model that takes float pictures"
        )
    return inputs[0]


def _static(picture: Any, wanted: tuple[int, ...] | None, what: str) -> tuple[int, ...]:
    """The input's shape with no dimension free."""
    tensor = picture.type.tensor_type
    if not tensor.HasField("shape"):
        if wanted is None:
            raise ConversionError(f"{what}: does not say the shape of '{picture.name}'; give input_shape")
        return wanted
    dims = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    named = [dim.dim_value if dim.dim_value > 0 else dim.dim_param or "?" for dim in tensor.shape.dim]
    if wanted is None:
        if None in dims[1:]:
            raise ConversionError(
                f"{what}: its input '{picture.name}' is {_show(named)} with free sizes; "
                "give input_shape, for example (1, 3, 320, 320)"
            )
        return tuple(dim or 1 for dim in dims)
    if len(dims) != len(wanted) or any(dim not in (None, size) for dim, size in zip(dims, wanted, strict=True)):
        raise ConversionError(f"{what}: its input '{picture.name}' is {_show(named)}, not {_show(list(wanted))}")
    return wanted


def _show(dims: list[Any]) -> str:
    return "(" + ", ".join(map(str, dims)) + ")"


def first_line(error: BaseException) -> str:
    """An engine's message without its stack."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
