"""How a scenario says how far it is: once a second, since whoever draws that takes the cores too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from edgekit.benchmarks.scenarios.tape import Answered

# told (what is being done, how much of it is done, how much there is)
Progress: TypeAlias = Callable[[str, int, int], None]


class Seconds:
    """Tells of `total` seconds of answers."""

    def __init__(self, progress: Progress | None, what: str, total: float) -> None:
        self._progress = progress
        self._what = what
        self._total = round(total)
        self._done = 0.0

    def passing(self, answers: Iterable[Answered], began: float, seconds: float) -> Iterator[Answered]:
        """The answers of the next `seconds`, which began at `began`."""
        told = began
        for each in answers:
            yield each
            if self._progress is not None and each.at >= told + 1:
                told = each.at
                self._progress(self._what, min(self._total, int(self._done + each.at - began)), self._total)
        self._done += seconds
        if self._progress is not None:
            self._progress(self._what, round(self._done), self._total)
