"""How sure a figure is: bounds of percentiles and of shares, and whether two measurements differ.

    bounds(frame_ms, 99)            # the true p99 lies above .low and below .high, each at 99 % confidence
    share_bounds(dropped, arrived)

Both ask the binomial distribution how many samples may exceed a percentile by chance, as MLPerf's LoadGen does when it
stops early (mlcommons/inference, loadgen/early_stopping.cc). That distribution assumes independent samples, and samples
of a camera are not: stalls come in bursts, a hot board is slow for seconds. So n samples count as n / clustering ones,
where the clustering is how many times as much the exceedances vary from block to block as independent ones would: the
design effect of Korn and Graubard (Survey Methodology 24, 1998) and of Kish.

What remains assumed is that the run looks like the time it stands for: no arithmetic sees a stall that comes once an
hour in a run of a minute. By simulation, 400 runs each, a bound that should fail in 1 % of runs fails in at most 1.5 %
where samples are independent, heavy tails or not, and in 2.3 % of runs of 9000 samples that are correlated by 0.9 (26 %
without the clustering). Of bursts of 8 slow frames every 400, the upper bound of p99 fails in 0.3 % of runs of 9000
frames (22 % without) and in 16 % of runs of 900, most of which saw no burst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.measure import Ratio, nearest_rank, samples_needed

Array: TypeAlias = npt.NDArray[Any]

CONFIDENCE = 0.99  # of each bound by itself, as in LoadGen
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Bounds:
    """Between which a true figure lies, each bound at `CONFIDENCE` where this module gave it. None: the samples set no
    bound on that side.

    independent: as how many independent samples they count.
    """

    low: float | None
    high: float | None
    independent: int


def bounds(values: Sequence[float], percent: float) -> Bounds:
    """Of a percentile of what `values`, in the order they were taken, are samples of: two of them, by rank.

    high is None with fewer than `samples_needed(percent)` samples, clustering counted. low then is that of the highest
    percentile below that has enough: a p99 is at least the p90.
    """
    ordered = np.sort(np.array(values, float))
    clusters = _clusters(np.array(values, float), percent)
    independent = int(len(ordered) / clusters)
    if independent < samples_needed(percent):
        below = max((each for each in PERCENTILES if each < percent), default=None)
        low = None if below is None else bounds(values, below).low
        return Bounds(low, None, independent)
    fewest, most = _exceedances(independent, 1 - percent / 100)
    above = len(ordered) - math.ceil(most * clusters)
    return Bounds(
        float(ordered[above]) if above >= 0 else None,
        float(ordered[len(ordered) - 1 - math.floor(fewest * clusters)]),
        independent,
    )


def share_bounds(hits: int, of: int, clusters: float = 1.0) -> Bounds:
    """Of the share whose sample is `hits` in `of`: the interval of Clopper and Pearson (Biometrika 26, 1934), with as
    many in it as are independent. clusters: what `clustering` found, 1.0 for independent hits."""
    if not 0 <= hits <= of or clusters < 1:
        raise ValueError(f"hits must be 0 to of and clusters at least 1; got {hits} of {of}, clusters {clusters:g}")
    independent = int(of / clusters)
    if independent < 1:
        return Bounds(None, None, 0)
    few, many = int(hits / clusters), min(independent, math.ceil(hits / clusters))
    low = _solve(lambda share: 1 - _at_most(few - 1, independent, share) - (1 - CONFIDENCE)) if few else 0.0
    high = _solve(lambda share: (1 - CONFIDENCE) - _at_most(many, independent, share)) if many < independent else 1.0
    return Bounds(low, high, independent)


def clustering(hits: Array, of: Array) -> float:
    """How many times as much the share `hits` / `of` varies from block to block as if each hit came by itself; 1 at
    least.

    hits, of: counts in the order they were taken, (n,). Blocks are of sqrt(n) entries, so that they are about as many
    as they are long.
    """
    length = max(1, round(math.sqrt(len(hits))))
    starts = np.arange(0, len(hits), length)
    if len(starts) < 2 or not 0 < hits.sum() < of.sum():
        return 1.0
    hits_of, of_of = (np.add.reduceat(each.astype(float), starts) for each in (hits, of))
    share = hits.sum() / of.sum()
    seen = len(starts) / (len(starts) - 1) * float(((hits_of - share * of_of) ** 2).sum())
    return max(1.0, float(seen / (share * (1 - share) * of.sum())))


def unpaired_ratio(a: Array, b: Array, seed: int = 0, draws: int = 2000) -> Ratio:
    """A over B where nothing ties a round of one to a round of the other: of two runs. a, b: medians of rounds, (n,)
    and (m,).

    Each is drawn anew by itself in runs of consecutive rounds, n ** (1/3) long, for neighbouring rounds are alike: the
    circular block bootstrap (Politis and Romano, 1992). What lies between the two runs is not in the interval.
    """
    chance = np.random.default_rng(seed)
    drawn = _drawn_medians(a, draws, chance) / _drawn_medians(b, draws, chance)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Ratio(float(np.median(a) / np.median(b)), float(low), float(high))


def drift(medians: Array) -> float:
    """By how much the slowest quarter of a run was slower than its quickest: 0.05 is 5 per cent. What a machine does
    to itself during a run it does between two as well."""
    quarters = [float(np.median(each)) for each in np.array_split(medians, 4) if len(each)]
    return max(quarters) / min(quarters) - 1


def _drawn_medians(medians: Array, draws: int, chance: np.random.Generator) -> Array:
    n = len(medians)
    length = max(1, round(n ** (1 / 3)))
    starts = chance.integers(0, n, (draws, math.ceil(n / length), 1))
    index = ((starts + np.arange(length)) % n).reshape(draws, -1)[:, :n]
    return np.asarray(np.median(medians[index], axis=1))


def _clusters(values: Array, percent: float) -> float:
    if not len(values):
        return 1.0
    exceeds = values > nearest_rank(values.tolist(), percent)
    return clustering(exceeds, np.ones(len(values)))


def _exceedances(n: int, share: float) -> tuple[int, int]:
    """(fewest, most): so few or fewer of n samples, and so many or more, exceed a percentile by chance in 1 run of 100
    each, where `share` of what they are samples of exceeds it."""
    at_most = _cumulative(n, n, share)
    fewest = int(np.searchsorted(at_most, 1 - CONFIDENCE, side="right")) - 1
    most = int(np.searchsorted(at_most, CONFIDENCE)) + 1
    return fewest, most


def _cumulative(k: int, n: int, share: float) -> Array:
    """P(Binomial(n, share) <= 0), ... <= k."""
    i = np.arange(1, k + 1)
    steps = np.log((n - i + 1) / i) + math.log(share) - math.log1p(-share)
    logs = n * math.log1p(-share) + np.concatenate([[0.0], np.cumsum(steps)])
    return np.asarray(np.cumsum(np.exp(logs)))


def _at_most(k: int, n: int, share: float) -> float:
    return float(_cumulative(k, n, share)[-1])


def _solve(increasing: Callable[[float], float]) -> float:
    """Where it is 0 between 0 and 1, to 2 ** -40."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return (low + high) / 2
