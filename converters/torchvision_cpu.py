"""Makes torchvision usable beside a torch that its compiled operators do not fit.

torchvision's registry wheel is linked against CUDA. Beside a CPU-only torch its extension cannot be loaded, and `import
torchvision` stops with "operator torchvision::nms does not exist", because it describes two of its operators whether
they are there or not. This file declares them, with kernels in plain torch for the two that classifiers and detectors
need (`nms` and `roi_align`), and imports torchvision again. Operators that stay absent (`deform_conv2d`, `roi_pool`,
...) are refused by torchvision in its own words when they are called.

A torchvision that loads its own operators is left as it is.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

# Signatures as in torchvision/csrc/ops: nms.cpp, quantized/cpu/qnms_kernel.cpp and roi_align.cpp.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
)
_NMS_BLOCK = 1024  # rows of the overlap matrix held at once: 10 MB of booleans for 10 000 boxes
_importing = threading.Lock()  # training prepares pictures in several threads, each of which may be the first to ask


def import_torchvision() -> ModuleType:
    """The torchvision package, with operators of ours where its own cannot be loaded.

    Call it before the first `import torchvision` of the process; from then on the plain import works too. Any thread
    may call it. `ModuleNotFoundError` where torchvision is not installed.
    """
    with _importing:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if "operator torchvision::nms does not exist" not in str(error):
                raise
        _forget_half_import()
        _declare_operators()
        torchvision = importlib.import_module("torchvision")
        _open_the_gates()
        return torchvision


def _forget_half_import() -> None:
    for name in [name for name in tuple(sys.modules) if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


@functools.cache
def _declare_operators() -> torch.library.Library:
    """The declarations live as long as the library object that is returned; the cache keeps it."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    library.impl("nms", nms, "CPU")  # type: ignore[no-untyped-call]
    library.impl("roi_align", roi_align, "CompositeImplicitAutograd")  # type: ignore[no-untyped-call]
    return library


def _open_the_gates() -> None:
    """`nms()` and `roi_align()` ask whether the extension was loaded before they call their operator. For these two the
    answer is now yes; all other functions go on asking torchvision.
    """
    # torchvision.ops also holds a function called roi_align, so the modules are taken from where they cannot be hidden.
    boxes, align = sys.modules["torchvision.ops.boxes"], sys.modules["torchvision.ops.roi_align"]
    boxes._assert_has_ops = lambda: None  # type: ignore[attr-defined]
    align._assert_has_ops = lambda: None  # type: ignore[attr-defined]
    align._has_ops = lambda: True  # type: ignore[attr-defined]


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy non-maximum suppression as `torchvision.ops.nms` defines it.

    Of two boxes whose IoU is above the threshold the weaker goes; equal scores keep their order. `dets` (n, 4) xyxy,
    `scores` (n,); returns the kept indices, best first, int64.
    """
    if dets.ndim != 2 or dets.shape[1] != 4 or scores.shape != dets.shape[:1]:
        raise ValueError(f"nms takes boxes (n, 4) and scores (n,); got {tuple(dets.shape)} and {tuple(scores.shape)}")
    order = torch.argsort(scores.detach(), descending=True, stable=True)
    boxes = dets.detach()[order]
    alive = torch.ones(len(boxes), dtype=torch.bool)
    for start in range(0, len(boxes), _NMS_BLOCK):
        overlaps = _iou(boxes[start : start + _NMS_BLOCK], boxes) > iou_threshold
        for i, row in enumerate(overlaps, start):
            if alive[i]:
                alive[i + 1 :] &= ~row[i + 1 :]
    return order[alive]


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """(n, m), worked out in the boxes' own dtype and compared as float64, as torchvision's kernel does both."""
    low, high = torch.maximum(a[:, None, :2], b[:, :2]), torch.minimum(a[:, None, 2:], b[:, 2:])
    inter = (high - low).clamp(min=0).prod(dim=2)
    return (inter / (_area(a)[:, None] + _area(b) - inter)).double()


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def roi_align(
    input: Tensor,  # noqa: A002 (the operator's own name for it)
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """Mask R-CNN's RoIAlign (He et al., arXiv 1703.06870) by `grid_sample`; gradients flow to `input`, not to `rois`.

    `input` (n, channels, h, w), `rois` (k, 5): index of the picture and a box in its pixels; returns (k, channels,
    pooled_height, pooled_width). Each bin is the mean of `sampling_ratio`^2 bilinear samples; where that is 0 or less,
    of as many as the bin has pixels. torchvision has a substitute of its own, but it compiles C++ at its first call,
    and it forgets that there is nothing further than one pixel outside of the map.
    """
    if rois.ndim != 2 or rois.shape[1] != 5:
        raise ValueError(f"rois must be (k, 5); got {tuple(rois.shape)}")
    rois = rois.detach()
    corners = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    sizes = corners[:, 2:] - corners[:, :2]
    if not aligned:
        sizes = sizes.clamp(min=1)
    bins = sizes / sizes.new_tensor([pooled_width, pooled_height])
    samples = torch.full_like(bins, sampling_ratio) if sampling_ratio > 0 else bins.ceil()
    # Boxes of one picture that take equally many samples are sampled in one call.
    groups, member = torch.unique(torch.cat([rois[:, :1], samples], dim=1), dim=0, return_inverse=True)
    pooled = input.new_zeros(len(rois), input.shape[1], pooled_height, pooled_width)
    for g, (picture, across, down) in enumerate(groups.int().tolist()):
        if across > 0 and down > 0:  # a box without extent stays 0, as in torchvision
            mine = (member == g).nonzero().squeeze(1)
            ys = _positions(corners[mine, 1], bins[mine, 1], pooled_height, down)
            xs = _positions(corners[mine, 0], bins[mine, 0], pooled_width, across)
            pooled = pooled.index_copy(0, mine, F.avg_pool2d(_sample(input[picture], ys, xs), (down, across)))
    return pooled


def _positions(start: Tensor, size: Tensor, bins: int, per_bin: int) -> Tensor:
    """(k, bins * per_bin): where to sample along one axis, in pixels of the map, evenly within each bin."""
    steps = torch.arange(bins * per_bin, dtype=start.dtype, device=start.device)
    return start[:, None] + size[:, None] * (steps + 0.5) / per_bin


def _sample(features: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
    """`features` (channels, h, w) where `ys` (k, rows) and `xs` (k, columns) cross: (k, channels, rows, columns).

    Up to one pixel outside the map the border counts, further out there is nothing: 0.
    """
    (k, rows), columns = ys.shape, xs.shape[1]
    h, w = features.shape[1:]
    inside = ((ys >= -1) & (ys <= h))[:, :, None] & ((xs >= -1) & (xs <= w))[:, None, :]
    grid = torch.stack(
        [
            _unit(xs, w)[:, None, :].expand(k, rows, columns),
            _unit(ys, h)[:, :, None].expand(k, rows, columns),
        ],
        dim=-1,
    )
    sampled = F.grid_sample(
        features[None],
        grid.reshape(1, k * rows, columns, 2).to(features.dtype),
        padding_mode="border",
        align_corners=True,
    )
    return sampled.reshape(-1, k, rows, columns).transpose(0, 1) * inside[:, None]


def _unit(position: Tensor, size: int) -> Tensor:
    """Pixels as `grid_sample` counts them: -1 is the first pixel's centre, 1 the last's."""
    return position.clamp(0, size - 1) * (2 / max(size - 1, 1)) - 1
