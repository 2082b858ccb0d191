"""The demo's two small models: one finds products, the other says which product a crop shows.

Plain and depthwise convolutions, batch norm and ReLU6: layers that every engine runs in INT8. A recipe names them as
`torch = "models:build_detector"`; `train.py` beside this file made their weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

STRIDE = 8
REACH = 128.0  # pixels; no side of a product in a 320x256 input lies further from a point inside it


def _conv(inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


class Residual(nn.Module):
    """A 3x3 convolution around which the input also passes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


class ProductDetector(nn.Module):
    """Finds products of any kind: an anchor-free detector with one point every 8 pixels.

    Three levels are joined top-down into one map. Each point predicts its score and its distances to the four sides
    of the box (Tian et al., FCOS, ICCV 2019), the distances as a sigmoid of `REACH` so that INT8 covers their range.
    Outputs: boxes (n, 4, points), centre x, centre y, width, height in pixels of the input; scores (n, 1, points).
    """

    points: Tensor

    def __init__(self, width: int = 320, height: int = 256) -> None:
        super().__init__()
        self.down8 = nn.Sequential(
            _conv(3, 16, stride=2), _conv(16, 32, stride=2), _conv(32, 48, stride=2), Residual(48)
        )
        self.down16 = nn.Sequential(_conv(48, 96, stride=2), Residual(96))
        self.down32 = nn.Sequential(_conv(96, 112, stride=2), Residual(112))
        self.from32, self.from16, self.from8 = _conv(112, 48, 1), _conv(96, 48, 1), _conv(48, 48, 1)
        self.join16, self.join8 = _conv(48, 48), _conv(48, 48)
        self.distance = nn.Sequential(_conv(48, 48), nn.Conv2d(48, 4, 1))
        self.score = nn.Sequential(_conv(48, 48), nn.Conv2d(48, 1, 1))
        # Before training no point believes in a product, and a box reaches 20 pixels to each side.
        nn.init.constant_(self.score[1].bias, -3.0)
        nn.init.constant_(self.distance[1].bias, -1.7)
        y, x = torch.meshgrid(torch.arange(height // STRIDE), torch.arange(width // STRIDE), indexing="ij")
        points = (torch.stack([x.flatten(), y.flatten()]) + 0.5) * STRIDE
        self.register_buffer("points", points[None], persistent=False)

    def raw(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Distances to left, top, right and bottom in pixels (n, 4, points), and logits of the score (n, 1, points)."""
        eight = self.down8(x)
        sixteen = self.down16(eight)
        thirty_two = self.from32(self.down32(sixteen))
        sixteen = self.join16(self.from16(sixteen) + interpolate(thirty_two, scale_factor=2.0))
        eight = self.join8(self.from8(eight) + interpolate(sixteen, scale_factor=2.0))
        return self.distance(eight).flatten(2).sigmoid() * REACH, self.score(eight).flatten(2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        distances, logits = self.raw(x)
        before, after = distances[:, :2], distances[:, 2:]
        boxes = torch.cat([self.points + (after - before) * 0.5, before + after], 1)
        return boxes, logits.sigmoid()


class Inverted(nn.Module):
    """Widen, filter each channel by itself, narrow (Sandler et al., MobileNetV2, CVPR 2018)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, widen: int = 4) -> None:
        super().__init__()
        middle = inputs * widen
        self.passes = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            _conv(inputs, middle, 1),
            _conv(middle, middle, 3, stride, groups=middle),
            nn.Conv2d(middle, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.passes else self.layers(x)


class ProductClassifier(nn.Module):
    """Says which product a 64x64 crop shows: logits (n, classes)."""

    def __init__(self, classes: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            _conv(3, 16, stride=2),
            Inverted(16, 24, stride=2),
            Inverted(24, 24),
            Inverted(24, 40, stride=2),
            Inverted(40, 40),
            Inverted(40, 72, stride=2),
            Inverted(72, 72),
            _conv(72, 256, 1),
        )
        self.classify = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.features(x).mean((2, 3)))


def build_detector() -> ProductDetector:
    """For recipes: the detector as its weights were trained, 320x256."""
    return ProductDetector()


def build_classifier(classes: int = 16) -> ProductClassifier:
    """For recipes: the classifier as its weights were trained, 64x64."""
    return ProductClassifier(classes)
