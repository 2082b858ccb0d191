"""Whether a measurement shows that a variant is fast enough: PASS, FAIL or INCONCLUSIVE, with the figures behind it.

    found = verdict(result, Limits(p99_ms=33, max_drop=0.01))
    sys.exit(exit_code(found))

A limit passes where even the upper bound of the figure keeps it, fails where even the lower bound breaks it, and is
INCONCLUSIVE in between: measure longer. Nor does one thread fail whose CPU time keeps the limit: others had its core.
The bounds are those of `statistics`, at 99 % each, and of cold starts the least and the most of five, at 97 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from edgekit.benchmarks.limits import Limits
from edgekit.benchmarks.result import Executed, Frames, Result, Start
from edgekit.benchmarks.scenario import Camera, Streams, Sustained
from edgekit.benchmarks.scenarios.camera import SLICES
from edgekit.benchmarks.statistics import Bounds, bounds, clustering, share_bounds
from edgekit.benchmarks.timed import judged_frames, missed_frames
from edgekit.errors import ResultError
from edgekit.measure import percentile, samples_needed
from edgekit.outcome import EXIT_CODES, Outcome, worst

_TIMES = {"p50_ms": 50.0, "p90_ms": 90.0, "p95_ms": 95.0, "p99_ms": 99.0, "p999_ms": 99.9}
_NONE = Frames((), (), (), (), {}, arrived=0, dropped=0)
_LEAST_STARTS = 5  # that all of five lie on one side of the true median is chance once in 32 times
_STARTS: dict[str, tuple[str, Callable[[Start], float]]] = {
    "max_start_s": ("s", lambda start: start.wall_s),
    "max_start_cpu_s": ("s of CPU time", lambda start: start.cpu_s),
    "max_peak_mb": ("MB", lambda start: start.peak_mb),
}


@dataclass(frozen=True)
class Finding:
    """One limit and the figure that was held against it; None is "not measured". reason: both in words."""

    limit: str
    allowed: float
    figure: float | None
    bounds: Bounds | None
    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        return f"{self.outcome}: {self.reason}"


@dataclass(frozen=True)
class Verdict:
    """On one variant. notes: why the run is invalid, and what would have made it so and was allowed."""

    variant: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def verdict(result: Result, limits: Limits, variant: str | None = None) -> tuple[Verdict, ...]:
    """One for each variant of the result, or for the one that is named.

    A frame's time is `Executed.whole` back to back and `Frames.frame_ms` under a camera, never the bare engine's; of a
    sustained load the last `tail_s` seconds are judged. In an invalid run nothing passes and nothing fails: what
    disturbed it may have made the figures, good or bad.

    Raises ValueError where no limit is set, SettingsError where the scenario measures nothing of a limit, ResultError
    where the result lacks the variant.
    """
    if not list(limits.given()):
        raise ValueError("no limit is set")
    limits.check(result.scenario)
    names = [each.variant for each in result.variants]
    if variant is not None and variant not in names:
        why = result.not_run.get(variant)
        known = f"{variant} was not run: {why}" if why else f"no variant '{variant}' was measured"
        raise ResultError(f"{known}; there are: {', '.join(names) or 'none'}")
    return tuple(_verdict(result, limits, each) for each in result.variants if variant in (None, each.variant))


def exit_code(verdicts: Sequence[Verdict]) -> int:
    """0 where all pass, 1 where one fails, 2 where none fails and one is inconclusive, or there is none."""
    return EXIT_CODES[worst(each.outcome for each in verdicts)] if verdicts else EXIT_CODES["INCONCLUSIVE"]


def _verdict(result: Result, limits: Limits, executed: Executed) -> Verdict:
    findings = tuple(_findings(result, limits, executed))
    if result.validity.invalid:
        findings = tuple(replace(each, outcome="INCONCLUSIVE") for each in findings)
    notes = [f"the run is invalid: {reason}" for reason in result.validity.invalid]
    notes += [f"allowed by the caller: {reason}" for reason in result.validity.allowed]
    return Verdict(executed.variant, worst(each.outcome for each in findings), findings, tuple(notes))


def _findings(result: Result, limits: Limits, executed: Executed) -> Iterator[Finding]:
    scenario = result.scenario
    frames = judged_frames(executed.frames or _NONE, scenario)
    taken_ms, cpu_ms = frames.frame_ms, frames.cpu_ms
    if executed.whole:
        taken_ms, cpu_ms = executed.whole.wall_ms, executed.whole.cpu_ms
    alone = executed.threads == 1 and executed.device == "cpu"
    for name, allowed in limits.given():
        if name in _TIMES:
            found = _of_percentile(name, "frame time", allowed, taken_ms, _TIMES[name])
            yield _unless_denied(found, cpu_ms, _TIMES[name]) if alone else found
        elif name == "age_p95_ms":
            yield _of_percentile(name, "age", allowed, frames.age_ms, 95.0)
        elif name == "max_drop" and isinstance(scenario, Camera | Sustained):
            yield _of_drops(allowed, frames, scenario.fps or 0.0, _turn_s(result))
        elif name == "min_streams" and isinstance(scenario, Streams):
            yield _of_streams(int(allowed), executed.streams, scenario.most)
        elif name in _STARTS:
            yield _of_starts(name, allowed, executed.starts)


def _of_percentile(name: str, what: str, allowed: float, taken_ms: Sequence[float], percent: float) -> Finding:
    figure, found, needed = percentile(taken_ms, percent), bounds(taken_ms, percent), samples_needed(percent)
    told = f"p{percent:g} of the {what} " + ("not measured" if figure is None else f"{figure:.2f} ms")
    if found.high is None:
        told += f": {len(taken_ms)} samples count as {found.independent} independent ones, {needed} are needed"
    return _held(name, allowed, figure, found, f"{told}{_between(found, '.2f')}; {allowed:g} ms is the limit")


def _unless_denied(found: Finding, cpu_ms: Sequence[float], percent: float) -> Finding:
    """What one thread computes in time and has the answer to too late, it waited for a core that others had."""
    high = bounds(cpu_ms, percent).high
    if found.outcome != "FAIL" or high is None or high > found.allowed or not any(cpu_ms):
        return found
    why = f"; of CPU time it is surely below {high:.2f} ms: others had the core"
    return replace(found, outcome="INCONCLUSIVE", reason=found.reason + why)


def _turn_s(result: Result) -> float:
    """How long a variant was measured without a pause."""
    if isinstance(result.scenario, Camera) and len(result.variants) > 1:
        return result.scenario.seconds / SLICES
    return math.inf


def _of_drops(allowed: float, frames: Frames, fps: float, turn_s: float) -> Finding:
    """Drops come in bursts, behind one slow frame each, so they count by their clusters."""
    missed = missed_frames(frames, fps, turn_s)
    found = share_bounds(frames.dropped, frames.arrived, clustering(missed, missed + 1))
    told = f"{frames.dropped} of {frames.arrived} frames dropped{_between(found, '.4f')}; {allowed:g} is the limit"
    return _held("max_drop", allowed, frames.drop if frames.arrived else None, found, told)


def _of_streams(allowed: int, streams: int | None, most: int) -> Finding:
    """The search itself asks for windows in a row, so its answer has no bounds."""
    outcome: Outcome = "INCONCLUSIVE"
    told = "not measured" if streams is None else f"{streams} cameras held their rate"
    if streams is not None and streams >= allowed:
        outcome = "PASS"
    elif streams is not None and streams >= most:
        told += f", and the search ends at {most}"
    elif streams is not None:
        outcome = "FAIL"
    return Finding("min_streams", allowed, streams, None, outcome, f"{told}; {allowed} are the least")


def _of_starts(name: str, allowed: float, starts: Sequence[Start]) -> Finding:
    """All starts must keep the limit to pass, and all must break it to fail."""
    unit, figure = _STARTS[name]
    found = [figure(each) for each in starts]
    if len(found) < _LEAST_STARTS:
        told = f"{len(found)} starts, {_LEAST_STARTS} are needed"
        return Finding(name, allowed, max(found, default=None), None, "INCONCLUSIVE", told)
    told = f"{min(found):.4g} to {max(found):.4g} {unit} in {len(found)} starts; {allowed:g} is the limit"
    return _held(name, allowed, max(found), Bounds(min(found), max(found), len(found)), told)


def _held(name: str, allowed: float, figure: float | None, found: Bounds, told: str) -> Finding:
    outcome: Outcome = "INCONCLUSIVE"
    if found.high is not None and found.high <= allowed:
        outcome = "PASS"
    elif found.low is not None and found.low > allowed:
        outcome = "FAIL"
    return Finding(name, allowed, figure, found, outcome, told)


def _between(found: Bounds, places: str) -> str:
    low = "" if not found.low else f"above {found.low:{places}}"
    high = "" if found.high is None else f"below {found.high:{places}}"
    sides = " and ".join(side for side in (low, high) if side)
    return f", surely {sides}" if sides else ""
