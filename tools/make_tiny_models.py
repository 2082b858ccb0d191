"""Makes edgekit/engines/tiny: one small net as ONNX and as TFLite, an input and what torch makes of it.

    python tools/make_tiny_models.py edgekit/engines/tiny

`edgekit doctor` runs them on every engine, so a board shows that it loads models and computes them rightly without
torch at hand. Needs edgekit[convert].
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Tiny(nn.Module):
    """A convolution, a depthwise one and two heads: a detector of five classes as the `Yolo` head has it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.scores = nn.Conv2d(8, 5, 1)
        self.boxes = nn.Conv2d(8, 4, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = nn.functional.relu6(self.depthwise(self.stem(image).relu()))
        return self.boxes(features).flatten(2), self.scores(features).sigmoid().flatten(2)


def tiny() -> Tiny:
    """The same weights every time."""
    torch.manual_seed(0)
    return Tiny().eval()


def ramp() -> torch.Tensor:
    """A picture that looks the same neither flipped nor with its channels swapped."""
    return torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


def onnx_of(model: nn.Module) -> bytes:
    """By torch's exporter of 2.0: its file is opset 17, which engines of years ago open."""
    buffer = io.BytesIO()
    names = ["boxes", "scores"]
    torch.onnx.export(
        model, (ramp(),), buffer, input_names=["image"], output_names=names, opset_version=17, dynamo=False
    )
    return buffer.getvalue()


def tflite_of(model: nn.Module, path: Path) -> None:
    """By litert-torch; its outputs are named output_0 and output_1."""
    import litert_torch

    litert_torch.convert(model, (ramp(),)).export(str(path))


def main(folder: Path) -> None:
    model = tiny()
    with torch.no_grad():
        scores, boxes = model(ramp())
    (folder / "tiny.onnx").write_bytes(onnx_of(model))
    tflite_of(model, folder / "tiny.tflite")
    np.savez(folder / "expected.npz", image=ramp().numpy(), output_0=scores.numpy(), output_1=boxes.numpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
