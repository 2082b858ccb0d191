"""RTSP cameras, through the FFmpeg that OpenCV brings: over TCP, with limits on every wait.

FFmpeg does not find its place again in a stream that held garbage, at 25 frames/s for seconds: it looks for a '$' at
the beginning of a line. So a stream that has gone quiet is given up long before `timeout_s`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain

import cv2

from edgekit.errors import SourceError
from edgekit.frames import Frame
from edgekit.runtime.sources.opencv import Capture, JpegCapture, quiet_ffmpeg
from edgekit.runtime.sources.source import Clock, Source

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
# TCP, since UDP gives smeared pictures when packets are lost. Without the second FFmpeg collects 20 frames to estimate
# their rate, before it says that the camera is open: 0.80 s at 25 FPS against 0.01 s, and a burst of old frames.
OPTIONS = "rtsp_transport;tcp|fpsprobesize;0"
_INTERVALS = 32


def open_rtsp(address: str, shown: str, opening_s: float, timeout_s: float, quiet_s: float, clock: Clock) -> Source:
    """The stream at `address`, called `shown` where anybody can read it, once it has given a whole picture.

    opening_s: for that; OpenCV opens one stream at a time in a process, so two attempts at once are not to be had.
    timeout_s, quiet_s: see `RtspCamera`.
    """
    until = time.monotonic() + opening_s
    # Without these two a camera that has frozen blocks a read for 30 s. The second cannot be changed any more.
    read_s = min(quiet_s, timeout_s)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(opening_s * 1000), cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(read_s * 1000)]
    quiet_ffmpeg()
    with _options():
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    left_s = until - time.monotonic()
    if not capture.isOpened() or left_s <= 0:  # from a stream without a picture it takes all the time, and is "open"
        capture.release()
        raise SourceError(f"{shown}: no video within {opening_s:g} s; is the address right and the camera on?")
    # Only before the first frame is read can OpenCV be told to hand out the stream as it is.
    raw = capture.get(cv2.CAP_PROP_FOURCC) == MJPG and capture.set(cv2.CAP_PROP_FORMAT, -1)
    kind = JpegCapture if raw else Capture
    opened = kind(capture, shown, live=True, stamped=True, timeout_s=left_s, clock=clock, read_s=read_s)
    return RtspCamera(opened, timeout_s, quiet_s)


class RtspCamera(Source):
    """The frames of a capture that has just been opened; waits for the first whole one when it is made.

    From then on it may be without one for `timeout_s`, or, once it has shown how often they come, for twice the longest
    of its last intervals and at least `quiet_s`.
    """

    live = True

    def __init__(self, capture: Capture, timeout_s: float, quiet_s: float) -> None:
        self.name = capture.name
        self.fps = capture.fps
        self._capture = capture
        self._timeout_s = timeout_s
        self._quiet_s = quiet_s
        frames = iter(capture)
        try:
            first = next(frames)
        except SourceError:
            capture.close()
            raise
        capture.timeout_s = timeout_s
        self._began_at = first.taken_at
        self._frames = chain(iter([first]), frames)  # the iterator lets go of its list, and so of the picture

    @property
    def damaged(self) -> Mapping[str, int]:  # type: ignore[override]
        return self._capture.damaged

    def __iter__(self) -> Iterator[Frame]:
        last_at = self._began_at
        intervals: deque[float] = deque(maxlen=_INTERVALS)
        for frame in self._frames:
            intervals.append(frame.taken_at - last_at)
            last_at = frame.taken_at
            if last_at - self._began_at >= self._quiet_s:  # before, a burst may hide how seldom new pictures come
                self._capture.timeout_s = min(self._timeout_s, max(self._quiet_s, 2 * max(intervals)))
            yield frame

    def close(self) -> None:
        self._capture.close()


_environment = threading.Lock()


@contextmanager
def _options() -> Iterator[None]:
    """OpenCV takes FFmpeg's options from the environment only; who has set them knows better and is left alone."""
    variable = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    with _environment:
        if variable in os.environ:
            yield
            return
        os.environ[variable] = OPTIONS
        try:
            yield
        finally:
            del os.environ[variable]
