"""A customer's arm, drawn once a scene and moved over its frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from edgekit.frames import Image
from edgekit.runtime.scene.paint import Colour, Points, colour

HAND_DETAIL = 1.5  # pixels of the arm's picture a unit; a unit is a pixel of a 480-row frame
GRIP = (80.0, 52.0)  # where, in units of that picture, the fingers close on a product
_WIDTH, _LENGTH = 160, 640
_SKINS = ("#f1c7a5", "#e0ac85", "#c98d63", "#9c6440", "#6f4429", "#f5d3b8")
_SLEEVES = ("#2f5d8a", "#8a2f3b", "#3d6b47", "#d9d4c7", "#2b2d33", "#c98a2b", "#6a4c93")


@dataclass(frozen=True)
class Arm:
    """Whose arm it is: numbers of a skin tone and of a sleeve."""

    skin: int
    sleeve: int

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Arm:
        return cls(int(rng.integers(len(_SKINS))), int(rng.integers(len(_SLEEVES))))


@lru_cache(maxsize=len(_SKINS) * len(_SLEEVES))
def arm_sprite(arm: Arm) -> Image:
    """The arm from above, fingers up, cut out: (960, 240, 4) uint8, BGR multiplied by alpha, and alpha. Shared: do not
    write to it."""
    picture = np.zeros((int(_LENGTH * HAND_DETAIL), int(_WIDTH * HAND_DETAIL), 4), np.uint8)
    skin, sleeve = colour(_SKINS[arm.skin]), colour(_SLEEVES[arm.sleeve])
    _limb(picture, [(62, 150), (98, 150), (108, 250), (52, 250)], 6, skin)
    _limb(picture, [(46, 222), (114, 222), (140, 640), (20, 640)], 5, sleeve)
    _limb(picture, [(44, 224), (116, 224), (117, 238), (43, 238)], 5, sleeve)
    _limb(picture, [(48, 96), (66, 84), (96, 84), (112, 98), (110, 138), (98, 166), (64, 166), (52, 140)], 9, skin)
    for knuckle, tip, thick in (
        ((56, 96), (56, 50), 8.5),
        ((72, 90), (73, 36), 9),
        ((88, 90), (90, 37), 9),
        ((103, 97), (106, 51), 8),
    ):
        _limb(picture, [knuckle, ((knuckle[0] + tip[0]) / 2, (knuckle[1] + tip[1]) / 2), tip], thick, skin)
        _limb(picture, [(tip[0], tip[1] - 3), (tip[0], tip[1] - 1)], thick * 0.52, _lighter(skin))
    _limb(picture, [(52, 138), (34, 112), (36, 84)], 9.5, skin)
    return picture


def _lighter(tone: Colour) -> Colour:
    blue, green, red = (round(value + (255 - value) * 0.38) for value in tone)
    return blue, green, red


def _limb(picture: Image, points: Points, thick: float, tone: Colour) -> None:
    """Paint a rounded part over the picture, lit as if it bulged towards the camera."""
    x, y, width, height = cv2.boundingRect(np.rint(np.asarray(points) * HAND_DETAIL).astype(np.int32))
    room = round(thick * HAND_DETAIL) + 4
    left, top = max(x - room, 0), max(y - room, 0)
    picture = picture[top : y + height + room, left : x + width + room]
    corners = np.rint((np.asarray(points) * HAND_DETAIL - (left, top)) * 8).astype(np.int32)
    mask = np.zeros(picture.shape[:2], np.uint8)
    if len(points) > 3:
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 3)
    cv2.polylines(mask, [corners], len(points) > 3, 255, round(thick * HAND_DETAIL * 2), cv2.LINE_AA, 3)
    depth = cv2.GaussianBlur(cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 5), (0, 0), 1.2)
    bulge = np.sqrt(1 - np.square(1 - np.clip(depth / max(min(float(depth.max()), 34), 1), 0, 1)))
    slope = cv2.Sobel(cv2.GaussianBlur(bulge, (0, 0), 3), cv2.CV_32F, 1, 0)
    light = np.clip(0.56 + 0.5 * bulge + 0.45 * slope, 0, 1.15)[..., None]
    alpha = mask[..., None].astype(np.float32) / 255
    lit = np.clip(np.array(tone, np.float32) * light, 0, 255)
    picture[..., :3] = picture[..., :3] * (1 - alpha) + lit * alpha
    picture[..., 3] = np.maximum(picture[..., 3], mask)
