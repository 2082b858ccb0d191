"""The example's detector: its contract, and the backbone that it begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from edgekit import schema
from edgekit.contract import InputSpec, Yolo
from edgekit.converters.load import ModelSpec, load_model
from edgekit.converters.train import Distill, Train
from edgekit.converters.train.detect_candidates import candidates_of
from edgekit.converters.train.frozen import set_mode

FOLDER = Path(__file__).parents[2] / "examples" / "detector"
SPEC = InputSpec(96, 96, scale=1 / 127.5, mean=(1.0, 1.0, 1.0))


def spec(width: float, **more: str) -> ModelSpec:
    return ModelSpec(torch="models:build", arguments={"width": width, "classes": 3, "side": 96}, **more)


def test_each_candidate_before_training_is_a_box_around_its_own_point_that_nobody_believes_in():
    module = load_model(spec(0.35), FOLDER, SPEC, Yolo()).module
    with torch.no_grad():
        found = candidates_of(module(torch.zeros(1, 3, 96, 96)), Yolo(), SPEC, 3)
    assert found.boxes.shape == (1, 12 * 12 + 6 * 6 + 3 * 3, 4)
    assert (found.boxes[0, :, :2] < found.points).all()
    assert (found.points < found.boxes[0, :, 2:]).all()
    assert found.logits.sigmoid().max() < 0.2


@pytest.mark.parametrize(
    ("width", "start"), [(0.35, "mobilenet_v2_0.35_96_backbone.pt"), (1.0, "mobilenet_v2_1.0_imagenet.pt")]
)
def test_the_whole_backbone_begins_with_the_weights_of_a_torchvision_mobilenet(data, width, start):
    path = data / "models" / start
    module = load_model(spec(width, start=str(path)), FOLDER, SPEC, Yolo()).module.model
    given = torch.load(path, weights_only=True)
    backbone = {name: value for name, value in module.state_dict().items() if name.startswith("features.")}
    assert backbone
    for name, value in backbone.items():
        torch.testing.assert_close(value, given[name], rtol=0, atol=0)


LEARNING = [path for path in sorted(FOLDER.glob("*.toml")) if path.stem != "fruit-aware"]  # that begins trained


@pytest.mark.parametrize("recipe", LEARNING, ids=lambda path: path.stem)
def test_each_recipe_trains_a_model_that_its_steps_and_its_contract_fit(recipe):
    given = schema.read_toml(recipe)
    kind = {"train": Train, "distill": Distill}[given["steps"][0]["kind"]]
    step = schema.parse(kind, given["steps"][0], str(recipe))
    spec = schema.parse(InputSpec, given["input"], str(recipe))
    model = replace(schema.parse(ModelSpec, given["model"], str(recipe)), start=None)
    module = load_model(model, FOLDER, spec, Yolo()).module
    set_mode(module, step.frozen, 0, step.kind)
    assert {name.split(".")[2] for name, each in module.named_parameters() if not each.requires_grad} == set("0123456")
    with torch.no_grad():
        candidates_of(module(torch.zeros(2, *spec.shape[1:])), Yolo(), spec, len(given["labels"]))
