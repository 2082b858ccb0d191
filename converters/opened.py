"""A recipe with everything that it names: read, checked, and ready to be worked on."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from edgekit.contract import task_of
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.load import LoadedModel, load_model
from edgekit.converters.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Opened:
    """A recipe with all that it names: read, checked, and ready to be worked on.

    pictures: the data sets by what they are for: 'evaluation', 'calibration', 'training', 'validation'.
    """

    recipe: Recipe
    labels: tuple[str, ...]
    pictures: Mapping[str, Dataset]
    loaded: LoadedModel


def open_recipe(recipe: Recipe) -> Opened:
    """Everything that a recipe names. Seeds every source of chance: the model may draw its first weights.

    Raises EdgekitError in the words of what is missing, damaged or does not fit.
    """
    _seed(recipe.seed)
    for gate in filter(None, (recipe.gate, recipe.compression)):
        gate.check(task_of(recipe.head))
    labels = recipe.read_labels()
    specs = {name: getattr(recipe, name) for name in ("evaluation", "calibration", "training", "validation")}
    pictures = {name: _open(spec, labels, recipe) for name, spec in specs.items() if spec is not None}
    return Opened(recipe, labels, pictures, load_model(recipe.model, recipe.folder, recipe.input, recipe.head))


def _open(spec: DataSpec, labels: tuple[str, ...], recipe: Recipe) -> Dataset:
    data = open_dataset(spec, labels, recipe.folder, recipe.seed)
    data.check_readable()
    return data


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  third parties draw from it
    torch.manual_seed(seed)
