"""How much faster `edgekit.preprocess` is than the usual few lines of OpenCV and NumPy: 1280x720 to 320, letterbox.

    python -m edgekit.benchmarks.speed.preprocess

The pixels are compared first; a path that gives others is not measured. OpenCV gets one thread. The frames take turns
as the buffers of a camera do.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.benchmarks.speed.command import asked
from edgekit.contract import InputSpec
from edgekit.frames import Image
from edgekit.measure import Rounds, interleave, ratio
from edgekit.preprocess import Canvas, preprocess

SIZE = 320
FLOAT = InputSpec(SIZE, SIZE)
PATHS = {
    "uint8 NHWC": FLOAT.raw("uint8", "NHWC"),
    "uint8 NCHW": FLOAT.raw("uint8", "NCHW"),
    "int8 NHWC": FLOAT.raw("int8", "NHWC"),
    "float32 NCHW": FLOAT,
}


def measure(rounds: Rounds = Rounds(rounds=30, block=20)) -> dict[str, Any]:  # noqa: B008  (a frozen value)
    """Median milliseconds of each path, and how many times as long the naive paths take, with 95 % intervals."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        frames = _frames(3)
        _check_pixels(frames[0])
        naive = {"naive float64": _on(frames, naive_float64), "naive float32": _on(frames, naive_float32)}
        ours = {name: _on(frames, _ours(spec)) for name, spec in PATHS.items()}
        taken = interleave({**naive, **ours}, rounds)
    finally:
        cv2.setNumThreads(threads)
    median_ms = {name: samples.percentile(50) for name, samples in taken.items()}
    speedup = {name: {each: vars(ratio(taken[each], taken[name])) for each in naive} for name in ours}
    return {"median_ms": median_ms, "speedup": speedup, "same_pixels": True}


def naive_float64(image: Image) -> npt.NDArray[np.float32]:
    """As it stands in many a tutorial."""
    small = cv2.resize(image, (SIZE, SIZE * 720 // 1280))
    canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
    top = (SIZE - small.shape[0]) // 2
    canvas[top : top + small.shape[0]] = small
    tensor = np.transpose(canvas[:, :, ::-1] / 255.0, (2, 0, 1))[None]
    return np.ascontiguousarray(tensor).astype(np.float32)


def naive_float32(image: Image) -> npt.NDArray[np.float32]:
    """The same by someone who knows that double precision costs."""
    small = cv2.resize(image, (SIZE, SIZE * 720 // 1280))
    canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
    top = (SIZE - small.shape[0]) // 2
    canvas[top : top + small.shape[0]] = small
    tensor = np.transpose(canvas[:, :, ::-1].astype(np.float32) / np.float32(255), (2, 0, 1))[None]
    return np.ascontiguousarray(tensor)


def _ours(spec: InputSpec) -> Callable[[Image], object]:
    return Canvas(spec).draw


def _on(frames: list[Image], path: Callable[[Image], object]) -> Callable[[], object]:
    turn = cycle(frames)
    return lambda: path(next(turn))


def _frames(count: int) -> list[Image]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 45, 80, 3), dtype=np.uint8)
    return [np.asarray(cv2.resize(each, (1280, 720), interpolation=cv2.INTER_CUBIC), np.uint8) for each in coarse]


def _check_pixels(image: Image) -> None:
    floats = naive_float64(image)
    pixels = np.rint(floats * 255).astype(np.int16)
    wanted: dict[str, npt.NDArray[Any]] = {"float32": floats, "uint8": pixels, "int8": pixels - 128}
    for name, spec in PATHS.items():
        tensor = preprocess(image, spec)[0]
        planes = tensor.transpose(0, 3, 1, 2) if spec.layout == "NHWC" else tensor
        if not np.array_equal(planes, wanted[spec.dtype]):
            raise AssertionError(f"{name} gives other pixels than the naive path")


if __name__ == "__main__":
    asked(__doc__)
    found = measure()
    for name, median in found["median_ms"].items():
        against = [f"{low_high['median']:.1f}x of {each}" for each, low_high in found["speedup"].get(name, {}).items()]
        print(f"{name:14} {median:.3f} ms   {', '.join(against)}")
