"""One training picture, varied: a random part of it, mirrored or not, under another light.

torchvision's transforms do the work on tensors that know what they are, so boxes follow their picture. The numbers are
drawn here and not by torchvision's own classes: those draw from the one generator of the process, so what a picture got
would depend on which thread came first. The resize is left to `edgekit.preprocess`, the only one in the project.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from edgekit.boxes import area, clip
from edgekit.contract import InputSpec
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.converters.train.settings import Augment
from edgekit.frames import FloatArray, Image, IntArray
from edgekit.preprocess import Placement, preprocess

_VISIBLE = 0.3  # a box of which less than this share is left in the part is not asked for


@dataclass(frozen=True)
class Variation:
    """What was drawn for one picture. part: left, top, width, height as shares of the picture; the rest are factors,
    and hue a shift."""

    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    mirrored: bool = False
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0


def draw(augment: Augment, rng: np.random.Generator) -> Variation:
    """How to vary one picture; always the same number of draws, so that one setting does not shift the others."""
    share = rng.uniform(*augment.area)
    shape = math.exp(rng.uniform(-1, 1) * math.log(augment.aspect))
    width, height = min(1.0, math.sqrt(share * shape)), min(1.0, math.sqrt(share / shape))
    left, top = rng.random() * (1 - width), rng.random() * (1 - height)
    mirrored = bool(rng.random() < augment.flip)
    around = rng.uniform(-1, 1, 4)
    return Variation(
        part=(left, top, width, height),
        mirrored=mirrored,
        brightness=1 + augment.brightness * around[0],
        contrast=1 + augment.contrast * around[1],
        saturation=1 + augment.saturation * around[2],
        hue=augment.hue * around[3],
    )


def cut(image: Image, boxes: FloatArray, drawn: Variation) -> tuple[Image, FloatArray, IntArray]:
    """The part of `image` (h, w, 3) that was drawn, `boxes` (n, 4) in its pixels, and which of them are still seen.

    A box counts as seen with three tenths of its area in the part, or more.
    """
    vision, tensors = _vision(), _tensors()
    height, width = image.shape[:2]
    picture = tensors.Image(torch.from_numpy(image).permute(2, 0, 1))
    placed = tensors.BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=(height, width))
    left, top, right, bottom = _pixels(drawn.part, width, height)
    picture = vision.crop(picture, top, left, bottom - top, right - left)
    placed = vision.crop(placed, top, left, bottom - top, right - left)  # and clipped to the part
    if drawn.mirrored:
        picture, placed = vision.horizontal_flip(picture), vision.horizontal_flip(placed)
    found = placed.numpy().reshape(-1, 4).astype(np.float32)
    seen = np.flatnonzero(area(found) >= _VISIBLE * np.maximum(area(boxes), 1e-6))
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy()), found[seen], seen


def to_tensor(image: Image, spec: InputSpec, drawn: Variation) -> tuple[Tensor, Placement]:
    """(1, 3, h, w) float32 as `preprocess(image, spec)` gives it, under the light that was drawn.

    The light is changed on the small picture, between the resize and the normalisation, and not in the padding.
    """
    if (drawn.brightness, drawn.contrast, drawn.saturation, drawn.hue) == (1.0, 1.0, 1.0, 0.0):
        tensor, placement = preprocess(image, spec)
        return torch.from_numpy(tensor), placement
    pixels, placement = preprocess(image, replace(spec.raw("uint8", "NCHW"), colour="RGB"))
    rows = slice(max(placement.top, 0), min(placement.top + placement.height, spec.height))
    columns = slice(max(placement.left, 0), min(placement.left + placement.width, spec.width))
    small = torch.from_numpy(pixels)[0]
    small[:, rows, columns] = _relit(small[:, rows, columns], drawn)
    picture = np.ascontiguousarray(small.flip(0).permute(1, 2, 0).numpy())
    tensor, _ = preprocess(picture, replace(spec, fit="stretch"))  # of the input's size already: normalised only
    return torch.from_numpy(tensor), placement


def boxes_in_input(boxes: FloatArray, placement: Placement, spec: InputSpec) -> FloatArray:
    """Boxes of the picture in pixels of the input, clipped to it."""
    return clip(placement.to_input(boxes), spec.width, spec.height).astype(np.float32)


def _relit(pixels: Tensor, drawn: Variation) -> Tensor:
    vision = _vision()
    pixels = vision.adjust_brightness(pixels, drawn.brightness)
    pixels = vision.adjust_contrast(pixels, drawn.contrast)
    pixels = vision.adjust_saturation(pixels, drawn.saturation)
    relit: Tensor = vision.adjust_hue(pixels, drawn.hue) if drawn.hue else pixels
    return relit


def _pixels(part: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom in whole pixels, one at least each way."""
    left, top = int(part[0] * width), int(part[1] * height)
    return (
        left,
        top,
        min(width, left + max(1, round(part[2] * width))),
        min(height, top + max(1, round(part[3] * height))),
    )


@cache
def _vision() -> ModuleType:
    import_torchvision()
    from torchvision.transforms.v2 import functional

    found: ModuleType = functional
    return found


@cache
def _tensors() -> ModuleType:
    import_torchvision()
    from torchvision import tv_tensors

    found: ModuleType = tv_tensors
    return found
