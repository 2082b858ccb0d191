"""Cameras whose frames are due at fixed moments, whatever the loop that looks at them does meanwhile.

A loop that asks for a frame, answers it and then asks for the next one would slow its own cameras down whenever it is
slow, and never see the frames that it missed: "coordinated omission" (Gil Tene, "How NOT to Measure Latency", 2013).
Here frame n of a camera is due n periods after the start. Whoever comes late gets the newest, finds the others counted
as dropped, and the age of what he gets counts from when it was due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from edgekit.benchmarks.scenarios.clock import Clock
from edgekit.frames import Frame

if TYPE_CHECKING:
    from edgekit.benchmarks.scenarios.film import Film

Self = TypeVar("Self", bound="Cameras")

_EARLY = 1e-6  # of a period: a sleep until a frame is due may end a rounding error before that


class Taken(NamedTuple):
    """A frame in the loop's hands; `frame.taken_at` is when it was due. capture_ms: from then until it was decoded."""

    camera: int
    frame: Frame
    capture_ms: float


class Cameras(Protocol):
    """Iterate over it once, in a `with` block: the newest frame of one camera after the other.

    arrived, dropped: by camera, frames that came so far, and those of them that nobody was there to take.
    """

    arrived: Sequence[int]
    dropped: Sequence[int]

    def __iter__(self) -> Iterator[Taken]: ...

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class Due:
    """When `streams` cameras of `fps` are due, `frames` each: evenly out of step, as cameras in a shop are."""

    def __init__(self, fps: float, seconds: float, streams: int = 1) -> None:
        self.fps = fps
        self.streams = streams
        self.frames = max(1, round(fps * seconds))

    def at(self, camera: int, number: int) -> float:
        """Seconds after the start at which a camera's frame is due."""
        return (number + camera / self.streams) / self.fps

    def newest(self, camera: int, seconds: float) -> int:
        """The number of its newest frame, -1 before the first; `frames` or more once it has ended."""
        return int(seconds * self.fps - camera / self.streams + 1 + _EARLY) - 1


class FilmCameras(Cameras):
    """Cameras that show a film from memory: no capture and no decoding is in it, and no thread beside the loop's. How
    late the system wakes the loop for a frame is in that frame's age."""

    def __init__(self, film: Film, due: Due, clock: Clock, first: int = 0) -> None:
        self.arrived = [due.frames] * due.streams
        self.dropped = [0] * due.streams
        self._film = film
        self._due = due
        self._clock = clock
        self._first = first

    def __iter__(self) -> Iterator[Taken]:
        due, clock, taken = self._due, self._clock, [-1] * self._due.streams
        started, turn = clock.now(), 0
        while min(taken) < due.frames - 1:
            seconds = clock.now() - started
            camera = self._ready(taken, turn, seconds)
            if camera is None:
                clock.sleep(self._next_at(taken) - seconds)
                continue
            number = due.newest(camera, seconds)
            self.dropped[camera] += min(number, due.frames) - taken[camera] - 1
            taken[camera], turn = number, camera + 1
            if number >= due.frames:  # the next one would have come: the last one is dropped like any other
                continue
            yield Taken(camera, self._film.frame(self._first + number, started + due.at(camera, number), camera), 0.0)

    def _ready(self, taken: Sequence[int], turn: int, seconds: float) -> int | None:
        """The first camera from `turn` on, all around, that has a new frame."""
        for step in range(len(taken)):
            camera = (turn + step) % len(taken)
            if taken[camera] < min(self._due.newest(camera, seconds), self._due.frames - 1):
                return camera
        return None

    def _next_at(self, taken: Sequence[int]) -> float:
        return min(
            self._due.at(camera, number + 1) for camera, number in enumerate(taken) if number + 1 < self._due.frames
        )


class BackToBack(Cameras):
    """One camera whose next frame is there as soon as the last was answered, for so many seconds."""

    def __init__(self, film: Film, seconds: float, clock: Clock, first: int = 0) -> None:
        self.arrived = [0]
        self.dropped = [0]
        self._film = film
        self._seconds = seconds
        self._clock = clock
        self._first = first

    def __iter__(self) -> Iterator[Taken]:
        now = self._clock.now()
        until = now + self._seconds
        while now < until:
            self.arrived[0] += 1
            yield Taken(0, self._film.frame(self._first + self.arrived[0] - 1, now), 0.0)
            now = self._clock.now()
