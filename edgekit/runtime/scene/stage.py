"""Where products stand: the shelf and the cart as empty rooms with slots, and how a cut-out is pasted into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.frames import Image
from edgekit.runtime.scene.paint import Canvas, Colour, colour
from edgekit.runtime.scene.products import PRODUCTS

Affine: TypeAlias = npt.NDArray[np.float64]
Ids: TypeAlias = npt.NDArray[np.uint8]

MARGIN = 26  # units of stage around the frame, so that a crooked camera does not look past it
ROWS = 480  # units in the frame's height
_PANELS = ("#5b5750", "#8d8a84", "#3d4248", "#a79a86", "#6d5a48", "#c9c6bf")
_RAILS = ("#e9e9e6", "#c8102e", "#1f7a3d", "#1c4f9c", "#f2c230", "#3a3d42")
_RIMS = ("#c8102e", "#1c4f9c", "#1f7a3d", "#e07b1a", "#3a3d42")
_FLOORS = ("#b9b3a8", "#8f959b", "#cfcac0", "#77706a")


@dataclass(frozen=True)
class Slot:
    """A place for one product: its centre on the stage in units, its size, its turn in degrees, the light it gets."""

    product: int
    x: float
    y: float
    size: float = 1.0
    turn: float = 0.0
    light: float = 1.0


@dataclass(frozen=True, eq=False)
class Room:
    """An empty shelf or cart: its picture, its slots, and which of them hold something when the scene begins."""

    ground: Image
    slots: tuple[Slot, ...]
    stocked: frozenset[int]
    seen_from_above: bool

    @property
    def grip(self) -> float:
        """Where on a product a hand closes, as a part of its height."""
        return 0.5 if self.seen_from_above else 0.72


def shelf(rng: np.random.Generator, width: float, scale: float) -> Room:
    """Three boards of products in blocks of one to four, seen from the front; about one slot in ten is empty."""
    c = Canvas(width + 2 * MARGIN, ROWS + 2 * MARGIN, _any(rng, _PANELS), 2 * scale)
    rail = _any(rng, _RAILS)
    slots: list[Slot] = []
    for row in range(3):
        top, bottom = MARGIN + row * ROWS / 3, MARGIN + (row + 1) * ROWS / 3
        _board(c, top, bottom, rail)
        slots += _facings(c, rng, bottom)
    _rail(c, MARGIN - 22, MARGIN, rail)
    for x in (0.0, c.width - MARGIN - 5):
        c.rectangle(x, 0, x + MARGIN + 5, c.height, colour("#3c3e41"))
        c.rectangle(x + MARGIN - 2, 0, x + MARGIN, c.height, colour("#6a6d71"))
    stocked = frozenset(i for i in range(len(slots)) if rng.random() > 0.1)
    return Room(c.shrunk(scale), tuple(slots), stocked, seen_from_above=False)


def _any(rng: np.random.Generator, codes: tuple[str, ...]) -> Colour:
    return colour(codes[int(rng.integers(len(codes)))])


def _board(c: Canvas, top: float, bottom: float, rail: Colour) -> None:
    """The back panel with the shadow of the board above, the board products stand on, and its price rail."""
    rows = slice(round(top * c.detail), round((bottom - 20) * c.detail))
    depth = np.linspace(0, 1, rows.stop - rows.start)[:, None, None]
    c.pixels[rows] = np.clip(c.pixels[rows] * (0.5 + 0.6 * depth**0.6), 0, 255)
    for y, shade in ((-30, "#6f6d69"), (-26, "#8d8b86"), (-23, "#a9a7a1")):
        c.rectangle(0, bottom + y, c.width, bottom - 20, colour(shade))
    _rail(c, bottom - 20, bottom, rail)


def _rail(c: Canvas, top: float, bottom: float, rail: Colour) -> None:
    blue, green, red = rail
    c.rectangle(0, top, c.width, bottom, rail)
    c.rectangle(0, top, c.width, top + 1.5, (min(blue + 60, 255), min(green + 60, 255), min(red + 60, 255)))
    c.rectangle(0, bottom - 2.5, c.width, bottom, (blue // 2, green // 2, red // 2))


def _facings(c: Canvas, rng: np.random.Generator, bottom: float) -> list[Slot]:
    """Fill one board from left to right, a price card under each block."""
    slots: list[Slot] = []
    x, end, last = MARGIN + 12.0, c.width - MARGIN - 12, -1
    while fitting := [i for i in range(len(PRODUCTS)) if i != last and x + PRODUCTS[i].width * 1.05 <= end]:
        number = int(rng.choice(fitting))
        product, count = PRODUCTS[number], int(rng.integers(1, 5 if PRODUCTS[number].width < 60 else 3))
        begin = x
        for _ in range(count):
            if x + product.width * 1.05 > end:
                break
            size = float(rng.uniform(0.95, 1.04))
            middle = x + product.width * 1.05 / 2, bottom - 25 + float(rng.uniform(-2, 2)) - product.height * size / 2
            slots.append(Slot(number, *middle, size, float(rng.normal(0, 0.6)), float(rng.uniform(0.86, 1.08))))
            x += product.width * 1.05 + float(rng.uniform(1, 7))
        _price(c, rng, begin, bottom - 18)
        x, last = x + float(rng.uniform(2, 12)), number
    return slots


def _price(c: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    c.rectangle(x, y, x + 30, y + 15, colour("#ffe14d") if rng.random() < 0.2 else colour("#fbfbf8"))
    c.text(f"{rng.integers(0, 5)}.{rng.integers(1, 10)}9", x + 15, y + 5.5, 6, (30, 28, 28), 0.17)
    for bar in range(12):
        c.rectangle(x + 4 + bar * 1.9, y + 10.5, x + 4.7 + bar * 1.9, y + 13.5, (110, 108, 106))


def cart(rng: np.random.Generator, width: float, scale: float) -> Room:
    """A basket seen from above; things lie in it at any angle and over each other's edges."""
    c = Canvas(width + 2 * MARGIN, ROWS + 2 * MARGIN, _any(rng, _FLOORS), 2 * scale)
    _tiles(c)
    outer = (MARGIN + 18.0, MARGIN + 14.0, c.width - MARGIN - 18, c.height - MARGIN - 14)
    inner = (outer[0] + 34, outer[1] + 30, outer[2] - 34, outer[3] - 30)
    _basket(c, outer, inner, _any(rng, _RIMS))
    columns = max(2, round((inner[2] - inner[0]) / 102))
    step_x, step_y = (inner[2] - inner[0]) / columns, (inner[3] - inner[1]) / 3
    slots = [
        Slot(
            int(rng.integers(len(PRODUCTS))),
            inner[0] + (i % columns + 0.5) * step_x + float(rng.uniform(-11, 11)),
            inner[1] + (i // columns + 0.5) * step_y + float(rng.uniform(-11, 11)),
            float(rng.uniform(0.86, 0.98)),
            float(rng.uniform(-180, 180)),
            float(rng.uniform(0.84, 1.06)),
        )
        for i in rng.permutation(columns * 3).tolist()
    ]
    stocked = frozenset(range(int(rng.integers(columns // 2, 2 * columns + 1))))
    return Room(c.shrunk(scale), tuple(slots), stocked, seen_from_above=True)


def _tiles(c: Canvas) -> None:
    for i in range(0, int(c.width) + 1, 86):
        c.stroke([(i, 0), (i, c.height)], 1.6, (120, 124, 128))
    for j in range(0, int(c.height) + 1, 86):
        c.stroke([(0, j), (c.width, j)], 1.6, (120, 124, 128))


def _basket(
    c: Canvas, outer: tuple[float, float, float, float], inner: tuple[float, float, float, float], rim: Colour
) -> None:
    """Wire walls that lean outwards from a wire floor, and a plastic rim."""
    c.tile(*outer, colour("#4a4c50"), 22)
    c.tile(*inner, colour("#5d6064"), 8)
    wire, dim = colour("#b9bec4"), colour("#8a8f95")
    for part in np.linspace(0, 1, 25):
        x_in, x_out = (edge[0] + (edge[2] - edge[0]) * part for edge in (inner, outer))
        c.stroke([(x_out, outer[1]), (x_in, inner[1])], 1.8, dim)
        c.stroke([(x_in, inner[1]), (x_in, inner[3])], 1.5, wire)
        c.stroke([(x_in, inner[3]), (x_out, outer[3])], 1.8, dim)
    for part in np.linspace(0, 1, 18):
        y_in, y_out = (edge[1] + (edge[3] - edge[1]) * part for edge in (inner, outer))
        c.stroke([(outer[0], y_out), (inner[0], y_in)], 1.8, dim)
        c.stroke([(inner[0], y_in), (inner[2], y_in)], 1.5, wire)
        c.stroke([(inner[2], y_in), (outer[2], y_out)], 1.8, dim)
    x0, y0, x1, y1 = outer
    edge = [
        (x0 + 16, y0),
        (x1 - 16, y0),
        (x1, y0 + 16),
        (x1, y1 - 16),
        (x1 - 16, y1),
        (x0 + 16, y1),
        (x0, y1 - 16),
        (x0, y0 + 16),
    ]
    c.stroke(edge, 13, rim, closed=True)
    blue, green, red = rim
    c.stroke(edge, 4, (min(blue + 50, 255), min(green + 50, 255), min(red + 50, 255)), closed=True)


def placing(anchor: tuple[float, float], at: tuple[float, float], scale: float, turn: float) -> Affine:
    """The affine map that scales a cut-out, turns it clockwise by `turn` degrees, and puts its `anchor` at `at`."""
    angle = np.deg2rad(turn)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, np.asarray(at) - linear @ np.asarray(anchor)])


def _patch(image: Image, cut: Image, put: Affine, spread: int = 1) -> tuple[tuple[slice, slice], Image] | None:
    """The part of the image that the cut-out touches, and the cut-out warped to it; None if that is outside."""
    height, width = cut.shape[:2]
    corners = put @ np.array([[0, width, width, 0], [0, 0, height, height], [1, 1, 1, 1]])
    x0, y0 = np.maximum(np.floor(corners.min(1)).astype(int) - spread, 0)
    x1, y1 = np.minimum(np.ceil(corners.max(1)).astype(int) + spread, [image.shape[1], image.shape[0]])
    if x0 >= x1 or y0 >= y1:
        return None
    local = put - np.array([[0, 0, x0], [0, 0, y0]])
    warped = cv2.warpAffine(cut, local, (int(x1 - x0), int(y1 - y0)), flags=cv2.INTER_LINEAR)
    return (slice(y0, y1), slice(x0, x1)), np.asarray(warped, np.uint8)


def paste(image: Image, ids: Ids, cut: Image, put: Affine, number: int, light: float = 1.0) -> None:
    """Lay a cut-out (colours already multiplied by alpha) over the image, and write `number` where it covers."""
    touched = _patch(image, cut, put)
    if touched is None:
        return
    where, patch = touched
    through = cv2.merge([255 - patch[..., 3]] * 3)
    below = cv2.multiply(image[where], through, scale=1 / 255)
    image[where] = cv2.add(below, cv2.convertScaleAbs(patch[..., :3], alpha=light))
    ids[where][patch[..., 3] > 127] = number


def shade(image: Image, cut: Image, put: Affine, blur: float, strength: float) -> None:
    """Darken the image where the shadow of a cut-out falls."""
    touched = _patch(image, np.ascontiguousarray(cut[..., 3]), put, spread=round(3 * blur))
    if touched is None:
        return
    where, patch = touched
    soft = cv2.convertScaleAbs(cv2.blur(cv2.blur(patch, (k := 2 * round(blur) + 1, k)), (k, k)), alpha=strength)
    image[where] = cv2.multiply(image[where], cv2.merge([255 - soft] * 3), scale=1 / 255)
