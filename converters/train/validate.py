"""The figure by which epochs of a training are compared: the evaluation's own, on the validation pictures."""

from __future__ import annotations

from collections import Counter

from torch import nn

from edgekit.contract import Embedding, task_of
from edgekit.converters.data import Dataset
from edgekit.converters.evaluate import evaluate
from edgekit.converters.framework import ModuleSession
from edgekit.converters.scores import accuracy_of
from edgekit.converters.steps import StepContext
from edgekit.converters.train.loop import Validate
from edgekit.errors import ConversionError
from edgekit.tasks import make_task


def validation(step: str, context: StepContext) -> Validate | None:
    """Top-1 of a classifier, leave-one-out top-1 of an embedding model, AP of a detector; None without pictures."""
    pictures = context.validation
    if pictures is None:
        return None
    check_pictures(step, "validation", pictures, context)
    if isinstance(context.head, Embedding):
        _check_pairs(step, pictures)

    def figure(model: nn.Module) -> float:
        task = make_task(ModuleSession(model, context.input), context.input, context.head, context.labels)
        return accuracy_of(evaluate(task, pictures, lambda done, total: context.tell("validating", done, total)))

    return figure


def _check_pairs(step: str, pictures: Dataset) -> None:
    often = Counter(sample.label for sample in pictures.samples)
    alone = [pictures.labels[label] for label, times in often.items() if label is not None and times == 1]
    if alone:
        raise ConversionError(
            f"{step}: [validation] needs two pictures of each class, to ask of each which other one is nearest; "
            f"one of: {', '.join(alone)}"
        )


def check_pictures(step: str, name: str, pictures: Dataset, context: StepContext) -> None:
    """`ConversionError` where a data set is not one that the head can learn from, or be judged by."""
    needed = "boxes" if task_of(context.head) == "detect" else "classes"
    if pictures.holds != needed:
        raise ConversionError(f"{step}: [{name}] holds {pictures.holds}, a '{context.head.kind}' head needs {needed}")
    if pictures.labels != context.labels:
        raise ConversionError(
            f"{step}: [{name}] was opened with {len(pictures.labels)} labels, and the recipe has "
            f"{len(context.labels)}; both must be the same"
        )
