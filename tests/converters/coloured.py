"""Pictures painted for the tests of training, and small nets that can learn them in a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from edgekit.contract import AnyHead, InputSpec, Softmax
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.load import RawOutputs
from edgekit.converters.steps import StepContext

COLOURS = {"blue": (200, 90, 90), "green": (90, 200, 90), "red": (90, 90, 200)}  # BGR
LABELS = tuple(COLOURS)
SPEC = InputSpec(24, 24)


class Net(nn.Module):
    """Two stages with batch norms, and dropout: all that training has to keep in order."""

    def __init__(self, width: int = 6, outputs: int = 3) -> None:
        super().__init__()
        self.near = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.far = nn.Sequential(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(2 * width, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.drop(self.far(self.near(x)).mean((2, 3))))


def net(seed: int = 0, width: int = 6, outputs: int = 3) -> nn.Module:
    """As `load_model` would give it."""
    torch.manual_seed(seed)
    return RawOutputs(Net(width, outputs)).eval()


def paint(folder: Path, each: int, seed: int) -> None:
    """`each` noisy pictures of every colour, of different sizes, as an imagefolder."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            height, width = rng.integers(28, 44, 2)
            picture = np.clip(colour + rng.normal(0, 40, (height, width, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{i}.png"), picture)


def dataset(folder: Path) -> Dataset:
    return open_dataset(DataSpec("imagefolder", folder.name), LABELS, folder.parent)


def context(folder: Path, head: AnyHead | None = None, **changes: Any) -> StepContext:
    """Twelve pictures to learn from and six to choose by, in `folder`."""
    for name, each, seed in (("training", 4, 1), ("validation", 2, 2)):
        if not (folder / name).is_dir():
            paint(folder / name, each, seed)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "input": SPEC,
        "head": head or Softmax(),
        "labels": LABELS,
        "training": dataset(folder / "training"),
        "validation": dataset(folder / "validation"),
        "seed": 0,
        "folder": folder,
        "scratch": scratch,
        "tell": lambda stage, done, total: None,
    }
    return StepContext(**(given | changes))
