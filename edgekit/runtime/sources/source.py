"""What a source of frames is, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Protocol, TypeAlias, TypeVar

from edgekit.frames import Frame

Clock: TypeAlias = Callable[[], float]
Self = TypeVar("Self", bound="Source")


class Source(Protocol):
    """Frames in order, once through; a context manager that gives its camera or file back when left.

    name: what `Frame.source` says. live: frames come whether or not anybody takes them, so a slow reader must skip
    some. fps: the source's own rate, where it has one. unreadable: what could not be read so far, with the reasons.
    damaged: pictures of a live source that came and were not whole, counted by reason; none of them became a frame.
    """

    name: str
    live: bool = False
    fps: float | None = None
    unreadable: Sequence[str] = ()
    damaged: Mapping[str, int] = MappingProxyType({})

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


def tally(damaged: Mapping[str, int]) -> str:
    """What a source's error says of the pictures that were not whole: "; damaged so far: 3 cut short", or nothing."""
    return f"; damaged so far: {', '.join(f'{n} {reason}' for reason, n in damaged.items())}" if damaged else ""
