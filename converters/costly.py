"""Operators that convert and that INT8 pays for: each stands in float between convolutions in INT8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import fx
from torch._ops import OpOverload

from edgekit.contract import Format

# Read off what ONNX Runtime 1.31 makes of the quantized graph, and off the operators of the TFLite file that XNNPACK
# has no INT8 kernel for. MobileNetV3-small, with a hard swish after most convolutions, gained nothing from INT8 in ONNX
# Runtime. What OpenVINO does was not measured.
_COSTLY: dict[Format, tuple[str, frozenset[str]]] = {
    "onnx": ("ONNX Runtime has no INT8 kernel for it", frozenset({
        "conv_transpose2d", "elu", "gelu", "grid_sampler", "group_norm", "hardsigmoid", "hardswish", "instance_norm",
        "mish", "prelu", "softplus", "upsample_bicubic2d", "upsample_bilinear2d",
    })),
    "tflite": ("XNNPACK has no INT8 kernel for it", frozenset({
        "elu", "gelu", "group_norm", "hardswish", "instance_norm", "mish", "softmax", "softplus", "upsample_bicubic2d",
    })),
}  # fmt: skip
_WEIGHTED = {"addmm", "bmm", "conv2d", "conv_transpose2d", "linear", "matmul", "scaled_dot_product_attention"}


def costly(graph: fx.Graph, targets: Sequence[Format]) -> Iterator[tuple[fx.Node, Format, str]]:
    """Those calls of a traced network, for each target, with the reason.

    What follows the last convolution or product stays in float anyway, and is left out.
    """
    needed: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        if _kind(node) in _WEIGHTED or node in needed:
            needed.update(node.all_input_nodes)
    for node in graph.nodes:
        for target in targets:
            why, kinds = _COSTLY.get(target, ("", frozenset()))
            if node in needed and _kind(node) in kinds:
                yield node, target, why


def _kind(node: fx.Node) -> str:
    """'hardswish', in place or not; '' of what calls no operator of torch's, such as taking one of several outputs."""
    return str(node.target).split(".")[1].rstrip("_") if isinstance(node.target, OpOverload) else ""
