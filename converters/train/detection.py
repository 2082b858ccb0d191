"""The loss of a detector against true boxes, whatever its head: its outputs are decoded, then judged.

    loss = detection_loss(head, spec, labels=2)
    loss(module(batch.images), batch).backward()

Outputs are those that the device gets, after the network's own sigmoids, so training needs nothing of the network but
what its contract says.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.contract import AnyHead, InputSpec, Ssd
from edgekit.converters.train.assign import Assigned, Truth, assign
from edgekit.converters.train.batch import Batch, Loss
from edgekit.converters.train.detect_boxes import giou
from edgekit.converters.train.detect_candidates import Candidates, candidates_of, check_trainable
from edgekit.converters.train.detect_ssd import check_multibox, multibox_loss

# Weights of the parts as in GFL (Li et al., NeurIPS 2020): quality focal 1, GIoU 2, distribution focal 1/4.
BOXES, SIDES = 2.0, 0.25


def detection_loss(head: AnyHead, spec: InputSpec, labels: int) -> Loss:
    """What trains a detector with this head on `Batch.boxes` and `Batch.classes`. `labels`: how many it knows.

    SSD learns by its own multibox loss, all others by quality focal loss and GIoU under task-aligned assignment, `gfl`
    by distribution focal loss as well. `ConversionError` where the head cannot be trained; the loss itself raises
    ContractError where outputs do not fit the head.
    """
    check_trainable(head)
    if isinstance(head, Ssd):
        check_multibox(head)

    def loss(outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        return truth_loss(outputs, head, spec, labels, Truth.of(batch))

    return loss


def truth_loss(outputs: tuple[Tensor, ...], head: AnyHead, spec: InputSpec, labels: int, truth: Truth) -> Tensor:
    """The loss of raw outputs against `truth`, a scalar."""
    if isinstance(head, Ssd):
        return multibox_loss(outputs, head, spec, labels, truth)
    return aligned_loss(candidates_of(outputs, head, spec, labels), truth)


def aligned_loss(found: Candidates, truth: Truth) -> Tensor:
    """Scores and boxes of the points that `assign` chooses; per unit of quality that is to be had in the batch."""
    assigned = assign(found, truth)
    total = assigned.quality.sum().clamp(min=1)
    positive = assigned.owner >= 0
    weights, wanted = assigned.quality[positive], _own_boxes(assigned, truth)[positive]
    parts = quality_focal(found.logits, _wanted_scores(assigned, truth, found.logits)).sum()
    parts = parts + BOXES * (weights * (1 - giou(found.boxes[positive], wanted))).sum()
    if found.sides is not None:
        points, strides = (each.expand(len(positive), *each.shape)[positive] for each in (found.points, found.strides))
        distances = torch.cat([points - wanted[:, :2], wanted[:, 2:] - points], 1) / strides[:, None]
        parts = parts + SIDES * (weights * distribution_focal(found.sides[positive], distances)).sum()
    return parts / total


def quality_focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross entropy with scores between 0 and 1, times the square of how wrong the score is: the many points that are
    right already do not drown the few that are not. Li et al., Generalized Focal Loss, NeurIPS 2020."""
    wrong = (wanted - logits.sigmoid()).square()
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * wrong


def distribution_focal(sides: Tensor, distances: Tensor) -> Tensor:
    """(k,): mean over a box's sides of the cross entropy with the two bins around the true distance (k, 4), in
    strides. A side further away than the last bin is held there."""
    last = sides.shape[-1] - 1
    distances = distances.clamp(0, last)
    below = distances.floor().clamp(max=last - 1)
    near = (below + 1 - distances).clamp(0, 1)
    logarithms = sides.log_softmax(-1)
    at = below.long()[..., None]
    lower, upper = (logarithms.gather(-1, place)[..., 0] for place in (at, at + 1))
    return -(near * lower + (1 - near) * upper).mean(-1)


def _own_boxes(assigned: Assigned, truth: Truth) -> Tensor:
    """(n, points, 4): the box of each point's owner; of background any box, or zeros where the batch has none."""
    if not truth.boxes.shape[1]:
        return truth.boxes.new_zeros(*assigned.owner.shape, 4)
    return truth.boxes.gather(1, assigned.owner.clamp(min=0)[..., None].expand(-1, -1, 4))


def _wanted_scores(assigned: Assigned, truth: Truth, logits: Tensor) -> Tensor:
    """(n, points, classes): the quality at the owner's class, 0 everywhere else."""
    wanted = torch.zeros_like(logits)
    picture, point = (assigned.owner >= 0).nonzero(as_tuple=True)
    classes = truth.classes[picture, assigned.owner[picture, point]]
    wanted[picture, point, classes] = assigned.quality[picture, point]
    return wanted
