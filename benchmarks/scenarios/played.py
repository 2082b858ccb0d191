"""Cameras that play a video file: each decodes it in a thread of its own, frame by frame as they are due.

So the cores also do what cameras make them do. In a shop each camera is a process of its own and its frames come
through shared memory; what that copy costs is not in here. FFmpeg may use further threads, as it does there.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from types import TracebackType

from edgekit.benchmarks.scenarios.cameras import Cameras, Due, Taken
from edgekit.benchmarks.scenarios.clock import Clock
from edgekit.errors import SourceError
from edgekit.frames import Frame, Image
from edgekit.runtime.sources import open_source


class Reel:
    """A video file picture by picture; one that ends is begun again. It stays open, so that it can go on later."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._pictures = _over_and_over(address)
        self._ahead: Image | None = None
        self._next = 0

    def wind(self, number: int) -> None:
        """Open it, so that the next picture is the one of that number; what lies between is decoded."""
        if number < self._next:
            self.close()
            self._pictures, self._ahead, self._next = _over_and_over(self._address), None, 0
        while self._next < number:
            self.picture()
        if self._next == 0 and self._ahead is None:
            self._ahead = next(self._pictures)

    def picture(self) -> Image:
        self._next += 1
        image, self._ahead = self._ahead, None
        return next(self._pictures) if image is None else image

    def close(self) -> None:
        self._pictures.close()


class PlayedCameras(Cameras):
    """Their reels, one each, are wound to the picture `first` in its `with` block; the first frame is due when the
    iteration begins. The reels are the caller's to close.

    A decoder that cannot keep up falls behind, which is in `capture_ms` and in the frames' age. clock: only its `now`
    is asked, since the threads wait in real time.
    """

    def __init__(self, reels: Sequence[Reel], due: Due, clock: Clock, first: int = 0) -> None:
        self.arrived = [0] * due.streams
        self.dropped = [0] * due.streams
        self._due = due
        self._now = clock.now
        self._first = first
        self._reels = reels
        self._changed = threading.Condition()
        self._waiting: dict[int, Taken] = {}
        self._playing = due.streams
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> PlayedCameras:
        for reel in self._reels:
            reel.wind(self._first)  # opened and warm before anything is due
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __iter__(self) -> Iterator[Taken]:
        started, turn = self._now(), 0
        for camera in range(self._due.streams):
            thread = threading.Thread(target=self._play, args=(camera, started), name=f"camera {camera}", daemon=True)
            self._threads.append(thread)
            thread.start()
        while (taken := self._take(turn)) is not None:
            turn = taken.camera + 1
            yield taken

    def _take(self, turn: int) -> Taken | None:
        """The newest frame of the first camera from `turn` on that has one; waits for it. None when all have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._waiting or not self._playing)
            if self._error is not None:
                raise self._error
            if not self._waiting:
                return None
            return self._waiting.pop(min(self._waiting, key=lambda camera: (camera < turn, camera)))

    def _play(self, camera: int, started: float) -> None:
        try:
            for number in range(self._due.frames):
                due_at = started + self._due.at(camera, number)
                if self._stop.wait(max(0.0, due_at - self._now())):
                    return
                image = self._reels[camera].picture()
                frame = Frame(image, self._first + number, due_at, f"camera {camera}")
                self._put(Taken(camera, frame, (self._now() - due_at) * 1e3))
            self._stop.wait(max(0.0, started + self._due.at(camera, self._due.frames) - self._now()))
        except BaseException as error:  # noqa: BLE001  (not swallowed: _take() raises it in the loop's thread)
            self._error = error
        finally:
            with self._changed:  # the next frame would have come: the last one is dropped like any other
                self.dropped[camera] += self._waiting.pop(camera, None) is not None
                self._playing -= 1
                self._changed.notify()

    def _put(self, taken: Taken) -> None:
        with self._changed:
            self.arrived[taken.camera] += 1
            self.dropped[taken.camera] += taken.camera in self._waiting
            self._waiting[taken.camera] = taken
            self._changed.notify()


def _over_and_over(address: str) -> Generator[Image, None, None]:
    while True:
        came = False
        with open_source(address) as source:
            for frame in source:
                came = True
                yield frame.image
        if not came:
            raise SourceError(f"{source.name} holds no frame")
