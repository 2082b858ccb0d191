"""How an SSD learns: the multibox loss with hard negatives (Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016),
as torchvision trains its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.contract import InputSpec, Ssd
from edgekit.converters.train.assign import Truth
from edgekit.converters.train.detect_boxes import pairwise_iou, xywh_to_xyxy
from edgekit.converters.train.detect_candidates import anchors_like, ssd_parts
from edgekit.errors import ConversionError

_MATCH = 0.5  # an anchor that shares this much with a box learns it
_NEGATIVES = 3  # for each anchor that learns a box, so many that wrongly see one learn the background


def check_multibox(head: Ssd) -> None:
    """`ConversionError` unless the head has a background class, which hard negatives are taught."""
    if head.activation != "softmax":
        raise ConversionError(
            "an ssd head is trained with a background class, so with activation 'softmax'; got 'sigmoid'"
        )


def multibox_loss(outputs: tuple[Tensor, ...], head: Ssd, spec: InputSpec, labels: int, truth: Truth) -> Tensor:
    """Cross entropy of classes and smooth L1 of regressions, per anchor that has a box."""
    check_multibox(head)
    logits, regression = ssd_parts(outputs, head, spec, labels)
    anchors = anchors_like(regression, head, spec)
    owner = match(anchors, truth)
    positive = owner >= 0
    picture, anchor = positive.nonzero(as_tuple=True)
    own = owner[picture, anchor]
    confidence = truth.confidence[picture, own]
    wanted = encode(truth.boxes[picture, own], anchors[anchor], head)
    boxes = F.smooth_l1_loss(regression[positive], wanted, reduction="none").sum(1) * confidence
    classes = torch.zeros_like(owner)
    classes[positive] = truth.classes[picture, own] + 1
    entropy = F.cross_entropy(logits.mT, classes, reduction="none")
    hard = _hard_negatives(entropy.detach(), positive)
    total = confidence.sum().clamp(min=1)
    return (boxes.sum() + (entropy[positive] * confidence).sum() + entropy[hard].sum()) / total


@torch.no_grad()
def match(anchors: Tensor, truth: Truth) -> Tensor:
    """(n, anchors): the place of the box that an anchor learns, -1 for background. Each box has at least the anchor
    that shares the most with it."""
    n, m = truth.classes.shape
    if not m:
        return truth.classes.new_full((n, len(anchors)), -1)
    shared = pairwise_iou(truth.boxes, xywh_to_xyxy(anchors).expand(n, -1, -1))
    shared = shared.masked_fill((truth.classes < 0)[..., None], -1)
    most, owner = shared.max(1)
    owner = torch.where(most >= _MATCH, owner, -1)
    picture, box = (truth.classes >= 0).nonzero(as_tuple=True)
    owner[picture, shared[picture, box].argmax(1)] = box
    return owner


def encode(boxes: Tensor, anchors: Tensor, head: Ssd) -> Tensor:
    """(k, 4): the regressions by which `edgekit.decode` makes these boxes of these anchors, pair by pair."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    change = torch.cat([(centres - anchors[:, :2]) / anchors[:, 2:], (sides / anchors[:, 2:]).log()], 1)
    return change / change.new_tensor(head.variances)


def _hard_negatives(entropy: Tensor, positive: Tensor) -> Tensor:
    """(n, anchors): in each picture the background that is hardest to tell, three times as much as there are boxes'
    anchors."""
    entropy = entropy.masked_fill(positive, -1)
    rank = entropy.argsort(1, descending=True).argsort(1)
    return (rank < _NEGATIVES * positive.sum(1, keepdim=True)) & ~positive
