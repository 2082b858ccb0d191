"""What stands first on a page: whether a measurement counts, what it was held against, and its main figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Protocol

from edgekit.benchmarks.report.series import frame_ms
from edgekit.benchmarks.report.tables import offered_fps
from edgekit.benchmarks.result import Result
from edgekit.benchmarks.timed import judged
from edgekit.measure import percentile
from edgekit.page import Block, Lines, Text, Tiles


class Judged(Protocol):
    """A verdict on one variant, as `edgekit.benchmarks.verdict` gives it; a finding's text begins with its outcome."""

    @property
    def variant(self) -> str: ...

    @property
    def outcome(self) -> str: ...

    @property
    def findings(self) -> Sequence[object]: ...


def standing(result: Result, verdicts: Sequence[Judged]) -> Iterator[Block]:
    """Whether it counts, first of all."""
    validity = result.validity
    judged = [(f"limits of {each.variant}", each.outcome, f"{len(each.findings)} held against") for each in verdicts]
    stands = "VALID" if validity.valid else "INVALID"
    yield Tiles([("this measurement is", stands, _reason(result)), *judged, *_tiles(result)])
    for each in verdicts:
        yield Text(f"{each.variant} against its limits:")
        yield Lines([str(finding) for finding in each.findings])
    lines = [
        *(f"INVALID: {reason}" for reason in validity.invalid),
        *(f"Warning: {warning}" for warning in validity.warnings),
        *(f"Allowed by hand: {allowed}" for allowed in validity.allowed),
        *(f"{name} was not run: {why}" for name, why in result.not_run.items()),
    ]
    if lines:
        yield Lines(lines)


def _reason(result: Result) -> str:
    validity = result.validity
    if validity.invalid:
        return "it cannot pass anything; why is below"
    if validity.warnings or validity.allowed:
        return "read the warnings below"
    return "nothing was seen against it" if result.looks else "but nobody watched the host"


def _tiles(result: Result) -> Iterator[tuple[str, str, str]]:
    """The figure of the scenario for the best variant."""
    taken = {each.variant: percentile(frame_ms(each)[1], 50) for each in judged(result).variants}
    medians = {name: p50 for name, p50 in taken.items() if p50 is not None}
    if medians:
        best = min(medians, key=lambda name: medians[name])
        what = next(frame_ms(each)[0] for each in result.variants if each.variant == best)
        yield f"p50 of {best}", f"{medians[best]:.2f} ms", f"{what}; the quickest of {len(medians)}"
    held = {each.variant: each.streams for each in result.variants if each.streams is not None}
    if held:
        best = max(held, key=lambda name: held[name])
        yield f"cameras with {best}", str(held[best]), f"that hold {offered_fps(result):g} frames a second"
    started = {each.variant: fmean(s.wall_s for s in each.starts) for each in result.variants if each.starts}
    if started:
        best = min(started, key=lambda name: started[name])
        yield f"cold start of {best}", f"{started[best]:.2f} s", "from nothing to the first result"
