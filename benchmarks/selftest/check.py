"""What a check says: one line of the table."""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.outcome import Outcome


@dataclass(frozen=True)
class Check:
    """One line of the table. control: the same, wrongly measured, and what came of it; caught: it was found out."""

    what: str
    promise: str
    found: str
    outcome: Outcome
    control: str
    caught: bool
