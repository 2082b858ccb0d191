"""Where observations go: lines of JSON in a file or on stdout, and a video with the boxes drawn in."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgekit.contract import InputSpec
from edgekit.errors import EdgekitError
from edgekit.files import replacing
from edgekit.frames import Image
from edgekit.preprocess import preprocess

log = logging.getLogger(__name__)


class JsonLines:
    """Appends lines to a file, or to stdout for '-'. Each is handed to the system whole before `write` returns.

    So whoever reads along sees whole lines, and a killed process loses none it has written; a power cut may. What a cut
    has left of a last line is removed when the file is opened again, with a warning.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._stdout = str(path) == "-"
        try:
            self._file = -1 if self._stdout else _open_for_lines(self.path)
        except OSError as error:
            raise EdgekitError(f"{path}: {error.strerror or error}") from error

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, line: str) -> None:
        """One line, without its end. BrokenPipeError where stdout's reader has gone."""
        if self._stdout:
            _print(line)
            return
        content = (line + "\n").encode()
        try:
            while content:
                content = content[os.write(self._file, content) :]
        except OSError as error:
            with suppress(OSError):  # /dev/full, say, cannot be cut
                os.ftruncate(self._file, _end_of_last_line(self._file, os.fstat(self._file).st_size))
            raise EdgekitError(f"{self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _print(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Or Python's own flush at exit would complain of the same pipe; https://docs.python.org/3/library/signal.html
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _open_for_lines(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    size = os.fstat(file).st_size
    whole = _end_of_last_line(file, size)
    if whole < size:
        log.warning("%s: removed %d bytes of a line that was cut off", path, size - whole)
        os.ftruncate(file, whole)
    return file


def _end_of_last_line(file: int, size: int, block: int = 1 << 16) -> int:
    end = size
    while end > 0:
        start = max(0, end - block)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


class VideoFile:
    """Writes pictures to an .mp4, which appears under its name when it is closed and not before.

    The first picture gives the size, cut to even numbers as MPEG-4 needs it; others are fitted into it. It plays in
    real time: a picture is held for as many frames as its `index` lies after the last one, at most `longest_s`.
    """

    def __init__(self, path: Path | str, fps: float, longest_s: float = 2.0) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise ValueError(f"a video is written as .mp4; got {path}")
        if not self.path.parent.is_dir():
            raise EdgekitError(f"{path}: there is no folder {self.path.parent}")
        self._fps = fps
        self._most_copies = max(1, round(longest_s * fps))
        self._index: int | None = None
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._frames = 0
        self._temporary = self.path
        self._unfinished = ExitStack()

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, image: Image, index: int) -> None:
        """The picture of frame `index`, (height, width, 3) uint8 BGR."""
        writer = self._writer or self._start(image)
        copies = 1 if self._index is None else min(max(1, index - self._index), self._most_copies)
        self._index = index
        fitted = fit(image, *self._size)
        for _ in range(copies):
            writer.write(fitted)
            self._frames += 1  # after it: a Ctrl-C in between may leave one more in the file than is counted

    def close(self) -> None:
        """Finish the file, also after an error or Ctrl-C: what was seen until then is worth having. May be called
        twice. `EdgekitError` where not all of it reached the disk; then nothing is left."""
        with self._unfinished:
            if self._writer is not None:
                self._writer.release()
                self._writer = None
                self._check_whole()

    def _check_whole(self) -> None:
        """OpenCV says nothing of a full disk; an .mp4 that was cut short has no index and cannot be opened."""
        written = cv2.VideoCapture(str(self._temporary))
        frames = round(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        if frames < self._frames:
            raise EdgekitError(f"{self.path}: could not be written whole: is the disk full?")

    def _start(self, image: Image) -> cv2.VideoWriter:
        self._size = image.shape[1] // 2 * 2, image.shape[0] // 2 * 2
        with ExitStack() as starting:
            self._temporary = starting.enter_context(replacing(self.path))
            writer = cv2.VideoWriter(str(self._temporary), cv2.VideoWriter.fourcc(*"mp4v"), self._fps, self._size)
            if not writer.isOpened():
                size = f"{self._size[0]}x{self._size[1]}"
                raise EdgekitError(f"{self.path}: OpenCV cannot write a video of {size} at {self._fps:g} frames/s")
            self._unfinished = starting.pop_all()
        self._writer = writer
        return writer


def fit(image: Image, width: int, height: int) -> Image:
    """The picture at this size: as it is where only an odd pixel goes, else scaled with black around it."""
    h, w = image.shape[:2]
    if 0 <= w - width <= 1 and 0 <= h - height <= 1:
        return np.ascontiguousarray(image[:height, :width])
    spec = InputSpec(width, height, fit="letterbox", pad_value=0, interpolation="area", colour="BGR")
    return np.asarray(preprocess(image, spec.raw("uint8", "NHWC"))[0][0], np.uint8)
