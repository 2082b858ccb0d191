"""Pictures whose truth is known, and small models that really look at them: no engine needed, nothing pretended."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

import cv2
import numpy as np

from edgekit.frames import Classification, Detections, Frame, Image
from edgekit.runtime.pipeline import Observation
from edgekit.runtime.products import Product
from edgekit.runtime.sources import Source

LABELS = ("red", "blue")
COLOURS = ((0, 0, 255), (255, 0, 0))
PRODUCTS = ("cherry", "plum", "sky")

SEEN = Observation(
    index=12,
    source="aisle 3",
    taken_at=301.22512,
    wall_time=datetime(2026, 11, 21, 9, 30, 0, 125000, timezone.utc).timestamp(),
    detections=Detections(np.array([[10.52, 20, 60, 180.31]]), np.array([0.9123]), np.array([0]), np.array([1])),
    labels=("bottle",),
    products=(Product("cola ½ l", 0.8712),),
    stages_ms={"wait": 11.2, "detect": 20.41234, "track": 0.17},
    spent_ms=20.9,
    age_ms=41.2,
)


def paint(*things: tuple[str, int, int], size: tuple[int, int] = (160, 120)) -> Image:
    """A grey picture, width and height `size`, with 20 x 20 squares at (x, y) of their top left corners."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    for label, x, y in things:
        picture[y : y + 20, x : x + 20] = COLOURS[LABELS.index(label)]
    return picture


def find_squares(picture: Image) -> Detections:
    """A detector: every red or blue blob, its score the share of its box that it fills."""
    rows = []
    for label, colour in enumerate(COLOURS):
        mask = (picture == np.array(colour, np.uint8)).all(axis=2).astype(np.uint8)
        for x, y, w, h, filled in cv2.connectedComponentsWithStats(mask)[2][1:].tolist():
            rows.append((x, y, x + w, y + h, filled / (w * h), label))
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5])


class TellColours:
    """A classifier: what a crop's mean colour says. Counts how often it was asked."""

    def __init__(self) -> None:
        self.crops: list[tuple[int, ...]] = []

    def __call__(self, crop: Image) -> Classification:
        self.crops.append(crop.shape[:2])
        blue, _, red = crop.reshape(-1, 3).mean(axis=0) / 255
        return Classification(np.array([red, blue, 0.1]) / (red + blue + 0.1))


class Ticks:
    """A clock that only moves when it is told to, or by `step` at each look; `wait` lets time pass at once."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = 100.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


class HeldCamera(Source):
    """A live source that gives a frame when `give` is called: time has no part in it."""

    live = True

    def __init__(self, name: str = "held") -> None:
        self.name = name
        self.closed = False
        self._changed = threading.Condition()
        self._images: list[Image] = []
        self._ended = False
        self._taken = 0

    def give(self, *images: Image) -> None:
        """Returns when the reader has taken them all and has come back for more."""
        with self._changed:
            self._images += images
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: not self._images, 5)

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        self.closed = True
        self.end()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        waiting: Sequence[Image] = ()
        while True:
            with self._changed:
                self._images = self._images[len(waiting) :]
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._images) or self._ended)
                if not self._images:
                    return
                waiting = self._images[:1]
            yield Frame(waiting[0], index, 0.0, self.name)
            index += 1
