"""Static INT8 for ONNX: QDQ with unsigned activations and signed weights, the one file that ONNX Runtime and OpenVINO
both run best.

U8S8 because it was measured: all 52 convolutions of MobileNetV2 become integer kernels in both engines, more than twice
as fast as float. ONNX Runtime's own default, S8S8, leaves 15 of them in float between 32 transposes. What it has no
integer kernel for still costs: with a hard swish after most convolutions INT8 is no faster there than float.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from edgekit.contract import Artifact
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import INPUT, NORMALISING
from edgekit.converters.quantize import Calibration, Int8Settings, Progress, check_patterns, checked
from edgekit.converters.quantize.ranges import Ranges, ranges_of

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_QUANTIZED = sorted({*QDQRegistry, *QLinearOpsRegistry})


def quantize_onnx(
    exported: Exported,
    calibration: Calibration,
    settings: Int8Settings = Int8Settings(),  # noqa: B008 (frozen)
    progress: Progress | None = None,
) -> Exported:
    """A float file of `to_onnx` in INT8, taking the same input.

    `calibration`: tensors as the file takes them. `ConversionError` where there are none, or an activation is not
    finite; `ValueError` for a tensor of another shape, `SettingsError` for a `keep_float` that names no operator.
    """
    if exported.artifact.format != "onnx":
        raise ValueError(f"quantize_onnx takes ONNX; got {exported.artifact.format}")
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(exported.artifact.model))
    check_patterns(settings, (node.name for node in model.graph.node))
    ranges = ranges_of(_activations(model, checked(calibration, exported.input, progress)), settings)
    quantized = _quantized(model, ranges, settings)
    onnx.checker.check_model(quantized)
    return Exported(Artifact("onnx", quantized.SerializeToString(deterministic=True)), exported.input)


def tail_of(graph: onnx.GraphProto) -> set[str]:
    """Names of the operators from which no way leads to another convolution or product: decoding, not network."""
    needed: set[str] = set()
    tail: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in _WEIGHTED or needed.intersection(node.output):
            needed.update(node.input)
        else:
            tail.add(node.name)
    return tail


def _activations(model: onnx.ModelProto, tensors: Iterator[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Every float tensor of the graph for each input, from a copy of the model that gives all of them out."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    known = {output.name for output in watched.graph.output} | {value.name for value in watched.graph.initializer}
    watched.graph.output.extend(value for value in watched.graph.value_info if value.name not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for tensor in tensors:
        values = zip(names, session.run(names, {INPUT: tensor}), strict=True)
        yield {name: value for name, value in ((INPUT, tensor), *values) if value.dtype == np.float32}


def _quantized(model: onnx.ModelProto, ranges: Ranges, settings: Int8Settings) -> onnx.ModelProto:
    asked = {node.name for node in model.graph.node if settings.keeps(node.name)}
    ends = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=settings.per_channel,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, ends),
        nodes_to_quantize=[],
        nodes_to_exclude=sorted(NORMALISING | tail_of(model.graph) | asked),
        op_types_to_quantize=_QUANTIZED,
        # A classifier's last product answers in float: 8 bits would make ties of its logits.
        extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    return quantizer.model.model
