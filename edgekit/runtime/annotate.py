"""Draws on a picture what was seen in it: boxes in a colour for each product, names, and what the frame cost."""

from __future__ import annotations

import unicodedata
import zlib

import cv2
import numpy as np

from edgekit.frames import Image
from edgekit.runtime.pipeline import Observation

Colour = tuple[int, int, int]

# BGR, from Okabe and Ito's palette, which colour-blind people can tell apart, then lighter ones of other hues.
COLOURS: tuple[Colour, ...] = (
    (0, 159, 230),
    (233, 180, 86),
    (115, 158, 0),
    (66, 228, 240),
    (167, 121, 204),
    (0, 94, 213),
    (178, 114, 0),
    (140, 230, 170),
    (150, 150, 255),
    (255, 200, 200),
    (120, 200, 120),
    (200, 200, 60),
)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK: Colour = (24, 24, 24)
_PAPER: Colour = (245, 245, 245)


def annotate(image: Image, seen: Observation) -> Image:
    """A copy of `image` with the observation's boxes, their names, and a line of times at the bottom.

    A product's name comes instead of the detector's label where there is one. Text is shifted, and if need be cut, so
    that it stays inside the picture.
    """
    drawn = image.copy()
    found = seen.detections
    for i in np.argsort(found.scores, kind="stable").tolist():  # the best on top
        colour = colour_of(seen, i)
        x0, y0, x1, y1 = (round(edge) for edge in found.boxes[i].tolist())
        cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, _stroke(image) + 1, cv2.LINE_AA)
        # no wider than its box, so that the names of a full shelf do not cover each other
        write(drawn, caption(seen, i), (x0, y0), colour, above=True, width=max(x1 - x0, image.shape[1] // 10))
    write(drawn, times(seen), (0, image.shape[0]), _INK, above=True)
    return drawn


def colour_of(seen: Observation, i: int) -> Colour:
    """The colour of box i: its product's where one is known, or its label's; the same name always has the same."""
    product = seen.products[i]
    kind = int(seen.detections.labels[i]) if product is None else zlib.crc32(product.label.encode())
    return COLOURS[kind % len(COLOURS)]


def caption(seen: Observation, i: int) -> str:
    """What stands at box i: `cola 0.87 #3`."""
    product = seen.products[i]
    name, score = (
        (seen.labels[i], float(seen.detections.scores[i])) if product is None else (product.label, product.score)
    )
    ids = seen.detections.track_ids
    return f"{name} {score:.2f}" if ids is None else f"{name} {score:.2f} #{ids[i]}"


def times(seen: Observation) -> str:
    """The line at the bottom: `frame 12  age 41 ms  detect 20.4  track 0.2  dropped 3`."""
    stages = "  ".join(f"{stage} {spent:.1f}" for stage, spent in seen.stages_ms.items() if stage != "wait")
    return f"frame {seen.index}  age {seen.age_ms:.0f} ms  {stages}  dropped {seen.dropped}"


def write(image: Image, text: str, at: tuple[int, int], colour: Colour, above: bool, width: int | None = None) -> None:
    """Text on a patch of `colour`, in place, its corner (lower left, or upper left) at `at` as far as the picture
    allows; cut where the patch would be wider than `width` or the picture."""
    scale, stroke = _scale(image), _stroke(image)
    pad = 2 * stroke
    height, whole = image.shape[:2]
    text = fitted(text, min(width or whole, whole) - 2 * pad, scale, stroke)
    (w, h), below = cv2.getTextSize(text, _FONT, scale, stroke)
    patch_w, patch_h = w + 2 * pad, h + below + 2 * pad
    if not text or patch_h > height:
        return
    x = min(max(at[0], 0), whole - patch_w)
    y = min(max(at[1] - patch_h * above, 0), height - patch_h)
    cv2.rectangle(image, (x, y), (x + patch_w - 1, y + patch_h - 1), colour, cv2.FILLED)
    cv2.putText(image, text, (x + pad, y + pad + h), _FONT, scale, _readable_on(colour), stroke, cv2.LINE_AA)


def fitted(text: str, width: int, scale: float, stroke: int) -> str:
    """The text in letters that OpenCV's font has, cut with '..' where it is wider than `width` pixels; may be empty."""
    letters = (each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    plain = "".join(each if each.isascii() else "?" for each in letters)
    if _width(plain, scale, stroke) <= width:
        return plain
    kept = next((n for n in range(len(plain), 0, -1) if _width(plain[:n] + "..", scale, stroke) <= width), 0)
    return plain[:kept] + ".." if kept else ""


def _width(text: str, scale: float, stroke: int) -> int:
    return int(cv2.getTextSize(text, _FONT, scale, stroke)[0][0])


def _scale(image: Image) -> float:
    return float(min(max(image.shape[0] / 900, 0.38), 1.6))


def _stroke(image: Image) -> int:
    return max(1, round(int(image.shape[0]) / 540))


def _readable_on(colour: Colour) -> Colour:
    blue, green, red = colour
    return _INK if 0.114 * blue + 0.587 * green + 0.299 * red > 110 else _PAPER
