"""The demo's own models, loaded through their recipes, on a scene that neither of them was trained on."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from edgekit.boxes import iou
from edgekit.contract import Softmax
from edgekit.converters.load import load_model
from edgekit.converters.recipe import Recipe, read_recipe
from edgekit.decode import decode_classification, decode_detections
from edgekit.frames import Detections, FloatArray, Image
from edgekit.preprocess import crop, preprocess
from edgekit.runtime.scene import NAMES, Scene

DEMO = Path(__file__).parents[2] / "examples" / "demo"

Run = Callable[[Image], tuple[FloatArray, ...]]


def opened(name: str) -> tuple[Recipe, Run]:
    recipe = read_recipe(DEMO / f"{name}.toml")
    model = load_model(recipe.model, recipe.folder, recipe.input, recipe.head).module

    @torch.inference_mode()
    def run(image: Image) -> tuple[FloatArray, ...]:
        return tuple(part.numpy() for part in model(torch.from_numpy(preprocess(image, recipe.input)[0])))

    return recipe, run


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene("shelf", seed=11, frames=60)


def found(recipe: Recipe, run: Run, image: Image) -> Detections:
    assert not isinstance(recipe.head, Softmax)
    seen = decode_detections(run(image), recipe.head, recipe.input, len(recipe.read_labels()))  # type: ignore[arg-type]
    placement = preprocess(image, recipe.input)[1]
    return Detections(placement.to_frame(seen.boxes), seen.scores, seen.labels)


def test_the_detector_finds_what_stands_on_a_shelf_and_nothing_else(scene: Scene) -> None:
    recipe, run = opened("detector")
    before_the_hand = scene.acts[0].first
    seen, truth = found(recipe, run, scene.image(before_the_hand)), scene.truth(before_the_hand)
    assert len(seen) == len(truth)
    assert (iou(truth.boxes, seen.boxes).max(1) > 0.7).all()


def test_a_product_that_is_taken_is_found_no_more() -> None:
    scene = Scene("shelf", seed=11, frames=300)
    recipe, run = opened("detector")
    takes = next(act for act in scene.acts if act.takes)
    before, after = (len(found(recipe, run, scene.image(index))) for index in (takes.first, takes.last))
    assert before - after == 1


def test_the_classifier_names_the_products_of_a_cart_whichever_way_they_lie() -> None:
    recipe, run = opened("classifier")
    assert isinstance(recipe.head, Softmax)
    assert recipe.read_labels() == NAMES
    scene = Scene("cart", seed=11, frames=60)
    image, truth = scene.image(0), scene.truth(0)
    cuts = [crop(image, box, 0.05) for box in truth.boxes]
    named = [decode_classification(run(cut), recipe.head, len(NAMES)).label for cut in cuts]
    np.testing.assert_array_equal(named, truth.labels)


def test_the_weights_are_small_enough_to_live_in_the_repository() -> None:
    assert sum(path.stat().st_size for path in (DEMO / "weights").glob("*.safetensors")) < 3_000_000


def test_their_training_gathers_pictures_of_products_that_lie_in_its_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DEMO)
    train = import_module("train")
    gathered = train.gather({name: read_recipe(DEMO / f"{name}.toml") for name in ("detector", "classifier")}, 2, 1)
    assert gathered.frames.shape == (2, 3, 256, 320)
    assert gathered.frames.float().std(dim=(1, 2, 3)).min() > 10  # a picture, and not one colour
    assert gathered.boxes.any(dim=2).any(dim=1).all()
    assert len(gathered.crops) == len(gathered.products) > 0
