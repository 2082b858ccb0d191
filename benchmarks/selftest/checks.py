"""The checks. Each has a deliberately wrong control beside it, which a check that proves something must catch."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgekit.benchmarks.difference import LEAST, LEAST_APART, Change, Measured, change, differences
from edgekit.benchmarks.interference import FLAGGED
from edgekit.benchmarks.result import Executed
from edgekit.benchmarks.scenario import SingleStream
from edgekit.benchmarks.selftest.check import Check
from edgekit.benchmarks.selftest.host import Array, NoisyHost, StallingHost, bursts
from edgekit.benchmarks.selftest.scenarios import density, omission
from edgekit.benchmarks.statistics import bounds, unpaired_ratio
from edgekit.measure import Ratio, Rounds, Samples, interleave, nearest_rank, ratio
from edgekit.outcome import Outcome

COST_MS = 2.0
DEADLINE_MS = 33.0
STALL_MS, STALL_EVERY = 50.0, 200
_ROUNDS = Rounds(rounds=20, block=10, warm_up=5)


def checks() -> Iterator[Check]:
    """All of them, which takes some ten seconds."""
    for check in (
        known_cost,
        itself,
        itself_beside_neighbours,
        ten_per_cent,
        itself_later,
        stall,
        burst_bounds,
        omission,
        density,
        own_cost,
    ):
        yield check()


def known_cost() -> Check:
    """A busy loop of so much CPU time, the first run of which costs fifty times as much, as an engine's does."""
    work = _Lazy(_busy, 50)
    taken = interleave({"engine": work}, _ROUNDS)["engine"]
    off, wrong = (figure / COST_MS - 1 for figure in (taken.median_cpu_ms, _mean_of_all(taken)))
    return Check(
        f"an engine of {COST_MS:g} ms of CPU time",
        "comes back within 2 %",
        f"{off:+.2%}; wall over CPU time {taken.interference:.2f}",
        "PASS" if abs(off) <= 0.02 else "FAIL",
        f"the mean, warm-up counted: {wrong:+.2%}",
        abs(wrong) > 0.02,
    )


def itself() -> Check:
    """The same busy loop twice on this host, in wall time."""
    taken = interleave({"a": _busy, "b": _busy}, _ROUNDS)
    found, index = ratio(taken["b"], taken["a"]).median, max(each.interference for each in taken.values())
    slower = interleave({"a": _busy, "b": lambda: _busy(1.05 * COST_MS)}, _ROUNDS)
    wrong = ratio(slower["b"], slower["a"]).median
    near: Outcome = "PASS" if abs(found - 1) <= 0.02 else "INCONCLUSIVE" if index > FLAGGED else "FAIL"
    return Check(
        "A against A on this host",
        "1.00 ± 0.02 where it is quiet",
        f"{found:.3f}; wall over CPU time {index:.2f}",
        near,
        f"B takes 5 % more: {wrong:.3f}",
        abs(wrong - 1) > 0.02,
    )


def itself_beside_neighbours(runs: int = 100) -> Check:
    found = _called_different(runs, COST_MS, _in_turn)
    wrong = _called_different(runs, COST_MS, _one_after_the_other)
    return Check(
        "A against A, simulated drift, neighbours and heavy tails",
        f"no difference in {_most(runs)} of {runs} runs",
        f"none in {runs - found}",
        "PASS" if runs - found >= _most(runs) else "FAIL",
        f"A, then B: none in {runs - wrong}",
        runs - wrong < _most(runs),
    )


def ten_per_cent(runs: int = 100) -> Check:
    """A harness that never finds a difference would pass the check above."""
    found = _called_different(runs, 1.1 * COST_MS, _in_turn)
    wrong = _called_different(runs, 1.1 * COST_MS, _one_after_the_other)
    return Check(
        "B takes 10 % more, on the same host",
        f"a difference in {_most(runs)} of {runs} runs",
        f"in {found}",
        "PASS" if found >= _most(runs) else "FAIL",
        f"A, then B: in {wrong}",
        wrong < _most(runs),
    )


def itself_later(runs: int = 100) -> Check:
    """Two results of the same engine, of which the host is another in the meantime: what `compare` makes of them."""
    pairs = [(_alone(NoisyHost(seed)), _alone(NoisyHost(runs + seed))) for seed in range(runs)]
    found = sum(_compared(*pair) in ("faster", "slower") for pair in pairs)
    wrong = sum(change(_apart(*pair), LEAST) in ("faster", "slower") for pair in pairs)
    return Check(
        "A against A in two results",
        f"a difference in a tenth of {runs} runs at most",
        f"in {found}",
        "PASS" if found <= runs / 10 else "FAIL",
        f"by the interval alone: in {wrong}",
        wrong > runs / 10,
    )


def stall() -> Check:
    """One run in two hundred stalls."""
    host = StallingHost(COST_MS, STALL_MS, STALL_EVERY)
    taken = interleave({"engine": host.run}, Rounds(rounds=1000, block=10, warm_up=0), clock=host.now)["engine"]
    tail, missed = _tail(taken.wall_ms)
    wrong_tail, wrong_missed = _tail(_clipped(taken.wall_ms))
    return Check(
        f"a stall of {STALL_MS:g} ms in 1 of {STALL_EVERY} runs",
        f"in p99.9, and {1 / STALL_EVERY:.1%} miss {DEADLINE_MS:g} ms",
        f"p99.9 {tail:.1f} ms, {missed:.1%} missed",
        "PASS" if tail >= STALL_MS and missed == 1 / STALL_EVERY else "FAIL",
        f"clipped at 3 sigma: {wrong_tail:.1f} ms, {wrong_missed:.1%}",
        wrong_tail < STALL_MS and wrong_missed == 0,
    )


def burst_bounds(runs: int = 200) -> Check:
    """Slow frames in bursts of eight: how often the bound above which p99 is said not to lie is wrong."""
    chance = np.random.default_rng(0)
    true = float(np.percentile(bursts(chance, 1_000_000), 99))
    taken = [bursts(chance, 9000) for _ in range(runs)]
    found = sum(_too_low(each, true) for each in taken) / runs
    wrong = sum(_too_low(chance.permutation(each), true) for each in taken) / runs  # in any order they look independent
    return Check(
        "the upper bound of p99 where slow frames come in bursts",
        "is too low in 3 % of runs at most",
        f"in {found:.1%} of {runs}",
        "PASS" if found <= 0.03 else "FAIL",
        f"as if they were independent: {wrong:.1%}",
        wrong > 0.03,
    )


def own_cost() -> Check:
    """What the harness computes itself, against what it measures."""
    found, wrong = _own_share(), _own_share(gc.collect)
    return Check(
        "the harness’s own cost",
        "less than 1 % of what it measures",
        f"{found:.2%}",
        "PASS" if found < 0.01 else "FAIL",
        f"it collects garbage after each round: {wrong:.1%}",
        wrong >= 0.01,
    )


class _Lazy:
    """An engine that builds its kernels when it runs for the first time."""

    def __init__(self, run: Callable[[], None], times: int) -> None:
        self._run, self._times = run, times

    def __call__(self) -> None:
        for _ in range(self._times):
            self._run()
        self._times = 1


def _busy(cost_ms: float = COST_MS) -> None:
    """Computes until so much CPU time of this thread is spent, whatever the clock of the core is."""
    until = time.thread_time_ns() + cost_ms * 1e6
    while time.thread_time_ns() < until:
        pass


def _mean_of_all(taken: Samples) -> float:
    return float(np.mean([*taken.warm_up_ms, *taken.cpu_ms]))


def _called_different(runs: int, cost_ms: float, measured: Callable[[NoisyHost, float], Ratio]) -> int:
    ratios = (measured(NoisyHost(seed), cost_ms) for seed in range(runs))
    return sum(change(each, LEAST) in ("faster", "slower") for each in ratios)


def _in_turn(host: NoisyHost, cost_ms: float) -> Ratio:
    taken = interleave({"a": host.engine(COST_MS), "b": host.engine(cost_ms)}, _ROUNDS, clock=host.now)
    return ratio(taken["b"], taken["a"])


def _one_after_the_other(host: NoisyHost, cost_ms: float) -> Ratio:
    a, b = _alone(host), _alone(host, cost_ms)
    return ratio(b, a)


def _alone(host: NoisyHost, cost_ms: float = COST_MS) -> Samples:
    return interleave({"engine": host.engine(cost_ms)}, _ROUNDS, clock=host.now)["engine"]


def _compared(before: Samples, after: Samples) -> Change:
    a, b = (Measured(Executed("a", "", "", "", 1, False, whole=each), SingleStream()) for each in (before, after))
    return next(differences("a", a, b, LEAST_APART)).change


def _apart(before: Samples, after: Samples) -> Ratio:
    return unpaired_ratio(np.array(after.round_medians), np.array(before.round_medians))


def _most(runs: int) -> int:
    return round(0.95 * runs)


def _tail(taken_ms: Sequence[float]) -> tuple[float, float]:
    """p99.9, and the share of runs that missed the deadline."""
    return nearest_rank(taken_ms, 99.9), sum(each > DEADLINE_MS for each in taken_ms) / len(taken_ms)


def _clipped(taken_ms: Sequence[float]) -> list[float]:
    far = float(np.mean(taken_ms) + 3 * np.std(taken_ms))
    return [each for each in taken_ms if each <= far]


def _too_low(taken_ms: Array, true: float) -> bool:
    high = bounds(taken_ms.tolist(), 99).high
    return high is not None and high < true


def _own_share(between: Callable[[], object] = lambda: None) -> float:
    """CPU time from the first round to the last that is in no sample, as a share of that in the samples; `between` is
    what a harness does after each round."""
    spent: list[float] = []

    def note(*_: int) -> None:
        between()
        spent.append(time.process_time())

    taken = interleave({"engine": _busy}, _ROUNDS, note)["engine"]
    measured = sum(taken.cpu_ms[_ROUNDS.block :]) / 1e3
    return (spent[-1] - spent[0]) / measured - 1
