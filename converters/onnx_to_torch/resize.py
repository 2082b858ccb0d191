"""Resize and Upsample: each axis as the matrix that ONNX defines, left to torch where torch has the same one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgekit.converters.onnx_to_torch.values import Array, Constant, Live, Net, Node, Refused, operator

TORCH_WAYS: tuple[dict[str, Any], ...] = (
    {"mode": "nearest"},
    {"mode": "nearest-exact"},
    {"mode": "bilinear", "align_corners": False},
    {"mode": "bilinear", "align_corners": True},
)
LARGEST_SIDE = 8192
"""Of the picture that a Resize gives: the matrix of one axis is out x in numbers."""

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@operator("Resize", "Upsample")
def resize(node: Node, net: Net) -> Live:
    """A picture (n, c, height, width) in another size; nearest, linear and cubic in every coordinate convention."""
    x = node.live()
    if x.rank != 4:
        raise Refused(f"its input has {x.rank} dimensions; known is a picture (n, c, height, width)")
    for attribute in ("antialias", "exclude_outside"):
        if node.get(attribute, 0):
            raise Refused(f"'{attribute}' is set")
    sizes, scales = _target(node, x)
    if sizes[:2] != x.shape[:2]:
        raise Refused(f"it resizes batch or channels, from {x.shape} to {sizes}")
    if max(sizes) > LARGEST_SIDE:
        raise Refused(f"it resizes to {sizes[3]} x {sizes[2]}; known are sides up to {LARGEST_SIDE}")
    rows, columns = (axis_matrix(node, x.shape[axis], sizes[axis], scales[axis]) for axis in (2, 3))
    for way in TORCH_WAYS:
        if all(np.allclose(m, torch_matrix(m.shape[1], m.shape[0], way), atol=1e-5) for m in (rows, columns)):
            return net.call(F.interpolate, x, sizes[2:], **way)
    x = _along(net, x, 2, Constant(f"{node.outputs[0]}.rows", rows))
    return _along(net, x, 3, Constant(f"{node.outputs[0]}.columns", columns))


def axis_matrix(node: Node, n: int, out: int, scale: float) -> Array:
    """(out, n) float32: how much of each of the `n` pixels goes into each of the `out` pixels, by the ONNX operator."""
    at = _coordinates(node, n, out, np.float32(scale))
    matrix = np.zeros((out, n), np.float32)
    mode = node.get("mode", "nearest")
    if mode == "nearest":
        rounding = node.get("nearest_mode", "round_prefer_floor") if _is_modern(node) else "floor"
        taps = [(ROUNDINGS[rounding](at), np.ones(out))]
    elif mode == "linear":
        at = at.clip(0, n - 1)
        taps = [(np.floor(at), 1 - at % 1), (np.floor(at) + 1, at % 1)]
    else:
        taps = _cubic_taps(at, float(node.get("cubic_coeff_a", -0.75)))
    for pixel, weight in taps:
        np.add.at(matrix, (np.arange(out), pixel.clip(0, n - 1).astype(int)), weight)
    return matrix


def torch_matrix(n: int, out: int, way: dict[str, Any]) -> Array:
    """The same matrix as torch interpolates: the images of `n` pictures that have one white pixel each."""
    rows = F.interpolate(torch.eye(n).reshape(1, n, 1, n), (1, out), **way)
    return rows.reshape(n, out).T.numpy()


def _is_modern(node: Node) -> bool:
    """Resize-10 and Upsample had one convention only: asymmetric coordinates, rounded down."""
    return node.operator == "Resize" and node.opset >= 11


def _target(node: Node, x: Live) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The size of the output and the scale of each axis, from 'sizes' or 'scales', for 'axes' or for all."""
    if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Refused(
            f"keep_aspect_ratio_policy is '{node.attributes['keep_aspect_ratio_policy']}', known is 'stretch'"
        )
    axes = [int(axis) % 4 for axis in node.get("axes", range(4))]
    given = node.constant(3, "size") if _is_modern(node) else None
    if given is not None and given.size:
        sizes, scales = list(x.shape), [1.0] * 4
        for axis, size in zip(axes, given, strict=True):
            sizes[axis], scales[axis] = int(size), int(size) / x.shape[axis]
        return tuple(sizes), tuple(scales)
    factors = node.get("scales", None) or node.constant(2 if _is_modern(node) else 1, "scale")
    if factors is None:
        raise Refused("it has neither sizes nor scales")
    scales = [1.0] * 4
    for axis, factor in zip(axes, factors, strict=True):
        scales[axis] = float(factor)
    return tuple(int(np.floor(n * s)) for n, s in zip(x.shape, scales, strict=True)), tuple(scales)


def _coordinates(node: Node, n: int, out: int, scale: np.float32) -> Array:
    """Where each output pixel lies among the input's, in float32 as ONNX Runtime computes it."""
    i = np.arange(out, dtype=np.float32)
    way = node.get("coordinate_transformation_mode", "half_pixel") if _is_modern(node) else "asymmetric"
    half = (i + np.float32(0.5)) / scale - np.float32(0.5)
    if way == "pytorch_half_pixel":
        return half if out > 1 else np.zeros(out, np.float32)
    if way == "align_corners":
        return i * np.float32((n - 1) / (out - 1)) if out > 1 else np.zeros(out, np.float32)
    if way == "half_pixel_symmetric":
        return half + np.float32(n / 2 * (1 - out / (scale * n)))
    known = {"half_pixel": half, "asymmetric": i / scale, "tf_half_pixel_for_nn": (i + np.float32(0.5)) / scale}
    if way not in known:
        raise Refused(f"coordinate_transformation_mode is '{way}'")
    return known[way]


def _cubic_taps(at: Array, a: float) -> list[tuple[Array, Array]]:
    """Keys, Cubic convolution interpolation for digital image processing, 1981; four pixels around each place."""
    below, t = np.floor(at), at % 1
    near = [((a + 2) * d - (a + 3)) * d * d + 1 for d in (t, 1 - t)]
    far = [((a * d - 5 * a) * d + 8 * a) * d - 4 * a for d in (1 + t, 2 - t)]
    return [(below - 1, far[0]), (below, near[0]), (below + 1, near[1]), (below + 2, far[1])]


def _along(net: Net, x: Live, axis: int, matrix: Constant) -> Live:
    """One axis by its matrix: picked where each pixel comes from one pixel, multiplied else."""
    weights = matrix.array
    if weights.shape[0] == weights.shape[1] and np.array_equal(weights, np.eye(len(weights))):
        return x
    if np.all((weights == 0) | (weights == 1)):
        picked = Constant(matrix.name, weights.argmax(1).astype(np.int64))
        return net.call(torch.index_select, x, axis, net.live(picked))
    if axis == 3:
        return net.call(torch.matmul, x, net.live(Constant(matrix.name, weights.T)))
    return net.call(torch.matmul, net.live(matrix), x)
