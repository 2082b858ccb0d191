"""Small networks with what real ones are made of, for the tests of exporting and quantizing."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pytest
import small_nets
import torch
import torch.nn.functional as F
from small_nets import SPEC as IMAGENET
from small_nets import TwoMaps, conv
from torch import Tensor, nn

from edgekit.contract import Format, InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import to_tflite


class Residual(nn.Module):
    """MobileNetV2's block: widen, depthwise, narrow, add."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 4 * channels
        self.way = nn.Sequential(
            conv(channels, wide, 1),
            conv(wide, wide, groups=wide),
            nn.Conv2d(wide, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.way(x)


class TinyClassifier(nn.Module):
    """5 convolutions, 1 product, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(3, 16, stride=2), Residual(16), conv(16, 32, stride=2))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.body(x), 1).flatten(1))


def settled(net: nn.Module) -> nn.Module:
    """With batch statistics good enough to quantize by: activations are of the size that real ones are."""
    return small_nets.settled(net, batches=10, pictures=8)


def pictures(count: int, spec: InputSpec = IMAGENET) -> list[np.ndarray]:
    """Raw pixels of soft coloured blobs, (1, h, w, 3) uint8."""
    dice = np.random.default_rng(1)
    coarse = dice.integers(0, 256, (count, 4, 5, 3)).repeat(8, 1).repeat(8, 2)
    noisy = coarse[:, : spec.height, : spec.width] + dice.normal(0, 12, (count, spec.height, spec.width, 3))
    return [picture[None] for picture in noisy.clip(0, 255).astype(np.uint8)]


def files_of(net: nn.Module) -> dict[Format, Exported]:
    """The network in float for every target, taking raw pixels."""
    onnx = to_onnx(net, IMAGENET)
    return {"onnx": onnx, "openvino": as_openvino(onnx), "tflite": to_tflite(net, IMAGENET)}


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes meanwhile: what a full disk looks like."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    return no_file_beyond


@pytest.fixture(scope="session")
def spec() -> InputSpec:
    return IMAGENET


@pytest.fixture(scope="session")
def classifier() -> nn.Module:
    return settled(TinyClassifier())


@pytest.fixture(scope="session")
def detector() -> nn.Module:
    return settled(TwoMaps(16))


@pytest.fixture(scope="session")
def raw_pictures() -> list[np.ndarray]:
    return pictures(24)


@pytest.fixture(scope="session")
def classifier_files(classifier: nn.Module) -> dict[Format, Exported]:
    return files_of(classifier)


@pytest.fixture(scope="session")
def detector_files(detector: nn.Module) -> dict[Format, Exported]:
    return files_of(detector)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Sums come out the same to the bit on one number of threads only, and two that wait for a core wait long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
