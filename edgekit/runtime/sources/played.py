"""Sources that need no camera: pictures from memory, and files played as if a camera gave them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from edgekit.frames import Frame, Image
from edgekit.runtime.sources.source import Clock, Source


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

    @property
    def damaged(self) -> Mapping[str, int]:  # type: ignore[override]
        return self._source.damaged

    def __iter__(self) -> Iterator[Frame]:
        started = self._clock()
        for frame in self._source:
            early = started + frame.index * self._period_s - self._clock()
            if early > 0:
                self._wait(early)
            yield replace(frame, taken_at=self._clock())

    def close(self) -> None:
        self._source.close()
