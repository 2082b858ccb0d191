"""Operators with weights: they become the torch layers of that name, ready for pruning, QAT and fine-tuning."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.converters.onnx_to_torch.values import Array, Constant, Live, Net, Node, Refused, operator
from edgekit.converters.onnx_to_torch.windows import Window, crop, same_pads

CONVOLUTIONS: dict[int, type[nn.Conv1d] | type[nn.Conv2d]] = {3: nn.Conv1d, 4: nn.Conv2d}
TRANSPOSED: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d]] = {
    3: nn.ConvTranspose1d,
    4: nn.ConvTranspose2d,
}
BATCH_NORMS: dict[int, type[nn.BatchNorm1d] | type[nn.BatchNorm2d]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
}
INSTANCE_NORMS: dict[int, type[nn.InstanceNorm1d] | type[nn.InstanceNorm2d]] = {
    3: nn.InstanceNorm1d,
    4: nn.InstanceNorm2d,
}


def _of_rank(layers: dict[int, Any], x: Live) -> Any:
    if x.rank not in layers:
        raise Refused(f"its input has {x.rank} dimensions; known are {', '.join(map(str, layers))}")
    return layers[x.rank]


def _weights(node: Node, index: int = 1) -> Array:
    weights = node.constant(index, "weight")
    if weights is None:
        raise Refused("has no weights")
    return weights


@operator("Conv")
def conv(node: Node, net: Net) -> Live:
    x, weight, bias = node.live(), _weights(node), node.constant(2, "bias")
    window = Window.of(node, x.shape[2:], weight.shape[2:])
    if not window.symmetric:
        x, window = net.call(F.pad, x, window.torch_pads), window.unpadded
    layer = _of_rank(CONVOLUTIONS, x)(
        weight.shape[1] * int(node.get("group", 1)),
        weight.shape[0],
        window.kernel,
        window.stride,
        window.before,
        window.dilation,
        int(node.get("group", 1)),
        bias is not None,
        device="meta",
    )
    return net.layer(node, layer, x, weight=weight, bias=bias)


@operator("ConvTranspose")
def conv_transpose(node: Node, net: Net) -> Live:
    """torch pads both sides alike; other paddings are cut off its output, which is what padding means here."""
    x, weight, bias = node.live(), _weights(node), node.constant(2, "bias")
    kernel, extra, group = weight.shape[2:], _output_padding(node, weight.ndim - 2), int(node.get("group", 1))
    window = _transposed_window(node, x.shape[2:], kernel, extra)
    layer = _of_rank(TRANSPOSED, x)(
        weight.shape[0],
        weight.shape[1] * group,
        kernel,
        window.stride,
        window.before if window.symmetric else 0,
        extra,
        group,
        bias is not None,
        window.dilation,
        device="meta",
    )
    y = net.layer(node, layer, x, weight=weight, bias=bias)
    return y if window.symmetric else crop(net, y, window.pads)


def _output_padding(node: Node, axes: int) -> tuple[int, ...]:
    return tuple(int(each) for each in node.get("output_padding", [0] * axes))


def _transposed_window(node: Node, size: tuple[int, ...], kernel: tuple[int, ...], extra: tuple[int, ...]) -> Window:
    """Where an output shape (or SAME) is asked for, the padding follows from it, as the ONNX specification says."""
    window = Window.of(node, size, kernel)
    auto = node.get("auto_pad", "NOTSET")
    wanted = node.get("output_shape", None)
    if wanted is None and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(size, window.stride, strict=True)]
    if wanted is None:
        return window
    total = [
        (n - 1) * s + e + (k - 1) * d + 1 - out
        for n, s, e, k, d, out in zip(
            size, window.stride, extra, kernel, window.dilation, wanted[-len(size) :], strict=True
        )
    ]
    if min(total) < 0:
        raise Refused(f"its output is to be {tuple(wanted)}, larger than what its windows reach")
    return window.padded(tuple(same_pads(each, end_gets_more=auto == "SAME_UPPER") for each in total))


@operator("BatchNormalization")
def batch_norm(node: Node, net: Net) -> Live:
    x = node.live()
    scale, bias, mean, var = (_weights(node, i) for i in (1, 2, 3, 4))
    if node.get("training_mode", 0) or not node.get("spatial", 1) or any(node.outputs[1:]):
        raise Refused("it is exported in training mode or not per channel; export the model after .eval()")
    eps, momentum = float(node.get("epsilon", 1e-5)), 1 - float(node.get("momentum", 0.9))
    layer = _of_rank(BATCH_NORMS, x)(len(scale), eps, momentum, device="meta")
    seen = np.array(0, np.int64)
    weights = {"weight": scale, "bias": bias, "running_mean": mean, "running_var": var, "num_batches_tracked": seen}
    return net.layer(node, layer, x, **weights)


@operator("InstanceNormalization")
def instance_norm(node: Node, net: Net) -> Live:
    x, scale, bias = node.live(), _weights(node, 1), _weights(node, 2)
    layer = _of_rank(INSTANCE_NORMS, x)(len(scale), float(node.get("epsilon", 1e-5)), affine=True, device="meta")
    return net.layer(node, layer, x, weight=scale, bias=bias)


@operator("GroupNormalization")
def group_norm(node: Node, net: Net) -> Live:
    x, scale, bias = node.live(), _weights(node, 1), _weights(node, 2)
    groups, channels = int(node.attributes["num_groups"]), x.shape[1]
    if len(scale) != channels:  # opset 18 has one scale a group, opset 21 one a channel
        scale, bias = (np.repeat(each, channels // groups) for each in (scale, bias))
    layer = nn.GroupNorm(groups, channels, float(node.get("epsilon", 1e-5)), device="meta")
    return net.layer(node, layer, x, weight=scale, bias=bias)


@operator("LayerNormalization")
def layer_norm(node: Node, net: Net) -> Live:
    x, scale, bias = node.live(), _weights(node, 1), node.constant(2, "bias")
    if any(node.outputs[1:]):
        raise Refused("its mean or deviation is used as an output")
    shape = x.shape[node.axis(-1, x.rank) :]
    scale, bias = np.broadcast_to(scale, shape), None if bias is None else np.broadcast_to(bias, shape)
    layer = nn.LayerNorm(shape, float(node.get("epsilon", 1e-5)), bias=bias is not None, device="meta")
    return net.layer(node, layer, x, weight=scale, bias=bias)


@operator("Gemm")
def gemm(node: Node, net: Net) -> Live:
    """alpha * A @ B + beta * C: a linear layer, its factors folded into the weights."""
    x, weight, bias = node.live(), _weights(node), node.constant(2, "bias")
    if node.get("transA", 0):
        x = net.call(torch.transpose, x, 0, 1)
    weight = float(node.get("alpha", 1.0)) * (weight if node.get("transB", 0) else weight.T)
    if bias is not None:
        bias = float(node.get("beta", 1.0)) * bias
        if bias.size not in (1, len(weight)) or (bias.ndim == 2 and bias.shape[0] != 1):
            raise Refused(f"its bias is {bias.shape}; known is one number for each of {len(weight)} outputs")
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
    return _linear(node, net, x, weight, bias)


@operator("MatMul")
def matmul(node: Node, net: Net) -> Live:
    a, b = node.value(0), node.value(1)
    if isinstance(a, Live) and isinstance(b, Constant) and b.array.ndim == 2:
        return _linear(node, net, a, b.array.T, None)
    if a is None or b is None:
        raise Refused("an input is missing")
    return net.call(torch.matmul, net.live(a), net.live(b))


@operator("edgekit.Linear")
def linear(node: Node, net: Net) -> Live:
    """A matrix product and the addition behind it; see `read`."""
    x = node.value(0)
    if x is None:
        raise Refused("its input is missing")
    return _linear(node, net, net.live(x), _weights(node).T, node.constant(2, "bias"))


def _linear(node: Node, net: Net, x: Live, weight: Array, bias: Array | None) -> Live:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    return net.layer(node, layer, x, weight=weight, bias=bias)


@operator("PRelu")
def prelu(node: Node, net: Net) -> Live:
    x, slope = node.live(), _weights(node)
    channels = x.shape[1] if x.rank > 1 else 1
    per_channel = np.broadcast_shapes(slope.shape, (channels, *[1] * (x.rank - 2))) == (channels, *[1] * (x.rank - 2))
    if not per_channel:
        raise Refused(f"its slopes have the shape {slope.shape}; known are one number, or one a channel ({channels})")
    layer = nn.PReLU(slope.size, device="meta")
    return net.layer(node, layer, x, weight=slope.reshape(-1))
