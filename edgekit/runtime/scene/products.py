"""The sixteen products that the rendered shop sells: a name, a body, the art on its label, and a sprite of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from math import cos, pi, sin
from typing import Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.frames import Image
from edgekit.runtime.scene.paint import Canvas, Points, colour, flat_light, pillow_light, round_light

FloatArray64: TypeAlias = npt.NDArray[np.float64]
Body: TypeAlias = Literal["turned", "box", "carton", "pouch"]
SPRITE_DETAIL = 2  # sprite pixels a unit; a unit is a pixel of a 480-row frame

_WHITE, _BLACK = (250, 250, 250), (24, 22, 22)
# Outlines of turned bodies: (height from the top, half width), as parts of the body's own height and width.
_CAN = ((0, 0.40), (0.02, 0.43), (0.035, 0.43), (0.085, 0.5), (0.93, 0.5), (0.975, 0.43), (1, 0.42))
_TIN = ((0, 0.48), (0.03, 0.5), (0.05, 0.485), (0.95, 0.485), (0.97, 0.5), (1, 0.48))
_BOTTLE = ((0, 0.21), (0.09, 0.21), (0.095, 0.17), (0.17, 0.19), (0.34, 0.47), (0.42, 0.5), (0.97, 0.5), (1, 0.44))
_WINE = ((0, 0.2), (0.1, 0.2), (0.11, 0.17), (0.3, 0.18), (0.44, 0.46), (0.5, 0.5), (0.98, 0.5), (1, 0.46))
_JUICE = ((0, 0.27), (0.11, 0.27), (0.115, 0.23), (0.17, 0.24), (0.3, 0.5), (0.62, 0.46), (0.9, 0.5), (1, 0.45))
_SOAP = (
    (0, 0.1),
    (0.06, 0.1),
    (0.07, 0.2),
    (0.15, 0.2),
    (0.16, 0.16),
    (0.22, 0.3),
    (0.36, 0.5),
    (0.6, 0.42),
    (0.9, 0.5),
    (1, 0.42),
)
_JAR = ((0, 0.43), (0.02, 0.46), (0.2, 0.46), (0.21, 0.41), (0.25, 0.41), (0.36, 0.5), (0.94, 0.5), (1, 0.42))


@dataclass(frozen=True)
class Product:
    """A product of the shop; width and height in pixels of a 480-row frame, `art` paints its front on `ground`."""

    name: str
    width: int
    height: int
    body: Body
    ground: str
    art: Callable[[Canvas], None]
    outline: tuple[tuple[float, float], ...] = ()


def _ring(x: float, y: float, radius: float, teeth: int, depth: float) -> Points:
    """A star or a flower around x, y."""
    turns = [(i * pi / teeth, radius * (1 if i % 2 else 1 - depth)) for i in range(2 * teeth)]
    return [(x + r * cos(a), y + r * sin(a)) for a, r in turns]


def _wave(y: float, high: float, length: float, width: float) -> list[tuple[float, float]]:
    return [(x, y + high * sin(2 * pi * x / length)) for x in np.linspace(0, width, 40)]


def _leaf(c: Canvas, x: float, y: float, size: float, turn: float, fill: str) -> None:
    c.ellipse(x, y, size, size * 0.42, colour(fill), turn)


def _cola(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 8, colour("#c9ced4"))
    c.rectangle(0, c.height - 6, c.width, c.height, colour("#b9bfc6"))
    ribbon = _wave(50, 7, 60, c.width)
    c.polygon([*ribbon, *[(x, y + 13 - x / 8) for x, y in reversed(ribbon)]], _WHITE)
    c.text("COLA", c.width / 2, 30, 9, _WHITE, 0.22)


def _lemonade(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 8, colour("#d3d8dc"))
    c.rectangle(0, c.height - 6, c.width, c.height, colour("#b9bfc6"))
    c.polygon([(0, 60), (c.width, 42), (c.width, c.height - 6), (0, c.height - 6)], colour("#2e9e45"))
    c.ellipse(c.width / 2, 54, 15, 15, colour("#fff7b0"))
    c.ellipse(c.width / 2, 54, 12.5, 12.5, colour("#ffd91c"))
    for angle in np.arange(0, 2 * pi, pi / 3):
        c.stroke([(c.width / 2, 54), (c.width / 2 + 12 * cos(angle), 54 + 12 * sin(angle))], 1.2, colour("#fff7b0"))
    c.text("LIMO", c.width / 2, 25, 9, colour("#1c6b2d"), 0.22)


def _soup(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 5, colour("#c4c8cc"))
    c.rectangle(0, 5, c.width, 34, colour("#fbf3e2"))
    c.rectangle(0, c.height - 5, c.width, c.height, colour("#b4b8bc"))
    c.ellipse(c.width / 2, 36, 15, 13, colour("#e8321f"))
    c.ellipse(c.width / 2 - 5, 31, 4, 3, colour("#ff8a70"), -30)
    c.polygon(_ring(c.width / 2, 25, 8, 5, 0.6), colour("#2f8f3a"))
    c.text("SOUP", c.width / 2, 57, 10, _WHITE, 0.2)
    c.text("TOMATO", c.width / 2, 12, 6, colour("#b3180f"), 0.18)


def _water(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 11, colour("#1d4fc4"))
    for y in (42, 47, 102, 107, 112):
        c.stroke([(0, y), (c.width, y)], 0.9, colour("#8fc6e6"))
    c.rectangle(0, 56, c.width, 94, colour("#1f63d6"))
    c.polygon([(0, 94), (10, 74), (16, 82), (24, 64), (c.width, 94)], colour("#e8f4ff"))
    c.text("AQUA", c.width / 2, 62, 7, _WHITE, 0.2)


def _juice(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 12, colour("#2c8a3a"))
    c.tile(3, 38, c.width - 3, 78, colour("#fff6e0"), 4)
    c.ellipse(c.width / 2, 62, 11, 11, colour("#ff8a00"))
    c.ellipse(c.width / 2 - 3, 58, 4, 3, colour("#ffc46b"), -30)
    _leaf(c, c.width / 2 + 7, 51, 6, -30, "#2f9e3f")
    c.text("SUN", c.width / 2, 45, 7, colour("#d85a00"), 0.2)


def _oil(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 13, colour("#c6a548"))
    c.rectangle(0, 64, c.width, 106, colour("#f3ead0"))
    c.stroke([(0, 67), (c.width, 67)], 1, colour("#c6a548"))
    c.stroke([(0, 103), (c.width, 103)], 1, colour("#c6a548"))
    for x, y, turn in ((10, 92, 60), (17, 86, 100), (24, 92, 130)):
        _leaf(c, x, y, 6, turn, "#5d7a2a")
    c.text("OLIO", c.width / 2, 75, 7, colour("#3f5220"), 0.18)


def _milk(c: Canvas) -> None:
    c.polygon([(0, 0), (c.width, 0), (c.width, 9), (0, 9)], colour("#2f74d0"))
    c.polygon([*_wave(80, 5, 34, c.width), (c.width, c.height), (0, c.height)], colour("#2f74d0"))
    c.polygon([*_wave(88, 5, 34, c.width), (c.width, c.height), (0, c.height)], colour("#1b4f9e"))
    c.text("MILK", c.width / 2, 46, 10, colour("#1b4f9e"), 0.22)
    c.ellipse(c.width / 2, 68, 5, 5, colour("#2f74d0"))
    c.polygon([(c.width / 2 - 4.6, 66), (c.width / 2, 58), (c.width / 2 + 4.6, 66)], colour("#2f74d0"))


def _flakes(c: Canvas) -> None:
    c.polygon(_ring(c.width / 2, 70, 70, 14, 0.62), colour("#ffe27a"))
    c.polygon([(c.width / 2 + 29 * cos(a), 84 + 24 * sin(a)) for a in np.linspace(0, pi, 40)], colour("#1f5fb8"))
    c.ellipse(c.width / 2, 84, 29, 8, colour("#3f82dd"))
    c.ellipse(c.width / 2, 84, 26, 6, colour("#fffaf0"))
    for x, y in ((-16, 83), (-7, 86), (0, 81), (9, 86), (16, 82), (3, 87), (-10, 80), (10, 80)):
        c.ellipse(c.width / 2 + x, y, 5, 3, colour("#e38a12"), x * 9)
    c.tile(5, 14, c.width - 5, 40, colour("#d3202a"), 4)
    c.text("FLAKES", c.width / 2, 27, 10, _WHITE, 0.2)


def _tea(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 14, colour("#0f5a36"))
    c.ellipse(c.width / 2, 46, 23, 20, colour("#f5f0d8"))
    _leaf(c, c.width / 2 - 7, 50, 12, 40, "#3fa052")
    _leaf(c, c.width / 2 + 7, 50, 12, -40, "#2c7f40")
    c.stroke([(c.width / 2, 44), (c.width / 2, 62)], 1.3, colour("#2c7f40"))
    c.text("TEA", c.width / 2, 36, 9, colour("#0f5a36"), 0.2)
    c.rectangle(0, c.height - 5, c.width, c.height, colour("#d9b23c"))


def _pasta(c: Canvas) -> None:
    c.tile(8, 56, c.width - 8, 108, colour("#f1d9a0"), 8)
    for i in range(9):
        x, y = 14 + (i % 3) * 10, 64 + (i // 3) * 16
        c.stroke([(x - 3, y + 5), (x + 4, y - 4)], 5, colour("#d79b35"))
        c.stroke([(x - 3, y + 5), (x + 4, y - 4)], 2.6, colour("#f2c666"))
    c.tile(4, 12, c.width - 4, 34, _WHITE, 3)
    c.text("PASTA", c.width / 2, 23, 7.2, colour("#123a8f"), 0.2)
    c.stroke([(0, 44), (c.width, 44)], 3, colour("#d3202a"))


def _chips(c: Canvas) -> None:
    c.polygon(_ring(c.width / 2, 46, 32, 11, 0.28), colour("#ffcf24"))
    c.text("CHIPS", c.width / 2, 45, 11, colour("#7a1290"), 0.22)
    for x, y, turn in ((20, 84, 20), (36, 78, -30), (50, 87, 60), (30, 96, -10), (44, 97, 30)):
        c.ellipse(x, y, 11, 8, colour("#e0a52e"), turn)
        c.ellipse(x, y, 9, 6, colour("#f7cf5c"), turn)
    for seam in (3.0, 5.5, 8.0, c.height - 8, c.height - 5.5, c.height - 3):
        c.stroke([(0, seam), (c.width, seam)], 0.7, colour("#5c0d6d"))


def _coffee(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 15, colour("#3a241a"))
    c.stroke([(0, 15), (c.width, 15)], 1.2, colour("#caa24a"))
    c.ellipse(c.width / 2, 48, 20, 20, colour("#caa24a"))
    c.ellipse(c.width / 2, 48, 18, 18, colour("#efe1c4"))
    c.ellipse(c.width / 2, 48, 8, 13, colour("#5b321d"), 28)
    c.stroke(
        [(c.width / 2 - 5, 58), (c.width / 2 + 1, 49), (c.width / 2, 46), (c.width / 2 + 6, 38)], 1.6, colour("#efe1c4")
    )
    c.text("CAFE", c.width / 2, 80, 11, colour("#efe1c4"), 0.18)
    c.stroke([(14, 92), (c.width - 14, 92)], 1.4, colour("#caa24a"))


def _honey(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 15, colour("#d8a92b"))
    c.tile(4, 34, c.width - 4, 66, colour("#fff3cf"), 3)
    for x, y in ((15, 58), (24, 58), (33, 58), (19.5, 51), (28.5, 51)):
        c.polygon([(x + 4.6 * cos(a), y + 4.6 * sin(a)) for a in np.arange(6) * pi / 3 + pi / 6], colour("#f0a818"))
    c.text("HONEY", c.width / 2, 42, 7, colour("#8a4b06"), 0.2)


def _jam(c: Canvas) -> None:
    for i in range(12):
        for j in range(4):
            c.rectangle(i * 4, j * 4, i * 4 + 4, j * 4 + 4, colour("#d92b3a") if (i + j) % 2 else _WHITE)
    c.ellipse(c.width / 2, 50, 17, 15, colour("#fdf4ea"))
    for x in (-5, 5):
        c.ellipse(c.width / 2 + x, 54, 5.5, 5.5, colour("#b3122c"))
        c.stroke([(c.width / 2 + x, 50), (c.width / 2, 44)], 1, colour("#2f7d36"))
    c.text("JAM", c.width / 2, 42, 6, colour("#8c1022"), 0.2)


def _soap(c: Canvas) -> None:
    c.rectangle(0, 0, c.width, 18, _WHITE)
    c.ellipse(c.width / 2, 74, 15, 24, _WHITE)
    c.ellipse(c.width / 2, 74, 13.5, 22.5, colour("#0a7f8f"))
    for x, y, r in ((15, 84, 4), (24, 87, 3), (20, 78, 2.4), (27, 80, 1.8)):
        c.ellipse(x, y, r, r, colour("#c9f6fa"))
    c.text("FRESH", c.width / 2, 67, 4.8, _WHITE, 0.2)


def _choco(c: Canvas) -> None:
    for x in (15, 30):
        c.stroke([(x, 62), (x, c.height - 8)], 1.4, colour("#3b1d12"))
    for y in (74, 86, 98):
        c.stroke([(2, y), (c.width - 2, y)], 1.4, colour("#3b1d12"))
    c.polygon([(0, 0), (c.width, 0), (c.width, 54), (0, 64)], colour("#3f2a8c"))
    c.polygon([(0, 64), (c.width, 54), (c.width, 57), (0, 67)], colour("#d5b04a"))
    c.text("CHOCO", c.width / 2, 28, 7.5, colour("#f4dfa0"), 0.2)
    c.polygon(_ring(c.width / 2, 45, 6, 5, 0.55), colour("#f4dfa0"))


PRODUCTS: tuple[Product, ...] = (
    Product("cola", 42, 80, "turned", "#d90f24", _cola, _CAN),
    Product("lemonade", 42, 80, "turned", "#ffe04a", _lemonade, _CAN),
    Product("tomato-soup", 52, 70, "turned", "#c3161c", _soup, _TIN),
    Product("sparkling-water", 38, 122, "turned", "#b8e0f2", _water, _BOTTLE),
    Product("orange-juice", 44, 100, "turned", "#ff9a1f", _juice, _JUICE),
    Product("olive-oil", 34, 124, "turned", "#3d4d1e", _oil, _WINE),
    Product("milk", 46, 110, "carton", "#f6f8fb", _milk),
    Product("corn-flakes", 78, 118, "box", "#ffc21f", _flakes),
    Product("green-tea", 60, 76, "box", "#1c7a4a", _tea),
    Product("pasta", 48, 118, "box", "#1a4bb0", _pasta),
    Product("crisps", 72, 110, "pouch", "#8a1aa3", _chips),
    Product("coffee", 56, 104, "pouch", "#573628", _coffee),
    Product("honey", 48, 74, "turned", "#e8940c", _honey, _JAR),
    Product("cherry-jam", 48, 72, "turned", "#7d0d20", _jam, _JAR),
    Product("dish-soap", 40, 112, "turned", "#16b4c4", _soap, _SOAP),
    Product("chocolate", 46, 108, "box", "#5a2f1c", _choco),
)
NAMES: tuple[str, ...] = tuple(product.name for product in PRODUCTS)


def _smooth(outline: tuple[tuple[float, float], ...], rows: FloatArray64) -> FloatArray64:
    """The half widths at `rows`, flowing from one point of the outline to the next in an S."""
    heights, halves = np.array(outline).T
    segment = np.clip(np.searchsorted(heights, rows, "right") - 1, 0, len(heights) - 2)
    t = (rows - heights[segment]) / (heights[segment + 1] - heights[segment])
    return np.asarray(halves[segment] + (halves[segment + 1] - halves[segment]) * t * t * (3 - 2 * t))


def _silhouette(product: Product) -> Points:
    w, h = float(product.width), float(product.height)
    if product.body == "turned":
        rows = np.linspace(0, 1, 160)
        side = [(w * half, h * y) for y, half in zip(rows, _smooth(product.outline, rows), strict=True)]
        return [(w / 2 + x, y) for x, y in side] + [(w / 2 - x, y) for x, y in reversed(side)]
    if product.body == "carton":
        return [(w * 0.12, 0), (w * 0.88, 0), (w * 0.88, 9), (w, 30), (w, h), (0, h), (0, 30), (w * 0.12, 9)]
    if product.body == "pouch":
        sides = [(y, 1.8 * (1 - abs(2 * y / h - 1) ** 3)) for y in np.linspace(0, h, 24)]
        return [(w - 3 + bulge, y) for y, bulge in sides] + [(3 - bulge, y) for y, bulge in reversed(sides)]
    return [(0.4, 0.4), (w - 0.4, 0.4), (w - 0.4, h - 0.4), (0.4, h - 0.4)]


def _lit(image: Image, mask: Image, product: Product) -> Image:
    light = {"turned": round_light, "pouch": pillow_light}.get(product.body, flat_light)
    factor, gloss = light(mask)
    lit = image * factor[..., None] + gloss[..., None]
    if product.body == "carton":  # the slope under the gable looks at the ceiling lamps
        roof = slice(9 * SPRITE_DETAIL, 30 * SPRITE_DETAIL)
        lit[roof] = lit[roof] * 0.86
    return np.asarray(np.clip(lit, 0, 255), np.uint8)


@cache
def sprite(number: int) -> Image:
    """Product `number` cut out: (2 * height, 2 * width, 4) uint8, BGR multiplied by alpha, and alpha. Shared: do not
    write to it."""
    product = PRODUCTS[number]
    front = Canvas(product.width, product.height, colour(product.ground))
    product.art(front)
    cut = Canvas(product.width, product.height)
    cut.polygon(_silhouette(product), (255, 255, 255))
    mask = cut.shrunk(SPRITE_DETAIL)[..., 0]
    lit = cv2.multiply(_lit(front.shrunk(SPRITE_DETAIL), mask, product), cv2.merge([mask] * 3), scale=1 / 255)
    return np.dstack([lit, mask])


@lru_cache(maxsize=512)
def sprite_at(number: int, width: int, height: int) -> Image:
    """The sprite at another size in pixels, averaged down so that its print does not flicker."""
    return np.asarray(cv2.resize(sprite(number), (width, height), interpolation=cv2.INTER_AREA), np.uint8)
