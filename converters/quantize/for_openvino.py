"""Static INT8 for OpenVINO: the QDQ file of `for_onnx` as IR, less the roundings that stand in OpenVINO's way.

One way to quantize serves both engines, and was the faster: MobileNetV2 took 1.25 ms so, 1.58 ms as quantized by NNCF
(mixed preset) and 2.85 ms in float. Where an activation follows a convolution the two part, see `_without_roundings`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import onnx

from edgekit.contract import Artifact
from edgekit.converters.export import Exported
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.quantize import Calibration, Int8Settings
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.steps import Count

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_ACTIVATIONS = {"Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Sigmoid", "Tanh"}


def quantize_openvino(
    exported: Exported,
    calibration: Calibration,
    settings: Int8Settings = Int8Settings(),  # noqa: B008 (frozen)
    progress: Count | None = None,
) -> Exported:
    """A float file of `to_onnx` as IR in INT8; arguments and errors as for `quantize_onnx`.

    Where the ONNX file is quantized anyway, `openvino_int8(quantize_onnx(...), exported)` is the same and calibrates
    once.
    """
    return openvino_int8(quantize_onnx(exported, calibration, settings, progress), exported)


def openvino_int8(int8: Exported, start: Exported) -> Exported:
    """A QDQ file of `quantize_onnx` as IR. start: the float file that it was made of."""
    model = onnx.load_from_string(int8.artifact.model)
    _without_roundings(model, onnx.load_from_string(start.artifact.model))
    return as_openvino(replace(int8, artifact=Artifact("onnx", model.SerializeToString(deterministic=True))))


def _without_roundings(model: onnx.ModelProto, start: onnx.ModelProto) -> None:
    """Takes out the roundings between a convolution, the activation behind it, and the product that makes it a swish.

    ONNX Runtime has no integer convolution without a rounded output. OpenVINO has, and computes the activation within
    the convolution's kernel; a rounding between them makes a kernel of its own of each, which costs what INT8 wins, and
    is compiled at every start. YOLOX-nano at 320 took 11.2 ms with them, 8.5 ms without and 11.4 ms in float; loading
    what was compiled before took 0.79 CPU-s and 0.14; raw outputs were off by 0.0080 and 0.0056 (one thread, openvino
    2026.4.1).

    A rounding that clips as well stays. ONNX Runtime's quantizer takes a ReLU or a Clip out of the graph, gives its
    name to what the convolution makes, and leaves its work to the range of the rounding.
    """
    before = {node.name: node.output[0] for node in start.graph.node}
    made = {name: node for node in model.graph.node for name in node.output}
    users = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            users[name].append(node)
    for node in model.graph.node:
        source = made.get(_rounded_by(node, made) or "")
        readers = users[node.output[0]]
        if source is None or before.get(source.name) != source.output[0]:
            continue
        if _within_a_kernel(source.op_type, {reader.op_type for reader in readers}):
            for reader in readers:
                reader.input[:] = [source.output[0] if name == node.output[0] else name for name in reader.input]


def _within_a_kernel(source: str, users: set[str]) -> bool:
    """Whether what lies between these operators is a convolution's activation, or a part of it."""
    if source in _CONVOLUTIONS:
        return bool(users & _ACTIVATIONS) and users <= {*_ACTIVATIONS, "Mul"}
    return source in _ACTIVATIONS and users == {"Mul"}


def _rounded_by(node: onnx.NodeProto, made: Mapping[str, onnx.NodeProto]) -> str | None:
    """The tensor that this operator gives back after its trip through 8 bits; None where it does no such thing."""
    if node.op_type != "DequantizeLinear":
        return None
    quantizer = made.get(node.input[0])
    return quantizer.input[0] if quantizer is not None and quantizer.op_type == "QuantizeLinear" else None
