"""How long the opening of a camera may take: not much longer than it took before.

A connection that was made while the camera was ill may hang although it has become well, and only a new one finds that
out. A camera that has become slower than it was gets all the time there is once in a while.
"""

from __future__ import annotations

from collections import deque
from statistics import median_low

_LEAST_S = 0.75
_USUAL = 3  # times the median of the last openings
_REMEMBERED = 8
_ALL_EACH = 10  # failures


class Patience:
    """Of one camera. limit_s: for the next opening, at most `longest_s`, which is also for a camera that is new."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self._failures = 0

    @property
    def limit_s(self) -> float:
        if not self._took or self._failures % _ALL_EACH == _ALL_EACH - 1:
            return self._longest_s
        return min(self._longest_s, max(_LEAST_S, _USUAL * median_low(self._took)))

    def opened(self, took_s: float) -> None:
        self._took.append(took_s)
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
