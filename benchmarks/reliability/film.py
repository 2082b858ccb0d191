"""A real sequence of pictures as JPEGs, for a camera server to play."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgekit.frames import Image
from edgekit.runtime.sources import open_source


@dataclass(frozen=True)
class Film:
    """JPEG pictures of one size that follow each other, and what the faults need of them in advance.

    smaller: the same in half the size. Sizes are multiples of 16, which RTP's JPEG wants. A picture that does not
    differ from the one before is left out: video compression makes such, a lens never does.
    """

    size: tuple[int, int]
    pictures: tuple[bytes, ...]
    smaller: tuple[bytes, ...]
    black: bytes

    @classmethod
    def of(cls, images: Sequence[Image], width: int = 320) -> Film:
        """`images` are (height, width, 3) uint8 BGR; `ValueError` where all of them are the same."""
        if not len(images):
            raise ValueError("a film needs pictures")
        height = width * images[0].shape[0] / images[0].shape[1]
        size, small = (_to16(width), _to16(height)), (_to16(width / 2), _to16(height / 2))
        both = [(_jpeg(image, size), _jpeg(image, small)) for image in images]
        moving = [each for i, each in enumerate(both) if each[1] != both[i - 1][1]]
        if len(moving) < 2:
            raise ValueError(f"a film needs pictures that differ; all {len(images)} are the same")
        pictures, smaller = zip(*moving, strict=True)
        return cls(size, pictures, smaller, _jpeg(np.zeros((16, 16, 3), np.uint8), size))

    @classmethod
    def read(cls, path: Path | str, limit: int = 100, width: int = 320) -> Film:
        """The first `limit` pictures of a video, a GIF or a folder."""
        with open_source(path) as source:
            return cls.of([frame.image for _, frame in zip(range(limit), source, strict=False)], width)


def _to16(pixels: float) -> int:
    return max(16, round(pixels / 16) * 16)


def _jpeg(image: Image, size: tuple[int, int]) -> bytes:
    return cv2.imencode(".jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))[1].tobytes()
