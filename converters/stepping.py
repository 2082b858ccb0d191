"""Runs the steps of a recipe that work on the model itself, one after the other, each of them once.

What a step left is taken from `Finished` where all that decides it is the same: the model it began with, the recipe up
to it, the pictures, the seed and the tools.
"""

from __future__ import annotations

import copy
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from edgekit import schema
from edgekit.bundle import canonical
from edgekit.converters.export import example_of
from edgekit.converters.finished import Entry, Finished
from edgekit.converters.load import ModelSpec
from edgekit.converters.memory import enough_memory
from edgekit.converters.onnx_to_torch.read import external_weights
from edgekit.converters.opened import Opened
from edgekit.converters.prune import Prune, run_prune
from edgekit.converters.prune.cost import multiply_adds, parameters
from edgekit.converters.recipe import ModelStep
from edgekit.converters.scores import Score
from edgekit.converters.shapes import take_shapes
from edgekit.converters.steps import Progress, StepContext, Stepped
from edgekit.converters.train import run_distill, run_train
from edgekit.converters.train.settings import Distill, FineTune, Train, deciding
from edgekit.converters.versions import tools
from edgekit.converters.weights import tensors_digest
from edgekit.errors import ConversionError, EdgekitError

_START = "0-start"

Run: TypeAlias = Callable[[nn.Module, Any, StepContext], Stepped]

_RUN: Mapping[type, Run] = {Train: run_train, FineTune: run_train, Distill: run_distill, Prune: run_prune}


@dataclass(frozen=True)
class Standing:
    """A model between two steps. score: on the evaluation set, by the framework itself. macs: multiply-adds of one
    picture."""

    score: Score
    macs: int
    parameters: int


@dataclass(frozen=True, eq=False)
class Done:
    """A step that is finished, and the model after it. reused: it was finished by an earlier build."""

    step: ModelStep
    entry: Entry
    after: Standing
    reused: bool


@dataclass(frozen=True, eq=False)
class Workplace:
    """What the steps of one build share. start: see `start_key`. evaluate: scores a model on the evaluation set, told
    what to call it."""

    opened: Opened
    start: str
    evaluate: Callable[[nn.Module, str], Score]
    finished: Finished
    tell: Progress


def run_steps(place: Workplace, steps: Sequence[ModelStep]) -> tuple[nn.Module, tuple[Done, ...], Standing]:
    """The model after all of `steps`, what came of each, and how the model stood before the first.

    A step that fails is a ConversionError with the step's name; those before it stay finished.
    """
    module, done = place.opened.loaded.module, []
    with enough_memory("evaluating the model as it comes"):
        start = _standing(module, _START, place.start, place)
    for number, (name, step, key) in enumerate(keyed(place.start, steps, place.opened.recipe.folder), 1):
        try:
            with enough_memory(step.kind):
                module, entry, reused = _run_or_reuse(module, name, step, key, place)
                done.append(Done(step, entry, _standing(module, name, key, place), reused))
        except EdgekitError as error:
            raise ConversionError(f"step {number}, {step.kind}: {str(error).removeprefix(f'{step.kind}: ')}") from error
    return module, tuple(done), start


def _run_or_reuse(
    module: nn.Module, name: str, step: ModelStep, key: str, place: Workplace
) -> tuple[nn.Module, Entry, bool]:
    entry = place.finished.find(name, key)
    if entry is not None:
        place.tell(f"{name}: finished before", 1, 1)
        return _with(module, place.finished.tensors(name, key, entry)), entry, True
    began = time.monotonic()
    stepped = _RUN[type(step)](module, step, _context(name, key, place))
    found = Entry("", time.monotonic() - began, stepped.figures, stepped.measured, stepped.notes)
    return stepped.module, place.finished.keep(name, key, stepped.module.state_dict(), found), False


def _with(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """A copy of `module` with a finished step's tensors; as every step, it leaves the module that came in as it is."""
    after = copy.deepcopy(module)
    take_shapes(after, tensors)
    after.load_state_dict(tensors)
    return after.eval()


def _context(name: str, key: str, place: Workplace) -> StepContext:
    opened = place.opened
    return StepContext(
        input=opened.recipe.input,
        head=opened.loaded.head,
        labels=opened.labels,
        training=opened.pictures.get("training"),
        validation=opened.pictures.get("validation"),
        seed=opened.recipe.seed,
        folder=Path(opened.recipe.folder),
        scratch=place.finished.scratch(name, key),
        tell=lambda stage, done, total: place.tell(f"{name}: {stage}", done, total),
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )


def _standing(module: nn.Module, name: str, key: str, place: Workplace) -> Standing:
    judged_on = place.opened.pictures["evaluation"].digest()
    known = place.finished.score(name, key, judged_on)
    if known is None:
        known = place.evaluate(module, "evaluating the framework" if name == _START else f"evaluating after {name}")
        place.finished.keep_score(name, key, judged_on, known)
    return Standing(known, multiply_adds(module, example_of(place.opened.recipe.input)), parameters(module))


def start_key(opened: Opened) -> str:
    """The digest of all that the first step begins with; it is taken once, before somebody edits a file."""
    learnt_from = (opened.pictures.get(name) for name in ("training", "validation"))
    module, recipe = opened.loaded.module, opened.recipe
    given = {
        "model": [repr(module), tensors_digest(module)],
        "sources": _digests(_sources(recipe.model, Path(recipe.folder))),
        "contract": [schema.dump(each) for each in (recipe.input, opened.loaded.head)],
        "labels": opened.labels,
        "seed": recipe.seed,
        "data": [None if each is None else each.digest() for each in learnt_from],
        "tools": tools(),
    }
    return _digest("", given)


def keyed(start: str, steps: Sequence[ModelStep], folder: Path | str) -> Iterator[tuple[str, ModelStep, str]]:
    """Each step's name, such as '2-prune', the step, and the key of what comes of it."""
    key = start
    for number, step in enumerate(steps, 1):
        key = _digest(key, {"step": deciding(step), "teacher": _digests(_teacher(step, Path(folder)))})
        yield f"{number}-{step.kind}", step, key


def _teacher(step: ModelStep, folder: Path) -> list[Path]:
    """The files that a step's own model is read from."""
    if not isinstance(step, Distill):
        return []
    weights = [] if step.teacher.weights is None else [folder / step.teacher.weights]
    return weights + _sources(step.teacher, folder)


def _sources(model: ModelSpec, folder: Path) -> list[Path]:
    """The files that say what a model computes: the ONNX file and its weights, or the code beside the recipe."""
    if model.onnx is not None:
        return [folder / model.onnx, *external_weights(folder / model.onnx)]
    package = "" if model.torch is None else re.split("[.:]", model.torch)[0]
    return [folder / f"{package}.py", *sorted((folder / package).rglob("*.py"))] if package else []


def _digests(paths: Iterable[Path]) -> list[str]:
    return [_sha256(path.read_bytes()) if path.is_file() else "missing" for path in paths]


def _digest(before: str, content: Mapping[str, Any]) -> str:
    return _sha256(before.encode() + canonical(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
