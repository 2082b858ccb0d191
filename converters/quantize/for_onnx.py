"""Static INT8 for ONNX: QDQ with unsigned activations and signed weights, which OpenVINO's file is made of as well.

U8S8 because it was measured: all 52 convolutions of MobileNetV2 become integer kernels in both engines, more than twice
as fast as float. ONNX Runtime's own default, S8S8, leaves 15 of them in float between 32 transposes. What it has no
integer kernel for still costs: with a hard swish after most convolutions INT8 is no faster there than float.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import prod

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, TensorsData
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from edgekit.contract import Artifact
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import INPUT, NORMALISING
from edgekit.converters.quantize import Calibration, Int8Settings
from edgekit.converters.quantize.net import Kernel, Operator, Values, tail_of
from edgekit.converters.quantize.ranges import Ranges
from edgekit.converters.quantize.static import quantize_net
from edgekit.converters.steps import Count

_WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
_QUANTIZED = sorted({*QDQRegistry, *QLinearOpsRegistry})
# What ONNX Runtime's quantizer calls a tensor in 8 bits, and after its trip through them.
QUANTIZED, _DEQUANTIZED = "_QuantizeLinear_Output", "_DequantizeLinear_Output"
_LOWEST = "lowest_float"


def quantize_onnx(
    exported: Exported,
    calibration: Calibration,
    settings: Int8Settings = Int8Settings(),  # noqa: B008 (frozen)
    progress: Count | None = None,
) -> Exported:
    """A float file of `to_onnx` in INT8, taking the same input.

    `calibration`: tensors as the file takes them. `ConversionError` where there are none, or an activation is not
    finite; `ValueError` for a tensor of another shape, `SettingsError` for a `keep_float` that names no operator.
    """
    if exported.artifact.format != "onnx":
        raise ValueError(f"quantize_onnx takes ONNX; got {exported.artifact.format}")
    return quantize_net(OnnxNet(exported), calibration, settings, progress)


class OnnxNet:
    """A float file of `to_onnx`, opened; see `FloatNet`."""

    def __init__(self, exported: Exported) -> None:
        self.exported = exported
        self.model = onnx.shape_inference.infer_shapes(onnx.load_from_string(exported.artifact.model))
        self.operators = tuple(_operators(self.model.graph))

    @property
    def weights(self) -> dict[str, str]:
        """The name of each convolution's and product's weights, which is torch's, and of the tensor that it makes."""
        return {node.input[1]: node.output[0] for node in self.model.graph.node if node.op_type in _WEIGHTED}

    def activations(self, tensors: Iterable[np.ndarray]) -> Iterator[Values]:
        known = {output.name for output in self.model.graph.output}
        made = {name for operator in self.operators for name in operator.outputs}
        floats = {
            value.name
            for value in (*self.model.graph.value_info, *self.model.graph.output)
            if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        }
        names = sorted(made & (floats | known))
        for tensor, values in _watched(self.model, tensors, names):
            yield {INPUT: tensor, **values} if tensor.dtype == np.float32 else values

    def quantized(self, ranges: Ranges, settings: Int8Settings) -> Exported:
        asked = {operator.name for operator in self.operators if settings.keeps(operator.name)}
        ends = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
        model = onnx.ModelProto()
        model.CopyFrom(self.model)  # the quantizer changes what it is given
        quantizer = QDQQuantizer(
            model,
            per_channel=settings.per_channel,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, ends),
            nodes_to_quantize=[],
            nodes_to_exclude=sorted(NORMALISING | tail_of(self.operators) | asked),
            op_types_to_quantize=_QUANTIZED,
            # A classifier's last product answers in float: 8 bits would make ties of its logits.
            extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
        )
        quantizer.quantize_model()
        _hold_in_float(quantizer.model.model)
        quantizer.model.topological_sort()
        onnx.checker.check_model(quantizer.model.model)
        return self._exported(quantizer.model.model)

    def alone(self, whole: Exported, ranges: Ranges, settings: Int8Settings, operators: Iterable[str]) -> Exported:
        """By changing what the operators read in a copy of the float graph; the quantizer takes seconds each time."""
        del ranges, settings  # `whole` has them in it
        chosen = set(operators)
        int8 = onnx.load_from_string(whole.artifact.model).graph
        dequantized = {node.output[0] for node in int8.node if node.op_type == "DequantizeLinear"}
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        made = {name for node in graph.node if node.name in chosen for name in node.output}
        for node in graph.node:
            for place, name in enumerate(node.input):
                if (node.name in chosen or name in made) and name + _DEQUANTIZED in dequantized:
                    node.input[place] = name + _DEQUANTIZED
        wanted = {
            name for node in graph.node for name in node.input if name.endswith(_DEQUANTIZED)
        }  # biases stay float
        graph.node.extend(_leading_to(wanted, int8))
        graph.initializer.extend(int8.initializer)
        return self._exported(_sorted(_without_unused(model)))

    def values(self, int8: Exported, tensors: Iterable[np.ndarray], names: Sequence[str]) -> Iterator[Values]:
        model = onnx.load_from_string(int8.artifact.model)
        made = {name for node in model.graph.node for name in node.output}
        places = {name: name + _DEQUANTIZED if name + _DEQUANTIZED in made else name for name in names}
        places = {name: place for name, place in places.items() if place in made}
        for _, values in _watched(model, tensors, list(places.values())):
            yield {name: values[place] for name, place in places.items() if place in values}

    def kernels(self, int8: Exported) -> Iterator[Kernel]:
        before = {value.name: value for value in self.model.graph.initializer}
        graph = onnx.load_from_string(int8.artifact.model).graph
        after = {value.name: value for value in graph.initializer}
        dequantizers = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
        for node in self.model.graph.node:
            dequantizer = dequantizers.get(node.input[1] + _DEQUANTIZED) if node.op_type in ("Conv", "Gemm") else None
            if dequantizer is not None and node.input[1] in before:
                rounded = _dequantized(dequantizer, after)
                yield _kernel(node, numpy_helper.to_array(before[node.input[1]]), rounded)

    def mean_map(self, mean: np.ndarray) -> np.ndarray:
        return mean if mean.ndim == 4 else mean.reshape(*mean.shape, 1, 1)

    def with_bias(self, added: Mapping[str, np.ndarray]) -> OnnxNet:
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        constants = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
        for node in model.graph.node:
            if node.name in added:
                had = constants[node.input[2]] if len(node.input) > 2 else np.float32(0)
                name = f"{node.name}_bias"  # of its own: an exporter may give equal biases one name
                model.graph.initializer.append(numpy_helper.from_array((had + added[node.name]).astype("f4"), name))
                node.input[:] = [*node.input[:2], name]
        return OnnxNet(self._exported(_without_unused(model)))

    def _exported(self, model: onnx.ModelProto) -> Exported:
        return Exported(Artifact("onnx", model.SerializeToString(deterministic=True)), self.exported.input)


def _hold_in_float(model: onnx.ModelProto) -> None:
    """Puts a maximum with the lowest float between a convolution in float and the rounding of its output.

    Without one ONNX Runtime takes "rounded in, convolution, rounded out" for INT8 that was left unfinished, and rounds
    the weights when it loads the file, with one scale for all channels (its WeightBiasQuantization): the very thing
    that the convolution was kept from. Its optimizer sees through an identity, but not through this.
    """
    graph = model.graph
    constants = {value.name for value in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    held = []
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        source = made.get(node.input[0])
        while source is not None and source.op_type in ("Relu", "Clip"):
            source = made.get(source.input[0])
        if source is not None and source.op_type in _WEIGHTED and source.input[1] in constants:
            name = f"{node.input[0]}_held"
            held.append(helper.make_node("Max", [node.input[0], _LOWEST], [name], name))
            node.input[0] = name
    if held:
        graph.node.extend(held)
        graph.initializer.append(numpy_helper.from_array(np.float32(np.finfo(np.float32).min), _LOWEST))


def _operators(graph: onnx.GraphProto) -> Iterator[Operator]:
    constants = {value.name: list(value.dims) for value in graph.initializer}
    shapes = constants | {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.value_info, *graph.output)
    }
    for node in graph.node:
        macs = _multiplications(node, shapes) if node.op_type in _WEIGHTED else 0
        inputs = tuple(name for name in node.input if name and name not in constants)
        yield Operator(node.name, node.op_type, inputs, tuple(node.output), macs)


def _multiplications(node: onnx.NodeProto, shapes: Mapping[str, list[int]]) -> int:
    """Of a convolution or product: each output is a sum of so many; each input of a transposed convolution goes into
    so many."""
    taken, weights, made = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "ConvTranspose":
        return prod(taken) * prod(weights) // max(1, taken[1])
    if node.op_type == "MatMul":
        return prod(made) * taken[-1]
    return prod(made) * prod(weights) // max(1, made[1])


def _watched(
    model: onnx.ModelProto, tensors: Iterable[np.ndarray], names: Sequence[str]
) -> Iterator[tuple[np.ndarray, Values]]:
    """Each input with the tensors of these names, from a copy of the model that gives them out."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for tensor in tensors:
        found = zip(names, session.run(list(names), {INPUT: tensor}), strict=True)
        yield tensor, {name: value for name, value in found if value.dtype == np.float32}


def _leading_to(names: set[str], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The quantizing and dequantizing operators of `graph` that make these tensors."""
    pairs = {node.output[0]: node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    found = [pairs[name] for name in sorted(names & pairs.keys())]
    return found + [pairs[node.input[0]] for node in found if node.input[0] in pairs]


def _without_unused(model: onnx.ModelProto) -> onnx.ModelProto:
    used = {name for node in model.graph.node for name in node.input}
    kept = {value.name: value for value in model.graph.initializer if value.name in used}
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept.values())
    return model


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.quantization.onnx_model import ONNXModel

    ordered = ONNXModel(model)
    ordered.topological_sort()
    return ordered.model


def _dequantized(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> np.ndarray:
    values, scale, zero = (numpy_helper.to_array(constants[name]).astype(np.float32) for name in node.input)
    axis = next((each.i for each in node.attribute if each.name == "axis"), 1)
    along = [-1 if place == axis else 1 for place in range(values.ndim)] if scale.size > 1 else [1] * values.ndim
    return np.asarray((values - zero.reshape(along)) * scale.reshape(along), np.float32)


def _kernel(node: onnx.NodeProto, weights: np.ndarray, rounded: np.ndarray) -> Kernel:
    facts = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Gemm":
        if not facts.get("transB"):
            weights, rounded = weights.T, rounded.T
        weights, rounded = (each.reshape(*each.shape, 1, 1) for each in (weights, rounded))
        return Kernel(node.name, node.input[0], weights, rounded)
    top, left, bottom, right = facts.get("pads", (0, 0, 0, 0))
    stride, dilation = (tuple(facts.get(name, (1, 1))) for name in ("strides", "dilations"))
    return Kernel(
        node.name, node.input[0], weights, rounded, stride, dilation, (left, right, top, bottom), facts.get("group", 1)
    )
