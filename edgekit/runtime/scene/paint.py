"""The brush of the rendered shop: shapes, lettering and light on a canvas that is drawn large and scaled down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np

from edgekit.frames import FloatArray, Image

Colour: TypeAlias = tuple[int, int, int]
Points: TypeAlias = Sequence[tuple[float, float]]

# Letters are strokes on a grid 4 wide and 6 high, "xy xy|xy xy". OpenCV's own fonts differ between its versions 4 and
# 5, and a scene must look the same under both.
_STROKES = {
    "A": "06 20 46|14 34",
    "B": "00 30 41 42 33 44 45 36 06 00|03 33",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 45 41 20 00",
    "E": "40 00 06 46|03 33",
    "F": "40 00 06|03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06|40 46|03 43",
    "I": "20 26",
    "J": "30 35 26 16 05",
    "K": "00 06|40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10|24 46",
    "R": "06 00 30 41 42 33 03|23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40|20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46|40 06",
    "Y": "00 23 40|23 26",
    "Z": "00 40 06 46",
    "0": "10 30 41 45 36 16 05 01 10",
    "1": "11 20 26",
    "2": "01 10 30 41 42 06 46",
    "3": "00 40 23 33 44 45 36 16 05",
    "4": "36 30 04 44",
    "5": "40 00 03 33 44 45 36 06",
    "6": "30 10 01 05 16 36 45 44 33 03",
    "7": "00 40 16",
    "8": "13 02 01 10 30 41 42 33 13 04 05 16 36 45 44 33",
    "9": "43 13 02 01 10 30 41 45 36 16",
    ".": "16 16",
}


def colour(code: str) -> Colour:
    """'#e4002b' as blue, green, red."""
    red, green, blue = (int(code[i : i + 2], 16) for i in (1, 3, 5))
    return blue, green, red


class Canvas:
    """A picture to draw on in the units of a 480-row frame; `detail` pixels a unit, until `shrunk` averages them."""

    def __init__(self, width: float, height: float, ground: Colour = (0, 0, 0), detail: float = 6) -> None:
        self.width, self.height, self.detail = width, height, detail
        self.pixels: Image = np.full((round(height * detail), round(width * detail), 3), ground, np.uint8)

    def _at(self, points: Points) -> np.ndarray:
        return np.rint(np.asarray(points, np.float64) * self.detail).astype(np.int32)

    def _thick(self, width: float) -> int:
        return max(1, round(width * self.detail))

    def polygon(self, points: Points, fill: Colour) -> None:
        cv2.fillPoly(self.pixels, [self._at(points)], fill)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Colour) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def tile(self, x0: float, y0: float, x1: float, y1: float, fill: Colour, corner: float) -> None:
        """A rectangle with round corners."""
        self.polygon([(x0 + corner, y0), (x1 - corner, y0), (x1 - corner, y1), (x0 + corner, y1)], fill)
        self.polygon([(x0, y0 + corner), (x1, y0 + corner), (x1, y1 - corner), (x0, y1 - corner)], fill)
        for x in (x0 + corner, x1 - corner):
            for y in (y0 + corner, y1 - corner):
                self.ellipse(x, y, corner, corner, fill)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour, turn: float = 0) -> None:
        (centre,) = self._at([(x, y)])
        axes = (round(rx * self.detail), round(ry * self.detail))
        cv2.ellipse(self.pixels, (int(centre[0]), int(centre[1])), axes, turn, 0, 360, fill, -1)

    def stroke(self, points: Points, width: float, ink: Colour, closed: bool = False) -> None:
        cv2.polylines(self.pixels, [self._at(points)], closed, ink, self._thick(width))

    def text(self, word: str, x: float, y: float, size: float, ink: Colour, weight: float = 0.16) -> None:
        """Capital letters `size` high, centred on x, y; `weight` is the stroke's part of the size."""
        step = size / 6
        left = x - (len(word) * 6 - 2) * step / 2
        for position, letter in enumerate(word):
            for line in _STROKES.get(letter, "").split("|"):
                points = [(left + (position * 6 + int(p[0])) * step, y + (int(p[1]) - 3) * step) for p in line.split()]
                if points:
                    self.stroke(points, size * weight, ink)

    def shrunk(self, detail: float) -> Image:
        """The picture at `detail` pixels a unit."""
        size = (round(self.width * detail), round(self.height * detail))
        return np.asarray(cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def across(mask: Image) -> FloatArray:
    """For each pixel of a silhouette its place across its own row, -1 at the left edge and 1 at the right."""
    width = mask.shape[1]
    inside = mask > 127
    left = np.where(inside.any(1), inside.argmax(1), 0)
    right = np.where(inside.any(1), width - 1 - inside[:, ::-1].argmax(1), width - 1)
    middle, half = (left + right)[:, None] / 2, np.maximum((right - left)[:, None] / 2, 1)
    return np.asarray(np.clip((np.arange(width)[None] - middle) / half, -1, 1), np.float32)


def round_light(mask: Image) -> tuple[FloatArray, FloatArray]:
    """Light on a turned body such as a can: (factor, highlight to add), both (height, width)."""
    x = across(mask)
    factor = 0.42 + 0.68 * np.sqrt(1 - np.square(x * 0.97 + 0.06).clip(0, 1))
    gloss = 70 * np.exp(-np.square((x + 0.42) / 0.11)) + 22 * np.exp(-np.square((x - 0.62) / 0.1))
    return np.asarray(factor, np.float32), np.asarray(gloss, np.float32)


def flat_light(mask: Image) -> tuple[FloatArray, FloatArray]:
    """Light on a box seen from the front: brighter at the upper left, an edge that catches it."""
    height, width = mask.shape
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    edge = np.minimum(x * width, y * height)
    return np.asarray(1.08 - 0.16 * x - 0.12 * y, np.float32), np.asarray(34 * np.exp(-edge / 2.2), np.float32)


def pillow_light(mask: Image) -> tuple[FloatArray, FloatArray]:
    """Light on a filled pouch: bulged in the middle, creased towards its seams."""
    height, width = mask.shape
    depth = cv2.distanceTransform(np.pad((mask > 127).astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    bulge = np.sqrt(1 - np.square(1 - np.clip(depth / (0.42 * width), 0, 1)))
    bulge = cv2.GaussianBlur(bulge.astype(np.float32), (0, 0), width / 22)
    slope = cv2.Sobel(bulge, cv2.CV_32F, 1, 1) * width / 3 - cv2.Sobel(bulge, cv2.CV_32F, 1, 0) * width / 9
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    crease = np.sin(x / width * 19 + 3 * np.sin(y / height * 5)) * np.exp(-depth / (0.11 * width))
    factor = 0.55 + 0.5 * bulge + 0.12 * crease
    gloss = (
        60 * np.clip(-slope, 0, 1) + 55 * np.exp(-np.square((x / width - 0.3 - 0.04 * np.sin(y / 9)) / 0.035)) * bulge
    )
    return np.asarray(factor, np.float32), np.asarray(gloss, np.float32)
