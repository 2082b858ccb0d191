"""From a frame to the tensor that a model takes, and from the model's boxes back to the frame.

    tensor, placement = preprocess(frame.image, bundle.input)
    boxes = placement.to_frame(boxes)

This is the only resize in the project: calibration, evaluation, golden vectors, benchmarks and the camera all come
through here, so they agree to the pixel. The frame itself is never copied, swapped or converted. It is resized as it
is, and everything else happens on the small picture: from 1280x720 to 320 the resize is four fifths of the time.

Coordinates are those of edges: pixel i covers i to i + 1, a box of the whole frame is (0, 0, width, height). That is
the convention in which `cv2.resize`, which aligns the corners of the pictures and not the centres of their corner
pixels, is a plain multiplication.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import ceil, floor
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.boxes import clip
from edgekit.contract import InputSpec
from edgekit.frames import FloatArray, Image

Tensor = npt.NDArray[Any]

_INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
    "cubic": cv2.INTER_CUBIC,
}

# What would be scaled up to more times the input than this is cut first: 2x1000 pixels took 141 MB and 420 ms.
_SLIVER = 32


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in a model's input: x in the input = x in the frame * scale_x + left, and y likewise.

    frame_width, frame_height: the frame's size. width, height: what it was scaled to, in whole pixels. left, top:
    where its corner went, below 0 where the fit cut something off. The scales follow from the whole pixels, so the
    rounding of the size is in them and boxes come back to where they were.
    """

    frame_width: int
    frame_height: int
    width: int
    height: int
    left: int
    top: int

    @property
    def scale_x(self) -> float:
        return self.width / self.frame_width

    @property
    def scale_y(self) -> float:
        return self.height / self.frame_height

    def to_frame(self, boxes: npt.ArrayLike) -> FloatArray:
        """Boxes (n, 4) in pixels of the input as pixels of the frame, clipped to it."""
        there = (np.asarray(boxes, np.float64) - self._offset) / self._scale
        return clip(there, self.frame_width, self.frame_height)

    def to_input(self, boxes: npt.ArrayLike) -> FloatArray:
        """Boxes (n, 4) in pixels of the frame as pixels of the input, not clipped."""
        return (np.asarray(boxes, np.float64) * self._scale + self._offset).astype(np.float32)

    @cached_property
    def _scale(self) -> npt.NDArray[np.float64]:
        return np.array((self.scale_x, self.scale_y) * 2)

    @cached_property
    def _offset(self) -> npt.NDArray[np.float64]:
        return np.array((self.left, self.top) * 2, np.float64)


def preprocess(image: Image, spec: InputSpec) -> tuple[Tensor, Placement]:
    """A fresh tensor of shape `spec.shape` and dtype `spec.dtype` for one picture, and where the picture lies in it.

    `image` is (height, width, 3) uint8 BGR, of any strides; it is only read. ValueError where it is no such picture.
    """
    canvas = Canvas(spec)
    placement = canvas.draw(image)
    return canvas.tensor, placement


def fit(image: Image, spec: InputSpec) -> Image:
    """The picture as `spec` places it, at the input's size and with its padding, still BGR and uint8.

    `preprocess(image, spec)` is `to_tensor(fit(image, spec), spec)`. The resize is the one part of it that OpenCV does
    otherwise on another CPU: on Arm a shrunk picture may be one level off in a third of its values.
    """
    fitted: Image = preprocess(image, replace(spec.raw("uint8", "NHWC"), colour="BGR"))[0][0]
    return fitted


def to_tensor(fitted: Image, spec: InputSpec) -> Tensor:
    """A fitted picture, (spec.height, spec.width, 3) uint8 BGR, in the form that goes over the wire: `spec.shape`.

    ValueError where it is of another size.
    """
    if _size(fitted) != (spec.height, spec.width):
        raise ValueError(f"a fitted picture is {spec.height} x {spec.width} pixels; got {_size(fitted)}")
    tensor: Tensor = np.empty(spec.shape, spec.dtype)
    _write(fitted.copy(), tensor[0], spec)
    return tensor


class Canvas:
    """One tensor that is written anew for every picture, as a camera loop wants it; the pixels are `preprocess`'s.

    `tensor` is the same memory for ever, so whoever reads it must be done before the next `draw`. The padding stays
    where it is for as long as the pictures are of one size: to write it every time cost a tenth of the whole.
    """

    def __init__(self, spec: InputSpec) -> None:
        self.spec = spec
        self.tensor: Tensor = np.empty(spec.shape, spec.dtype)
        self._window = self.tensor  # where the picture goes
        self._placement: Placement | None = None

    def draw(self, image: Image) -> Placement:
        """Write one picture, and say where it lies. ValueError: it is none, see `preprocess`."""
        height, width = _size(image)
        placement = self._placement
        if placement is None or (placement.frame_width, placement.frame_height) != (width, height):
            placement = self._placement = place(width, height, self.spec)
            self._window = _padded(self.tensor, placement, self.spec)
        _write(_resized(image, placement, self.spec), self._window, self.spec)
        return placement


def place(frame_width: int, frame_height: int, spec: InputSpec) -> Placement:
    """How `spec` places a frame of this size; no picture is needed.

    letterbox: both sides times the smaller ratio, rounded to the nearest pixel (Ultralytics rounds so; YOLOX cuts
    off, at most one pixel less). The odd pixel of a centred padding goes to the right and the bottom.
    stretch: the input's size.
    crop: the smallest size that covers the input's size / `keep`, the longer side rounded down; the cut begins at
    half the rest, rounded. With a square input that is torchvision's Resize and CenterCrop.
    """
    width, height = _scaled_size(frame_width, frame_height, spec)
    if spec.fit == "crop":
        left, top = -round((width - spec.width) / 2), -round((height - spec.height) / 2)
    elif spec.pad_side == "centre":
        left, top = (spec.width - width) // 2, (spec.height - height) // 2
    else:
        left, top = 0, 0
    return Placement(frame_width, frame_height, width, height, left, top)


def crop(image: Image, box: npt.ArrayLike, margin: float = 0.0) -> Image:
    """The part of a picture that a box x0, y0, x1, y1 (in its pixels) touches, as a view: no pixel is copied.

    `margin` widens the box on each side by that share of its own width and height; what then lies outside the
    picture is left out. ValueError: nothing of the box is inside, or the margin is negative.
    """
    height, width = _size(image)
    if margin < 0:
        raise ValueError(f"margin is a share of the box's sides, 0 or more; got {margin}")
    x0, y0, x1, y1 = (float(edge) for edge in np.asarray(box, np.float64).reshape(4))
    if not (max(x0, 0) < min(x1, width) and max(y0, 0) < min(y1, height)):
        raise ValueError(f"the box {x0:g}, {y0:g}, {x1:g}, {y1:g} has nothing inside a {width}x{height} picture")
    wider, higher = (x1 - x0) * margin, (y1 - y0) * margin
    rows = slice(max(floor(y0 - higher), 0), min(ceil(y1 + higher), height))
    columns = slice(max(floor(x0 - wider), 0), min(ceil(x1 + wider), width))
    return image[rows, columns]


def _size(image: Image) -> tuple[int, int]:
    shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
    if shape is None or len(shape) != 3 or shape[2] != 3 or dtype != np.uint8 or 0 in shape:
        given = type(image).__name__ if shape is None else f"{shape} {dtype}"
        raise ValueError(f"a picture is (height, width, 3) uint8 in BGR order; got {given}")
    return shape[0], shape[1]


def _scaled_size(frame_width: int, frame_height: int, spec: InputSpec) -> tuple[int, int]:
    if spec.fit == "stretch":
        return spec.width, spec.height
    if spec.fit == "letterbox":
        ratio = min(spec.width / frame_width, spec.height / frame_height)
        return max(1, round(frame_width * ratio)), max(1, round(frame_height * ratio))
    width, height = round(spec.width / spec.keep), round(spec.height / spec.keep)
    if frame_width * height > frame_height * width:  # the frame is the wider one, so the height decides
        return frame_width * height // frame_height, height
    return width, frame_height * width // frame_width


def _resized(image: Image, placement: Placement, spec: InputSpec) -> Image:
    """The whole frame at its new size, or what of it lies inside the input; a fresh picture that may be written to."""
    if placement.scale_x > 1 and placement.width * placement.height > _SLIVER * spec.width * spec.height:
        image, placement = _cut(image, placement, spec)
    small = cv2.resize(image, (placement.width, placement.height), interpolation=_INTERPOLATION[spec.interpolation])
    left, top = max(-placement.left, 0), max(-placement.top, 0)
    return small[top : top + spec.height, left : left + spec.width]  # type: ignore[return-value]


def _cut(image: Image, placement: Placement, spec: InputSpec) -> tuple[Image, Placement]:
    """What of a frame reaches the input, and where that lies in it: within half a pixel of where it lay before."""
    columns, left, width = _reach(placement.frame_width, placement.scale_x, placement.left, spec.width)
    rows, top, height = _reach(placement.frame_height, placement.scale_y, placement.top, spec.height)
    part = image[rows, columns]
    return part, Placement(part.shape[1], part.shape[0], width, height, left, top)


def _reach(side: int, scale: float, start: int, inside: int) -> tuple[slice, int, int]:
    """The pixels of a frame's side that reach the input's, where they begin there, and how many they are there."""
    margin = 3  # a cubic resize looks two pixels around, and rounding may cost half of one of the input's
    first = max(floor(-start / scale - margin), 0)
    last = min(ceil((inside - start) / scale + margin), side)
    return slice(first, last), start + round(first * scale), round(last * scale) - round(first * scale)


def _region(tensor: Tensor, rows: slice, columns: slice, spec: InputSpec) -> Tensor:
    return tensor[0, :, rows, columns] if spec.layout == "NCHW" else tensor[0, rows, columns]


def _padded(tensor: Tensor, placement: Placement, spec: InputSpec) -> Tensor:
    """Write the padding, and nothing but the padding; what is left for the picture comes back."""
    rows = slice(max(placement.top, 0), min(placement.top + placement.height, spec.height))
    columns = slice(max(placement.left, 0), min(placement.left + placement.width, spec.width))
    everywhere = slice(None)
    row = _padding_row(spec)
    for band in (slice(0, rows.start), slice(rows.stop, spec.height)):
        _region(tensor, band, everywhere, spec)[...] = row
    for band in (slice(0, columns.start), slice(columns.stop, spec.width)):
        _region(tensor, rows, band, spec)[...] = _region(row[None], everywhere, band, spec)
    return _region(tensor, rows, columns, spec)


def _write(small: Image, window: Tensor, spec: InputSpec) -> None:
    """The small BGR picture into its place in the tensor: in the wire's dtype, layout and colour order."""
    if spec.dtype == "int8":
        np.bitwise_xor(small, 0x80, out=small)  # the bits of pixel - 128 as int8
    if spec.layout == "NCHW":
        _write_planes(small, window if spec.colour == "BGR" else window[::-1], spec)
    else:
        _write_pixels(small, window, spec)


def _write_planes(small: Image, planes: Tensor, spec: InputSpec) -> None:
    """`planes`: (3, height, width) in the order B, G, R, whatever their order in the tensor."""
    if spec.dtype != "float32":
        cv2.split(small, list(planes.view(np.uint8)))
        return
    for pixels, plane, table in zip(cv2.split(small), planes, _plane_tables(spec), strict=True):
        cv2.LUT(pixels, table, dst=plane)


def _write_pixels(small: Image, window: Tensor, spec: InputSpec) -> None:
    if spec.colour == "RGB":
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=small)
    if spec.dtype == "float32":
        cv2.LUT(small, _pixel_table(spec), dst=window)
    else:
        window.view(np.uint8)[...] = small


# A pixel has 256 values, so normalising is a look-up: worked out once in double precision, right to the last bit,
# and as fast as one multiplication of the whole picture.


@lru_cache(maxsize=64)
def _table(spec: InputSpec) -> FloatArray:
    """(3, 256): what pixel value becomes in which channel, channels in the order of `spec.colour`."""
    pixels = np.arange(256) * spec.scale
    return np.stack([(pixels - mean) / std for mean, std in zip(spec.mean, spec.std, strict=True)]).astype(np.float32)


@lru_cache(maxsize=64)
def _plane_tables(spec: InputSpec) -> tuple[FloatArray, ...]:
    """One (256,) table a plane, in the order B, G, R in which `cv2.split` gives them."""
    return tuple(_table(spec) if spec.colour == "BGR" else _table(spec)[::-1])


@lru_cache(maxsize=64)
def _pixel_table(spec: InputSpec) -> FloatArray:
    """For interleaved pixels: (1, 256, 3), or (256,) where one table serves all channels, which is faster."""
    table = _table(spec)
    return table[0] if spec.uniform else np.ascontiguousarray(table.T[None])


@lru_cache(maxsize=64)
def _padding_row(spec: InputSpec) -> Tensor:
    """One row of padding across the input, in the tensor's own layout and dtype."""
    if spec.dtype == "float32":
        value = _table(spec)[:, spec.pad_value]
    else:
        value = np.full(3, spec.pad_value - (128 if spec.dtype == "int8" else 0), spec.dtype)
    row = np.broadcast_to(value, (1, spec.width, 3))
    return np.ascontiguousarray(row.transpose(2, 0, 1) if spec.layout == "NCHW" else row)
