"""A video of what was seen, with the boxes drawn in."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from edgekit.contract import InputSpec
from edgekit.errors import EdgekitError
from edgekit.files import replacing
from edgekit.frames import Image
from edgekit.preprocess import preprocess


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
