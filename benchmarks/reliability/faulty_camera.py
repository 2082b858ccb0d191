"""What a network camera is without its protocol: a port, a film, a clock, and the fault of the moment."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import TypeVar

from edgekit.benchmarks.reliability.film import Film
from edgekit.benchmarks.reliability.line import LOOK_S, Line, Reset

USER, PASSWORD = "clerk", "s3cret"


class Fault(str, Enum):
    """What a camera does instead of its work, until it is told to be well."""

    REFUSE = "refuse"  # connections are reset and the port is closed: unplugged, or rebooting
    RESET = "reset"  # each connection is reset in the midst of a picture
    FREEZE = "freeze"  # connections stay, new ones are accepted, and nothing is said
    REPEAT = "repeat"  # the same picture again and again, its time going on
    BLACK = "black"  # black pictures
    GARBAGE = "garbage"  # random bytes where a picture belongs
    TRUNCATE = "truncate"  # pictures that are cut short
    RESIZE = "resize"  # pictures of half the size
    TOO_FAST = "too fast"  # as fast as the line takes them
    BACKWARDS = "backwards"  # moving pictures whose time runs back
    SLOW_START = "slow start"  # connections are reset; each new one is answered only after `slow_s`


@dataclass(frozen=True)
class Shot:
    """One picture as it goes out, the camera's time of it in seconds, and the fault that it shows."""

    jpeg: bytes
    stamp: float
    fault: Fault | None


Self = TypeVar("Self", bound="CameraServer")


class CameraServer:
    """What both kinds of camera share: the port, a thread for each connection, the film, and the fault of the moment.

    The port stays the same for as long as the server lives. `sent` counts pictures by the fault that they showed,
    'well' those without; `connections` counts those that were accepted.
    """

    scheme = ""

    def __init__(self, film: Film, fps: float = 25.0, seed: int = 0, slow_s: float = 1.0) -> None:
        self.film = film
        self.fps = fps
        self.slow_s = slow_s
        self.sent: Counter[str] = Counter()
        self.connections = 0
        self._random = random.Random(seed)
        self._fault: Fault | None = None
        self._changed = threading.Condition()
        self._epoch = 0  # connections of an earlier one are to be reset
        self._leaving = False
        self._threads: list[threading.Thread] = []
        self._door: socket.socket | None = None
        self._port = 0
        self._shown = 0  # pictures since the beginning, whoever saw them
        self._stamp = 1000.0

    @property
    def address(self) -> str:
        return f"{self.scheme}://{USER}:{PASSWORD}@127.0.0.1:{self._port}/aisle"

    @property
    def fault(self) -> Fault | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        with self._changed:
            self._fault = fault
            self._epoch += fault in (Fault.REFUSE, Fault.SLOW_START)
            self._changed.notify_all()
        if fault is Fault.REFUSE:
            self._shut()
        elif self._door is None:
            self._open()

    def well(self) -> None:
        """The camera does its work again; whose connection was reset must come back by himself."""
        self.fault = None

    def __enter__(self: Self) -> Self:
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._leaving = True
            self._epoch += 1
            self._changed.notify_all()
        self._shut()
        for thread in self._threads:
            thread.join()

    def _open(self) -> None:
        self._door = socket.create_server(("127.0.0.1", self._port))
        self._port = self._door.getsockname()[1]
        self._start(self._accept, self._door)

    def _shut(self) -> None:
        door, self._door = self._door, None
        if door is not None:
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)  # ends the accept in the other thread
            door.close()

    def _start(self, work: Callable[[socket.socket], None], line: socket.socket) -> None:
        thread = threading.Thread(target=work, args=(line,), name=f"{self.scheme} camera", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def _accept(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = door.accept()
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connections += 1
                self._start(self._serve, line)

    def _serve(self, accepted: socket.socket) -> None:
        epoch = self._epoch
        line = Line(accepted, lambda: self._epoch == epoch and self._fault is not Fault.REFUSE)
        try:
            if self._fault is Fault.SLOW_START:
                self._pause(line, self.slow_s)
            self._thaw(line)
            self._talk(line)
            line.close()
        except Reset:
            line.reset()
        except OSError:
            line.close()  # the client has ended it

    def _talk(self, line: Line) -> None:
        """Answer one client until it goes."""
        raise NotImplementedError

    def _pause(self, line: Line, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            line.look()
            with self._changed:
                self._changed.wait(min(left, LOOK_S))

    def _thaw(self, line: Line) -> None:
        """Come back when the camera is not frozen any more."""
        while self._fault is Fault.FREEZE:
            self._pause(line, LOOK_S)

    def _shots(self, line: Line) -> Iterator[Shot]:
        """The film at its own rate, for ever, as the fault of the moment changes it."""
        due = time.monotonic()
        while True:
            self._thaw(line)
            yield self._shot()
            due = max(due + 1 / self.fps, time.monotonic())
            if self._fault is not Fault.TOO_FAST:
                self._pause(line, due - time.monotonic())

    def _shot(self) -> Shot:
        with self._changed:
            fault = self._fault
            self._shown += fault is not Fault.REPEAT
            self._stamp += (-1 if fault is Fault.BACKWARDS else 1) / self.fps
            self.sent[fault.value if fault else "well"] += 1
            film = self.film.smaller if fault is Fault.RESIZE else self.film.pictures
            jpeg = self.film.black if fault is Fault.BLACK else film[self._shown % len(film)]
            return Shot(jpeg, self._stamp, fault)

    def _any(self, what: Sequence[str]) -> str:
        with self._changed:
            return self._random.choice(what)

    def _noise(self, length: int) -> bytes:
        with self._changed:
            return self._random.randbytes(length)

    def _cut(self, jpeg: bytes) -> bytes:
        """The first part of a picture, which ends somewhere in its scan."""
        scan = jpeg.index(b"\xff\xda") + 14
        with self._changed:
            return jpeg[: self._random.randint(scan, max(scan, len(jpeg) * 9 // 10))]
