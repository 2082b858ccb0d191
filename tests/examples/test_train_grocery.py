"""The training example, run whole on pictures that are made here: what it saves is what a recipe loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from edgekit.contract import InputSpec, Softmax
from edgekit.converters.load import ModelSpec, load_model
from edgekit.converters.torchvision_cpu import import_torchvision

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "train_grocery.py"


def test_the_training_example_leaves_weights_that_a_recipe_loads(tmp_path):
    dice = np.random.default_rng(0)
    (tmp_path / "grocery").mkdir()
    (tmp_path / "models").mkdir()
    for name, count in (("train", 64), ("val", 2), ("test", 2)):
        for i in range(count):
            cv2.imwrite(str(tmp_path / "grocery" / f"{name}{i}.png"), dice.integers(0, 256, (40, 48, 3), np.uint8))
        lines = "\n".join(f"{name}{i}.png, {i % 81}, 0" for i in range(count))
        (tmp_path / "grocery" / f"{name}.txt").write_text(lines)
    backbone = import_torchvision().models.mobilenet_v2(width_mult=0.35).state_dict()
    torch.save(backbone, tmp_path / "models" / "mobilenet_v2_0.35_96_backbone.pt")

    out = tmp_path / "out" / "w.safetensors"
    command = [sys.executable, SCRIPT, "--width", "0.35", "--epochs", "1", "--size", "32"]
    done = subprocess.run([*command, "--data", tmp_path, "--out", out], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "test top-1" in done.stdout
    spec = ModelSpec(torchvision="mobilenet_v2", weights=str(out), arguments={"num_classes": 81, "width_mult": 0.35})
    module = load_model(spec, tmp_path, InputSpec(32, 32), Softmax()).module
    assert module(torch.zeros(1, 3, 32, 32))[0].shape == (1, 81)
    trained = module.state_dict()["model.features.0.0.weight"]
    assert not torch.equal(trained, backbone["features.0.0.weight"])
