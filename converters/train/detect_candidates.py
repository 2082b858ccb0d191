"""A detector's raw outputs as boxes and scores through which gradients pass: `edgekit.decode` for training.

    found = candidates_of(module(batch.images), head, spec, labels=2)

`edgekit.decode` looks at the few candidates that pass its threshold, here all of them are decoded, for a whole batch.
The two say the same of the same outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from edgekit.contract import AnyHead, FastestDet, Gfl, InputSpec, Ssd, Yolo, YoloX
from edgekit.converters.train.detect_boxes import xywh_to_xyxy
from edgekit.decode.candidates import grid
from edgekit.decode.ssd import anchors_of
from edgekit.errors import ContractError, ConversionError

Outputs: TypeAlias = tuple[Tensor, ...]
Shape: TypeAlias = tuple[int | None, ...]

# Powers of e: the first is torchvision's bound on how much larger than its anchor a box may get (det_utils.BoxCoder),
# the second keeps a YOLOX box of an untrained network finite: it is 3000 strides.
_LARGEST_SSD, _LARGEST_YOLOX = math.log(1000 / 16), 8.0
# Where a sigmoid in float32 still tells its argument: -27.6 to 15.9.
_LEAST, _MOST = 1e-12, 1 - 2**-23
_STRIDES = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, eq=False)
class Candidates:
    """One box at each point, and its score for each class.

    boxes: (n, points, 4) xyxy in pixels of the input, not clipped to it.
    logits: (n, points, classes); their sigmoids are the scores that `edgekit.decode` holds against its threshold.
    points: (points, 2) x, y in pixels, the middle of the cell (of SSD: of the anchor) that a box belongs to.
    strides: (points,) pixels between neighbouring points; of SSD the side of a square as large as the anchor.
    sides: (n, points, 4, bins) logits of how far away each side lies in strides; None where the head gives no
        distributions.
    """

    boxes: Tensor
    logits: Tensor
    points: Tensor
    strides: Tensor
    sides: Tensor | None = None


def candidates_of(outputs: Outputs, head: AnyHead, spec: InputSpec, labels: int) -> Candidates:
    """What `outputs` (a batch of n) say, decoded by their head. `labels`: how many classes the model knows.

    `ConversionError` for a head that cannot be decoded so, `ContractError` where the outputs are not the head's.
    """
    check_trainable(head)
    return _FAMILIES[type(head)](outputs, head, spec, labels)


def is_trainable(head: AnyHead) -> bool:
    """Whether all candidates of such a head can be had with gradients."""
    return type(head) in _FAMILIES


def check_trainable(head: AnyHead) -> None:
    """`ConversionError` unless detectors with this head can be trained and distilled."""
    if not is_trainable(head):
        kinds = ", ".join(sorted(family().kind for family in _FAMILIES))
        raise ConversionError(f"detectors with a '{head.kind}' head cannot be trained; those with these can: {kinds}")


def _yolo(outputs: Outputs, head: Yolo, spec: InputSpec, labels: int) -> Candidates:
    if len(outputs) == 2:
        boxes, scores = _expect(outputs, [(4, None), (labels, None)], head, spec, labels)
    else:
        (whole,) = _expect(outputs, [(4 + labels, None)], head, spec, labels)
        boxes, scores = whole[:, :4], whole[:, 4:]
    points, strides = _grid(spec, strides_of(boxes.shape[2], spec), 0.5, boxes)
    boxes = boxes.mT
    if head.normalised:
        boxes = boxes * boxes.new_tensor([spec.width, spec.height, spec.width, spec.height])
    return Candidates(xywh_to_xyxy(boxes) if head.boxes == "xywh" else boxes, _logit(scores.mT), points, strides)


def strides_of(points: int, spec: InputSpec) -> tuple[int, ...]:
    """The strides of an anchor-free head, which its contract does not name: neighbouring powers of two whose maps have
    `points` cells together. They are taken to come map by map, the finest first, and row by row, as in every published
    model; `ConversionError` where no such run of strides has as many cells.
    """
    ends = range(len(_STRIDES) + 1)
    runs = [_STRIDES[first:last] for first in ends for last in ends if first < last]
    fitting = [run for run in runs if points == sum(_cells(spec, stride) for stride in run)]
    if len(fitting) != 1:
        usual = sum(_cells(spec, stride) for stride in (8, 16, 32))
        raise ConversionError(
            f"a yolo head with {points} candidates at {spec.width}x{spec.height}: which points of the picture they "
            f"belong to cannot be told; strides 8, 16 and 32 would have {usual}"
        )
    return fitting[0]


def _yolox(outputs: Outputs, head: YoloX, spec: InputSpec, labels: int) -> Candidates:
    (rows,) = _expect(outputs, [(_points(spec, head.strides), 5 + labels)], head, spec, labels)
    points, strides = _grid(spec, head.strides, 0.5, rows)
    each = strides[:, None]
    centres = rows[..., :2] * each + (points - each / 2)  # the grid that is added is that of the cells' corners
    sides = rows[..., 2:4].clamp(max=_LARGEST_YOLOX).exp() * each
    boxes = xywh_to_xyxy(torch.cat([centres, sides], -1))
    return Candidates(boxes, _logit(rows[..., 4:5] * rows[..., 5:]), points, strides)


def _gfl(outputs: Outputs, head: Gfl, spec: InputSpec, labels: int) -> Candidates:
    scores, raw = _gfl_parts(outputs, head, spec, labels)
    points, strides = _grid(spec, head.strides, head.offset, raw)
    sides = raw.reshape(*raw.shape[:2], 4, head.reg_max + 1)
    bins = torch.arange(head.reg_max + 1, dtype=raw.dtype, device=raw.device)
    distances = (sides.softmax(-1) @ bins) * strides[:, None]
    boxes = torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)
    return Candidates(boxes, _logit(scores), points, strides, sides)


def _gfl_parts(outputs: Outputs, head: Gfl, spec: InputSpec, labels: int) -> tuple[Tensor, Tensor]:
    """Class scores (n, points, labels) and distributions (n, points, 4 * (reg_max + 1)) of all strides."""
    bins = 4 * (head.reg_max + 1)
    if len(outputs) == 1:
        (whole,) = _expect(outputs, [(_points(spec, head.strides), labels + bins)], head, spec, labels)
        return whole[..., :labels], whole[..., labels:]
    shapes: list[Shape] = [(_cells(spec, stride), values) for values in (labels, bins) for stride in head.strides]
    maps = _expect(outputs, shapes, head, spec, labels)
    return torch.cat(maps[: len(head.strides)], 1), torch.cat(maps[len(head.strides) :], 1)


def _fastestdet(outputs: Outputs, head: FastestDet, spec: InputSpec, labels: int) -> Candidates:
    (cells,) = _expect(outputs, [(5 + labels, None, None)], head, spec, labels)
    height, width = cells.shape[2:]
    y, x = torch.meshgrid(*(torch.arange(n, device=cells.device) for n in (height, width)), indexing="ij")
    corners = torch.stack([x.flatten(), y.flatten()], 1).to(cells.dtype)
    whole = cells.new_tensor([spec.width, spec.height])
    cell = whole / cells.new_tensor([width, height])
    rows = cells.flatten(2).mT
    boxes = torch.cat([(rows[..., 1:3].tanh() + corners) * cell, rows[..., 3:5].sigmoid() * whole], -1)
    # The roots' slopes are infinite at 0.
    scores = rows[..., :1].clamp(min=_LEAST) ** 0.6 * rows[..., 5:].clamp(min=_LEAST) ** 0.4
    strides = cell.prod().sqrt().expand(len(corners))
    return Candidates(xywh_to_xyxy(boxes), _logit(scores), (corners + 0.5) * cell, strides)


def _ssd(outputs: Outputs, head: Ssd, spec: InputSpec, labels: int) -> Candidates:
    logits, regression = ssd_parts(outputs, head, spec, labels)
    anchors = anchors_like(regression, head, spec)
    change = regression * regression.new_tensor(head.variances)
    centres = anchors[:, :2] + change[..., :2] * anchors[:, 2:]
    sides = anchors[:, 2:] * change[..., 2:].clamp(max=_LARGEST_SSD).exp()
    boxes = xywh_to_xyxy(torch.cat([centres, sides], -1))
    own = _against_the_rest(logits)[..., 1:] if head.activation == "softmax" else logits
    return Candidates(boxes, own, anchors[:, :2], anchors[:, 2:].prod(1).sqrt())


def ssd_parts(outputs: Outputs, head: Ssd, spec: InputSpec, labels: int) -> tuple[Tensor, Tensor]:
    """Logits (n, anchors, classes, with the background's first where the head has one) and regressions."""
    if not head.grids:
        raise ConversionError(
            "the ssd head has no grids: train with the head that load_model gives, which is filled in"
        )
    anchors = len(anchors_of(head, spec))
    shapes: list[Shape] = [(anchors, labels + (head.activation == "softmax")), (anchors, 4)]
    logits, regression = _expect(outputs, shapes, head, spec, labels)
    return logits, regression


def anchors_like(values: Tensor, head: Ssd, spec: InputSpec) -> Tensor:
    """(anchors, 4) centre x, centre y, width, height in pixels, as a tensor of the kind of `values`."""
    return values.new_tensor(anchors_of(head, spec).tolist())


_FAMILIES: dict[type[AnyHead], Callable[[Outputs, Any, InputSpec, int], Candidates]] = {
    FastestDet: _fastestdet,
    Gfl: _gfl,
    Ssd: _ssd,
    Yolo: _yolo,
    YoloX: _yolox,
}


def _logit(scores: Tensor) -> Tensor:
    """What scores after a sigmoid were before it, so that the gradient behind the sigmoid is that of its argument.

    1 / (p (1 - p)) here and p (1 - p) there cancel as long as float32 tells p from 0 and 1. Beyond, in a network that
    is sure to one in ten million, the sigmoid's own slope is lost: such scores are held and have no gradient.
    """
    return scores.clamp(_LEAST, _MOST).logit()


def _against_the_rest(logits: Tensor) -> Tensor:
    """Logits whose sigmoids are the softmax: each less the log-sum-exp of all the others, stable for all."""
    logarithms = logits.log_softmax(-1)
    # log(1 - p) by two forms, each exact where the other cancels (Maechler, Accurately Computing log(1 - exp(.)), 2012)
    held = logarithms.clamp(max=-(2**-23))
    return held - torch.where(held > -math.log(2), (-held.expm1()).log(), (-held.exp()).log1p())


def _grid(spec: InputSpec, strides: tuple[int, ...], offset: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Points (points, 2) and strides (points,) in pixels."""
    cells, steps = grid(spec.width, spec.height, strides, offset)
    return like.new_tensor((cells * steps).tolist()), like.new_tensor(steps[:, 0].tolist())


def _points(spec: InputSpec, strides: tuple[int, ...]) -> int:
    return sum(_cells(spec, stride) for stride in strides)


def _cells(spec: InputSpec, stride: int) -> int:
    return math.ceil(spec.width / stride) * math.ceil(spec.height / stride)


def _expect(outputs: Outputs, shapes: list[Shape], head: AnyHead, spec: InputSpec, labels: int) -> Outputs:
    """The outputs, if they have these shapes behind their batch; None is any size."""
    if len(outputs) == len(shapes) and all(map(_fits, outputs, shapes)):
        return outputs
    wanted = ", ".join(str(("n", *("any" if size is None else size for size in shape))) for shape in shapes)
    given = ", ".join(str(tuple(each.shape)) for each in outputs)
    raise ContractError(
        f"a {head.kind} head with {labels} labels at {spec.width}x{spec.height} has outputs {wanted}; "
        f"the model gave {given or 'none'}".replace("'", "")
    )


def _fits(output: Tensor, shape: Shape) -> bool:
    sizes = output.shape[1:]
    return len(sizes) == len(shape) and all(want in (None, got) for want, got in zip(shape, sizes, strict=True))
