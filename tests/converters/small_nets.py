"""Small nets with all that ties channels together: residuals, depthwise convolutions, concatenations, reshapes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekit.contract import InputSpec

SPEC = InputSpec(width=40, height=32, fit="stretch", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def conv(inside: int, outside: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outside), nn.ReLU6())


def settled(net: nn.Module, batches: int = 3, pictures: int = 4) -> nn.Module:
    """With the same weights each time, and batch statistics as training would leave them after so many batches."""
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, 0, 0.3)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    with torch.no_grad():
        for _ in range(batches):
            net.train()(torch.randn(pictures, 3, SPEC.height, SPEC.width))
    return net.eval()


class Residuals(nn.Module):
    """MobileNetV2's block (widen, depthwise, narrow, add) between two convolutions; 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        narrow = nn.Sequential(nn.Conv2d(64, 16, 1), nn.BatchNorm2d(16))
        self.stem = conv(3, 16, stride=2)
        self.way = nn.Sequential(conv(16, 64, 1), conv(64, 64, groups=64), narrow)
        self.last, self.head = conv(16, 32, stride=2), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.last(x + self.way(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class TwoMaps(nn.Module):
    """6 convolutions on two maps; scores (1, 100, 3) after sigmoid, boxes (1, 100, 4): an SSD without its anchors."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.near, self.far = conv(3, width, stride=4), conv(width, 2 * width, stride=2)
        self.scores = nn.ModuleList(nn.Conv2d(c, 3, 3, padding=1) for c in (width, 2 * width))
        self.boxes = nn.ModuleList(nn.Conv2d(c, 4, 3, padding=1) for c in (width, 2 * width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        near = self.near(x)
        maps = near, self.far(near)
        scores, boxes = (
            torch.cat([head(m).permute(0, 2, 3, 1).flatten(1, 2) for head, m in zip(heads, maps, strict=True)], 1)
            for heads in (self.scores, self.boxes)
        )
        return scores.sigmoid(), (boxes / 4).exp()


class Joined(nn.Module):
    """Two ways side by side, concatenated, as in YOLO's blocks; two outputs from one map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = conv(3, 32, stride=4), conv(32, 32), conv(32, 48, 1)
        self.mixed = conv(80, 32, 1)
        self.classes, self.boxes = nn.Conv2d(32, 5, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        x = self.mixed(torch.cat([self.left(x), self.right(x)], 1))
        return self.classes(x).flatten(2).sigmoid(), self.boxes(x).flatten(2)


class Excited(nn.Module):
    """Squeeze and excitation, then a transposed convolution and two products."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.squeeze, self.excite = conv(3, 32, stride=4), nn.Conv2d(32, 16, 1), nn.Conv2d(16, 32, 1)
        self.up, self.slopes = nn.ConvTranspose2d(32, 24, 2, 2), nn.PReLU(24)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24 * 4 * 5, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x = x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head(F.adaptive_avg_pool2d(self.slopes(self.up(x)), (4, 5)))


class Counted(nn.Module):
    """The second convolution's channels are written into forward."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = conv(3, 32, stride=4), conv(32, 64, stride=2), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.second(self.first(x)).view(-1, 64, 20).mean(2))


class Shuffled(nn.Module):
    """Channels of two halves are interleaved by a reshape, as ShuffleNet does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = conv(3, 64, stride=4), conv(64, 32, 1), nn.Conv2d(32, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x.reshape(x.shape[0], 2, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        return self.head(self.second(x))
