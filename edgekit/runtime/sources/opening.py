"""From an address in a store file to an open source."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl

from edgekit.errors import SourceError
from edgekit.pictures import is_picture
from edgekit.redact import redact
from edgekit.runtime.settings import SCHEME, CameraMode
from edgekit.runtime.sources.played import Paced
from edgekit.runtime.sources.source import Clock, Source

Kind: TypeAlias = Literal["scene", "rtsp", "http", "gst", "csi", "picamera", "v4l2", "folder", "video", "picture"]
MODED = ("v4l2", "csi", "picamera", "http")


def open_source(
    address: str | int | Path,
    name: str = "",
    *,
    mode: CameraMode | None = None,
    pace: Literal["file", "camera"] = "file",
    timeout_s: float = 10.0,
    opening_s: float | None = None,
    quiet_s: float = 1.0,
    clock: Clock = time.monotonic,
) -> Source:
    """The source at `address`; `SourceError` where there is none.

    address: one of
        /dev/v4l/by-id/...          a V4L2 camera by the path that survives replugging; `0` or /dev/video0 may not
        rtsp://user:password@host/  an RTSP camera, over TCP
        http://user:password@host/  a camera that streams MJPEG, or that gives a JPEG each time it is asked
        picamera:0?size=640x480     a Raspberry Pi's CSI camera; also `fps`, and `stream=lores`
        csi:0?size=1280x720&fps=30  a Jetson's CSI camera
        gst:videotestsrc            any GStreamer pipeline
        scene:shelf?seed=3          a rendered scene
        a video, a GIF, a picture, or a folder of pictures
    name: what the source is called, in errors too, which then hold nothing of its address.
    pace: 'camera' plays a file at its own rate as if it were live, so that a loop that is too slow loses frames.
    timeout_s: how long a camera may take to open, and afterwards to give the next frame.
    opening_s: another limit for the opening of an RTSP camera, first picture included. quiet_s: how long one that was
    quicker may be without a picture; one whose network stalls now and then needs more.
    """
    text = str(address)
    shown = name or _shown(text)
    kind = _kind(text)
    if mode is not None and kind not in MODED:
        raise ValueError(f"a camera mode was given, and {shown} is no camera that takes one")
    opening_s = timeout_s if opening_s is None else opening_s
    source = _open(kind, text, shown, mode or CameraMode(), opening_s, timeout_s, quiet_s, clock)
    source.name = name or source.name
    if pace == "file":
        return source
    if source.live:
        source.close()
        raise ValueError(f"pace 'camera' is for files, and {shown} is live by itself")
    return Paced(source, clock=clock)


def _kind(address: str) -> Kind:
    scheme = SCHEME.match(address)
    if scheme:
        return scheme[1] or scheme[2]  # type: ignore[return-value]
    if "://" in address:
        raise SourceError(f"{redact(address)}: of addresses with '://' only rtsp(s):// and http(s):// can be opened")
    if address.isdigit() or address.startswith("/dev/"):
        return "v4l2"
    if Path(address).is_dir():
        return "folder"
    if not Path(address).exists():
        raise SourceError(f"{address}: no such file or folder")
    return "picture" if is_picture(Path(address)) else "video"


def _open(
    kind: Kind,
    address: str,
    shown: str,
    mode: CameraMode,
    opening_s: float,
    timeout_s: float,
    quiet_s: float,
    clock: Clock,
) -> Source:
    """Each kind's file is loaded when the first of that kind is opened."""
    if kind == "scene":
        from edgekit.runtime.scene import open_scene

        scene: Source = open_scene(address)
        return scene
    if kind == "rtsp":
        from edgekit.runtime.sources.rtsp import open_rtsp

        return open_rtsp(address, shown, opening_s, timeout_s, quiet_s, clock)
    if kind == "http":
        from edgekit.runtime.sources.http_camera import open_http_camera

        return open_http_camera(address, shown, mode, timeout_s, clock)
    if kind in ("gst", "csi"):
        from edgekit.runtime.sources.gstreamer import jetson_pipeline, open_pipeline

        if kind == "gst":
            return open_pipeline(address.removeprefix("gst:"), shown, timeout_s, clock)
        number, mode, _ = _board_camera(address, mode, ("size", "fps"))
        return open_pipeline(jetson_pipeline(number, mode), shown, timeout_s, clock)
    if kind == "picamera":
        from edgekit.runtime.sources.picamera import open_picamera

        number, mode, stream = _board_camera(address, mode, ("size", "fps", "stream"))
        return open_picamera(number, shown, mode, stream, timeout_s, clock)
    if kind == "v4l2":
        from edgekit.runtime.sources.v4l2 import open_camera

        return open_camera(address, mode, timeout_s, clock)
    from edgekit.runtime.sources.files import Pictures, open_video

    return open_video(address, clock) if kind == "video" else Pictures(address, clock)


def _shown(address: str) -> str:
    # A pipeline may hold a password in any of its properties.
    return "gst:***" if address.startswith("gst:") else redact(address)


def _board_camera(address: str, mode: CameraMode, known: tuple[str, ...]) -> tuple[int, CameraMode, str]:
    """Number, mode and stream of `picamera:0?size=640x480&fps=30&stream=lores`."""
    found = re.fullmatch(r"\w+:(\d+)(?:\?(.*))?", address)
    options = dict(parse_qsl(found[2] or "", keep_blank_values=True)) if found else {}
    size = re.fullmatch(r"(\d+)x(\d+)", options.get("size", "1x1"))
    rate = re.fullmatch(r"\d+(\.\d+)?", options.get("fps", "1"))
    stream = options.get("stream", "main")
    if not found or set(options) - set(known) or not size or not rate or stream not in ("main", "lores"):
        form = {"size": "size=640x480", "fps": "fps=30", "stream": "stream=main|lores"}
        raise SourceError(f"{address}: expected {address.split(':')[0]}:0 and of {'&'.join(form[k] for k in known)}")
    if mode != CameraMode() and ("size" in options or "fps" in options):
        raise ValueError(f"{address} has a mode of its own and was given another one; leave one of them out")
    if "size" in options:
        mode = CameraMode(int(size[1]), int(size[2]), mode.fps)
    if "fps" in options:
        mode = CameraMode(mode.width, mode.height, float(rate[0]))
    return int(found[1]), mode, stream
