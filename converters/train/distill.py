"""What a student learns from a teacher that is shown the same pictures: its answers, and what it makes of them inside.

Both see one varied picture, each by its own InputSpec. The teacher does not learn; neither it nor the adapters between
the two are in the model that comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.contract import AnyHead, DetectionHead, Embedding, InputSpec, Softmax, task_of
from edgekit.converters.export import example_of
from edgekit.converters.load import load_model
from edgekit.converters.steps import StepContext
from edgekit.converters.train.batch import Batch, Loss
from edgekit.converters.train.detect_candidates import candidates_of, is_trainable
from edgekit.converters.train.detect_distill import distill_detection_loss
from edgekit.converters.train.frozen import named_module
from edgekit.converters.train.losses import logits_of, loss_for, shapes
from edgekit.converters.train.settings import Distill
from edgekit.decode import decode_detections
from edgekit.errors import ContractError, ConversionError


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained model with its contract, in eval mode and without gradients."""

    module: nn.Module
    head: AnyHead
    input: InputSpec

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, ...]:
        answer: tuple[Tensor, ...] = self.module(images)
        return answer


def load_teacher(step: Distill, context: StepContext) -> Teacher:
    """The step's teacher, by the recipe's contract where it names no other, on the context's device.

    `ConversionError` where it cannot be loaded, does another task, or does not know as many classes as the student.
    """
    spec, head = step.teacher_input or context.input, step.teacher_head or context.head
    if task_of(head) != task_of(context.head):
        raise ConversionError(
            f"{step.kind}: a '{head.kind}' model cannot teach a '{context.head.kind}' one: they do different tasks"
        )
    loaded = load_model(step.teacher, context.folder, spec, head)
    teacher = Teacher(loaded.module.requires_grad_(False).to(context.device), loaded.head, spec)
    if isinstance(head, Softmax):
        answer, wanted = teacher(example_of(spec).to(context.device)), len(context.labels) + head.first
        if answer[0].shape[1:] != (wanted,):
            raise ConversionError(
                f"{step.kind}: the teacher gives {shapes(answer)}, and {len(context.labels)} labels need "
                f"(1, {wanted}): it must know the student's classes, in the student's order"
            )
    elif not isinstance(loaded.head, Softmax | Embedding):
        answer = teacher(example_of(spec).to(context.device))
        try:
            _check_detector(answer, loaded.head, spec, len(context.labels))
        except (ContractError, ConversionError) as error:
            raise ConversionError(f"{step.kind}: the teacher: {error}") from error
    return teacher


def _check_detector(answer: tuple[Tensor, ...], head: DetectionHead, spec: InputSpec, labels: int) -> None:
    """Decodes what a teacher answers in the way that the loss will."""
    if is_trainable(head):
        candidates_of(answer, head, spec, labels)
    else:
        decode_detections([each.cpu().numpy() for each in answer], head, spec, labels)


@contextmanager
def distilling(step: Distill, context: StepContext, student: nn.Module, teacher: Teacher) -> Iterator[nn.Module]:
    """The step's loss, which listens to the inside of both models as long as the block lasts."""
    answers = _answers(step, context, student, teacher)
    with ExitStack() as stack:
        pairs = [
            (
                stack.enter_context(_listening(named_module(student, ours, step.kind))),
                stack.enter_context(_listening(named_module(teacher.module, theirs, f"{step.kind}: the teacher"))),
            )
            for ours, theirs in step.features
        ]
        yield _Distillation(answers, Features(step, context, student, teacher, pairs) if pairs else None)


class _Distillation(nn.Module):
    def __init__(self, answers: Loss, features: Features | None) -> None:
        super().__init__()
        self.answers, self.features = answers, features

    def forward(self, outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        loss = self.answers(outputs, batch)  # here the teacher is asked
        return loss if self.features is None else loss + self.features()


def _answers(step: Distill, context: StepContext, student: nn.Module, teacher: Teacher) -> Loss:
    with torch.no_grad():
        outputs = student(example_of(context.input))
    if isinstance(context.head, Softmax) and isinstance(teacher.head, Softmax):
        return SoftLabels(step, loss_for(step.kind, step, context, outputs), context.head, teacher, teacher.head)
    if isinstance(context.head, Embedding):
        return Neighbourhood(step, loss_for(step.kind, step, context, outputs), teacher)
    loss = distill_detection_loss(
        context.head, context.input, len(context.labels), teacher, teacher.head, teacher.input, step.alpha
    )
    return lambda outputs, batch: loss(outputs, replace(batch, images=_seen(batch)))  # of which it asks the teacher


class SoftLabels(nn.Module):
    """`alpha` of the divergence from the teacher's probabilities, the rest of `truth`.

    Both are softened by the temperature; times its square, or the gradients would shrink with it (Hinton et al., 2015,
    section 2).
    """

    def __init__(self, step: Distill, truth: Loss, head: Softmax, teacher: Teacher, teacher_head: Softmax) -> None:
        super().__init__()
        self.temperature, self.alpha, self.truth = step.temperature, step.alpha, truth
        self.head, self.teacher, self.teacher_head = head, teacher, teacher_head

    def forward(self, outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        theirs = logits_of(self.teacher(_seen(batch)), self.teacher_head) / self.temperature
        ours = logits_of(outputs, self.head) / self.temperature
        apart = F.kl_div(ours.log_softmax(1), theirs.log_softmax(1), reduction="batchmean", log_target=True)
        return self.alpha * self.temperature**2 * apart + (1 - self.alpha) * self.truth(outputs, batch)


class Neighbourhood(nn.Module):
    """`alpha` of how differently the two find the batch's pictures alike, the rest of `truth`.

    Cosines of all pairs, so the vectors may be of different sizes (Tung and Mori, Similarity-Preserving Knowledge
    Distillation, ICCV 2019). Their squared difference is summed over each picture's neighbours.
    """

    def __init__(self, step: Distill, truth: Loss, teacher: Teacher) -> None:
        super().__init__()
        self.alpha, self.truth, self.teacher = step.alpha, truth, teacher

    def forward(self, outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        ours, theirs = (F.normalize(each[0]) for each in (outputs, self.teacher(_seen(batch))))
        apart = (ours @ ours.T - theirs @ theirs.T).square().sum(1).mean()
        return self.alpha * apart + (1 - self.alpha) * self.truth(outputs, batch)


class Features(nn.Module):
    """How far the student's features are from the teacher's, through a 1x1 convolution each.

    Squared distances as parts of the teacher's own mean square, so that no pair outweighs another by its scale. Maps of
    another size are brought to the teacher's.
    """

    def __init__(
        self,
        step: Distill,
        context: StepContext,
        student: nn.Module,
        teacher: Teacher,
        pairs: list[tuple[list[Any], list[Any]]],
    ) -> None:
        super().__init__()
        self.weight, self.pairs = step.feature_weight, pairs
        with torch.no_grad():
            student(example_of(context.input))
        teacher(example_of(teacher.input).to(context.device))
        widths = [
            (_map(ours.pop(), names[0]).shape[1], _map(theirs.pop(), names[1]).shape[1])
            for names, (ours, theirs) in zip(step.features, pairs, strict=True)
        ]
        with torch.random.fork_rng():
            torch.manual_seed(context.seed)
            self.adapters = nn.ModuleList(nn.Conv2d(ours, theirs, 1) for ours, theirs in widths)

    def forward(self) -> Tensor:
        parts = [
            _apart(adapter(_map(ours.pop())), _map(theirs.pop()))
            for adapter, (ours, theirs) in zip(self.adapters, self.pairs, strict=True)
        ]
        return self.weight * torch.stack(parts).mean()


def _apart(ours: Tensor, theirs: Tensor) -> Tensor:
    if ours.shape[2:] != theirs.shape[2:]:
        ours = F.interpolate(ours, theirs.shape[2:], mode="bilinear", align_corners=False)
    return F.mse_loss(ours, theirs) / theirs.square().mean().clamp_min(1e-12)


def _map(found: Any, name: str = "") -> Tensor:
    """(n, c, h, w), a vector as a map of one point."""
    if isinstance(found, Tensor) and found.ndim in (2, 4):
        return found if found.ndim == 4 else found[:, :, None, None]
    given = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
    raise ConversionError(f"distill: features are (n, c, h, w) or (n, c); '{name}' gives {given}")


def _seen(batch: Batch) -> Tensor:
    return batch.images if batch.teacher is None else batch.teacher


@contextmanager
def _listening(module: nn.Module) -> Iterator[list[Any]]:
    """The module's last output, in a list that is overwritten at each pass."""
    heard: list[Any] = []

    def hear(_: nn.Module, __: Any, output: Any) -> None:
        heard[:] = [output]

    hook = module.register_forward_hook(hear)
    try:
        yield heard
    finally:
        hook.remove()
