"""What a build would do, and how long it would take here, before it does it: `edgekit build --plan`.

Times are those of one picture and of one training batch, taken on this host with the recipe's own model, times how
often each is needed. What cannot be told so, exporting and searching, is listed without a time.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from edgekit.converters.export import example_of
from edgekit.converters.finished import Finished
from edgekit.converters.load import load_model
from edgekit.converters.opened import Opened
from edgekit.converters.prune import Prune
from edgekit.converters.recipe import ModelStep
from edgekit.converters.stepping import keyed, start_key
from edgekit.converters.train.feed import Feed
from edgekit.converters.train.settings import Distill, Loop
from edgekit.preprocess import preprocess

_TIMES = 3


@dataclass(frozen=True)
class Planned:
    """One thing that a build does. what: in words. seconds: on this host; None where it cannot be told before."""

    what: str
    seconds: float | None


def forecast(opened: Opened, finished: Path | None = None) -> tuple[Planned, ...]:
    """What `build` would do with this recipe, in its order. finished: the folder of what earlier builds have done."""
    return tuple(_planned(opened, Finished(finished) if finished else None))


def total(planned: tuple[Planned, ...]) -> float:
    """The seconds of all that has a time."""
    return sum(each.seconds for each in planned if each.seconds is not None)


def _planned(opened: Opened, shelf: Finished | None) -> Iterator[Planned]:
    recipe, pictures = opened.recipe, opened.pictures
    looking = len(pictures["evaluation"]) * _seconds_a_picture(opened)
    count = f"{len(pictures['evaluation'])} pictures"
    if recipe.model_steps:
        yield Planned(f"evaluate the model as it comes, {count}", looking)
        for name, step, done in _steps(opened, shelf):
            yield Planned(f"{name}: finished before", 0.0) if done else _step(opened, name, step)
            yield Planned(f"evaluate after {name}, {count}", 0.0 if done else looking)
    yield Planned(f"export to {', '.join(recipe.targets)}", None)
    kinds = ["float"] if recipe.quantize is None else ["float", "int8"]
    if recipe.quantize is not None:
        yield Planned(f"quantize on {len(pictures['calibration'])} pictures", None)
    if recipe.aware_step is not None:
        yield Planned(f"train for INT8 where no repair suffices: {_epochs(opened, recipe.aware_step)}", None)
    names = [*([] if recipe.model_steps else ["framework"]), *(f"{t}-{kind}" for kind in kinds for t in recipe.targets)]
    yield from (Planned(f"evaluate {name}, {count}", looking) for name in names)


def _steps(opened: Opened, shelf: Finished | None) -> Iterator[tuple[str, ModelStep, bool]]:
    """Each step's name, the step, and whether what it leaves is there already."""
    for name, step, key in keyed(start_key(opened), opened.recipe.model_steps, opened.recipe.folder):
        yield name, step, shelf is not None and shelf.find(name, key) is not None


def _step(opened: Opened, name: str, step: ModelStep) -> Planned:
    if isinstance(step, Prune):
        return Planned(f"{name}: prune, export and measure", None)
    training = opened.pictures["training"]
    batches = step.epochs * Feed(training, opened.recipe.input, step, opened.recipe.seed).steps
    batch = min(step.batch, len(training))
    seconds = _median_seconds(_training(opened, batch))
    if isinstance(step, Distill):
        seconds += _median_seconds(_teaching(opened, step, batch))
    return Planned(f"{name}: {_epochs(opened, step)}", batches * seconds)


def _epochs(opened: Opened, step: Loop) -> str:
    return f"{step.epochs} epochs of {len(opened.pictures['training'])} pictures"


def _seconds_a_picture(opened: Opened) -> float:
    """From the file to the framework's answer; no engine is slower than the framework."""
    sample = opened.pictures["evaluation"].samples[0]

    @torch.no_grad()
    def look() -> None:
        tensor, _ = preprocess(sample.image(), opened.recipe.input)
        opened.loaded.module(torch.from_numpy(tensor))

    return _median_seconds(look)


def _training(opened: Opened, batch: int) -> Callable[[], None]:
    """One pass forward and back over a batch of noise, by a copy of the model: what a step of training mostly is."""
    module = copy.deepcopy(opened.loaded.module).train()
    pictures = torch.rand(batch, *example_of(opened.recipe.input).shape[1:])

    def learn() -> None:
        outputs = module(pictures)
        sum(each.float().sum() for each in outputs).backward()

    return learn


def _teaching(opened: Opened, step: Distill, batch: int) -> Callable[[], None]:
    """The teacher's answers to a batch of noise."""
    recipe = opened.recipe
    spec, head = step.teacher_input or recipe.input, step.teacher_head or recipe.head
    module = load_model(step.teacher, recipe.folder, spec, head).module
    pictures = torch.rand(batch, *example_of(spec).shape[1:])

    @torch.no_grad()
    def teach() -> None:
        module(pictures)

    return teach


def _median_seconds(run: Callable[[], None]) -> float:
    run()  # the first pays for what is done once
    return median(_seconds(run) for _ in range(_TIMES))


def _seconds(run: Callable[[], None]) -> float:
    began = time.monotonic()
    run()
    return time.monotonic() - began
