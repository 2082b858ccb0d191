"""Which of several models nobody would leave lying: the Pareto front of accuracy, latency and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A variant, or the model after a step. accuracy: top-1 or AP; latency_ms: the median; size: bytes.

    None is what was not measured.
    """

    name: str
    accuracy: float | None
    latency_ms: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class Placed:
    """A candidate and where it stands. optimal: no other is at least as good in everything and better in something;
    None where it lacks a figure that others are judged by. beaten_by: the first that is."""

    candidate: Candidate
    optimal: bool | None
    beaten_by: str | None = None
    lacks: tuple[str, ...] = ()


def pareto(candidates: Sequence[Candidate]) -> tuple[Placed, ...]:
    """Each candidate's place, in the order given.

    Judged by accuracy and by those of latency and size that any candidate has. A candidate that lacks one of them
    stands nowhere and beats nobody: whether it does is not known.
    """
    costs = tuple(
        name for name in ("latency_ms", "size") if any(getattr(each, name) is not None for each in candidates)
    )
    axes = ("accuracy", *costs)
    complete = [each for each in candidates if not _lacks(each, axes)]
    return tuple(_place(each, complete, axes) for each in candidates)


def _place(candidate: Candidate, complete: Sequence[Candidate], axes: tuple[str, ...]) -> Placed:
    if lacks := _lacks(candidate, axes):
        return Placed(candidate, None, lacks=lacks)
    beaten_by = next((each.name for each in complete if _beats(each, candidate, axes)), None)
    return Placed(candidate, beaten_by is None, beaten_by)


def _lacks(candidate: Candidate, axes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in axes if getattr(candidate, name) is None)


def _beats(one: Candidate, other: Candidate, axes: tuple[str, ...]) -> bool:
    gains = [_gain(one, other, axis) for axis in axes]
    return min(gains) >= 0 and max(gains) > 0


def _gain(one: Candidate, other: Candidate, axis: str) -> float:
    """By how much `one` is the better, below 0 where it is the worse."""
    difference = float(getattr(one, axis) - getattr(other, axis))
    return difference if axis == "accuracy" else -difference
