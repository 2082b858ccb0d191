"""USB and other V4L2 cameras, by the path that stays theirs when they are replugged."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

import cv2

from edgekit.errors import SourceError
from edgekit.runtime.settings import CameraMode
from edgekit.runtime.sources.opencv import Capture
from edgekit.runtime.sources.source import Clock, Source

log = logging.getLogger(__name__)

STABLE = (Path("/dev/v4l/by-id"), Path("/dev/v4l/by-path"))  # udev's links: by the camera's serial, by its socket


def open_camera(address: str, mode: CameraMode, timeout_s: float, clock: Clock) -> Source:
    """The camera at a number or path; a link such as `/dev/v4l/by-id/...` is followed anew at each opening."""
    path = Path(f"/dev/video{address}" if address.isdigit() else address)
    device = camera_device(path)
    # How long a read waits for a camera that has stopped; OpenCV's own is 10 s, and it asks the environment only once.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(math.ceil(timeout_s)))
    capture = cv2.VideoCapture(str(device), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"{path} does not open as a V4L2 camera: another program may hold it, or it is a CSI camera, "
            "which opens as picamera:0 or csi:0"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's queue would only make frames older
    try:
        _ask(capture, mode, path)
    except SourceError:
        capture.release()
        raise
    return Capture(capture, str(path), live=True, stamped=True, timeout_s=timeout_s, clock=clock)


def camera_device(path: Path, stable: tuple[Path, ...] = STABLE) -> Path:
    """The device behind `path`; warns where `path` is a `/dev/videoN`, whose number another camera may get."""
    if not path.exists():
        there = [link for folder in stable for link in folder.glob("*")] or Path("/dev").glob("video*")
        gone = f"{path} leads nowhere: its camera is unplugged" if path.is_symlink() else f"no camera {path}"
        raise SourceError(f"{gone}; there are: {', '.join(sorted(map(str, there))) or 'none'}")
    device = path.resolve()
    if not any(path.is_relative_to(folder) for folder in stable):
        links = (link for folder in stable for link in sorted(folder.glob("*")) if link.resolve() == device)
        better = next(links, None)
        if better is not None:
            log.warning("%s may be another camera after replugging or a restart; name it %s", path, better)
    return device


def _ask(capture: cv2.VideoCapture, mode: CameraMode, path: Path) -> None:
    fourcc = None if mode.fourcc is None else float(cv2.VideoWriter.fourcc(*mode.fourcc))
    # The pixel format comes first: it decides which sizes and rates there are.
    wishes = (
        ("fourcc", cv2.CAP_PROP_FOURCC, fourcc),
        ("width", cv2.CAP_PROP_FRAME_WIDTH, mode.width),
        ("height", cv2.CAP_PROP_FRAME_HEIGHT, mode.height),
        ("fps", cv2.CAP_PROP_FPS, mode.fps),
    )
    for _, what, wish in wishes:
        if wish is not None:
            capture.set(what, wish)
    refused = [f"{name} {getattr(mode, name)}" for name, what, wish in wishes if wish not in (None, capture.get(what))]
    if refused:
        raise SourceError(
            f"{path} does not grant {', '.join(refused)}; v4l2-ctl --list-formats-ext says what it can do"
        )
