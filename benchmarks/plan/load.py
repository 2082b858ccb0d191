"""A shop's cameras while something is measured: real capture processes that decode and deliver at their rates.

They are the ones of the loop that runs unattended: each plays its file or scene into shared memory. A camera that is
one, rather than a file, is left alone, since it may be in use; in its place plays a clip of a rendered shop, as Motion
JPEG, which is what most USB cameras give.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np

from edgekit.errors import EdgekitError, SourceError
from edgekit.frames import Image
from edgekit.runtime.scene import open_scene
from edgekit.schema import dump
from edgekit.supervisor.children import Process
from edgekit.supervisor.ring import Ring
from edgekit.supervisor.settings import CameraSettings

SIZE = 1280, 720
_SCENE = "scene:cart?seed=3&frames=40&size={width}x{height}"
_LARGEST = 3 * 4096 * 2304  # bytes of a frame; memory is taken only by what is used
_PATIENCE_S = 15.0  # until the first frame: a small board takes seconds to import OpenCV
_DEATH_S = 2.0


@dataclass(frozen=True)
class Load:
    """cameras: what delivers frames. looks: how often a classifier looks, a frame: with the usual policy, once a frame
    is a new thing every 0.3 s."""

    cameras: tuple[CameraSettings, ...] = (CameraSettings("camera", "/dev/video0"),)
    looks: int = 1

    @property
    def fps(self) -> float:
        """Frames a second, of all cameras."""
        return sum(camera.fps for camera in self.cameras)

    def line(self) -> str:
        each = (f"{camera.name}{_instead(camera)} at {camera.fps:g}/s" for camera in self.cameras)
        return f"{', '.join(each)}; {self.looks} classified a frame"


class Cameras:
    """The capture processes of `cameras`; in a `with` block. `newest` gives their newest frames in turn.

    `SourceError` where one cannot be opened, ends, or gives nothing.
    """

    def __init__(self, cameras: Sequence[CameraSettings]) -> None:
        self._cameras = tuple(cameras)
        self._rings: dict[str, Ring] = {}
        self._children: dict[str, Process] = {}
        self._opened = ExitStack()
        self._turn = cycle([camera.name for camera in cameras])

    def __enter__(self) -> Cameras:
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-load-")))
            for camera in self._cameras:
                self._start(_playable(camera, folder), opened)
            for camera in self._cameras:
                self._await(camera.name)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def newest(self) -> Image:
        """The newest frame of the camera whose turn it is."""
        name = next(self._turn)
        self._listen(name)
        stored = self._rings[name].newest()
        if stored is None:
            raise SourceError(f"{name} is faster than its frames can be read")
        return stored.frame(name).image

    def _start(self, camera: CameraSettings, opened: ExitStack) -> None:
        ring = Ring.create(f"load {camera.name}", _LARGEST)
        opened.callback(ring.close)
        child = Process("edgekit.supervisor.capture", [ring.fd])
        opened.callback(child.wait, _DEATH_S)
        opened.callback(child.kill)
        child.send({"kind": "camera", "camera": dump(camera)})
        child.send({"kind": "open"})
        self._rings[camera.name], self._children[camera.name] = ring, child

    def _await(self, name: str) -> None:
        until = time.monotonic() + _PATIENCE_S
        while self._rings[name].newest() is None:
            self._listen(name)
            if time.monotonic() > until:
                raise SourceError(f"{name} has given no frame for {_PATIENCE_S:g} s")
            time.sleep(0.01)

    def _listen(self, name: str) -> None:
        child = self._children[name]
        for message in child.receive():
            if message["kind"] == "failed":
                raise SourceError(f"{name}: {message['reason']}")
        why = child.ended()
        if why is not None:
            raise SourceError(f"{name}: {why}")


def write_clip(path: Path, fps: float, size: tuple[int, int] = SIZE) -> Path:
    """Forty frames of a rendered cart as Motion JPEG in an .avi, with the noise that a camera's pictures have."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), fps, size)
    if not writer.isOpened():
        raise EdgekitError(f"{path}: OpenCV writes no Motion JPEG here; name cameras that are files by --store")
    with open_scene(_SCENE.format(width=size[0], height=size[1])) as scene:
        for frame in scene:
            writer.write(np.ascontiguousarray(frame.image))
    writer.release()
    return path


def _playable(camera: CameraSettings, folder: Path) -> CameraSettings:
    if not _is_camera(camera.address):
        return camera
    mode = camera.mode
    size = (mode and mode.width) or SIZE[0], (mode and mode.height) or SIZE[1]
    fps = (mode and mode.fps) or camera.fps
    path = folder / f"{size[0]}x{size[1]}-{fps:g}.avi"
    if not path.exists():
        write_clip(path, fps, size)
    return replace(camera, address=str(path), mode=None)


def _is_camera(address: str | int) -> bool:
    return isinstance(address, int) or bool(re.match(r"\d+$|/dev/|(gst|csi|picamera):|\w+://", address))


def _instead(camera: CameraSettings) -> str:
    return " (a rendered clip)" if _is_camera(camera.address) else ""
