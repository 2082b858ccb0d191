"""How much boxes share, in torch; gradients stay finite for boxes without an area. Boxes are x0, y0, x1, y1."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_AREA = 1e-6  # square pixels; keeps 0 / 0 out


def area(boxes: Tensor) -> Tensor:
    """(...,) of boxes (..., 4); 0 where a box is turned inside out."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """(n, m, k): of each of m boxes with each of k boxes of the same picture."""
    a, b = a[:, :, None], b[:, None]
    common = _common(a, b)
    return common / (area(a) + area(b) - common).clamp(min=_LEAST_AREA)


def giou(a: Tensor, b: Tensor) -> Tensor:
    """(...,) of boxes pair by pair, -1 to 1: what they share, less what their hull has beyond both.

    Unlike IoU it says in which direction boxes lie that do not touch. Rezatofighi et al., Generalized Intersection
    over Union, CVPR 2019.
    """
    common = _common(a, b)
    union = (area(a) + area(b) - common).clamp(min=_LEAST_AREA)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    around = hull.prod(-1).clamp(min=_LEAST_AREA)
    return common / union - (around - union) / around


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Centre x, centre y, width, height (..., 4) as x0, y0, x1, y1."""
    half = boxes[..., 2:] / 2
    return torch.cat([boxes[..., :2] - half, boxes[..., :2] + half], -1)


def _common(a: Tensor, b: Tensor) -> Tensor:
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    return sides.clamp(min=0).prod(-1)
