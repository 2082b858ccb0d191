"""Which of two is faster: two results from the same board, or two variants of one result.

    compare(Result.read("before.json"), Result.read("after.json"))
    compare_variants(result, "onnx-float")

Variants of one result took turns, so a clock that fell slowed both, and they are compared round by round. Two results
were taken one after the other: a difference between them counts only if it exceeds what each machine did to itself
between the quarters of its run, and if CPU time does not deny it. That is no proof, for a machine may do more in the
minutes between. Of two runs of the same engine on a simulated host whose clock wanders by a tenth within seconds, 1 to
7 of 100 are called different, and 22 to 37 by the interval alone; of two that took turns, none of 300.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgekit.benchmarks.difference import LEAST, LEAST_APART, TAIL, Difference, Measured, differences
from edgekit.benchmarks.likeness import likeness
from edgekit.benchmarks.result import Result
from edgekit.errors import ResultError


@dataclass(frozen=True)
class Comparison:
    """before, after: what was compared, in words. unlike: in what the two differ and were compared all the same.
    unknown: what neither tells. left_out: variants that only one of them has."""

    before: str
    after: str
    differences: tuple[Difference, ...]
    unlike: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 where all is the same or faster, 1 where something is slower, 2 where nothing is and something is unclear.

        An unclear p99 does not count, a slower one does: to call two the same takes some ten thousand samples.
        """
        if any(each.change == "slower" for each in self.differences):
            return 1
        return 2 if any(each.change == "unclear" and each.percent != TAIL for each in self.differences) else 0


def compare(before: Result, after: Result, allow_unlike: bool = False, least: float = LEAST_APART) -> Comparison:
    """What changed in `after`, variant by variant. least: a smaller difference is none, as a share.

    ResultError names everything in which the two are unlike (board, governor, engine, precision as executed, threads,
    scenario and so on) unless that is allowed, and says so where they have nothing in common.
    """
    alike = likeness(before, after)
    if alike.differs and not allow_unlike:
        raise ResultError(f"the two results are unlike, which --allow-unlike allows: {'; '.join(alike.differs)}")
    earlier, later = _measured(before), _measured(after)
    both = [name for name in earlier if name in later]
    found = [each for name in both for each in differences(name, earlier[name], later[name], least)]
    if not found:
        names = (", ".join(each) or "none" for each in (earlier, later))
        raise ResultError(f"the two results have no figure of the same variant: {' and '.join(names)}")
    left_out = tuple(name for name in (*earlier, *later) if name not in both)
    held = _unclear_if(found, [*_invalid(before, "before"), *_invalid(after, "after")])
    return Comparison(_told(before), _told(after), held, alike.differs, alike.unknown, left_out)


def compare_variants(result: Result, against: str | None = None, least: float = LEAST) -> Comparison:
    """What each other variant of one result changes of `against`, the first if it is None; back to back they took
    turns. ResultError where there is no such variant, or no other one."""
    measured = _measured(result)
    against = against or next(iter(measured), "")
    others = [name for name in measured if name != against]
    if against not in measured or not others:
        there = ", ".join(measured) or "none"
        raise ResultError(f"variant '{against}' and another one are to be compared; there are: {there}")
    interleaved = result.scenario.kind == "single-stream"
    found = [
        each for name in others for each in differences(name, measured[against], measured[name], least, interleaved)
    ]
    held = _unclear_if(found, list(_invalid(result, "of both")))
    return Comparison(f"{against} of {_told(result)}", "its other variants", held)


def _measured(result: Result) -> dict[str, Measured]:
    return {each.variant: Measured(each, result.scenario) for each in result.variants}


def _invalid(result: Result, which: str) -> Iterator[str]:
    for reason in result.validity.invalid:
        yield f"the run {which} is invalid: {reason}"


def _unclear_if(found: list[Difference], reasons: list[str]) -> tuple[Difference, ...]:
    if not reasons:
        return tuple(found)
    return tuple(replace(each, change="unclear", why="; ".join(reasons)) for each in found)


def _told(result: Result) -> str:
    return f"{result.bundle}, digest {result.digest[:16]}, {result.taken}"
