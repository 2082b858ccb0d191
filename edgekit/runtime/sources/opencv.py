"""Whatever OpenCV's VideoCapture reads: a camera, a video, a GIF, an RTSP stream, a GStreamer pipeline."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.errors import PictureError, SourceError
from edgekit.frames import Frame, Image
from edgekit.runtime.sources.jpeg import decode_jpeg
from edgekit.runtime.sources.source import Clock, Source, tally

log = logging.getLogger(__name__)

NEVER_S = 1e9  # what a backend gives that does not know the time lies far beyond; a stream may begin below 0
UNDECODED = "could not be decoded"


def quiet_ffmpeg() -> None:
    """FFmpeg prints a camera's address to stderr where it fails. OpenCV asks for this once, at its first use."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


class Capture(Source):
    """What OpenCV's VideoCapture reads.

    `taken_at` is the moment at which OpenCV has the frame, before a camera's pixels are unpacked; `stamp` is the
    stream's own time where `stamped` says that this backend knows it. A live capture that stops giving frames, or that
    gives none that is whole for `timeout_s`, raises `SourceError`; how long it may give nothing at all is the backend's
    affair. A file that ends before its own count of frames says so in `unreadable`. A stream that changes its size goes
    on in the new one; grey and BGRA pictures become BGR, and those of 16 bits are refused.

    timeout_s: may be changed while it runs. read_s: after so long the backend gives a read up, and may be asked again
    where `timeout_s` is longer.
    """

    def __init__(
        self,
        capture: cv2.VideoCapture,
        name: str,
        live: bool,
        stamped: bool = False,
        timeout_s: float = 10.0,
        clock: Clock = time.monotonic,
        read_s: float = math.inf,
    ) -> None:
        self.name = name
        self.live = live
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        self.unreadable: list[str] = []
        self.damaged: Counter[str] = Counter()
        self._capture = capture
        self._stamped = stamped
        self.timeout_s = timeout_s
        self._read_s = read_s
        self._clock = clock
        self._index = 0
        self._stalled = False
        self._closed = threading.Event()
        # VideoCapture must not be released under a read in another thread: that kills the process.
        self._reading = threading.Lock()

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            if self._closed.is_set():
                self._release()
        if not self._closed.is_set():
            self._ended()

    def close(self) -> None:
        self._closed.set()
        self._release()

    def _next(self) -> Frame | None:
        """The next frame, or None at the end; a live source's picture that is not whole is counted and left out."""
        until = time.monotonic() + self.timeout_s
        while True:
            with self._reading:
                asked_at = time.monotonic()
                if self._closed.is_set():
                    return None
                if not self._capture.grab():
                    now = time.monotonic()
                    self._stalled = now >= until
                    if self._stalled or self._closed.is_set() or now - asked_at < self._read_s:
                        return None
                    continue
                taken_at, stamp = self._clock(), self._stamp()
                there, pixels = self._capture.retrieve()
            if self._closed.is_set():
                return None
            try:
                image = self._picture(pixels if there else None)
            except PictureError as error:
                if not self.live:
                    return None
                self.damaged[str(error)] += 1
            else:
                self._index += 1
                return Frame(image, self._index - 1, taken_at, self.name, stamp)
            if time.monotonic() > until:
                raise SourceError(f"{self.name}: no whole picture within {self.timeout_s:g} s{tally(self.damaged)}")

    def _picture(self, pixels: npt.NDArray[Any] | None) -> Image:
        """BGR of what OpenCV gave; `PictureError` where this one is damaged, `SourceError` where all will be."""
        if pixels is None or not pixels.size:
            raise PictureError("cannot be decoded")
        try:
            return as_bgr(pixels)
        except ValueError as error:
            raise SourceError(f"{self.name}: {error}") from error

    def _stamp(self) -> float | None:
        # Of the first picture of H.264 over RTSP FFmpeg says 0.0, and of the second -0.3.
        if not self._stamped or (self.live and self._index == 0):
            return None
        seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return seconds if abs(seconds) < NEVER_S else None

    def _release(self) -> None:
        """Unless a read is going on: whoever reads releases when it returns."""
        if self._reading.acquire(blocking=False):
            try:
                self._capture.release()
            finally:
                self._reading.release()

    def _ended(self) -> None:
        if self.live:
            why = "nothing came in time" if self._stalled else "its stream has ended"
            raise SourceError(f"{self.name} gives no more frames, after {self._index}: {why}")
        expected = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if self._index < expected:
            self.unreadable.append(f"{self.name}: ended after {self._index} of {expected} frames")
            log.warning(self.unreadable[-1])


class JpegCapture(Capture):
    """A live capture that hands out JPEGs as they came, since FFmpeg would show half of one over the last picture."""

    def _picture(self, pixels: npt.NDArray[Any] | None) -> Image:
        if pixels is None or not pixels.size:
            raise PictureError("cannot be decoded")
        return decode_jpeg(pixels.tobytes())


def as_bgr(image: npt.NDArray[Any]) -> Image:
    """(height, width, 3) uint8 BGR of a grey, BGR or BGRA picture; `ValueError` for what has no one meaning as BGR."""
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8:
        raise ValueError(
            f"pictures of {image.dtype}; where in them the picture's 8 bits lie differs by camera, so ask for an "
            "8-bit format"
        )
    if image.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ValueError(f"pictures of shape {image.shape}, which are neither grey nor BGR nor BGRA")
    if channels == 3:
        return image
    code = cv2.COLOR_GRAY2BGR if channels == 1 else cv2.COLOR_BGRA2BGR
    return np.asarray(cv2.cvtColor(image, code), np.uint8)
