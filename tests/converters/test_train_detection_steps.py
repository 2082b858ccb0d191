"""A detector goes through the training step of a recipe like any other model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from edgekit.contract import AnyHead, InputSpec, Yolo, YoloV5, YoloX
from edgekit.converters.data import Dataset, Sample
from edgekit.converters.evaluate import evaluate
from edgekit.converters.framework import ModuleSession
from edgekit.converters.load import ModelSpec
from edgekit.converters.steps import StepContext
from edgekit.converters.train import Augment, Distill, Train, run_train
from edgekit.converters.train.distill import load_teacher
from edgekit.errors import ConversionError
from edgekit.tasks import make_task

COLOURS = {"can": (40, 40, 220), "bottle": (40, 200, 40)}  # BGR
LABELS = tuple(COLOURS)
SPEC = InputSpec(64, 64, fit="stretch")
GENTLE = Augment(area=(1.0, 1.0), brightness=0.1, contrast=0.0, saturation=0.0)


class Net(nn.Module):
    """An anchor-free detector with one stride of 16 and two outputs."""

    points: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        stages = [(3, 16, 5, 4), (16, 32, 5, 4), (32, 32, 3, 1)]
        self.see = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, size, stride, size // 2), nn.BatchNorm2d(b), nn.ReLU6())
                for a, b, size, stride in stages
            )
        )
        self.say = nn.Conv2d(32, 4 + len(LABELS), 1)
        y, x = torch.meshgrid(*[(torch.arange(4) + 0.5) * 16] * 2, indexing="ij")
        self.register_buffer("points", torch.stack([x.flatten(), y.flatten()]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raw = self.say(self.see(x)).flatten(2)
        boxes = torch.cat([self.points + raw[:, :2].tanh() * 32, raw[:, 2:4].sigmoid() * 64], 1)
        return boxes, raw[:, 4:].sigmoid()


def paint(folder: Path, pictures: int) -> Dataset:
    """Pictures of 80 x 80 with one product each; the last shows none."""
    rng, samples = np.random.default_rng(0), []
    for i in range(pictures):
        image = rng.integers(90, 130, (80, 80, 3), np.uint8)
        label, (x, y), (width, height) = i % 2, rng.integers(2, 30, 2), rng.integers(28, 46, 2)
        shown = i < pictures - 1
        if shown:
            image[y : y + height, x : x + width] = tuple(COLOURS.values())[label]
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), image)
        box = np.array([[x, y, x + width, y + height]], np.float32)[: int(shown)]
        samples.append(
            Sample(
                path=path,
                name=path.name,
                label=None,
                boxes=box,
                labels=np.array([label], np.int64)[: len(box)],
                crowd=np.zeros(len(box), np.bool_),
                areas=np.full(len(box), width * height, np.float32),
            )
        )
    return Dataset(folder, tuple(samples), LABELS, "boxes")


def context(folder: Path, head: AnyHead) -> StepContext:
    return StepContext(SPEC, head, LABELS, paint(folder, 9), None, 0, folder, folder, lambda stage, done, total: None)


def test_a_detector_learns_its_products_and_finds_them_on_the_device_path(tmp_path):
    torch.manual_seed(0)
    given = context(tmp_path, Yolo(score=0.3))
    step = Train(epochs=60, batch=4, optimizer="adamw", rate=0.01, ema=0.9, augment=GENTLE)
    stepped = run_train(Net(), step, given)
    session = ModuleSession(stepped.module, SPEC)
    score = evaluate(make_task(session, SPEC, given.head, LABELS), given.training)
    assert score.ap50 > 0.9
    assert score.recall == 1
    assert score.mean_iou > 0.75
    assert stepped.figures["epochs"] == 60


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (YoloV5(), "train: detectors with a 'yolov5' head cannot be trained"),
        (YoloX(), r"train: a yolox head with 2 labels at 64x64 .* the model gave \(1, 4, 16\), \(1, 2, 16\)"),
    ],
)
def test_a_head_that_cannot_be_trained_or_does_not_fit_is_refused_before_the_first_step(tmp_path, head, says):
    with pytest.raises(ConversionError, match=says):
        run_train(Net(), Train(), context(tmp_path, head))


@pytest.mark.parametrize("head", [Yolo(), YoloV5()])
def test_a_teacher_that_knows_other_classes_is_refused_when_it_is_loaded(tmp_path, head):
    """Its outputs are a file's, so the answer is the same for every picture."""
    (tmp_path / "other.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Five(nn.Module):\n"
        "    def forward(self, x):\n"
        f"        return x.mean((1, 2, 3))[:, None, None] + torch.zeros(1, {9 if head == Yolo() else 64}, "
        f"{64 if head == Yolo() else 10})\n"
    )
    given = replace(context(tmp_path, Yolo()), input=InputSpec(64, 64))
    step = Distill(teacher=ModelSpec(torch="other:Five"), teacher_head=head)
    with pytest.raises(ConversionError, match=r"distill: the teacher: .* 2 labels"):
        load_teacher(step, given)
