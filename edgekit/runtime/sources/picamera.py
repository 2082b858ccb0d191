"""The Raspberry Pi's CSI cameras, through libcamera's picamera2."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import cv2
import numpy as np

from edgekit.errors import SourceError
from edgekit.frames import Frame, Image
from edgekit.runtime.settings import CameraMode
from edgekit.runtime.sources.source import Clock, Source

DEFAULT_SIZE = (1280, 720)


def open_picamera(number: int, shown: str, mode: CameraMode, stream: str, timeout_s: float, clock: Clock) -> Source:
    """CSI camera `number`, configured and running. stream: 'main' gives BGR, 'lores' I420, half the memory to move."""
    if (mode.width is None) != (mode.height is None) or mode.fourcc is not None:
        raise ValueError(f"a CSI camera takes width and height together, fps, and no fourcc; got {mode}")
    try:
        from picamera2 import Picamera2
    except ImportError as error:
        raise SourceError(
            f"{shown} needs picamera2 and libcamera, which are the system's and not pip's: sudo apt install "
            "python3-picamera2, and a virtual environment made with --system-site-packages"
        ) from error
    there = Picamera2.global_camera_info()
    if number >= len(there):
        names = ", ".join(f"{i} ({each.get('Model', 'no name')})" for i, each in enumerate(there))
        raise SourceError(f"{shown}: libcamera sees no camera {number}; there are: {names or 'none'}")
    try:
        camera = Picamera2(number)
    except RuntimeError as error:
        raise SourceError(f"{shown} does not open; another program may hold it: {error}") from error
    try:
        configure(camera, mode, stream)
        camera.start()
    except (SourceError, RuntimeError) as error:
        camera.close()
        raise SourceError(f"{shown} does not start: {error}") from error
    return PiCamera(camera, shown, stream, timeout_s, clock)


def configure(camera: Any, mode: CameraMode, stream: str) -> None:
    """Asks a Picamera2 for the mode; `SourceError` where libcamera rounds the size to what its hardware can do."""
    size = DEFAULT_SIZE if mode.width is None else (mode.width, mode.height)
    # picamera2 names formats by their order in a little-endian word: its RGB888 lies in memory as B, G, R.
    streams: dict[str, Any] = {"main": {"size": size, "format": "RGB888"}}
    if stream == "lores":
        streams = {"main": {"size": size, "format": "YUV420"}, "lores": {"size": size, "format": "YUV420"}}
    controls = {} if mode.fps is None else {"FrameRate": mode.fps}
    # queue=False: a picture that was ready before it was asked for is an old one.
    camera.configure(camera.create_video_configuration(**streams, controls=controls, buffer_count=4, queue=False))
    granted = tuple(camera.camera_configuration()[stream]["size"])
    if granted != size:
        raise SourceError(f"it grants {granted[0]}x{granted[1]} where {size[0]}x{size[1]} was asked for")


class PiCamera(Source):
    """Reads a running Picamera2; `stamp` is the sensor's time of the picture's first row.

    `SourceError` where no picture came for `timeout_s`. The camera belongs to this source, which closes it.
    """

    live = True

    def __init__(
        self, camera: Any, name: str, stream: str = "main", timeout_s: float = 10.0, clock: Clock = time.monotonic
    ) -> None:
        self.name = name
        self._camera = camera
        self._stream = stream
        self._timeout_s = timeout_s
        self._clock = clock
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while (frame := self._next(index)) is not None:
            yield frame
            index += 1

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._camera.close()

    def _next(self, index: int) -> Frame | None:
        if self._closed.is_set():
            return None
        try:
            request = self._camera.capture_request(wait=self._timeout_s)
        except (TimeoutError, FutureTimeout) as error:  # one and the same from Python 3.11 on
            why = f"nothing came within {self._timeout_s:g} s"
            raise SourceError(f"{self.name} gives no more frames, after {index}: {why}") from error
        except (CancelledError, RuntimeError) as error:
            if self._closed.is_set():
                return None
            raise SourceError(f"{self.name} gives no more frames, after {index}: {error}") from error
        taken_at = self._clock()
        try:
            pixels, metadata = request.make_array(self._stream), request.get_metadata()
            width = request.config[self._stream]["size"][0]
        finally:
            request.release()
        stamp = metadata.get("SensorTimestamp")
        return Frame(_bgr(pixels, width), index, taken_at, self.name, None if stamp is None else stamp / 1e9)


def _bgr(pixels: Image, width: int) -> Image:
    """BGR of what picamera2 hands out: BGR already, or I420 whose rows are padded up to the stride."""
    if pixels.ndim == 3:
        return pixels
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_I420)[:, :width], np.uint8)
