"""Cameras that speak HTTP: MJPEG as multipart/x-mixed-replace, or one JPEG each time they are asked."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from http.client import HTTPResponse

from edgekit.errors import PictureError, SourceError
from edgekit.frames import Frame
from edgekit.runtime.settings import CameraMode
from edgekit.runtime.sources.http_line import HttpLine
from edgekit.runtime.sources.jpeg import decode_jpeg
from edgekit.runtime.sources.multipart import MAX_PART, Part, Parts
from edgekit.runtime.sources.source import Clock, Source, tally

SNAPSHOTS_PER_S = 5.0  # of a camera that is asked for each picture, where no mode says how often


def open_http_camera(address: str, shown: str, mode: CameraMode, timeout_s: float, clock: Clock) -> Source:
    """The camera at `address`, connected; what it answers with says which of the two kinds it is.

    mode: only `fps`, and only for a camera that is asked for each picture. `timeout_s` limits the opening and then, for
    every frame, the wait from asking for it to having all of it.
    """
    line = HttpLine(address, shown)
    line.allow(timeout_s)
    try:
        response = line.get()
        return HttpCamera(line, response, shown, mode, timeout_s, clock)
    except BaseException:
        line.close()
        raise


class HttpCamera(Source):
    """`taken_at` is the moment when a picture's last byte was read, `stamp` its X-Timestamp header.

    A picture that is not whole is counted in `damaged` and is no frame. Raises `SourceError` where the connection
    breaks, and where no whole picture came for `timeout_s`.
    """

    live = True

    def __init__(
        self, line: HttpLine, response: HTTPResponse, name: str, mode: CameraMode, timeout_s: float, clock: Clock
    ) -> None:
        self.name = name
        self.damaged: Counter[str] = Counter()
        self._line = line
        self._timeout_s = timeout_s
        self._clock = clock
        self._index = 0
        self._closing = threading.Event()
        kind = response.headers.get_content_type()
        boundary = response.headers.get_param("boundary")
        if kind.startswith("multipart/") and isinstance(boundary, str):
            if mode != CameraMode():
                raise ValueError(f"a camera mode was given, and {name} streams in a mode of its own")
            self._parts = iter(Parts(line.read, boundary))
        elif kind == "image/jpeg":
            if mode != CameraMode(fps=mode.fps):
                raise ValueError(f"of a camera mode {name}, which is asked for each picture, can only take fps")
            self.fps = mode.fps or SNAPSHOTS_PER_S
            self._parts = self._snapshots(1 / self.fps)
        else:
            raise SourceError(f"{name}: answers with '{kind}', which is neither a stream of JPEGs nor a JPEG")

    def __iter__(self) -> Iterator[Frame]:
        try:
            while (frame := self._next()) is not None:
                yield frame
        except SourceError as error:
            if not self._closing.is_set():
                raise SourceError(f"{error}{tally(self.damaged)}") from error
        if not self._closing.is_set():
            ended = f"{self.name} gives no more frames, after {self._index}: it has ended its stream"
            raise SourceError(f"{ended}{tally(self.damaged)}")

    def close(self) -> None:
        self._closing.set()
        self._line.close()

    def _next(self) -> Frame | None:
        self._line.allow(self._timeout_s)
        for part in self._parts:
            taken_at = self._clock()
            if self._closing.is_set():
                return None
            try:
                if part.fault:
                    raise PictureError(part.fault)
                image = decode_jpeg(part.content)
            except PictureError as error:
                self.damaged[str(error)] += 1
                continue
            self._index += 1
            return Frame(image, self._index - 1, taken_at, self.name, _stamp(part.headers))
        return None

    def _snapshots(self, period_s: float) -> Iterator[Part]:
        """One picture each period: the one that came with the opening, then a request each."""
        due = time.monotonic()
        yield self._body()
        while not self._closing.is_set():
            due = max(due + period_s, time.monotonic())
            self._closing.wait(due - time.monotonic())
            self._line.allow(self._timeout_s)
            self._line.get()
            yield self._body()

    def _body(self) -> Part:
        content = bytearray()
        while chunk := self._line.read():
            content += chunk
            if len(content) > MAX_PART:
                return Part(fault=f"more than {MAX_PART >> 20} MiB")
        return Part(bytes(content))


def _stamp(headers: Mapping[str, str]) -> float | None:
    """mjpg-streamer's and many cameras' X-Timestamp, in seconds; where it is 0 nobody has set it."""
    try:
        seconds = float(headers.get("x-timestamp", "0"))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
