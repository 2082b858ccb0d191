"""What is made small: by the head's kind, one loss each. What a loss learns itself goes with it and is thrown away."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.contract import Embedding, Softmax
from edgekit.converters.steps import StepContext
from edgekit.converters.train.batch import Batch, Loss
from edgekit.converters.train.detect_candidates import candidates_of
from edgekit.converters.train.detection import detection_loss
from edgekit.converters.train.settings import CosFace, Loop
from edgekit.errors import ContractError, ConversionError


def loss_for(step: str, loop: Loop, context: StepContext, outputs: tuple[Tensor, ...]) -> Loss:
    """The loss of the context's head; `outputs`: what the model answers to one picture.

    `ConversionError`, which begins with the `step`, where they are not what the head says.
    """
    if isinstance(context.head, Softmax):
        _check_scores(step, context.head, outputs, len(context.labels))
        return CrossEntropy(context.head, loop.label_smoothing)
    if isinstance(context.head, Embedding):
        if len(outputs) != 1 or outputs[0].ndim != 2:
            raise ConversionError(f"{step}: an embedding is one output (1, size); the model gives {shapes(outputs)}")
        return CosFaceLoss(loop.metric, outputs[0].shape[1], len(context.labels), context.seed)
    return _detection_loss(step, context, outputs)


class CrossEntropy(nn.Module):
    """Softmax cross-entropy with label smoothing (Szegedy et al., CVPR 2016), of blended pictures by their shares."""

    def __init__(self, head: Softmax, smoothing: float) -> None:
        super().__init__()
        self.head, self.smoothing = head, smoothing

    def forward(self, outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        logits = logits_of(outputs, self.head)
        return shared(batch, lambda labels: F.cross_entropy(logits, labels, label_smoothing=self.smoothing))


class CosFaceLoss(nn.Module):
    """Cross-entropy of scaled cosines to a learnt vector of each class, the true one's made smaller by a margin."""

    def __init__(self, settings: CosFace, size: int, classes: int, seed: int) -> None:
        super().__init__()
        self.settings = settings
        vectors = torch.randn(classes, size, generator=torch.Generator().manual_seed(seed))
        self.products = nn.Parameter(F.normalize(vectors))

    @torch.no_grad()
    def centre(self, embeddings: Tensor, labels: Tensor) -> None:
        """Each class's vector becomes the mean of what its pictures have, (n, size) of (n,) labels; none of a class
        that they do not show."""
        self.products.zero_().index_add_(0, labels, F.normalize(embeddings))

    def forward(self, outputs: tuple[Tensor, ...], batch: Batch) -> Tensor:
        alike = F.normalize(outputs[0]) @ F.normalize(self.products).T

        def loss(labels: Tensor) -> Tensor:
            margin = self.settings.margin * F.one_hot(labels, len(self.products))
            return F.cross_entropy(self.settings.scale * (alike - margin), labels)

        return shared(batch, loss)


def logits_of(outputs: tuple[Tensor, ...], head: Softmax) -> Tensor:
    """(n, classes) before softmax; probabilities become their logarithms, of which softmax makes the same again."""
    scores = outputs[0][:, head.first :]
    return scores if head.logits else scores.clamp_min(1e-7).log()


def shared(batch: Batch, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """`loss` of the labels, or of both pictures' labels in the shares in which they were blended."""
    if batch.labels is None:
        raise ValueError("this loss is for pictures with one class each")
    if batch.mixed is None:
        return loss(batch.labels)
    return batch.mixed.share * loss(batch.labels) + (1 - batch.mixed.share) * loss(batch.mixed.labels)


def _check_scores(step: str, head: Softmax, outputs: tuple[Tensor, ...], labels: int) -> None:
    wanted = labels + head.first
    if len(outputs) != 1 or outputs[0].ndim != 2 or outputs[0].shape[1] != wanted:
        raise ConversionError(
            f"{step}: a classifier of {labels} labels gives one output (1, {wanted}); this model gives "
            f"{shapes(outputs)}: make it with as many classes, as by arguments = {{ num_classes = {wanted} }}"
        )


def _detection_loss(step: str, context: StepContext, outputs: tuple[Tensor, ...]) -> Loss:
    head, spec, labels = context.head, context.input, len(context.labels)
    try:
        loss = detection_loss(head, spec, labels)
        candidates_of(outputs, head, spec, labels)  # so that outputs that do not fit are refused before the first step
    except (ContractError, ConversionError) as error:
        raise ConversionError(f"{step}: {error}") from error
    return loss


def shapes(outputs: tuple[Tensor, ...]) -> str:
    """Of a model's outputs, as a message shows them."""
    return ", ".join(str(tuple(each.shape)) for each in outputs) or "nothing"
