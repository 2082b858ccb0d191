"""What the training loss says of each weight: its gradient over some batches, for the first-order importance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgekit.converters.steps import StepContext
from edgekit.converters.train.batch import Batch
from edgekit.converters.train.feed import Feed
from edgekit.converters.train.losses import CosFaceLoss, loss_for
from edgekit.converters.train.run import answer_of, training_pictures
from edgekit.converters.train.settings import FineTune

# Leaves the training loss's gradients on the module that it is given.
Gradients: TypeAlias = Callable[[nn.Module], object]

_BATCHES = 8


def training_gradients(context: StepContext) -> Gradients:
    """Of the loss of the context's head, summed over 8 batches of its training pictures, varied as for fine-tuning.

    `ConversionError` where there are no pictures, or they or the module's outputs do not fit the head.
    """
    settings = FineTune()
    feed = Feed(training_pictures("prune", settings, context), context.input, settings, context.seed)

    def leave(module: nn.Module) -> None:
        loss = loss_for("prune", settings, context, answer_of(module, context))
        batches = list(islice(feed.epoch(0), _BATCHES))
        if isinstance(loss, CosFaceLoss):  # it begins at random, and the gradients of that rank channels at random
            loss.centre(*_embedded(module, batches))
        for batch in batches:
            found = module(batch.images)
            torch.autograd.backward(loss((found,) if isinstance(found, Tensor) else tuple(found), batch))

    return leave


@torch.no_grad()
def _embedded(module: nn.Module, batches: list[Batch]) -> tuple[Tensor, Tensor]:
    found = [module(batch.images) for batch in batches]
    vectors = [each if isinstance(each, Tensor) else each[0] for each in found]
    return torch.cat(vectors), torch.cat([batch.labels for batch in batches if batch.labels is not None])
