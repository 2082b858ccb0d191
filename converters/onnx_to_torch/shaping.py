"""Operators that move numbers and compute none: reshape, slice, gather, concatenate, pad.

Shapes are static, yet the leading dimension is written as -1 wherever it is the one that grows with the batch, so
that most imported nets still train on batches.
"""

from __future__ import annotations

import math
import operator as python
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgekit.converters.onnx_to_torch.values import (
    Constant,
    Live,
    Net,
    Node,
    Refused,
    Value,
    operator,
    positive_axis,
    positive_places,
)

PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@operator("Identity", "Dropout")
def identity(node: Node, net: Net) -> Live:
    if any(node.outputs[1:]):
        raise Refused("the mask of a dropout is used as an output")
    return node.live()


@operator("Shape")
def shape(node: Node, net: Net) -> Constant:
    sizes = node.live().shape
    return Constant(node.outputs[0], np.array(sizes[node.get("start", 0) : node.get("end", len(sizes))], np.int64))


@operator("Size")
def size(node: Node, net: Net) -> Constant:
    return Constant(node.outputs[0], np.array(math.prod(node.live().shape), np.int64))


def reshaped(net: Net, x: Live, sizes: tuple[int, ...], grows: int = 0) -> Live:
    """`x` in another shape. A leading 1 that stays is the batch and is left to torch, else the size of axis `grows`."""
    if sizes == x.shape:
        return x
    if 0 in sizes or not sizes:
        return net.call(torch.reshape, x, sizes)
    free = 0 if sizes[0] == x.shape[0] == 1 else grows
    return net.call(torch.reshape, x, tuple(-1 if axis == free else n for axis, n in enumerate(sizes)))


@operator("Reshape")
def reshape(node: Node, net: Net) -> Live:
    x, asked = node.live(), node.ints("shape", 1)
    if asked is None:
        raise Refused("its shape is missing")
    sizes = [x.shape[axis] if n == 0 and not node.get("allowzero", 0) else n for axis, n in enumerate(asked)]
    if -1 not in sizes:
        return reshaped(net, x, tuple(sizes))
    free = sizes.index(-1)
    sizes[free] = math.prod(x.shape) // math.prod(n for axis, n in enumerate(sizes) if axis != free)
    return reshaped(net, x, tuple(sizes), free)


@operator("Flatten")
def flatten(node: Node, net: Net) -> Live:
    x, axis = node.live(), int(node.get("axis", 1))
    axis = axis if axis == x.rank else positive_axis(axis, x.rank)
    if axis == 1:
        return net.call(torch.flatten, x, 1)
    return reshaped(net, x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])), int(axis == 0))


@operator("Squeeze")
def squeeze(node: Node, net: Net) -> Live:
    x, axes = node.live(), node.ints("axes", 1)
    if axes is None:
        axes = tuple(axis for axis, n in enumerate(x.shape) if n == 1)
    axes = tuple(positive_axis(axis, x.rank) for axis in axes)
    if any(x.shape[axis] != 1 for axis in axes):
        raise Refused(f"it squeezes axes {axes} of a tensor {x.shape}")
    return net.call(torch.squeeze, x, axes) if axes else x


@operator("Unsqueeze")
def unsqueeze(node: Node, net: Net) -> Live:
    x, axes = node.live(), node.ints("axes", 1)
    if axes is None:
        raise Refused("its axes are missing")
    rank = x.rank + len(axes)
    for axis in sorted(positive_axis(axis, rank) for axis in axes):
        x = net.call(torch.unsqueeze, x, axis)
    return x


@operator("Transpose")
def transpose(node: Node, net: Net) -> Live:
    x = node.live()
    order = tuple(int(axis) for axis in node.get("perm", range(x.rank)[::-1]))
    return x if order == tuple(range(x.rank)) else net.call(torch.permute, x, order)


@operator("Expand")
def expand(node: Node, net: Net) -> Live:
    x, asked = node.live(), node.ints("shape", 1)
    if asked is None:
        raise Refused("its shape is missing")
    sizes = np.broadcast_shapes(x.shape, asked)
    kept = tuple(-1 if i >= 0 and x.shape[i] == n else n for i, n in enumerate(sizes, x.rank - len(sizes)))
    return x if sizes == x.shape else net.call("expand", x, kept)


@operator("Tile")
def tile(node: Node, net: Net) -> Live:
    x, repeats = node.live(), node.ints("repeats", 1)
    if repeats is None:
        raise Refused("its repeats are missing")
    return x if set(repeats) == {1} else net.call("repeat", x, repeats)


@operator("Concat")
def concat(node: Node, net: Net) -> Live:
    values = [net.live(each) for each in node.inputs if each is not None]
    return net.call(torch.cat, values, node.axis(0, values[0].rank))


@operator("Split")
def split(node: Node, net: Net) -> tuple[Live, ...]:
    x, sizes = node.live(), node.ints("split", 1)
    axis = node.axis(0, x.rank)
    if sizes is None:
        each = math.ceil(x.shape[axis] / len(node.outputs))
        starts = range(0, each * len(node.outputs), each)
        sizes = tuple(min(each, x.shape[axis] - start) for start in starts)
    return net.call_many(torch.split, x, sizes, axis)


@operator("Slice")
def slice_(node: Node, net: Net) -> Live:
    """Steps backwards, which torch does not know, become the same cells forwards, flipped."""
    x, starts, ends = node.live(), node.ints("starts", 1), node.ints("ends", 2)
    if starts is None or ends is None:
        raise Refused("its starts or ends are missing")
    axes = node.ints("axes", 3) or tuple(range(len(starts)))
    steps = node.ints("steps", 4) or (1,) * len(starts)
    kept, flipped = [slice(None)] * x.rank, []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = positive_axis(axis, x.rank)
        cells = range(*slice(start, end, step).indices(x.shape[axis]))
        if step < 0:
            cells = cells[::-1]
            flipped.append(axis)
        whole = cells == range(x.shape[axis])
        kept[axis] = slice(None) if whole else slice(cells.start, max(cells.stop, cells.start), abs(step))
    return _flipped(net, _taken(net, x, kept), flipped)


def _taken(net: Net, x: Live, kept: list[Any]) -> Live:
    """`x[kept]`, without the full slices at the end."""
    while kept and kept[-1] == slice(None):
        kept = kept[:-1]
    return net.call(python.getitem, x, tuple(kept)) if kept else x


def _flipped(net: Net, x: Live, axes: list[int]) -> Live:
    return net.call(torch.flip, x, tuple(axes)) if axes else x


@operator("Gather")
def gather(node: Node, net: Net) -> Live:
    """Known places become a selection, a slice or a table of indices; places found in the picture an index."""
    data, places = node.value(0), node.value(1)
    if data is None or places is None:
        raise Refused("an input is missing")
    x = net.live(data)
    axis = node.axis(0, x.rank)
    if isinstance(places, Constant):
        return _gather_known(net, x, axis, Constant(places.name, positive_places(places.array, x.shape[axis])))
    found = _from_the_front(net, places, x.shape[axis])
    flat = net.call(torch.index_select, x, axis, reshaped(net, found, (math.prod(places.shape),)))
    return reshaped(net, flat, x.shape[:axis] + places.shape + x.shape[axis + 1 :])


def _from_the_front(net: Net, places: Live, size: int) -> Live:
    """Places found in the picture, -1 being the last; as int64."""
    return net.call("to", net.call(torch.remainder, places, size), torch.int64)


def _gather_known(net: Net, x: Live, axis: int, places: Constant) -> Live:
    before: list[Any] = [slice(None)] * axis
    if places.array.ndim == 0:
        return net.call(torch.select, x, axis, int(places.array))
    flat = places.array.reshape(-1)
    if len(flat) and np.array_equal(flat, np.arange(flat[0], flat[0] + len(flat))):
        run = slice(int(flat[0]), int(flat[-1]) + 1)
        y = _taken(net, x, [*before, slice(None) if len(flat) == x.shape[axis] else run])
    else:
        y = net.call(torch.index_select, x, axis, net.live(Constant(places.name, flat)))
    return reshaped(net, y, x.shape[:axis] + places.array.shape + x.shape[axis + 1 :])


@operator("GatherElements")
def gather_elements(node: Node, net: Net) -> Live:
    data, places = node.value(0), node.value(1)
    if data is None or places is None:
        raise Refused("an input is missing")
    x = net.live(data)
    axis = node.axis(0, x.rank)
    if isinstance(places, Constant):
        places = Constant(places.name, positive_places(places.array, x.shape[axis]))
    else:
        places = _from_the_front(net, places, x.shape[axis])
    return net.call(torch.gather, x, axis, net.live(places))


@operator("Pad")
def pad(node: Node, net: Net) -> Live:
    x, given, mode = node.live(), node.ints("pads", 1), node.get("mode", "constant")
    if given is None or mode not in PAD_MODES:
        raise Refused(f"its pads are missing, or its mode '{mode}' is not one of {', '.join(PAD_MODES)}")
    axes = [positive_axis(axis, x.rank) for axis in node.ints("axes", 3) or range(x.rank)]
    pads = dict(zip(axes, zip(given[: len(axes)], given[len(axes) :], strict=True), strict=True))
    sides = [pads.get(axis, (0, 0)) for axis in reversed(range(x.rank))]
    while sides and sides[-1] == (0, 0):
        sides.pop()
    if not sides:
        return x
    flat = tuple(side for both in sides for side in both)
    if mode == "constant":
        return net.call(F.pad, x, flat, value=_fill(node))
    return net.call(F.pad, x, flat, mode=PAD_MODES[mode])


def _fill(node: Node) -> float:
    array = node.constant(2, "fill")
    return float(node.get("value", 0.0)) if array is None or not array.size else float(array.item())


@operator("DepthToSpace")
def depth_to_space(node: Node, net: Net) -> Live:
    x, block = node.live(), int(node.attributes["blocksize"])
    if node.get("mode", "DCR") == "CRD":
        return net.call(F.pixel_shuffle, x, block)
    n, c, h, w = x.shape
    blocks = reshaped(net, x, (n, block, block, c // block**2, h, w))
    return reshaped(net, net.call(torch.permute, blocks, (0, 3, 4, 1, 5, 2)), (n, c // block**2, h * block, w * block))


@operator("SpaceToDepth")
def space_to_depth(node: Node, net: Net) -> Live:
    x, block = node.live(), int(node.attributes["blocksize"])
    n, c, h, w = x.shape
    blocks = reshaped(net, x, (n, c, h // block, block, w // block, block))
    return reshaped(net, net.call(torch.permute, blocks, (0, 3, 5, 1, 2, 4)), (n, c * block**2, h // block, w // block))


@operator("Einsum")
def einsum(node: Node, net: Net) -> Live:
    values: list[Value] = [each for each in node.inputs if each is not None]
    return net.call(torch.einsum, node.attributes["equation"], *(net.live(each) for each in values))
