"""A small detector that begins with an ImageNet backbone: MobileNetV2, a PAN neck and an anchor-free head.

Convolutions, batch norm, ReLU6 and nearest upsampling: layers that every engine runs in INT8. A recipe names it as
`torch = "models:build"`; the backbone's modules have torchvision's names, so that its weights fit by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from edgekit.converters.torchvision_cpu import import_torchvision

STRIDES = (8, 16, 32)
REACH = 8.0  # strides; no side of a box lies further from its point
_LEVELS = (6, 13, 17)  # the last of MobileNetV2's blocks at each stride


def _conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


def _separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 5x5 filter for each channel by itself, then a mix of the channels."""
    return nn.Sequential(_conv(inputs, inputs, 5, stride, inputs), _conv(inputs, outputs))


class Pan(nn.Module):
    """Three maps, each told what the others see: top-down, then bottom-up (Liu et al., PANet, CVPR 2018), by sums."""

    def __init__(self, inputs: tuple[int, int, int], channels: int) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(_conv(each, channels) for each in inputs)
        self.down16, self.down8 = _separable(channels, channels), _separable(channels, channels)
        self.stride16, self.stride32 = _separable(channels, channels, 2), _separable(channels, channels, 2)
        self.up16, self.up32 = _separable(channels, channels), _separable(channels, channels)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        eight, sixteen, thirty_two = (narrow(each) for narrow, each in zip(self.narrow, maps, strict=True))
        sixteen = self.down16(sixteen + interpolate(thirty_two, scale_factor=2.0))
        eight = self.down8(eight + interpolate(sixteen, scale_factor=2.0))
        sixteen = self.up16(sixteen + self.stride16(eight))
        return [eight, sixteen, self.up32(thirty_two + self.stride32(sixteen))]


class Head(nn.Module):
    """One map's distances to the four sides in pixels (n, 4, cells) and its scores (n, classes, cells)."""

    def __init__(self, channels: int, classes: int, stride: int) -> None:
        super().__init__()
        self.reach = REACH * stride
        self.distance = nn.Sequential(_separable(channels, channels), nn.Conv2d(channels, 4, 1))
        self.score = nn.Sequential(_separable(channels, channels), nn.Conv2d(channels, classes, 1))
        # Before training no point believes in a product, and a box reaches two strides to each side.
        nn.init.constant_(self.score[1].bias, -4.6)
        nn.init.constant_(self.distance[1].bias, -1.1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.distance(x).flatten(2).sigmoid() * self.reach, self.score(x).flatten(2).sigmoid()


class SmallDetector(nn.Module):
    """Finds and names products at strides 8, 16 and 32; each point predicts its distances to the four sides of the box
    (Tian et al., FCOS, ICCV 2019) as a sigmoid of eight strides, so that INT8 covers their range.

    Outputs: boxes (n, 4, points), centre x, centre y, width, height in pixels of the input; scores (n, classes,
    points). `side`: of the square input, a multiple of 32.
    """

    points: Tensor

    def __init__(self, width: float, classes: int, side: int, channels: int) -> None:
        super().__init__()
        features = import_torchvision().models.mobilenet_v2(width_mult=width).features
        self.features = features[: _LEVELS[-1] + 1]
        eight, sixteen, thirty_two = (features[level].out_channels for level in _LEVELS)
        self.neck = Pan((eight, sixteen, thirty_two), channels)
        self.heads = nn.ModuleList(Head(channels, classes, stride) for stride in STRIDES)
        self.register_buffer("points", torch.cat([_points(side, stride) for stride in STRIDES], 1), persistent=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        maps = []
        for level, block in enumerate(self.features):
            x = block(x)
            if level in _LEVELS:
                maps.append(x)
        found = [head(each) for head, each in zip(self.heads, self.neck(maps), strict=True)]
        distances, scores = (torch.cat(parts, 2) for parts in zip(*found, strict=True))
        before, after = distances[:, :2], distances[:, 2:]
        return torch.cat([self.points + (after - before) * 0.5, before + after], 1), scores


def _points(side: int, stride: int) -> Tensor:
    """(2, cells) x, y of the cells' middles in pixels, row by row."""
    y, x = torch.meshgrid(*[(torch.arange(side // stride) + 0.5) * stride] * 2, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()])


def build(width: float = 1.0, classes: int = 2, side: int = 256) -> SmallDetector:
    """For recipes: the detector with a MobileNetV2 of this width, 1.0 to teach and 0.35 to ship."""
    return SmallDetector(width, classes, side, channels=96 if width >= 1 else 64)
