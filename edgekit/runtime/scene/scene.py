"""A shop that is rendered instead of filmed, so that what every frame shows is known.

    with open_scene("scene:shelf?seed=3&frames=300") as scene:
        for frame in scene:
            truth = scene.truth(frame.index)

Everything follows from the seed: what stands where, light and camera, whose hand comes when. Frames can be had in any
order.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.errors import SourceError
from edgekit.frames import Detections, FloatArray, Frame, Image
from edgekit.runtime.scene import stage
from edgekit.runtime.scene.hand import GRIP, HAND_DETAIL, Arm, arm_sprite
from edgekit.runtime.scene.products import NAMES, PRODUCTS, SPRITE_DETAIL, sprite, sprite_at
from edgekit.runtime.scene.script import Act, stocked_at, write_script
from edgekit.runtime.scene.stage import MARGIN, ROWS, Ids, Room, Slot
from edgekit.runtime.sources import Source

Point = tuple[float, float]

ROOMS: dict[str, Callable[[np.random.Generator, float, float], Room]] = {"shelf": stage.shelf, "cart": stage.cart}
VISIBLE = 0.35  # a product of which a smaller part can be seen is not expected to be found


@dataclass(frozen=True, eq=False)
class Camera:
    """How the scene is filmed: from where, in which light, with how much noise."""

    view: npt.NDArray[np.float64]
    light: FloatArray
    noise: npt.NDArray[np.int16]
    blur: float
    flicker: float

    @classmethod
    def drawn(cls, rng: np.random.Generator, width: int, height: int) -> Camera:
        """A camera for frames of this size; its view maps stage pixels to frame pixels."""
        scale, jitter = height / ROWS, MARGIN * 0.55
        frame = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        seen = frame + MARGIN * scale + rng.uniform(-jitter, jitter, (4, 2)) * scale
        view = cv2.getPerspectiveTransform(seen.astype(np.float32), frame.astype(np.float32))
        noise = rng.standard_normal((height + 64, width + 64, 3), np.float32) * np.float32(rng.uniform(1, 5))
        blur = float(rng.uniform(0.2, 0.9))
        return cls(
            np.asarray(view), _light(rng, width, height), noise.astype(np.int16), blur, float(rng.uniform(0, 0.03))
        )

    def to_frame(self, x: float, y: float) -> Point:
        """A point of the stage, in pixels, where the frame shows it."""
        across, down, depth = self.view @ (x, y, 1)
        return across / depth, down / depth

    def expose(self, image: Image, index: int) -> Image:
        """What the sensor makes of the light that reaches it in frame `index`."""
        gain = 1 + self.flicker * np.sin(index * 0.37) + 0.3 * self.flicker * np.sin(index * 2.1)
        image = np.asarray(cv2.GaussianBlur(cv2.convertScaleAbs(image, alpha=gain), (3, 3), self.blur), np.uint8)
        y, x = index * 29 % 64, index * 47 % 64
        noise = self.noise[y : y + image.shape[0], x : x + image.shape[1]]
        return np.asarray(cv2.add(image, noise, dtype=cv2.CV_8U), np.uint8)


def _light(rng: np.random.Generator, width: int, height: int) -> FloatArray:
    """Factors (height, width, 3): brightness, colour of the lamps, their unevenness, and darker corners."""
    lamps = rng.uniform(0.88, 1.12, (3, 4)).astype(np.float32)
    uneven = cv2.resize(lamps, (width, height), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    corners = 1 - rng.uniform(0.02, 0.2) * (x * x + y * y) / 2
    tint = rng.uniform(0.93, 1.07, 3) * rng.uniform(0.85, 1.25)
    return np.asarray(uneven[..., None] * corners[..., None] * tint, np.float32)


class Scene(Source):
    """A rendered shelf or cart, `frames` frames long, once through as a source and by index otherwise.

    kind: 'shelf' or 'cart'. fps: at which the hands move; frames come as fast as they are drawn. `names` are the
    products that `truth` numbers.
    """

    names = NAMES

    def __init__(
        self,
        kind: str,
        seed: int = 0,
        frames: int = 300,
        fps: float = 15,
        size: tuple[int, int] = (640, 480),
    ) -> None:
        if kind not in ROOMS:
            raise ValueError(f"no scene '{kind}'; there are: {', '.join(ROOMS)}")
        sides_fit = min(size) >= 64 and max(size) <= 4096 and max(size) <= 3 * min(size)
        if seed < 0 or frames < 1 or not 0 < fps < 1000 or not sides_fit:
            raise ValueError(
                "a scene needs a seed of 0 or more, a frame or more, fps above 0 and below 1000, and sides of 64 to "
                "4096 pixels, one at most three times the other; "
                f"got {seed}, {frames}, {fps:g} and {size[0]}x{size[1]}"
            )
        self.name, self.live, self.fps, self.unreadable = f"scene:{kind}", False, float(fps), ()
        self.frames, self.size = frames, size
        rng = np.random.default_rng([seed, *kind.encode()])
        self._scale = size[1] / ROWS
        width = size[0] / self._scale
        self.room = ROOMS[kind](rng, width, self._scale)
        self._camera = Camera.drawn(rng, *size)
        self._arm = arm_sprite(Arm.drawn(rng))
        self.acts = write_script(rng, self.room, frames, fps)
        self._still: tuple[frozenset[int], Image, Ids] | None = None
        self._closed = False

    def __len__(self) -> int:
        return self.frames

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.frames):
            if self._closed:
                return
            yield Frame(self.image(index), index, time.monotonic(), self.name)

    def close(self) -> None:
        self._closed = True

    def image(self, index: int) -> Image:
        """Frame `index`: (height, width, 3) uint8 BGR, a fresh array."""
        return self._camera.expose(self._drawn(index)[0], index)

    def truth(self, index: int) -> Detections:
        """The products of frame `index` of which at least `VISIBLE` can be seen, each box around what can be seen.

        Labels are positions in `names`, scores are 1.
        """
        _, ids = self._drawn(index)
        seen = [(box, slot.product) for box, part, slot in self._seen(ids) if part >= VISIBLE]
        boxes = np.array([box for box, _ in seen], np.float32).reshape(-1, 4)
        return Detections(boxes, np.ones(len(seen), np.float32), np.array([label for _, label in seen], np.int64))

    def stock(self, index: int) -> Counter[str]:
        """How many of each product stand on the shelf or lie in the cart in frame `index`, hidden or not."""
        stocked = stocked_at(self.room, self.acts, self._checked(index))
        return Counter(NAMES[self.room.slots[number].product] for number in stocked)

    def _seen(self, ids: Ids) -> Iterator[tuple[tuple[int, int, int, int], float, Slot]]:
        """For each product in the frame: the box around its pixels, which part of it they are, and its slot."""
        areas = np.bincount(ids.ravel(), minlength=len(self.room.slots) + 1)
        for number in np.flatnonzero(areas[1:]).tolist():
            slot = self.room.slots[number]
            x, y, width, height = cv2.boundingRect((ids == number + 1).view(np.uint8))
            whole = _area(slot.product) * (slot.size * self._scale) ** 2
            yield (x, y, x + width, y + height), areas[number + 1] / whole, slot

    def _checked(self, index: int) -> int:
        if not 0 <= index < self.frames:
            raise ValueError(f"the scene has frames 0 to {self.frames - 1}; got {index}")
        return index

    def _drawn(self, index: int) -> tuple[Image, Ids]:
        """The frame before the camera's noise, and for each pixel the slot whose product it shows plus 1, or 0."""
        stocked = stocked_at(self.room, self.acts, self._checked(index))
        if self._still is None or self._still[0] != stocked:
            self._still = (stocked, *self._compose(stocked))
        image, ids = self._still[1].copy(), self._still[2].copy()
        for act in self.acts:
            if act.first < index < act.last:
                self._draw_hand(image, ids, act, index)
        return image, ids

    def _compose(self, stocked: frozenset[int]) -> tuple[Image, Ids]:
        """The room with its products and nobody in it, lit and seen by the camera."""
        image = self.room.ground.copy()
        ids: Ids = np.zeros(image.shape[:2], np.uint8)
        k = self._scale
        for number in sorted(stocked):
            slot = self.room.slots[number]
            cut = self._cut(slot)
            anchor = cut.shape[1] / 2, cut.shape[0] / 2
            fall = (3 * k, 5 * k) if self.room.seen_from_above else (5 * k, 1 * k)
            at = slot.x * k, slot.y * k
            shadow = stage.placing(anchor, (at[0] + fall[0], at[1] + fall[1]), 1, slot.turn)
            stage.shade(image, cut, shadow, 4 * k, 0.5)
            stage.shade(image, cut, stage.placing(anchor, (at[0], at[1] + 2 * k), 1, slot.turn), 1 * k, 0.6)
            stage.paste(image, ids, cut, stage.placing(anchor, at, 1, slot.turn), number + 1, slot.light)
        seen = cv2.warpPerspective(image, self._camera.view, self.size, flags=cv2.INTER_LINEAR)
        ids = np.asarray(cv2.warpPerspective(ids, self._camera.view, self.size, flags=cv2.INTER_NEAREST), np.uint8)
        return np.asarray(np.clip(seen * self._camera.light, 0, 255), np.uint8), ids

    def _cut(self, slot: Slot) -> Image:
        product, size = PRODUCTS[slot.product], slot.size * self._scale
        return sprite_at(slot.product, round(product.width * size), round(product.height * size))

    def _draw_hand(self, image: Image, ids: Ids, act: Act, index: int) -> None:
        """An arm from outside the frame to where the hand is now, with the product that it carries."""
        slot, k, reach = self.room.slots[act.slot], self._scale, act.reach(index)
        grip = self._grip(slot)
        shoulder = self._camera.to_frame(act.shoulder[0] * k, act.shoulder[1] * k)
        at = tuple(s + (g - s) * (0.15 + 0.85 * reach) for s, g in zip(shoulder, grip, strict=True))
        turn = float(np.rad2deg(np.arctan2(grip[0] - shoulder[0], shoulder[1] - grip[1])))
        nearer = 1.18 - 0.18 * reach  # what moves towards the camera grows
        light = self._light_at(at)
        if act.carries(index):
            self._draw_carried(image, ids, act.slot, (at[0], at[1]), turn, nearer, light)
        put = stage.placing(
            (GRIP[0] * HAND_DETAIL, GRIP[1] * HAND_DETAIL), (at[0], at[1]), 0.8 * k * nearer / HAND_DETAIL, turn
        )
        cast = put + np.array([[0, 0, 9 * k], [0, 0, 6 * k]])
        stage.shade(image, self._arm, cast, 5 * k, 0.3)
        stage.paste(image, ids, self._arm, put, 0, light)

    def _grip(self, slot: Slot) -> Point:
        """Where in the frame a hand closes on the product of a slot."""
        below = (self.room.grip - 0.5) * PRODUCTS[slot.product].height * slot.size
        return self._camera.to_frame(slot.x * self._scale, (slot.y + below) * self._scale)

    def _draw_carried(
        self, image: Image, ids: Ids, number: int, at: Point, turn: float, nearer: float, light: float
    ) -> None:
        slot = self.room.slots[number]
        cut = self._cut(slot)
        anchor = cut.shape[1] / 2, cut.shape[0] * self.room.grip
        leaning = slot.turn if self.room.seen_from_above else 0.5 * turn
        stage.paste(image, ids, cut, stage.placing(anchor, at, nearer, leaning), number + 1, light)

    def _light_at(self, at: tuple[float, ...]) -> float:
        x = min(max(int(at[0]), 0), self.size[0] - 1)
        y = min(max(int(at[1]), 0), self.size[1] - 1)
        return float(self._camera.light[y, x].mean())


def _area(product: int) -> float:
    """Of a product's outline, in square units."""
    return float((sprite(product)[..., 3] > 127).sum()) / SPRITE_DETAIL**2


def open_scene(address: str) -> Scene:
    """The scene at an address: `scene:shelf?seed=3&frames=300&fps=15&size=640x480`, every part after the '?' optional.

    `SourceError`: no such scene, no such key, or a value that is not one.
    """
    kind, _, query = address.removeprefix("scene:").partition("?")
    if kind not in ROOMS:
        raise SourceError(f"no scene '{kind}'; there are: {', '.join(ROOMS)}")
    try:
        return Scene(kind, **_settings(query))
    except ValueError as error:
        raise SourceError(f"{address}: {error}") from error


def _settings(query: str) -> dict[str, Any]:
    """The keys after the '?', as `Scene` takes them."""
    settings: dict[str, Any] = {}
    for part in query.split("&") if query else ():
        key, _, value = part.partition("=")
        if key not in _KEYS:
            raise ValueError(f"no key '{key}'; there are: {', '.join(_KEYS)}")
        if key in settings:
            raise ValueError(f"'{key}' stands twice")
        read, example = _KEYS[key]
        try:
            settings[key] = read(value)
        except ValueError:
            raise ValueError(f"{key} cannot be '{value}'; as in {key}={example}") from None
    return settings


def _size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


# What an address may say after its '?': how it is read, and an example of it.
_KEYS: dict[str, tuple[Callable[[str], Any], str]] = {
    "seed": (int, "3"),
    "frames": (int, "300"),
    "fps": (float, "15"),
    "size": (_size, "640x480"),
}
