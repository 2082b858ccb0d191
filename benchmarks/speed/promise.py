"""One line of the speed table: what was promised, what came out, and how it was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from edgekit.measure import Ratio

Kept: TypeAlias = Literal["met", "not met", "unclear", "not measured", "not promised"]

COLUMNS = ("promise", "target", "result", "kept", "how")


@dataclass(frozen=True)
class Promise:
    """`what` should be `target`; it is `result`, and `kept` says whether that will do. `how` tells the rest."""

    what: str
    target: str
    result: str
    kept: Kept
    how: str

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        return self.what, self.target, self.result, self.kept, self.how


def at_least(limit: float, value: float | Ratio) -> Kept:
    """Unclear where the limit lies within the interval: another run may well say otherwise."""
    low, high = _bounds(value)
    return "met" if low >= limit else "not met" if high < limit else "unclear"


def at_most(limit: float, value: float | Ratio) -> Kept:
    """As `at_least`."""
    low, high = _bounds(value)
    return "met" if high <= limit else "not met" if low > limit else "unclear"


def _bounds(value: float | Ratio) -> tuple[float, float]:
    return (value.low, value.high) if isinstance(value, Ratio) else (value, value)


def text(promises: Sequence[Promise]) -> str:
    """For a terminal: two lines a promise, the second how it was measured."""
    width = max((len(each.what) for each in promises), default=0)
    return "".join(
        f"{each.what:{width}}  {each.kept:12}  {each.result}, target {each.target}\n    {each.how}\n"
        for each in promises
    )


def markdown(promises: Sequence[Promise]) -> str:
    """For a README."""
    rows = (COLUMNS, ("---",) * len(COLUMNS), *(each.cells for each in promises))
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def as_json(promises: Sequence[Promise], host: str) -> str:
    return (
        json.dumps({"host": host, "promises": [asdict(each) for each in promises]}, indent=1, ensure_ascii=False) + "\n"
    )
