"""What changed from one measurement of a variant to another, and whether it is more than chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edgekit.benchmarks.result import Executed, Start
from edgekit.benchmarks.scenario import Scenario
from edgekit.benchmarks.statistics import bounds, drift, unpaired_ratio
from edgekit.benchmarks.timed import timed
from edgekit.measure import Ratio, Samples, cpu_ratio, nearest_rank, percentile, ratio

Change: TypeAlias = Literal["faster", "slower", "same", "unclear"]

_Named: TypeAlias = tuple[str, str, float | None]  # variant, figure, percentile

# A smaller difference is none: of two that took turns, and of two that were measured apart. A loop that was measured
# thirty times for a second on a shared host differed from one time to the next by 0.4 % in the median, 11 % at most.
LEAST, LEAST_APART = 0.02, 0.05
_LEAST_ROUNDS = 6  # all of six on one side of the median is chance once in 32 times, and so is all on the other
_LEAST_STARTS = 5  # as many as a verdict asks for
TAIL = 99.0
# What wall time says and CPU time of one thread denies.
_DENIED: tuple[set[Change], ...] = ({"faster", "slower"}, {"faster", "same"}, {"slower", "same"})


@dataclass(frozen=True)
class Difference:
    """One figure of one variant, before and after. wall, cpu: ratios of times, after over before; above 1 is slower.

    figure: 'engine', 'whole' or 'frame' of `timed`, milliseconds; 'start', seconds; 'streams', cameras. percent: which
    percentile, the median and, where enough samples stand behind it, p99; None of streams. why: it is unclear.
    """

    variant: str
    figure: str
    percent: float | None
    before: float
    after: float
    wall: Ratio | None
    cpu: Ratio | None
    change: Change
    why: str = ""

    @property
    def name(self) -> str:
        return self.figure if self.percent is None else f"{self.figure} p{self.percent:g}"


@dataclass(frozen=True)
class Measured:
    """A variant and the scenario under which it was measured."""

    executed: Executed
    scenario: Scenario


def differences(
    variant: str, before: Measured, after: Measured, least: float, interleaved: bool = False
) -> Iterator[Difference]:
    """Figure by figure, those that both have. interleaved: the two took turns, so that their rounds belong together."""
    one_thread = before.executed.threads == after.executed.threads == 1
    earlier, later = (timed(each.executed, each.scenario) for each in (before, after))
    for figure in (name for name in earlier if name in later):
        a, b = earlier[figure], later[figure]
        drifted = 0.0 if interleaved else max(drift(np.array(each.round_medians)) for each in (a, b))
        yield _of_medians((variant, figure, 50.0), a, b, least, drifted, interleaved, one_thread)
        yield from _of_tails((variant, figure, TAIL), a, b, least, drifted, one_thread)
    if before.executed.streams is not None and after.executed.streams is not None:
        yield _of_streams(variant, before.executed.streams, after.executed.streams)  # whatever `least` is
    if before.executed.starts and after.executed.starts:
        yield _of_starts(variant, before.executed.starts, after.executed.starts, least)


def change(found: Ratio, least: float, drifted: float = 0.0) -> Change:
    """'slower' and 'faster' where the whole interval lies beyond `least`, 'same' where all of it lies within.

    drifted: as much as this the machine changed by itself. A difference must exceed it too, and where it is more than
    `least` nothing is the same.
    """
    most = 1 + max(least, drifted)
    if found.low > most:
        return "slower"
    if found.high < 1 / most:
        return "faster"
    within = drifted <= least and found.high <= 1 + least and found.low >= 1 / (1 + least)
    return "same" if within else "unclear"


def _of_medians(
    named: _Named, a: Samples, b: Samples, least: float, drifted: float, interleaved: bool, one_thread: bool
) -> Difference:
    before, after = np.array(a.round_medians), np.array(b.round_medians)
    wall = ratio(b, a) if interleaved else unpaired_ratio(after, before)
    cpu = _cpu(a, b, interleaved)
    said, in_cpu = change(wall, least, drifted), cpu and change(cpu, least, drifted)
    why, rounds = _across(said, least, drifted), min(len(before), len(after))
    if rounds < _LEAST_ROUNDS:
        said, why = "unclear", f"{rounds} rounds, {_LEAST_ROUNDS} are needed"
    elif one_thread and {said, in_cpu} in _DENIED:
        why = f"{said} in wall time, {in_cpu} in CPU time: others had the core in one of the two"
        said = "unclear"
    return Difference(*named, float(np.median(a.wall_ms)), float(np.median(b.wall_ms)), wall, cpu, said, why)


def _cpu(a: Samples, b: Samples, interleaved: bool) -> Ratio | None:
    """None where the clock of CPU time was too coarse to see a run."""
    before, after = np.array(a.cpu_round_medians), np.array(b.cpu_round_medians)
    if not len(before) or not len(after) or min(before.min(), after.min()) <= 0:
        return None
    return cpu_ratio(b, a) if interleaved else unpaired_ratio(after, before)


def _of_tails(
    named: _Named, a: Samples, b: Samples, least: float, drifted: float, one_thread: bool
) -> Iterator[Difference]:
    """Of p99, by its bounds in each, wider than an interval of the ratio; nothing where it is not measured."""
    before, after = percentile(a.wall_ms, TAIL), percentile(b.wall_ms, TAIL)
    if before is None or after is None:
        return
    wall, cpu = _tail_ratio(a.wall_ms, b.wall_ms), _tail_ratio(a.cpu_ms, b.cpu_ms)
    if wall is None:
        why = "slow samples come in bursts, and too few bursts to tell"
        yield Difference(*named, before, after, None, cpu, "unclear", why)
        return
    said, in_cpu = change(wall, least, drifted), cpu and change(cpu, least, drifted)
    why = _across(said, least, drifted)
    if one_thread and {said, in_cpu} in _DENIED:
        said, why = "unclear", f"{said} in wall time, {in_cpu} in CPU time: others had the core in one of the two"
    yield Difference(*named, before, after, wall, cpu, said, why)


def _tail_ratio(before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    """Of p99, from its surest bounds to its surest bounds; None where the samples set none."""
    of_a, of_b = bounds(before, TAIL), bounds(after, TAIL)
    if of_a.low is None or of_a.high is None or of_b.low is None or of_b.high is None or of_a.low <= 0:
        return None
    middle = nearest_rank(after, TAIL) / nearest_rank(before, TAIL)
    return Ratio(middle, of_b.low / of_a.high, of_b.high / of_a.low)


def _of_streams(variant: str, before: int, after: int) -> Difference:
    """The search for stream density is good to one camera, and of many to a tenth: simulated with 10 % of noise it is
    within one of up to 12 cameras in all of 300 runs, and within two of 20. So a smaller difference is unclear; whether
    there is any camera at all is not."""
    said: Change = "same" if after == before else "faster" if after > before else "slower"
    if after != before and min(before, after) > 0 and abs(after - before) <= (good_to := max(1.0, before / 10)):
        why = f"the search is good to {good_to:.2g} camera{'s' if good_to > 1 else ''}"
        return Difference(variant, "streams", None, before, after, None, None, "unclear", why)
    return Difference(variant, "streams", None, before, after, None, None, said)


def _of_starts(variant: str, before: Sequence[Start], after: Sequence[Start], least: float) -> Difference:
    """By the quickest and the slowest start: few as they are, nothing is surer. CPU time denies nothing here: a slower
    disk takes none."""
    earlier, later = [each.wall_s for each in before], [each.wall_s for each in after]
    wall = _of_extremes(earlier, later)
    cpu = _of_extremes([each.cpu_s for each in before], [each.cpu_s for each in after])
    said, fewest = change(wall, least), min(len(before), len(after))
    why = _across(said, least)
    if fewest < _LEAST_STARTS:
        said, why = "unclear", f"{fewest} starts, {_LEAST_STARTS} are needed"
    medians = float(np.median(earlier)), float(np.median(later))
    return Difference(variant, "start", 50.0, *medians, wall, cpu, said, why)


def _of_extremes(before: Sequence[float], after: Sequence[float]) -> Ratio:
    return Ratio(float(np.median(after) / np.median(before)), min(after) / max(before), max(after) / min(before))


def _across(said: Change, least: float, drifted: float = 0.0) -> str:
    if said != "unclear":
        return ""
    if drifted > least:
        return f"one of the runs drifted by {drifted:.1%} by itself"
    return f"the interval reaches across a difference of {least:.1%}"
