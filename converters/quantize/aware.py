"""Training under simulated INT8: what 8 bits will do to weights and activations is done while they can still learn.

    prepared = prepare(module, spec, tensors)
    train(prepared)                 # any loop; it takes and gives what the module does
    module = finish(prepared)       # plain float again, to be exported and quantized as ever

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference (CVPR 2018),
with batch norm held still: its statistics are folded into the weights before these are rounded, as in the export.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, fx, nn

from edgekit.contract import InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.for_onnx import QUANTIZED, OnnxNet
from edgekit.converters.quantize.static import look
from edgekit.converters.traced import running, trace, weighted_nodes

_PACE = 0.01  # of the running average of ranges; fine-tuning is too short for the thousands of steps of Jacob et al.


class QuantizationAware(nn.Module):
    """A module that answers as its INT8 export will, and learns through it: gradients pass rounding as if it were not
    there, and stop where a value was cut off. Made by `prepare`.

    In training mode ranges follow what passes, in eval mode they stay. Batch norm keeps its statistics in both.
    unmatched: tensors of the INT8 file that no torch call makes by itself (the sigmoid within a SiLU); they stay in
    float here.
    """

    def __init__(self, graph: fx.GraphModule, module: nn.Module, unmatched: tuple[str, ...]) -> None:
        super().__init__()
        self.graph, self.unmatched = graph, unmatched
        self._float = (module,)  # a tuple, so that its parameters do not count twice

    @property
    def module(self) -> nn.Module:
        """What was prepared, by its own names; its parameters are the graph's."""
        return self._float[0]

    def forward(self, x: Tensor) -> Any:
        return self.graph(x)


class Rounded(nn.Module):
    """Passes an activation through unsigned 8 bits, one scale for all of it."""

    low: Tensor
    high: Tensor

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(high))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.low.lerp_(x.amin().clamp(max=0), _PACE)  # 0 is always one of the steps
                self.high.lerp_(x.amax().clamp(min=0), _PACE)
        scale = ((self.high - self.low) / 255).clamp(min=1e-12)
        zero = (-self.low / scale).round().clamp(0, 255).to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)


def prepare(
    module: nn.Module,
    spec: InputSpec,
    calibration: Sequence[np.ndarray],
    settings: Int8Settings = Int8Settings(),  # noqa: B008 (frozen)
) -> QuantizationAware:
    """A copy of `module` that simulates what `quantize_onnx` with these settings makes of it, to be trained.

    `module`: in eval mode, takes pictures as `spec` normalises them. `calibration`: some such tensors, (1, 3, h, w).
    What is in INT8, and its first ranges, are read from the INT8 file itself. keep_float names ONNX operators. Weights
    of transposed convolutions stay in float here.
    `ConversionError` where the module cannot be exported, or traced for batches of any size.
    """
    own = copy.deepcopy(module).eval()
    start = to_onnx(own, spec, raw=False)
    net = OnnxNet(start)
    int8 = net.quantized(look(net, calibration, settings).ranges, settings)
    graph = trace(own, torch.from_numpy(calibration[0]), any_batch=True)
    places, unmatched = _places(graph, net, _ranges(int8), calibration[0])
    for number, (node, ends) in enumerate(places.items()):
        _round_activation(graph, node, f"rounded_{number}", ends)
    _round_weights(graph, net, int8, settings)
    graph.graph.lint()
    graph.recompile()
    return QuantizationAware(graph, own, unmatched)


def finish(prepared: QuantizationAware) -> nn.Module:
    """The float module with what was learned, in eval mode on the CPU; `prepared` stays as it is."""
    module = copy.deepcopy(prepared._float[0])
    learned = dict(prepared.graph.named_parameters())
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name in learned:
                parameter.copy_(learned[name])
    return module.cpu().eval()


def _ranges(int8: Exported) -> dict[str, tuple[float, float]]:
    """Of every activation that the file rounds: what its 8 bits reach from and to."""
    graph = onnx.load_from_string(int8.artifact.model).graph
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    ranges = {}
    for node in quantizers:
        scale, zero = float(constants[node.input[1]]), int(constants[node.input[2]])
        ranges[node.output[0].removesuffix(QUANTIZED)] = (-zero * scale, (255 - zero) * scale)
    return ranges


def _places(
    graph: fx.GraphModule, net: OnnxNet, ranges: Mapping[str, tuple[float, float]], picture: np.ndarray
) -> tuple[dict[fx.Node, tuple[float, float]], tuple[str, ...]]:
    """The torch call that makes each rounded tensor, known by what it gives for a picture: names differ, values do not.

    Where several give the same (a dropout passes on what it takes) it is the last of them.
    """
    (wanted,) = net.activations([picture])
    made = list(running(graph, torch.from_numpy(picture)))
    places, unmatched = {}, []
    for name, ends in ranges.items():
        alike = [node for node, value in made if _same(value, wanted[name])]
        if alike:
            places[alike[-1]] = ends
        else:
            unmatched.append(name)
    return places, tuple(unmatched)


def _same(value: Tensor, wanted: np.ndarray) -> bool:
    if tuple(value.shape) != wanted.shape:
        return False
    return bool(np.abs(value.numpy() - wanted).max() <= 1e-3 * max(1e-6, float(np.abs(wanted).max())))


def _round_activation(graph: fx.GraphModule, node: fx.Node, name: str, ends: tuple[float, float]) -> None:
    graph.add_module(name, Rounded(*ends))
    with graph.graph.inserting_after(node):
        new = graph.graph.call_module(name, (node,))
    node.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)


def _round_weights(graph: fx.GraphModule, net: OnnxNet, int8: Exported, settings: Int8Settings) -> None:
    """Puts `_in_int8` in the place of each convolution or product, and of its batch norm, that is in INT8."""
    rounded = {kernel.operator for kernel in net.kernels(int8)}
    names = {node.input[1] for node in net.model.graph.node if node.name in rounded}
    for name, (node, last) in weighted_nodes(graph.graph).items():
        if name not in names:
            continue
        call: Any = node.target
        norm = None if last is node else (*last.args[1:5], last.args[7])
        with graph.graph.inserting_after(last):
            new = graph.graph.call_function(_in_int8, (call, norm, settings.per_channel, *node.args))
        last.replace_all_uses_with(new)
        for old in {last: None, node: None}:
            graph.graph.erase_node(old)


def _in_int8(
    call: Any, norm: tuple[Tensor, Tensor, Tensor, Tensor, float] | None, per_channel: bool, x: Tensor, weight: Tensor,
    bias: Tensor | None = None, *rest: Any,
) -> Any:  # fmt: skip
    """The convolution or product, its batch norm folded in and its weights rounded to 8 bits."""
    if norm is not None:
        gamma, beta, mean, variance, epsilon = norm
        factor = gamma / torch.sqrt(variance + epsilon)
        weight = weight * factor.view(-1, *[1] * (weight.ndim - 1))
        bias = beta + ((0 if bias is None else bias) - mean) * factor
    return call(x, _rounded_weight(weight, per_channel), bias, *rest)


def _rounded_weight(weight: Tensor, per_channel: bool) -> Tensor:
    """Signed, symmetric, -127 to 127, with one scale for each output channel or for all."""
    with torch.no_grad():
        largest = weight.abs().amax(dim=tuple(range(1, weight.ndim))) if per_channel else weight.abs().amax().view(1)
        scale = (largest / 127).clamp(min=1e-12)
    if not per_channel:
        zero = torch.zeros(1, dtype=torch.int32, device=weight.device)
        return torch.fake_quantize_per_tensor_affine(weight, scale, zero, -127, 127)
    zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -127, 127)
