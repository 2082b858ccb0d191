"""The training steps of a recipe, from the module that came in to the one that goes on."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from edgekit.contract import task_of
from edgekit.converters.data import Dataset
from edgekit.converters.export import example_of, outputs_of
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.aware import QuantizationAware, finish, prepare
from edgekit.converters.steps import StepContext, Stepped
from edgekit.converters.train.distill import distilling, load_teacher
from edgekit.converters.train.feed import Feed
from edgekit.converters.train.loop import fit
from edgekit.converters.train.losses import loss_for
from edgekit.converters.train.settings import Distill, FineTune, Loop, Train, without_effect
from edgekit.converters.train.validate import check_pictures, validation
from edgekit.errors import ConversionError

_RANGED = 64  # pictures: the ranges go on to follow what passes in training


def run_train(module: nn.Module, step: Train | FineTune, context: StepContext) -> Stepped:
    """A copy of `module`, trained on the context's pictures by the loss of its head. `module` stays as it is.

    figures: epochs run, the last epoch's mean loss, and where there are validation pictures the epoch that is kept and
    its top-1 or AP there. `ConversionError`, beginning with the step's kind: see `fit` and `loss_for`.
    """
    pictures = training_pictures(step.kind, step, context)
    int8 = step.int8 if isinstance(step, FineTune) else None
    model = copy.deepcopy(module) if int8 is None else _prepared(module, int8, pictures, context)
    loss = loss_for(step.kind, step, context, answer_of(model, context))
    feed = Feed(pictures, context.input, step, context.seed)
    stepped = fit(step.kind, model, loss, step, context, feed, validation(step.kind, context))
    if not isinstance(model, QuantizationAware):
        return stepped
    notes = stepped.notes
    if model.unmatched:
        notes += (f"{len(model.unmatched)} tensors that are 8 bits in the INT8 file stayed in float in training",)
    return replace(stepped, module=finish(model), notes=notes)


def run_distill(module: nn.Module, step: Distill, context: StepContext) -> Stepped:
    """A copy of `module`, trained on the context's pictures and on what the step's teacher says of them.

    figures, errors: as of `run_train`; and `ConversionError` where the teacher does not fit the student.
    """
    pictures = training_pictures(step.kind, step, context)
    model, teacher = copy.deepcopy(module).eval(), load_teacher(step, context)
    feed = Feed(pictures, context.input, step, context.seed, teacher.input)
    judged = validation(step.kind, context)
    with distilling(step, context, model, teacher) as loss:
        return fit(step.kind, model, loss, step, context, feed, judged, teacher.module)


def _prepared(module: nn.Module, int8: Int8Settings, pictures: Dataset, context: StepContext) -> QuantizationAware:
    """A copy of `module` that simulates INT8, its first ranges those of some of the training pictures."""
    return prepare(module, context.input, pictures.draw(_RANGED, context.seed).tensors(context.input), int8)


def training_pictures(name: str, loop: Loop, context: StepContext) -> Dataset:
    """The context's, once they were found to be what the step can learn from."""
    for ignored in without_effect(loop, task_of(context.head)):
        raise ConversionError(f"{name}: {ignored} does nothing for a '{context.head.kind}' head; leave it out")
    pictures = context.training
    if pictures is None:
        raise ConversionError(f"{name}: there are no pictures to learn from; add [training] to the recipe")
    check_pictures(name, "training", pictures, context)
    classes = {sample.label for sample in pictures.samples}
    if task_of(context.head) != "detect" and len(classes) < 2:
        only = ", ".join(context.labels[label] for label in classes if label is not None)
        raise ConversionError(
            f"{name}: {pictures.source} shows one class only, '{only}': there is nothing to tell apart"
        )
    return pictures


def answer_of(model: nn.Module, context: StepContext) -> tuple[Tensor, ...]:
    """What the model answers to one picture, in eval mode."""
    with torch.no_grad():
        return outputs_of(model.eval(), example_of(context.input))
