"""Whether two results may be compared at all: the same board, engines, settings and load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.result import Result

# What differs between any two runs, or hardly matters; every other field of the environment must be the same.
_VARIES = (
    "mhz", "temperatures_c", "load", "throttled", "memory_mb", "memory_pressure", "container", "system", "versions",
)  # fmt: skip
_VERSIONS = ("python", "numpy", "opencv")  # an engine that was not used may have changed
_EXECUTED = ("engine", "device", "precision", "threads", "spinning")
_UNTOLD: tuple[Any, ...] = (None, (), "unknown")
_Pair: TypeAlias = tuple[str, Any, Any]


@dataclass(frozen=True)
class Likeness:
    """differs: what is not the same in both, a line each, what one of them does not tell included. unknown: what
    neither tells, so that nobody knows whether it is the same."""

    differs: tuple[str, ...]
    unknown: tuple[str, ...]


def likeness(a: Result, b: Result) -> Likeness:
    """The bundles themselves may differ: they, or a new release of edgekit, are what one compares."""
    pairs = list(_pairs(a, b))
    differs = (f"{name} '{_told(one)}' and '{_told(other)}'" for name, one, other in pairs if one != other)
    unknown = (name for name, one, other in pairs if one == other and one in _UNTOLD)
    return Likeness(tuple(differs), tuple(unknown))


def _pairs(a: Result, b: Result) -> Iterator[_Pair]:
    for name in ("profile", "scenario", "source"):
        yield name, getattr(a, name), getattr(b, name)
    yield "classifier", a.classifier or "none", b.classifier or "none"
    for field in fields(Environment):
        if field.name not in _VARIES:
            yield field.name, getattr(a.environment, field.name), getattr(b.environment, field.name)
    for name in _VERSIONS:
        yield name, a.environment.versions.get(name), b.environment.versions.get(name)
    in_b = {each.variant: each for each in b.variants}
    for each in a.variants:
        if each.variant in in_b:
            for name in _EXECUTED:
                yield f"{name} of {each.variant}", getattr(each, name), getattr(in_b[each.variant], name)


def _told(value: Any) -> str:
    if value in _UNTOLD:
        return "unknown"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
