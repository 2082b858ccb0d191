"""Static INT8 for TFLite: what XNNPACK runs in integers becomes INT8, everything else stays in float.

An operator that XNNPACK cannot run breaks the graph in pieces that wait for each other: MobileNetV3-small with its
INT8 hard swish took 2.78 ms against 0.85 ms for float; with hard swish in float it takes 0.48 ms.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from edgekit.contract import Artifact
from edgekit.converters.export import Exported
from edgekit.converters.export.to_tflite import CONSTANT, operator_names, quiet
from edgekit.converters.quantize import Calibration, Int8Settings
from edgekit.converters.quantize.net import Kernel, Operator, Values, tail_of
from edgekit.converters.quantize.ranges import Ranges
from edgekit.converters.quantize.static import quantize_net
from edgekit.converters.steps import Count
from edgekit.errors import ConversionError

_WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}
# What XNNPACK has INT8 kernels for (the list in its README), and two that it takes in no type.
_IN_XNNPACK = _WEIGHTED | {
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "PADV2",
    "RELU", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "SPLIT",
    "STRIDED_SLICE", "SUB", "TANH", "TRANSPOSE",
}  # fmt: skip
_WITH_BIAS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
_FRONT = {"RESHAPE", "CAST", "MUL", "ADD"}
_INT8, _SAME = 9, 0  # TensorType and Padding of TFLite's schema


def quantize_tflite(
    exported: Exported,
    calibration: Calibration,
    settings: Int8Settings = Int8Settings(),  # noqa: B008 (frozen)
    progress: Count | None = None,
) -> Exported:
    """A float file of `to_tflite` in INT8, taking the same input and answering in float32.

    `calibration`: tensors as the file takes them. `ConversionError` where there are none, or an activation is not
    finite; `ValueError` for a tensor of another shape, `SettingsError` for a `keep_float` that names no operator.
    """
    if exported.artifact.format != "tflite":
        raise ValueError(f"quantize_tflite takes TFLite; got {exported.artifact.format}")
    return quantize_net(TfliteNet(exported), calibration, settings, progress)


class TfliteNet:
    """A float file of `to_tflite`, opened; see `FloatNet`."""

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        self.tree = _tree(exported)
        self.operators = tuple(_operators(self.tree))

    def activations(self, tensors: Iterable[np.ndarray]) -> Iterator[Values]:
        padded = _padded_with_nothing(self.tree)
        interpreter = _interpreter(self.exported.artifact.model)
        details = [detail for detail in interpreter.get_tensor_details() if detail["dtype"] == np.float32]
        names = [d["name"] for d in details if d["name"] not in padded.keys() | {""}]
        yield from _watched(interpreter, tensors, [name for name in names if not name.startswith(CONSTANT)])

    def quantized(self, ranges: Ranges, settings: Int8Settings) -> Exported:
        ranges = ranges | {output: ranges[source] for output, source in _padded_with_nothing(self.tree).items()}
        kept = front_of(self.tree) | tail_of(self.operators) | _asked(self.operators, settings)
        return self._exported(_quantized(self.exported.artifact.model, ranges, kept, settings))

    def alone(self, whole: Exported, ranges: Ranges, settings: Int8Settings, operators: Iterable[str]) -> Exported:
        del whole
        others = {operator.name for operator in self.operators} - set(operators)
        return self.quantized(ranges, replace(settings, keep_float=tuple(sorted(others))))

    def values(self, int8: Exported, tensors: Iterable[np.ndarray], names: Sequence[str]) -> Iterator[Values]:
        interpreter = _interpreter(int8.artifact.model)
        details = interpreter.get_tensor_details()
        there = {each["name"] for each in details if each["dtype"] == np.float32 or each["quantization"][0]}
        yield from _watched(interpreter, tensors, [name for name in names if name in there])

    def kernels(self, int8: Exported) -> Iterator[Kernel]:
        tree = _tree(int8)
        after = dict(operator_names(tree))
        for name, operator in operator_names(self.tree):
            kind = name.rpartition("_")[0]
            if kind not in _WITH_BIAS or name not in after:
                continue
            weights = _constant(self.tree, operator.inputs[1])
            rounded = _constant(tree, after[name].inputs[1])
            if weights is not None and rounded is not None and not np.array_equal(weights, rounded):
                yield _kernel(name, kind, operator, self.tree, weights, rounded)

    def mean_map(self, mean: np.ndarray) -> np.ndarray:
        image = mean if mean.ndim == 4 else mean.reshape(-1, 1, 1, mean.shape[-1]).mean(0, keepdims=True)
        return np.ascontiguousarray(image.transpose(0, 3, 1, 2))

    def with_bias(self, added: Mapping[str, np.ndarray]) -> TfliteNet:
        from ai_edge_litert import schema_py_generated as schema
        from ai_edge_litert.tools import flatbuffer_utils

        tree = _tree(self.exported)
        graph = tree.subgraphs[0]
        for name, operator in operator_names(tree):
            if name in added:
                had = _constant(tree, operator.inputs[2])
                if had is None:
                    raise ConversionError(f"{name} has no bias that could be corrected")
                buffer = schema.BufferT()  # of its own: equal constants are one in the file
                buffer.data = np.frombuffer((had + added[name]).astype("<f4").tobytes(), np.uint8)
                tensor = copy.copy(graph.tensors[operator.inputs[2]])
                tensor.name, tensor.buffer = f"{CONSTANT}bias_of_{name}".encode(), len(tree.buffers)
                tree.buffers.append(buffer)
                operator.inputs[2] = len(graph.tensors)
                graph.tensors.append(tensor)
        return TfliteNet(self._exported(bytes(flatbuffer_utils.convert_object_to_bytearray(tree))))

    def _exported(self, model: bytes) -> Exported:
        return Exported(Artifact("tflite", model), self.exported.input)


def _tree(exported: Exported) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(exported.artifact.model)


def _operators(tree: Any) -> Iterator[Operator]:
    tensors = tree.subgraphs[0].tensors
    for name, operator in operator_names(tree):
        kind = name.rpartition("_")[0]
        inputs, outputs = (
            tuple(tensors[i].name.decode() for i in places if i >= 0 and tree.buffers[tensors[i].buffer].data is None)
            for places in (operator.inputs, operator.outputs)
        )
        macs = _multiplications(kind, operator, tensors) if kind in _WEIGHTED else 0
        yield Operator(name, kind, inputs, outputs, macs)


def _multiplications(kind: str, operator: Any, tensors: Any) -> int:
    """Of a convolution or product: each output is a sum of so many; each input of a transposed convolution goes into
    so many."""
    shapes = [[int(side) for side in tensors[place].shape] for place in (*operator.inputs[:3], operator.outputs[0])]
    first, weights, *_, made = shapes
    if kind == "TRANSPOSE_CONV":  # takes its output's shape, its weights (out, h, w, in), and the picture
        return prod(shapes[2]) * prod(weights) // max(1, weights[3])
    if kind == "BATCH_MATMUL":
        return prod(made) * first[-2 if operator.builtinOptions.adjX else -1]
    return prod(made) * prod(weights) // max(1, made[-1])


def _constant(tree: Any, index: int) -> np.ndarray | None:
    """A constant of the file as float32, whether it is in float or in 8 bits; None where there is none."""
    if index < 0:
        return None
    tensor = tree.subgraphs[0].tensors[index]
    data = tree.buffers[tensor.buffer].data
    if data is None:
        return None
    shape = [int(side) for side in tensor.shape]
    if tensor.type != _INT8:
        return np.frombuffer(bytes(data), "<f4").reshape(shape)
    values = np.frombuffer(bytes(data), np.int8).reshape(shape).astype(np.float32)
    scale = np.array(tensor.quantization.scale, np.float32)
    along = [-1 if place == tensor.quantization.quantizedDimension else 1 for place in range(values.ndim)]
    return np.asarray(values * (scale.reshape(along) if scale.size > 1 else scale), np.float32)


def _kernel(name: str, kind: str, operator: Any, tree: Any, weights: np.ndarray, rounded: np.ndarray) -> Kernel:
    tensors = tree.subgraphs[0].tensors
    source = tensors[operator.inputs[0]]
    if kind == "FULLY_CONNECTED":
        weights, rounded = (each[:, :, None, None] for each in (weights, rounded))
        return Kernel(name, source.name.decode(), weights, rounded)
    order = (3, 0, 1, 2) if kind == "DEPTHWISE_CONV_2D" else (0, 3, 1, 2)  # from 1 h w out, or from out h w in
    weights, rounded = (np.ascontiguousarray(each.transpose(order)) for each in (weights, rounded))
    options = operator.builtinOptions
    stride, dilation = (options.strideH, options.strideW), (options.dilationHFactor, options.dilationWFactor)
    sides = [int(side) for side in source.shape[1:3]]
    same = [_same(*each) for each in zip(sides, weights.shape[2:], stride, dilation, strict=True)]
    (top, bottom), (left, right) = same if options.padding == _SAME else ((0, 0), (0, 0))
    groups = int(source.shape[3]) // weights.shape[1]
    return Kernel(name, source.name.decode(), weights, rounded, stride, dilation, (left, right, top, bottom), groups)


def _same(side: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    """TFLite's SAME padding: as much as is needed, the odd one at the end."""
    needed = max(0, (-(-side // stride) - 1) * stride + (size - 1) * dilation + 1 - side)
    return needed // 2, needed - needed // 2


def _interpreter(model: bytes) -> Any:
    """One that keeps every tensor. For that it leaves XNNPACK out."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_content=model, experimental_preserve_all_tensors=True)
        interpreter.allocate_tensors()
    return interpreter


def _watched(interpreter: Any, tensors: Iterable[np.ndarray], names: Sequence[str]) -> Iterator[Values]:
    """The tensors of these names for each input, as float32."""
    place = interpreter.get_input_details()[0]["index"]
    details = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
    for tensor in tensors:
        interpreter.set_tensor(place, tensor)
        interpreter.invoke()
        yield {name: _as_float(interpreter.get_tensor(details[name]["index"]), details[name]) for name in names}


def _as_float(values: np.ndarray, detail: Mapping[str, Any]) -> np.ndarray:
    scale, zero = detail["quantization"]
    return values if values.dtype == np.float32 else (values.astype(np.float32) - zero) * np.float32(scale)


def front_of(tree: Any) -> set[str]:
    """Names of the operators that only normalise the picture."""
    graph = tree.subgraphs[0]
    constants = {index for index, tensor in enumerate(graph.tensors) if tree.buffers[tensor.buffer].data is not None}
    front: set[str] = set()
    reached = graph.inputs[0]
    for name, operator in operator_names(tree):
        others = set(operator.inputs) - {reached}
        if name.rpartition("_")[0] not in _FRONT or reached not in operator.inputs or not others <= constants:
            return front
        front.add(name)
        reached = operator.outputs[0]
    return front


def _asked(operators: Sequence[Operator], settings: Int8Settings) -> set[str]:
    return {each.name for each in operators if settings.keeps(each.name) or each.kind not in _IN_XNNPACK}


def _padded_with_nothing(tree: Any) -> dict[str, str]:
    """Output -> input of the operators that pad with minus infinity, as for a maximum taken next.

    In INT8 that is the least value of the input's own range.
    """
    graph = tree.subgraphs[0]

    def nothing(tensor: int) -> bool:
        data = tree.buffers[graph.tensors[tensor].buffer].data
        return data is not None and bool(np.isneginf(np.frombuffer(bytes(data), np.float32)).all())

    pads = [operator for name, operator in operator_names(tree) if name.startswith("PADV2_")]
    ways = [
        (graph.tensors[pad.outputs[0]].name, graph.tensors[pad.inputs[0]].name)
        for pad in pads
        if nothing(pad.inputs[2])
    ]
    return {output.decode(): source.decode() for output, source in ways}


def _quantized(model: bytes, ranges: Ranges, kept: set[str], settings: Int8Settings) -> bytes:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.qtyping import QuantGranularity

    granularity = QuantGranularity.CHANNELWISE if settings.per_channel else QuantGranularity.TENSORWISE
    ends = {
        name: {"min": np.full((1, 1, 1, 1), low, np.float32), "max": np.full((1, 1, 1, 1), high, np.float32)}
        for name, (low, high) in ranges.items()
    }
    with quiet():
        job = quantizer.Quantizer(model)
        job.add_static_config(".*", "*", 8, 8, granularity)
        job.update_quantization_recipe(".*", "OUTPUT", None, "no_quantize")
        for name in sorted(kept):
            # An operator goes by the names of its outputs, each with a ';' after it.
            job.update_quantization_recipe(rf"^{re.escape(name)}(_0)?;", "*", None, "no_quantize")
        result = job.quantize(ends, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)
