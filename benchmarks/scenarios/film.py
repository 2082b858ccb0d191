"""What the cameras of a scenario see: a bundle's golden pictures, or a video, pictures or a scene that is named."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from edgekit.benchmarks.scenarios.cameras import Cameras, Due, FilmCameras
from edgekit.benchmarks.scenarios.clock import Clock
from edgekit.benchmarks.scenarios.played import PlayedCameras, Reel
from edgekit.bundle import Bundle
from edgekit.errors import BundleError, SourceError
from edgekit.frames import Frame, Image
from edgekit.runtime.sources import Capture, Pictures, open_source

# Frames for which a still is shown. A tracker would follow nothing through a new picture each time, and has by then
# forgotten what it saw one picture before (30 frames), so that a classifier has new things to look at.
HELD = 45
_MOST_BYTES = 64 << 20  # of pictures in memory, which is 24 of 1280x720: a board has little to spare


@dataclass(frozen=True, eq=False)
class Film:
    """Pictures in memory, each shown for `held` frames, over and over."""

    name: str
    pictures: tuple[Image, ...]
    held: int = 1

    @property
    def in_memory(self) -> Film:
        return self

    def frame(self, number: int, taken_at: float, camera: int = 0) -> Frame:
        image = self.pictures[number // self.held % len(self.pictures)]
        return Frame(image, number, taken_at, f"camera {camera}")

    def cameras(self, due: Due, clock: Clock, first: int = 0) -> Cameras:
        """Cameras that show it; `first`: the number of their first frame."""
        return FilmCameras(self, due, clock, first)

    def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, eq=False)
class Clip:
    """A video file, which cameras decode while they play it. in_memory: its first frames, decoded, for a scenario
    without a camera."""

    name: str
    address: str
    in_memory: Film
    _reels: list[Reel] = field(default_factory=list)  # one a camera, that the next turn or window may go on with

    def cameras(self, due: Due, clock: Clock, first: int = 0) -> Cameras:
        """Cameras that play it, in real time, from the picture `first` on; one at a time."""
        self._reels.extend(Reel(self.address) for _ in range(due.streams - len(self._reels)))
        return PlayedCameras(self._reels[: due.streams], due, clock, first)

    def close(self) -> None:
        for reel in self._reels:
            reel.close()


Sight: TypeAlias = Film | Clip


BLACK = Film("one black picture", (np.zeros((720, 1280, 3), np.uint8),))  # what a cold start is shown


def golden_film(bundle: Bundle) -> Film:
    """The bundle's golden pictures; `BundleError` where it has none."""
    pictures = [each.image for each in bundle.golden()]
    if not pictures:
        raise BundleError(
            f"{bundle.path} holds no golden frame to measure with: build it with golden = 1 or more, or name a --source"
        )
    return still_film(f"the bundle's golden pictures ({_digest(pictures)})", pictures)


def still_film(name: str, pictures: Sequence[Image]) -> Film:
    """Stills, each `HELD` frames long, then all of them mirrored: even the things of a single one come and go."""
    return Film(name, (*pictures, *(np.ascontiguousarray(each[:, ::-1]) for each in pictures)), HELD)


def open_sight(address: str) -> Sight:
    """A video or GIF as a `Clip`; of a scene or a folder of pictures a `Film` of as much as 64 MB hold.

    Its name has the digest of those pictures, and says where they are not all, so that two runs know whether they saw
    the same. `SourceError` where there is no such source, and for a camera: what it sees cannot be seen again.
    """
    with open_source(address) as source:
        if source.live:
            raise SourceError(f"{source.name} is a camera: a bench needs what can be played again, such as a recording")
        frames = iter(source)
        pictures = tuple(_fitting(frames))
        first = f"its first {len(pictures)} frames, " if next(frames, None) is not None else ""
    if not pictures:
        raise SourceError(f"{source.name} holds no frame")
    name = f"{source.name} ({first}{_digest(pictures)})"
    if isinstance(source, Pictures):
        return still_film(name, pictures)
    film = Film(name, pictures)
    return Clip(f"{source.name} ({_digest(pictures)})", address, film) if isinstance(source, Capture) else film


def _digest(pictures: Sequence[Image]) -> str:
    found = hashlib.sha256()
    for each in pictures:
        found.update(np.ascontiguousarray(each).data)
    return f"sha256 {found.hexdigest()[:16]}"


def _fitting(frames: Iterable[Frame]) -> Iterable[Image]:
    room = _MOST_BYTES
    for frame in frames:
        yield frame.image
        room -= frame.image.nbytes
        if room < frame.image.nbytes:
            return
