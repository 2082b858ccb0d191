"""How figures are written in a report; one that is None was not measured, and is told so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

UNMEASURED = "not measured"


def told(value: float | None, digits: int = 2, unit: str = "") -> str:
    return UNMEASURED if value is None else f"{value:.{digits}f}{unit}"


def told_share(value: float | None) -> str:
    return UNMEASURED if value is None else f"{value:.2%}"


def told_range(values: Sequence[float], unit: str, digits: int = 0) -> str:
    """The least and the most of them; unknown where there are none."""
    if not values:
        return "unknown"
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def told_any(value: object) -> str:
    """A figure of the host in whatever form it comes; None is unknown."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {told_any(each)}" for name, each in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(told_any, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "unknown" if value is None else str(value)
