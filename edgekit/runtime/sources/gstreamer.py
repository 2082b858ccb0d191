"""GStreamer pipelines, and Jetson's CSI cameras as the one pipeline that everybody needs, through OpenCV."""

from __future__ import annotations

import re

import cv2

from edgekit.errors import SourceError
from edgekit.runtime.settings import CameraMode
from edgekit.runtime.sources.opencv import Capture
from edgekit.runtime.sources.source import Clock, Source

# One picture waits at most, and the newest; without `sync=false` the sink would wait for each one's time to be shown.
SINK = "appsink drop=true max-buffers=1 sync=false"
TO_BGR = "videoconvert ! video/x-raw,format=BGR"


def open_pipeline(pipeline: str, shown: str, timeout_s: float, clock: Clock) -> Source:
    """What comes out of `pipeline` (as gst-launch-1.0 takes it); where it has no appsink, one is put behind it."""
    _check_opencv(shown)
    whole = pipeline if re.search(r"\bappsink\b", pipeline) else f"{pipeline} ! {TO_BGR} ! {SINK}"
    milliseconds = int(timeout_s * 1000)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    capture = cv2.VideoCapture(whole, cv2.CAP_GSTREAMER, limits)
    if not capture.isOpened():
        raise SourceError(
            f"{shown}: the pipeline gives no picture within {timeout_s:g} s; gst-launch-1.0 says what is wrong with it"
        )
    return Capture(capture, shown, live=True, timeout_s=timeout_s, clock=clock)


def jetson_pipeline(sensor: int, mode: CameraMode) -> str:
    """The pipeline for a CSI camera on a Jetson, whose ISP and scaler do the work up to BGRx.

    `ValueError` for half a size, and for a pixel format: what comes out of the sensor is Argus' own affair.
    """
    if (mode.width is None) != (mode.height is None) or mode.fourcc is not None:
        raise ValueError(f"a CSI camera takes width and height together, fps, and no fourcc; got {mode}")
    size = "" if mode.width is None else f",width={mode.width},height={mode.height}"
    rate = "" if mode.fps is None else f",framerate={_fraction(mode.fps)}"
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),format=NV12{size}{rate} ! "
        f"nvvidconv ! video/x-raw,format=BGRx ! {TO_BGR} ! {SINK}"
    )


def _fraction(fps: float) -> str:
    return f"{fps:g}/1" if float(fps).is_integer() else f"{round(fps * 1000)}/1000"


def _check_opencv(shown: str) -> None:
    if not re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()):
        raise SourceError(
            f"{shown} needs GStreamer, and this OpenCV {cv2.__version__} is built without it, as pip's wheels are; "
            "use the system's (Debian: python3-opencv, Jetson: the one of JetPack) or build OpenCV with GStreamer"
        )
    # 4.6 was seen to wait for ever on a pipeline with an element that does not exist, and has no limit for a read.
    if tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 7):
        raise SourceError(
            f"{shown} needs OpenCV 4.7 or newer, whose GStreamer has time limits; this is {cv2.__version__}"
        )
