"""A detector learns from another one, point by point where both have the same, by its detections where not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.contract import EndToEnd, Gfl, InputSpec, Softmax, Yolo, YoloV5
from edgekit.converters.train.batch import Batch
from edgekit.converters.train.detect_candidates import Candidates
from edgekit.converters.train.detect_distill import dense_loss, distill_detection_loss, pseudo_truth
from edgekit.decode import decode_detections
from edgekit.errors import ConversionError

LABELS = 2
SPEC = InputSpec(96, 64)
CELLS = 12 * 8 + 6 * 4 + 3 * 2
PICTURES = Batch(torch.zeros(2, 3, 64, 96))  # without any label

# What the teacher sees in both pictures, in pixels of a 96x64 input: two boxes (centre, sides), and how sure it is.
SEEN = [((24.0, 20.0, 30.0, 28.0), 0, 0.9), ((70.0, 40.0, 36.0, 32.0), 1, 0.7)]


def yolo_outputs(width: int = 96, height: int = 64, strides: tuple[int, ...] = (8, 16, 32)) -> tuple[torch.Tensor, ...]:
    """A yolo head that sees SEEN at the two points nearest to each box's middle, in pixels of its own input."""
    cells = [((x + 0.5) * s, (y + 0.5) * s) for s in strides for y in range(height // s) for x in range(width // s)]
    points = torch.tensor(cells)
    boxes, scores = torch.full((2, 4, len(points)), 16.0), torch.full((2, LABELS, len(points)), 0.001)
    for box, label, score in SEEN:
        scaled = torch.tensor(box) * torch.tensor([width / 96, height / 64] * 2)
        nearest = (points - scaled[:2]).square().sum(1).topk(2, largest=False).indices
        boxes[:, :, nearest] = scaled[:, None]
        scores[:, label, nearest] = score
    return boxes, scores


class Student(nn.Module):
    """The raw outputs themselves are what is learnt."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.boxes, self.logits = nn.Parameter(torch.zeros(2, 4, cells)), nn.Parameter(torch.full((2, 2, cells), -2.0))

    def forward(self) -> tuple[torch.Tensor, ...]:
        return self.boxes.sigmoid() * 96, self.logits.sigmoid()


def learn(student: Student, loss, batch: Batch = PICTURES, steps: int = 200) -> None:
    optimizer = torch.optim.Adam(student.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(student(), batch).backward()
        optimizer.step()


def seen_by(student: Student, score: float = 0.4):
    outputs = [each[:1].detach().numpy() for each in student()]
    return decode_detections(outputs, Yolo(score=score), SPEC, LABELS)


TEACHERS = {
    "the same points": (Yolo(), SPEC, yolo_outputs()),
    "the same points of a picture twice as large": (Yolo(), InputSpec(192, 128), yolo_outputs(192, 128, (16, 32, 64))),
    "other points": (Yolo(), SPEC, yolo_outputs(strides=(16, 32))),
    "a model with its own NMS, in parts of the picture": (
        EndToEnd(outputs=("rows",), boxes="xyxy"),
        InputSpec(300, 200),
        (
            torch.tensor(
                [[(9 / 96, 6 / 64, 39 / 96, 34 / 64, 0.9, 0), (52 / 96, 24 / 64, 88 / 96, 56 / 64, 0.7, 1)]]
            ).expand(2, 2, 6),
        ),
    ),
}


@pytest.mark.parametrize("case", TEACHERS)
def test_a_student_comes_to_see_what_its_teacher_sees_without_any_label(case):
    head, spec, outputs = TEACHERS[case]
    student = Student(CELLS)
    learn(student, distill_detection_loss(Yolo(), SPEC, LABELS, lambda _: outputs, head, spec, alpha=1.0))
    found = seen_by(student)
    assert found.labels.tolist() == [0, 1]
    np.testing.assert_allclose(found.boxes, [[9, 6, 39, 34], [52, 24, 88, 56]], atol=2)
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=0.05)


def test_a_teacher_that_sees_nothing_teaches_background_and_no_boxes():
    empty = (torch.full((2, 4, CELLS), 16.0), torch.zeros(2, LABELS, CELLS))
    student = Student(CELLS)
    student.logits.data.fill_(1.0)
    learn(student, distill_detection_loss(Yolo(), SPEC, LABELS, lambda _: empty, Yolo(), SPEC, alpha=1.0))
    assert not len(seen_by(student, 0.2))
    assert (student.boxes == 0).all()


@pytest.mark.parametrize(("alpha", "labels"), [(0.0, [1]), (1.0, [0, 1])])
def test_alpha_is_the_teachers_share(alpha, labels):
    """The truth knows of one box alone, and that is of another class than the teacher believes."""
    truth = Batch(
        PICTURES.images,
        boxes=torch.tensor([9.0, 6.0, 39.0, 34.0]).expand(2, 1, 4),
        classes=torch.ones(2, 1, dtype=torch.int64),
    )
    student = Student(CELLS)
    teacher = yolo_outputs()
    learn(student, distill_detection_loss(Yolo(), SPEC, LABELS, lambda _: teacher, Yolo(), SPEC, alpha), truth)
    assert seen_by(student).labels.tolist() == labels


def test_the_mixed_loss_is_the_two_in_their_shares():
    truth = Batch(
        PICTURES.images, boxes=torch.tensor([5.0, 5, 40, 40]).expand(2, 1, 4), classes=torch.zeros(2, 1).long()
    )
    student, teacher = Student(CELLS), yolo_outputs()
    hard, mixed, soft = (
        distill_detection_loss(Yolo(), SPEC, LABELS, lambda _: teacher, Yolo(), SPEC, alpha)(student(), truth).item()
        for alpha in (0.0, 0.25, 1.0)
    )
    assert mixed == pytest.approx(0.75 * hard + 0.25 * soft)


def test_the_teacher_is_asked_about_the_pictures_of_the_batch_and_gets_no_gradient():
    asked, weight = [], torch.ones(1, requires_grad=True)
    boxes, scores = yolo_outputs()

    def teacher(images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        asked.append(images)
        return boxes * weight, scores * weight

    student = Student(CELLS)
    distill_detection_loss(Yolo(), SPEC, LABELS, teacher, Yolo(), SPEC, alpha=1.0)(student(), PICTURES).backward()
    assert asked == [PICTURES.images]
    assert weight.grad is None
    assert student.logits.grad.abs().sum() > 0


def test_pseudo_truth_is_padded_and_as_sure_as_the_teacher():
    boxes, scores = yolo_outputs(strides=(16, 32))
    scores[1] = 0  # nothing in the second picture
    truth = pseudo_truth((boxes, scores), Yolo(score=0.3), SPEC, LABELS, (2.0, 0.5))
    assert truth.classes.tolist() == [[0, 1], [-1, -1]]
    torch.testing.assert_close(truth.confidence[0], torch.tensor([0.9, 0.7]))
    torch.testing.assert_close(truth.boxes[0, 0], torch.tensor([18.0, 3.0, 78.0, 17.0]))


def test_sides_are_taught_as_distributions_where_both_have_them():
    sure = torch.zeros(1, 4, 8)
    sure[..., 3] = 5.0
    boxes, points = torch.tensor([[[8.0, 8.0, 40.0, 40.0]]]), torch.tensor([[24.0, 24.0]])
    teacher = Candidates(boxes, torch.tensor([[[2.0]]]), points, torch.tensor([8.0]), sure[None])
    student = replace(teacher, sides=torch.zeros(1, 1, 4, 8, requires_grad=True))
    dense_loss(student, teacher).backward()
    assert (student.sides.grad[..., 3] < 0).all()
    assert (student.sides.grad[..., 0] > 0).all()


def test_a_student_that_is_its_teacher_has_nothing_to_learn():
    head = Gfl(strides=(8, 16, 32))
    torch.manual_seed(0)
    raw = torch.randn(2, CELLS, LABELS + 32)
    output = torch.cat([raw[..., :LABELS].sigmoid(), raw[..., LABELS:]], 2).requires_grad_()
    loss = distill_detection_loss(head, SPEC, LABELS, lambda _: (output.detach(),), head, SPEC, alpha=1.0)
    (gradient,) = torch.autograd.grad(loss((output,), PICTURES), output)
    assert gradient.abs().max() < 1e-4


REFUSED = [
    ({"alpha": 1.5}, ValueError, "0 to 1; got 1.5"),
    ({"teacher_head": Softmax()}, ConversionError, "teacher has a 'softmax' head"),
    ({"teacher_spec": InputSpec(96, 96)}, ConversionError, "96x64 letterbox.*its teacher 96x96"),
    ({"teacher_spec": InputSpec(192, 128, fit="stretch")}, ConversionError, "same fit, padding and shape"),
    ({"student_head": YoloV5()}, ConversionError, "'yolov5' head cannot be trained"),
]


@pytest.mark.parametrize(("given", "kind", "says"), REFUSED)
def test_what_cannot_be_distilled_is_refused_before_training_begins(given, kind, says):
    arguments = {
        "student_head": Yolo(),
        "student_spec": SPEC,
        "labels": LABELS,
        "teacher": lambda _: (),
        "teacher_head": Yolo(),
        "teacher_spec": SPEC,
    }
    with pytest.raises(kind, match=says):
        distill_detection_loss(**(arguments | given))
