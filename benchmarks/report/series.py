"""What was timed of a variant, whatever the scenario: its series of milliseconds, and its stages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from edgekit.benchmarks.result import Executed, Result
from edgekit.measure import percentile

ENGINE, FRAME = "engine", "frame to event"


@dataclass(frozen=True)
class Series:
    """Times of one thing of one variant, in the order they were taken. cpu_ms: beside them, () where none was taken."""

    variant: str
    what: str
    wall_ms: Sequence[float]
    cpu_ms: Sequence[float] = ()

    @property
    def name(self) -> str:
        return f"{self.variant}, {self.what}"

    @property
    def drawn_ms(self) -> list[float]:
        """For a logarithmic axis: a clock that did not move reads as a microsecond."""
        return [max(value, 1e-3) for value in self.wall_ms]

    @property
    def cpu_p50_ms(self) -> float | None:
        return percentile(self.cpu_ms, 50)

    @property
    def interference(self) -> float | None:
        """Wall over CPU time, None where no CPU time was taken or the clock did not see any."""
        spent = sum(self.cpu_ms)
        return sum(self.wall_ms) / spent if spent else None


def all_series(result: Result) -> list[Series]:
    """Of all variants, in the order of the result."""
    return [each for variant in result.variants for each in _of(variant)]


def _of(variant: Executed) -> Iterator[Series]:
    name, frames = variant.variant, variant.frames
    if variant.engine_only is not None:
        yield Series(name, ENGINE, variant.engine_only.wall_ms, variant.engine_only.cpu_ms)
    if variant.whole is not None:
        yield Series(name, FRAME, variant.whole.wall_ms, variant.whole.cpu_ms)
    if frames is not None and frames.frame_ms:
        yield Series(name, FRAME, frames.frame_ms, frames.cpu_ms)
        yield Series(name, "age at the event", frames.age_ms)


def frame_ms(variant: Executed) -> tuple[str, Sequence[float]]:
    """What a frame takes with this variant, to its event, or where that was not measured in the bare engine alone.
    ('', ()) where neither was."""
    taken = {each.what: each.wall_ms for each in _of(variant)}
    return next(((what, taken[what]) for what in (FRAME, ENGINE) if what in taken), ("", ()))


@dataclass(frozen=True)
class Stage:
    """One stage of a frame. mean_ms: over all frames, so that the means of all stages add up. ran: the share of the
    frames in which it took any time."""

    name: str
    mean_ms: float
    taken_ms: Sequence[float]

    @property
    def ran(self) -> float:
        return sum(each > 0 for each in self.taken_ms) / len(self.taken_ms)


def stages(variant: Executed) -> list[Stage]:
    """In the order of the frame's way, and at the end what lies between them, where the frame was timed as well. A
    frame is timed from when it is in hand, so its capture is not part of that."""
    found = [Stage(name, fmean(taken), taken) for name, taken in _stages_ms(variant).items() if taken]
    what, whole = frame_ms(variant)
    if not found or what != FRAME:
        return found
    between = fmean(whole) - sum(each.mean_ms for each in found if each.name != "capture")
    return [*found, Stage("between", between, ())] if between > 0 else found


def _stages_ms(variant: Executed) -> Mapping[str, Sequence[float]]:
    return variant.frames.stages_ms if variant.frames is not None else variant.stages_ms
