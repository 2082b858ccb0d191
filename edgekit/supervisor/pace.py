"""Which of a camera's frames to take so that a wished-for number a second comes of them, and each as it arrives.

A frame is never made to wait for its turn, which would only make it older: one that comes up to a third of a period
early is taken, and the next turn is counted from when this one was due.
"""

from __future__ import annotations

from collections import deque

_EARLY = 1 / 3  # of a period: cameras do not tick as a clock does, and 15 a second must give 10


class Pace:
    """Turns at `fps`. `due` asks, `took` says that the turn was used."""

    def __init__(self, fps: float) -> None:
        self.fps = fps
        self._due_at = float("-inf")

    def due(self, now: float) -> bool:
        return now >= self._due_at - _EARLY / self.fps

    def took(self, now: float) -> None:
        """A turn that is late by more than its third does not lend its lateness to the next."""
        self._due_at = max(self._due_at, now - _EARLY / self.fps) + 1 / self.fps


class Turns:
    """The turns of the last `window_s`, of all cameras, and which of them were missed: the board is too slow."""

    def __init__(self, window_s: float = 10.0) -> None:
        self._window_s = window_s
        self._turns: deque[tuple[float, bool]] = deque()

    def note(self, now: float, missed: bool) -> None:
        self._turns.append((now, missed))

    def missed(self, now: float) -> float | None:
        """The share that was missed; None where there was no turn."""
        while self._turns and now - self._turns[0][0] > self._window_s:
            self._turns.popleft()
        return sum(missed for _, missed in self._turns) / len(self._turns) if self._turns else None

    def clear(self) -> None:
        """Another rate has begun: the turns before it say nothing of it."""
        self._turns.clear()
