"""A detector learns from another one: what the teacher sees in a picture is taught beside, or instead of, true boxes.

    loss = distill_detection_loss(head, spec, 2, teacher, teacher_head, teacher_spec)
    loss(student(batch.images), batch).backward()

The two may be of different head families and input sizes; both go by their contracts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from edgekit.contract import AnyHead, DetectionHead, Embedding, InputSpec, Softmax
from edgekit.converters.train.assign import Truth
from edgekit.converters.train.batch import Batch, Loss
from edgekit.converters.train.detect_boxes import giou
from edgekit.converters.train.detect_candidates import Candidates, candidates_of, is_trainable
from edgekit.converters.train.detection import BOXES, SIDES, detection_loss, quality_focal, truth_loss
from edgekit.decode import decode_detections
from edgekit.errors import ConversionError
from edgekit.frames import Detections

# From a batch of pictures (n, 3, h, w) to the teacher's raw outputs.
Teacher: TypeAlias = Callable[[Tensor], tuple[Tensor, ...]]

_SURE = 0.05  # below this score a teacher's box means nothing, and nobody learns it


def distill_detection_loss(
    student_head: AnyHead,
    student_spec: InputSpec,
    labels: int,
    teacher: Teacher,
    teacher_head: AnyHead,
    teacher_spec: InputSpec,
    alpha: float = 0.5,
    least_score: float = 0.3,
) -> Loss:
    """`alpha` of the loss against the teacher, the rest of it against true boxes; with alpha 1 none are needed.

    Where both have a candidate for the same points of the picture, each of the student's learns all scores of the
    teacher's, and its box as far as the teacher is sure of it. Elsewhere the student learns the teacher's detections
    from `least_score` up as if they were true, each weighted by its score. `teacher` is asked of `Batch.images`; it
    knows the same labels in the same order, and its boxes are in pixels of `teacher_spec`.

    `ValueError` for an alpha outside 0..1; `ConversionError` where the student's head cannot be trained, the teacher is
    no detector, or the two see different parts of a picture.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is the teacher's share of the loss, 0 to 1; got {alpha}")
    if isinstance(teacher_head, Softmax | Embedding):
        raise ConversionError(f"a detector is taught by a detector; the teacher has a '{teacher_head.kind}' head")
    _check_same_view(student_spec, teacher_spec)
    from_truth = detection_loss(student_head, student_spec, labels)
    pseudo = replace(teacher_head, score=least_score)
    scale = (student_spec.width / teacher_spec.width, student_spec.height / teacher_spec.height)

    def from_teacher(outputs: tuple[Tensor, ...], taught: tuple[Tensor, ...]) -> Tensor:
        if is_trainable(teacher_head):
            student = candidates_of(outputs, student_head, student_spec, labels)
            other = _scaled(candidates_of(taught, teacher_head, teacher_spec, labels), scale)
            if _same_points(student, other):
                return dense_loss(student, other)
        truth = pseudo_truth(taught, pseudo, teacher_spec, labels, scale)
        return truth_loss(outputs, student_head, student_spec, labels, truth)

    def loss(outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        with torch.no_grad():
            taught = teacher(batch.images)
        soft = from_teacher(outputs, taught)
        return soft if alpha == 1 else alpha * soft + (1 - alpha) * from_truth(outputs, batch)

    return loss


def dense_loss(student: Candidates, teacher: Candidates) -> Tensor:
    """The student's scores and boxes against the teacher's, point by point, per unit of the teacher's score.

    The teacher's scores are soft targets of the quality focal loss. A box counts as much as the teacher's best score
    there; where both give distributions, these are matched too (Zheng et al., Localization Distillation for Dense
    Object Detection, CVPR 2022).
    """
    wanted = teacher.logits.sigmoid()
    sure = wanted.amax(-1)
    where = sure > _SURE
    weights = sure[where]
    loss = quality_focal(student.logits, wanted).sum()
    loss = loss + BOXES * (weights * (1 - giou(student.boxes[where], teacher.boxes[where]))).sum()
    if student.sides is not None and teacher.sides is not None and student.sides.shape == teacher.sides.shape:
        ours, theirs = student.sides[where].log_softmax(-1), teacher.sides[where].log_softmax(-1)
        apart = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1).mean(-1)
        loss = loss + SIDES * (weights * apart).sum()
    return loss / weights.sum().clamp(min=1)


def pseudo_truth(
    outputs: tuple[Tensor, ...], head: DetectionHead, spec: InputSpec, labels: int, scale: tuple[float, float]
) -> Truth:
    """The teacher's detections after NMS as truth, each as sure as its score; `scale` times its pixels are the
    student's."""
    pictures = outputs[0].shape[0]
    found = [_detections(outputs, picture, head, spec, labels) for picture in range(pictures)]
    most = max(map(len, found))
    boxes, confidence = outputs[0].new_zeros(pictures, most, 4), outputs[0].new_zeros(pictures, most)
    classes = torch.full((pictures, most), -1, device=boxes.device)
    for picture, each in enumerate(found):
        boxes[picture, : len(each)] = torch.tensor(each.boxes)
        classes[picture, : len(each)] = torch.tensor(each.labels)
        confidence[picture, : len(each)] = torch.tensor(each.scores)
    return Truth(boxes * boxes.new_tensor(scale * 2), classes, confidence)


def _detections(
    outputs: tuple[Tensor, ...], picture: int, head: DetectionHead, spec: InputSpec, labels: int
) -> Detections:
    alone = [output[picture : picture + 1].detach().cpu().numpy() for output in outputs]
    return decode_detections(alone, head, spec, labels)


def _check_same_view(student: InputSpec, teacher: InputSpec) -> None:
    """Boxes of one are those of the other times a factor where both fit every picture alike."""
    views = [
        ("stretch",) if each.fit == "stretch" else (each.fit, each.pad_side, each.keep, each.width / each.height)
        for each in (student, teacher)
    ]
    if views[0] != views[1]:
        shown = [f"{each.width}x{each.height} {each.fit}, pad_side {each.pad_side}" for each in (student, teacher)]
        raise ConversionError(
            f"the student takes pictures {shown[0]}, its teacher {shown[1]}: the same box lies elsewhere for each; "
            "give both the same fit, padding and shape"
        )


def _scaled(found: Candidates, scale: tuple[float, float]) -> Candidates:
    factor = found.points.new_tensor(scale)
    return replace(found, boxes=found.boxes * factor.repeat(2), points=found.points * factor)


def _same_points(student: Candidates, teacher: Candidates) -> bool:
    return student.points.shape == teacher.points.shape and torch.allclose(student.points, teacher.points, atol=0.01)
