"""Videos, GIFs, pictures and folders of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import cv2

from edgekit.errors import SourceError
from edgekit.frames import Frame
from edgekit.pictures import ENDINGS, is_picture, read_picture
from edgekit.runtime.sources.opencv import Capture, quiet_ffmpeg
from edgekit.runtime.sources.source import Clock, Source

log = logging.getLogger(__name__)


def open_video(address: str, clock: Clock) -> Source:
    """A video or GIF; FFmpeg plays GIFs frame by frame as well, where imreadmulti would hold all of them in memory."""
    quiet_ffmpeg()
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise SourceError(f"{address} is not a video that OpenCV can read")
    return Capture(capture, Path(address).name, live=False, stamped=True, clock=clock)


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
