"""The distillation example, run whole on pictures that are made here, and again on what the first run has left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from edgekit.converters.torchvision_cpu import import_torchvision

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "distill_grocery.py"


def test_the_distillation_example_compares_two_students_and_does_nothing_twice(tmp_path):
    dice = np.random.default_rng(0)
    (tmp_path / "grocery").mkdir()
    (tmp_path / "models").mkdir()
    for name, count in (("train", 8), ("test", 4)):
        for i in range(count):
            cv2.imwrite(str(tmp_path / "grocery" / f"{name}{i}.png"), dice.integers(0, 256, (40, 48, 3), np.uint8))
        lines = "\n".join(f"{name}{i}.png, {i}, 0" for i in range(count))
        (tmp_path / "grocery" / f"{name}.txt").write_text(lines)
    models = import_torchvision().models
    for width, file in ((1.0, "mobilenet_v2_1.0_imagenet.pt"), (0.35, "mobilenet_v2_0.35_96_backbone.pt")):
        torch.save(models.mobilenet_v2(width_mult=width).state_dict(), tmp_path / "models" / file)
    command = [sys.executable, SCRIPT, "--data", tmp_path, "--out", tmp_path / "out", "--epochs", "1"]
    runs = [
        subprocess.run([*command, "--teacher-epochs", "1"], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [run.stderr.count("training epoch 1 of 1") for run in runs] == [3, 0]
    for run in runs:
        assert "distilled: top-1" in run.stdout
        assert "distilled against alone:" in run.stdout
