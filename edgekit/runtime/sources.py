"""Where frames come from: a camera, a video or GIF, a folder of pictures, an RTSP address, a rendered scene, or arrays.

    with open_source("rtsp://user:secret@10.0.0.7/stream") as camera:
        for frame in camera:
            ...

Passwords in addresses appear in no error, no log and no frame: `redact` takes them out.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, TypeAlias, TypeVar

import cv2
import numpy as np

from edgekit.errors import SourceError
from edgekit.frames import Frame, Image
from edgekit.pictures import ENDINGS, is_picture, read_picture
from edgekit.schema import STRICT

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], float]
Self = TypeVar("Self", bound="Source")


class Source(Protocol):
    """Frames in order, once through; a context manager that gives its camera or file back when left.

    name: what `Frame.source` says. live: frames come whether or not anybody takes them, so a slow reader must skip
    some. fps: the source's own rate, where it has one. unreadable: what could not be read so far, with the reasons.
    """

    name: str
    live: bool = False
    fps: float | None = None
    unreadable: Sequence[str] = ()

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Give the camera or file back; may be called twice, and from another thread than the one that reads."""
        return

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class CameraMode:
    """What to ask a V4L2 camera for; None leaves it to the camera. A camera that grants something else is an error.

    fourcc: its pixel format, such as 'MJPG' or 'YUYV'. YUYV at a low resolution saves the JPEG decoding, which on a
    small board costs more than preprocessing and decoding of boxes together.
    """

    __pydantic_config__ = STRICT

    width: int | None = None
    height: int | None = None
    fps: float | None = None
    fourcc: str | None = None

    def __post_init__(self) -> None:
        if self.fourcc is not None and len(self.fourcc) != 4:
            raise ValueError(f"fourcc is four letters, such as 'MJPG' or 'YUYV'; got '{self.fourcc}'")


def open_source(
    address: str | int | Path,
    name: str = "",
    *,
    mode: CameraMode | None = None,
    pace: Literal["file", "camera"] = "file",
    timeout_s: float = 10.0,
    clock: Clock = time.monotonic,
) -> Source:
    """The source at `address`; `SourceError` where there is none.

    address: a camera's number or path (`/dev/v4l/by-id/...` survives replugging, `/dev/video0` may not), a video, GIF
    or picture, a folder of pictures, `rtsp://...`, or a rendered scene such as `scene:shelf?seed=3&frames=300`.
    pace: 'camera' plays a file at its own rate as if it were live, so that a loop that is too slow loses frames.
    timeout_s: how long an RTSP address may take to open, and afterwards to give the next frame.
    """
    text = str(address)
    kind = _kind(text)
    if mode is not None and kind != "camera":
        raise ValueError(f"a camera mode was given, and {redact(text)} is no camera")
    source = _open(kind, text, mode or CameraMode(), timeout_s, clock)
    source.name = name or source.name
    if pace == "file":
        return source
    if source.live:
        raise ValueError(f"pace 'camera' is for files, and {redact(text)} is live by itself")
    return Paced(source, clock=clock)


def redact(address: str) -> str:
    """The address without user, password and query, fit for logs: `rtsp://***@10.0.0.7/stream?***`."""
    if "://" not in address:
        return address
    # Greedy up to the last '@': a password with an unescaped '/', '?' or '@' in it is taken out too.
    without_user = re.sub(r"://.*@", "://***@", address, flags=re.DOTALL)
    return re.sub(r"\?.*", "?***", without_user, flags=re.DOTALL)


_Kind: TypeAlias = Literal["scene", "rtsp", "camera", "folder", "video", "picture"]


def _kind(address: str) -> _Kind:
    if address.startswith("scene:"):
        return "scene"
    if re.match(r"rtsps?://", address):
        return "rtsp"
    if "://" in address:
        raise SourceError(f"{redact(address)}: of addresses with '://' only rtsp:// and rtsps:// can be opened")
    if address.isdigit() or address.startswith("/dev/"):
        return "camera"
    if Path(address).is_dir():
        return "folder"
    if not Path(address).exists():
        raise SourceError(f"{address}: no such file or folder")
    return "picture" if is_picture(Path(address)) else "video"


def _open(kind: _Kind, address: str, mode: CameraMode, timeout_s: float, clock: Clock) -> Source:
    if kind == "scene":
        from edgekit.runtime.scene import open_scene

        scene: Source = open_scene(address)
        return scene
    if kind == "rtsp":
        return _open_rtsp(address, timeout_s, clock)
    if kind == "camera":
        return _open_camera(address, mode, clock)
    if kind == "video":
        return _open_video(address, clock)
    return Pictures(address, clock)


class Capture(Source):
    """What OpenCV's VideoCapture reads: a camera, a video, a GIF, a stream.

    `taken_at` is the moment at which OpenCV has the frame, before a camera's pixels are unpacked. A live capture that
    stops giving frames raises `SourceError`; a file that ends before its own count of frames says so in `unreadable`.
    """

    def __init__(self, capture: cv2.VideoCapture, name: str, live: bool, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.live = live
        self.fps = capture.get(cv2.CAP_PROP_FPS) or None
        self.unreadable: list[str] = []
        self._capture = capture
        self._clock = clock
        self._index = 0
        self._closed = False
        # VideoCapture must not be released under a read in another thread: that kills the process.
        self._reading = threading.Lock()

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._read()) is not None:
                yield frame
        finally:
            if self._closed:
                self._release()
        if not self._closed:
            self._ended()

    def close(self) -> None:
        self._closed = True
        self._release()

    def _read(self) -> Frame | None:
        with self._reading:
            if self._closed or not self._capture.grab():
                return None
            taken_at = self._clock()
            there, image = self._capture.retrieve()
        if not there or self._closed:
            return None
        self._index += 1
        return Frame(np.asarray(image, np.uint8), self._index - 1, taken_at, self.name)

    def _release(self) -> None:
        """Unless a read is going on: whoever reads releases when it returns."""
        if self._reading.acquire(blocking=False):
            try:
                self._capture.release()
            finally:
                self._reading.release()

    def _ended(self) -> None:
        if self.live:
            raise SourceError(f"{self.name} gives no more frames, after {self._index}")
        expected = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if self._index < expected:
            self.unreadable.append(f"{self.name}: ended after {self._index} of {expected} frames")
            log.warning(self.unreadable[-1])


def _open_camera(address: str, mode: CameraMode, clock: Clock) -> Source:
    path = Path(f"/dev/video{address}" if address.isdigit() else address)
    if not path.exists():
        there = sorted(map(str, [*Path("/dev/v4l/by-id").glob("*"), *Path("/dev").glob("video*")]))
        raise SourceError(f"no camera {path}; there are: {', '.join(there) or 'none'}")
    capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    if not capture.isOpened():
        raise SourceError(
            f"{path} does not open as a V4L2 camera: another program may hold it, or it is a CSI camera, "
            "which speaks libcamera"
        )
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the driver's queue would only make frames older
    try:
        _ask(capture, mode, path)
    except SourceError:
        capture.release()
        raise
    return Capture(capture, str(path), live=True, clock=clock)


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


def _open_rtsp(address: str, timeout_s: float, clock: Clock) -> Source:
    milliseconds = int(timeout_s * 1000)
    # Without these two a camera that has frozen blocks a read for 30 s.
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    with _over_tcp():
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise SourceError(
            f"{redact(address)}: no video within {timeout_s:g} s; is the address right and the camera on?"
        )
    return Capture(capture, redact(address), live=True, clock=clock)


_environment = threading.Lock()


@contextmanager
def _over_tcp() -> Iterator[None]:
    """RTSP over TCP, since UDP gives smeared pictures when packets are lost; OpenCV takes this from the environment
    only.

    Who has set OPENCV_FFMPEG_CAPTURE_OPTIONS knows better and is left alone.
    """
    variable = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    with _environment:
        if variable in os.environ:
            yield
            return
        os.environ[variable] = "rtsp_transport;tcp"
        try:
            yield
        finally:
            del os.environ[variable]


def _open_video(address: str, clock: Clock) -> Source:
    # OpenCV's FFmpeg plays GIFs frame by frame as well; imreadmulti would hold all of them in memory.
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise SourceError(f"{address} is not a video that OpenCV can read")
    return Capture(capture, Path(address).name, live=False, clock=clock)


class Pictures(Source):
    """The pictures of a folder by name, or one picture.

    One that cannot be read is named in `unreadable` and in the log, and its number is missing among the frames.
    """

    def __init__(self, path: Path | str, clock: Clock = time.monotonic) -> None:
        path = Path(path)
        try:
            files = [path] if path.is_file() else [each for each in path.iterdir() if is_picture(each)]
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror or error}") from error
        if not files:
            raise SourceError(f"{path} holds no picture: nothing that ends in {', '.join(ENDINGS)}")
        self.name = path.name or str(path)
        self.unreadable: list[str] = []
        self._files = sorted(files)
        self._clock = clock

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self._files):
            try:
                yield Frame(read_picture(path), index, self._clock(), self.name)
            except SourceError as error:
                self.unreadable.append(str(error))
                log.warning("%s", error)
        if len(self.unreadable) == len(self._files):
            raise SourceError(f"none of the {len(self._files)} pictures can be read; the first: {self.unreadable[0]}")


class Arrays(Source):
    """Plays pictures from memory: a source for tests, and for whoever has frames already.

    Each picture is (height, width, 3) uint8 BGR. `live` makes the loop treat it as a camera.
    """

    def __init__(
        self,
        images: Sequence[Image],
        name: str = "arrays",
        fps: float | None = None,
        live: bool = False,
        clock: Clock = time.monotonic,
    ) -> None:
        self.name = name
        self.fps = fps
        self.live = live
        self._images = images
        self._clock = clock

    def __iter__(self) -> Iterator[Frame]:
        for index, image in enumerate(self._images):
            yield Frame(image, index, self._clock(), self.name)


class Paced(Source):
    """Plays another source at its own rate, live, as a camera would: who is slow misses frames.

    `wait` sleeps; the first frame comes at once, frame n after n / fps seconds.
    """

    live = True

    def __init__(
        self, source: Source, clock: Clock = time.monotonic, wait: Callable[[float], None] = time.sleep
    ) -> None:
        if not source.fps:
            raise ValueError(f"{source.name} has no frame rate of its own to be played at")
        self.name = source.name
        self.fps = source.fps
        self._period_s = 1 / source.fps
        self._source = source
        self._clock = clock
        self._wait = wait

    @property
    def unreadable(self) -> Sequence[str]:  # type: ignore[override]
        return self._source.unreadable

    def __iter__(self) -> Iterator[Frame]:
        started = self._clock()
        for frame in self._source:
            early = started + frame.index * self._period_s - self._clock()
            if early > 0:
                self._wait(early)
            yield replace(frame, taken_at=self._clock())

    def close(self) -> None:
        self._source.close()
