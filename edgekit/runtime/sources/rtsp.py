"""RTSP cameras, through the FFmpeg that OpenCV brings: over TCP, with limits on every wait."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from edgekit.errors import SourceError
from edgekit.runtime.sources.opencv import Capture, JpegCapture, quiet_ffmpeg
from edgekit.runtime.sources.source import Clock, Source

MJPG = cv2.VideoWriter.fourcc(*"MJPG")
# TCP, since UDP gives smeared pictures when packets are lost. Without the second FFmpeg collects 20 frames to estimate
# their rate, before it says that the camera is open: 0.80 s at 25 FPS against 0.01 s, and a burst of old frames.
OPTIONS = "rtsp_transport;tcp|fpsprobesize;0"


def open_rtsp(address: str, shown: str, timeout_s: float, clock: Clock) -> Source:
    """The stream at `address`, called `shown` where anybody can read it."""
    milliseconds = int(timeout_s * 1000)
    # Without these two a camera that has frozen blocks a read for 30 s.
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    quiet_ffmpeg()
    with _options():
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise SourceError(f"{shown}: no video within {timeout_s:g} s; is the address right and the camera on?")
    # Only before the first frame is read can OpenCV be told to hand out the stream as it is.
    raw = capture.get(cv2.CAP_PROP_FOURCC) == MJPG and capture.set(cv2.CAP_PROP_FORMAT, -1)
    kind = JpegCapture if raw else Capture
    return kind(capture, shown, live=True, stamped=True, timeout_s=timeout_s, clock=clock)


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
