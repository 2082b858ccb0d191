"""How long something has been so: since when it holds, and whether that is long enough to be believed."""

from __future__ import annotations

from typing import TypeGuard


def since(before: float | None, now: float, holds: bool) -> float | None:
    """When it began to hold, or None where it does not. before: what this said the last time."""
    if not holds:
        return None
    return now if before is None else before


def lasted(began: float | None, now: float, seconds: float) -> TypeGuard[float]:
    """Whether it has held for so long."""
    return began is not None and now - began >= seconds
