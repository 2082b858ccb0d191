"""What the page shows: the newest status, the last events, and a picture of each camera that somebody looks at."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

Status: TypeAlias = Mapping[str, Any]
Event: TypeAlias = Mapping[str, Any]
Picture: TypeAlias = Callable[[str], "bytes | None"]

LINGER_S = 3.0  # after a single picture was asked for, its camera counts as watched for so long
_KEPT = 50  # events of each type, so that a flood of observations does not wash away what happened to a camera
_IDS = 16 * _KEPT


class Board:
    """The supervisor's side writes with `show` and `add`; the pages read. Any thread may do either.

    picture: gives the newest JPEG of a camera, or None where there is none that is worth showing. stale_s: a status
    older than that is not believed. clock: monotonic seconds. followers: pages that follow the status now.
    """

    def __init__(self, picture: Picture, clock: Callable[[], float] = time.monotonic, stale_s: float = 5.0) -> None:
        self.stale_s = stale_s
        self._picture = picture
        self._clock = clock
        self._began = clock()
        self._shown: tuple[int, float, Status] | None = None
        self._lock = threading.Lock()
        self._events: dict[str, deque[tuple[int, Event]]] = {}
        self._ids: dict[str, None] = {}  # in their order
        self._number = 0
        self._streams: Counter[str] = Counter()
        self.followers = 0
        self._asked_at: dict[str, float] = {}

    def show(self, status: Status) -> None:
        """The newest status. Its `recent_events` are added to those that are known."""
        self.add(status.get("recent_events", ()))
        self._shown = (self.version + 1, self._clock(), status)

    def add(self, events: Iterable[Event]) -> None:
        """Events, oldest first; those that are there already, by their id, are passed over."""
        with self._lock:
            for event in events:
                if event["id"] not in self._ids:
                    self._number += 1
                    self._ids[event["id"]] = None
                    self._events.setdefault(event["type"], deque(maxlen=_KEPT)).append((self._number, event))
            while len(self._ids) > _IDS:
                del self._ids[next(iter(self._ids))]

    @property
    def version(self) -> int:
        """Counts the statuses that were shown; 0 before the first."""
        return self._shown[0] if self._shown else 0

    @property
    def status(self) -> Status | None:
        """The newest, however old it is; None before the first."""
        return self._shown[2] if self._shown else None

    def age_s(self) -> float | None:
        """Seconds since the supervisor spoke; None where it has not yet."""
        return max(0.0, self._clock() - self._shown[1]) if self._shown else None

    def silence(self) -> str | None:
        """Why the status cannot be believed; None where it can."""
        age_s = self.age_s()
        if age_s is None:
            return f"no status from the supervisor yet, after {self._clock() - self._began:.1f} s"
        return f"no status from the supervisor for {age_s:.1f} s" if age_s > self.stale_s else None

    def events_after(self, number: int) -> tuple[int, list[Event]]:
        """The number of the newest event, and those after `number`, oldest first; 0 gives all that is kept."""
        with self._lock:
            found = [each for kept in self._events.values() for each in kept if each[0] > number]
            return self._number, [event for _, event in sorted(found, key=lambda each: each[0])]

    def cameras(self) -> tuple[str, ...]:
        """Their names, in the status's order."""
        return tuple(self.status["cameras"]) if self.status else ()

    def picture(self, camera: str) -> bytes | None:
        """The camera's newest JPEG. That somebody asks is noted: a picture is drawn only for those who look."""
        with self._lock:
            self._asked_at[camera] = self._clock()
        return self._picture(camera)

    @contextmanager
    def watch(self, camera: str) -> Iterator[None]:
        """The camera counts as watched in the `with` block."""
        with self._lock:
            self._streams[camera] += 1
        try:
            yield
        finally:
            with self._lock:
                self._streams[camera] -= 1

    @contextmanager
    def follow(self) -> Iterator[None]:
        """One more page follows the status in the `with` block."""
        with self._lock:
            self.followers += 1
        try:
            yield
        finally:
            with self._lock:
                self.followers -= 1

    @property
    def streams(self) -> int:
        """How many live streams are open."""
        return sum(self._streams.values())

    def watching(self) -> tuple[str, ...]:
        """The cameras that somebody looks at now, by name."""
        since = self._clock() - LINGER_S
        with self._lock:
            asked = {camera for camera, at in self._asked_at.items() if at > since}
            return tuple(sorted(asked | set(+self._streams)))
