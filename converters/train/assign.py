"""Which points of a detector answer for which true box, and how sure of it they ought to be.

Task-aligned assignment (Feng et al., TOOD: Task-aligned One-stage Object Detection, ICCV 2021): the points inside a
box that are already best at both, its class and its place, learn it; all others learn that there is nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgekit.converters.train.batch import Batch
from edgekit.converters.train.detect_boxes import pairwise_iou
from edgekit.converters.train.detect_candidates import Candidates

# An untrained network's boxes need not meet the true one at all. It still takes its points, by these.
_LEAST_IOU = 1e-3
_LEAST_QUALITY = 0.05


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in a batch of pictures: boxes (n, m, 4) xyxy in pixels of the input, classes (n, m), -1 for no box, and
    confidence (n, m), 1 for what a person said and less for what a teacher thinks."""

    boxes: Tensor
    classes: Tensor
    confidence: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Truth:
        """The boxes of a batch; ValueError where it has none of a detector's."""
        if batch.boxes is None or batch.classes is None:
            raise ValueError("a detector learns from boxes and their classes; this batch has none")
        return cls(batch.boxes, batch.classes, torch.ones_like(batch.boxes[..., 0]))


@dataclass(frozen=True)
class TaskAligned:
    """A point is aligned with a box by score^alpha * IoU^beta; the best `top_k` inside the box are taken for it.

    The figures are those of YOLOv8. TOOD's own are 13, 1 and 6.
    """

    top_k: int = 10
    alpha: float = 0.5
    beta: float = 6.0


@dataclass(frozen=True, eq=False)
class Assigned:
    """owner: (n, points) the place of the point's box in its picture's row, -1 for background.

    quality: (n, points) the score that it is to give to the box's class; 0 for background.
    """

    owner: Tensor
    quality: Tensor


@torch.no_grad()
def assign(found: Candidates, truth: Truth, rule: TaskAligned = TaskAligned()) -> Assigned:
    """The owner of each point. Of several boxes that take one point, that with which it shares the most has it."""
    n, points = found.logits.shape[:2]
    if not truth.boxes.shape[1]:
        return Assigned(truth.classes.new_full((n, points), -1), truth.boxes.new_zeros(n, points))
    shared = pairwise_iou(truth.boxes, found.boxes)
    own = truth.classes.clamp(min=0)[:, None].expand(-1, points, -1)
    scores = found.logits.sigmoid().gather(2, own).mT
    aligned = scores**rule.alpha * shared.clamp(min=_LEAST_IOU) ** rule.beta
    taken = _best(aligned.masked_fill(~(_inside(found.points, truth.boxes) & (truth.classes >= 0)[..., None]), 0), rule)
    taken = _to_one_box(taken, shared)
    return Assigned(_owner(taken), (_quality(aligned * taken, shared * taken) * truth.confidence[..., None]).sum(1))


def _inside(points: Tensor, boxes: Tensor) -> Tensor:
    """(n, m, points): which points lie in which box. The one nearest to its middle always counts as inside, so that
    a box between the points has one too."""
    reach = torch.cat([points[:, :2] - boxes[:, :, None, :2], boxes[:, :, None, 2:] - points], -1).amin(-1)
    away = (points - (boxes[..., None, :2] + boxes[..., None, 2:]) / 2).square().sum(-1)
    nearest = torch.zeros_like(away, dtype=torch.bool).scatter_(2, away.argmin(2, keepdim=True), True)
    return (reach > 0) | nearest


def _best(aligned: Tensor, rule: TaskAligned) -> Tensor:
    """(n, m, points): the `top_k` of each box; where fewer are inside, those."""
    best = aligned.topk(min(rule.top_k, aligned.shape[2]), dim=2).indices
    return torch.zeros_like(aligned, dtype=torch.bool).scatter_(2, best, True) & (aligned > 0)


def _to_one_box(taken: Tensor, shared: Tensor) -> Tensor:
    most = shared.masked_fill(~taken, -1).argmax(1, keepdim=True)
    return taken & torch.zeros_like(taken).scatter_(1, most, True)


def _owner(taken: Tensor) -> Tensor:
    return torch.where(taken.any(1), taken.int().argmax(1), -1)


def _quality(aligned: Tensor, shared: Tensor) -> Tensor:
    """(n, m, points): a box's best aligned point is to score the largest IoU among its points, the others in
    proportion (TOOD, section 3.2)."""
    best = aligned.amax(2, keepdim=True)
    return aligned / best.clamp(min=torch.finfo(best.dtype).tiny) * shared.amax(2, keepdim=True).clamp(_LEAST_QUALITY)
