"""Windows that slide over a picture: their padding by the rules of ONNX, and the pooling operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from operator import getitem, mul
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from edgekit.converters.onnx_to_torch.values import Array, Constant, Live, Net, Node, Refused, operator

Pads = tuple[tuple[int, int], ...]

MAX_POOLS: dict[int, Callable[..., Any]] = {3: F.max_pool1d, 4: F.max_pool2d}
AVERAGE_POOLS: dict[int, Callable[..., Any]] = {3: F.avg_pool1d, 4: F.avg_pool2d}


@dataclass(frozen=True)
class Window:
    """Kernel, stride, dilation and (before, after) padding of each axis of the picture."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: Pads

    @classmethod
    def of(cls, node: Node, size: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
        """The window of a node over a picture of `size`, its 'pads' or 'auto_pad' resolved."""
        n = len(kernel)
        stride = tuple(int(each) for each in node.get("strides", [1] * n))
        dilation = tuple(int(each) for each in node.get("dilations", [1] * n))
        pads = [int(each) for each in node.get("pads", [0] * 2 * n)]
        if not len(size) == len(stride) == len(dilation) == n or len(pads) != 2 * n:
            raise Refused(f"its kernel {kernel}, strides, dilations and pads do not fit a picture of {len(size)} axes")
        auto = node.get("auto_pad", "NOTSET")
        window = cls(tuple(kernel), stride, dilation, tuple(zip(pads[:n], pads[n:], strict=True)))
        if auto == "VALID":
            return window.unpadded
        return window.padded(window._same(size, auto == "SAME_UPPER")) if auto.startswith("SAME") else window

    def padded(self, pads: Pads) -> Window:
        return replace(self, pads=pads)

    @property
    def unpadded(self) -> Window:
        return self.padded(((0, 0),) * len(self.kernel))

    @property
    def extent(self) -> tuple[int, ...]:
        """How far the window reaches on each axis."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def before(self) -> tuple[int, ...]:
        return tuple(before for before, _ in self.pads)

    @property
    def symmetric(self) -> bool:
        return all(before == after >= 0 for before, after in self.pads)

    @property
    def torch_pads(self) -> tuple[int, ...]:
        """As `torch.nn.functional.pad` takes them: last axis first."""
        return tuple(side for pads in reversed(self.pads) for side in pads)

    def places(self, size: tuple[int, ...], round_up: bool) -> tuple[int, ...]:
        """How many windows fit on each axis. One that would begin behind the picture and its padding is left out."""
        found = []
        for n, reach, s, (before, after) in zip(size, self.extent, self.stride, self.pads, strict=True):
            steps = (n + before + after - reach) / s
            count = (ceil(steps) if round_up else int(steps // 1)) + 1
            found.append(count - 1 if round_up and (count - 1) * s >= n + before else count)
        return tuple(found)

    def _same(self, size: tuple[int, ...], end_gets_more: bool) -> Pads:
        axes = zip(size, self.extent, self.stride, strict=True)
        totals = (max((ceil(n / s) - 1) * s + reach - n, 0) for n, reach, s in axes)
        return tuple(same_pads(total, end_gets_more) for total in totals)


def same_pads(total: int, end_gets_more: bool) -> tuple[int, int]:
    less, more = total // 2, total - total // 2
    return (less, more) if end_gets_more else (more, less)


def crop(net: Net, x: Live, pads: Pads) -> Live:
    """Cuts `pads` off the picture's axes."""
    axes = zip(x.shape[2:], pads, strict=True)
    kept = tuple(slice(before, n - after) for n, (before, after) in axes)
    return net.call(getitem, x, (slice(None), slice(None), *kept))


@operator("MaxPool")
def max_pool(node: Node, net: Net) -> Live:
    """Padding never wins a maximum, so windows over the edge are cut short.

    torch does that too, with its own padding and with rounding up at the end. Only where neither gives the wanted
    windows is the picture padded with minus infinity: an infinite constant is poison for an INT8 calibration.
    """
    x = node.live()
    if any(node.outputs[1:]):
        raise Refused("the places of the maxima are used as an output")
    window, pool = _pool_window(node, x), _pool(MAX_POOLS, x)
    places = window.places(x.shape[2:], bool(node.get("ceil_mode", 0)))
    if all(0 <= 2 * before <= reach for before, reach in zip(window.before, window.extent, strict=True)):
        own = window.padded(tuple((before, before) for before in window.before))
        for round_up in (False, True):
            found = own.places(x.shape[2:], round_up)
            if all(has >= wanted for has, wanted in zip(found, places, strict=True)):
                y = net.call(pool, x, window.kernel, window.stride, window.before, window.dilation, round_up)
                extra = tuple((0, has - wanted) for has, wanted in zip(found, places, strict=True))
                return y if found == places else crop(net, y, extra)
    x = net.call(F.pad, x, _reaching(window, x.shape[2:], places).torch_pads, value=-float("inf"))
    return net.call(pool, x, window.kernel, window.stride, 0, window.dilation)


@operator("AveragePool")
def average_pool(node: Node, net: Net) -> Live:
    """By torch's own pool where that divides by the same counts; else zeros around it, and a map of factors."""
    x = node.live()
    window, pool = _pool_window(node, x), _pool(AVERAGE_POOLS, x)
    if any(each != 1 for each in window.dilation):
        raise Refused("it is dilated")
    round_up, include = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))
    places = window.places(x.shape[2:], round_up)
    fits = all(2 * before <= k for before, k in zip(window.before, window.kernel, strict=True))
    if window.symmetric and fits:
        return net.call(pool, x, window.kernel, window.stride, window.before, round_up, include)
    factors = _factors(window, x.shape[2:], places, include)
    x = net.call(F.pad, x, _reaching(window, x.shape[2:], places).torch_pads)
    y = net.call(pool, x, window.kernel, window.stride)
    return y if np.all(factors == 1) else net.call(mul, y, net.live(Constant(f"{node.outputs[0]}.factors", factors)))


@operator("GlobalAveragePool")
def global_average_pool(node: Node, net: Net) -> Live:
    x = node.live()
    return net.call(torch.mean, x, tuple(range(2, x.rank)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(node: Node, net: Net) -> Live:
    x = node.live()
    return net.call(torch.amax, x, tuple(range(2, x.rank)), keepdim=True)


def _pool(pools: dict[int, Callable[..., Any]], x: Live) -> Callable[..., Any]:
    if x.rank not in pools:
        raise Refused(f"its input has {x.rank} dimensions; known are {', '.join(map(str, pools))}")
    return pools[x.rank]


def _pool_window(node: Node, x: Live) -> Window:
    return Window.of(node, x.shape[2:], tuple(int(each) for each in node.attributes["kernel_shape"]))


def _reaching(window: Window, size: tuple[int, ...], places: tuple[int, ...]) -> Window:
    """The same window with as much padding behind as its last place needs, no more and no less."""
    axes = zip(places, window.stride, window.extent, size, window.before, strict=True)
    return window.padded(tuple((before, (p - 1) * s + reach - n - before) for p, s, reach, n, before in axes))


def _factors(window: Window, size: tuple[int, ...], places: tuple[int, ...], include_padding: bool) -> Array:
    """(1, 1, places...) float32: kernel size over the number of cells that count, for each place."""
    counts = np.ones((), np.float64)
    for n, k, s, (before, after), p in zip(size, window.kernel, window.stride, window.pads, places, strict=True):
        start = np.arange(p) * s - before
        low, high = (-before, n + after) if include_padding else (0, n)
        cells = np.minimum(start + k, high) - np.maximum(start, low)
        counts = np.multiply.outer(counts, cells / k)
    return (1 / counts).astype(np.float32)[None, None]
