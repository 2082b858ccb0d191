"""What a reliability rig found: how often it hurt the real thing, what came of it, and if its control was caught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figures:
    """One rig's run.

    promise: what must hold, in words. kept: whether it did. counts: what was counted, each by its name, units in the
    names. control: the counts of the deliberately wrong variant; caught: the rig saw that it was wrong. A rig whose
    control is not caught has shown nothing, whatever `kept` says. notes: the first few of what did not hold.
    """

    rig: str
    times: int
    seed: int
    promise: str
    kept: bool
    counts: Mapping[str, float]
    seconds: float
    control: Mapping[str, float] = field(default_factory=dict)
    caught: bool = False
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
