"""What a model should take on a host where it was not measured: a roofline, with the errors that it made where it was.

    with Bundle.open("cart.ekb") as bundle:
        print(estimate(work_of(bundle), "onnxruntime", "int8", probe(), Baseline.load("generic")))

A picture's time is its multiply-adds over a rate of arithmetic plus the values moved over a rate of memory (the
roofline of Williams, Waterman and Patterson 2009, with both in turn: in nets of small layers little of one hides behind
the other), plus what a call costs whatever the net. The three are fitted to a baseline's models of one family in one
engine and precision, and scaled by how fast the probe finds the two hosts' arithmetic: these values come from caches,
whose speed goes with the core's and not with the memory's. The band is what each of these models is off when it is
estimated from the others.

The step to another host was checked on one, before a call had a cost of its own: MobileNetV2 at 224 on a Zen 5 core,
2.5 times as fast, float and INT8 in three engines, came to 0.84 to 1.04 of what was measured there, five of the six
within their bands. Scaled by copying from memory as well it had come to 0.99 to 1.47. No Arm core was at hand. An
estimate is for planning a purchase; it passes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.benchmarks.baselines import Baseline, Measured
from edgekit.benchmarks.probe import Probe
from edgekit.benchmarks.work import Work, work_of
from edgekit.bundle import Bundle, Variant
from edgekit.errors import ResultError
from edgekit.plan import ENGINES, EngineName

Precision: TypeAlias = Literal["float", "int8"]
Values: TypeAlias = npt.NDArray[np.float64]

_LEAST = 5  # models: three numbers are fitted to all but one of them


@dataclass(frozen=True)
class Estimate:
    """Milliseconds on one thread that has its core to itself, and between what they lie if the model is as far off as
    the worst that was checked. how: from what, and what was not checked."""

    low_ms: float
    ms: float
    high_ms: float
    how: str

    def __str__(self) -> str:
        return f"estimated {self.ms:.2f} ms ({self.low_ms:.2f} to {self.high_ms:.2f}): {self.how}"


@dataclass(frozen=True)
class Roofline:
    """Milliseconds for a million multiply-adds, for a million values moved, and for a call."""

    mac_ms: float
    element_ms: float
    call_ms: float = 0.0

    def ms(self, work: Work) -> float:
        return (self.mac_ms * work.macs + self.element_ms * work.elements) / 1e6 + self.call_ms


def estimate(work: Work, engine: EngineName, precision: Precision, here: Probe, baseline: Baseline) -> Estimate:
    """On the host that `here` was found on. `ResultError` where the baseline holds too few models of the family in that
    engine to know the error, or where the host's INT8 could not be probed."""
    models = [each for each in baseline.measured if each.work.family == work.family and each.precision == precision]
    own = [each for each in models if each.engine == engine]
    if len(own) < _LEAST:
        raise ResultError(
            f"no estimate for a {work.family} net in {precision} on {engine}: its error is checked on {_LEAST} models "
            f"that were measured, and the baseline '{baseline.profile}' holds {len(own)}"
        )
    times = _times_as_fast(precision, here, baseline.probe)
    ms = fit(own).ms(work) / times
    errors = [error for name in {each.engine for each in models} for error in left_out(_of(models, name))]
    how = (
        f"a roofline through {len(own)} {work.family} nets in {engine}, {precision}, measured on {baseline.host}; "
        f"arithmetic is {times:.2f} times as fast here by the probe; the band is that of {len(errors)} estimates of "
        "models there that were left out, and holds for other kinds of CPU only by one check"
    )
    return Estimate(ms / max(1.0, *errors), ms, ms / min(1.0, *errors), how)


def fit(models: Sequence[Measured]) -> Roofline:
    """What fits best, by least squares of the relative errors; nothing is below 0.

    With so few unknowns it is the best of all ways to leave some of them at 0.
    """
    columns: Values = np.array([[each.work.macs / 1e6, each.work.elements / 1e6, 1] for each in models], np.float64)
    scaled = columns / np.array([[each.quick_ms] for each in models])
    best, least = np.zeros(3), np.inf
    for some in (list(each) for count in (1, 2, 3) for each in combinations(range(3), count)):
        found = np.zeros(3)
        found[some] = np.linalg.lstsq(scaled[:, some], np.ones(len(models)), rcond=None)[0]
        missed = float(((scaled @ found - 1) ** 2).sum())
        if found.min() >= 0 and missed < least:
            best, least = found, missed
    return Roofline(*map(float, best))


def left_out(models: Sequence[Measured]) -> list[float]:
    """Of each model, what it would be estimated at from the others, over what it was measured at. Too few give none."""
    if len(models) < _LEAST:
        return []
    others = [[each for each in models if each is not model] for model in models]
    return [fit(rest).ms(model.work) / model.quick_ms for rest, model in zip(others, models, strict=True)]


def _of(models: Sequence[Measured], engine: EngineName) -> list[Measured]:
    return [each for each in models if each.engine == engine]


def _times_as_fast(precision: Precision, here: Probe, there: Probe) -> float:
    if precision == "float":
        return here.f32_gmac_s / there.f32_gmac_s
    if here.int8_gmac_s is None or there.int8_gmac_s is None:
        raise ResultError(
            "no estimate in int8: its speed was not probed, which OpenVINO does: pip install 'edgekit[openvino]'"
        )
    return here.int8_gmac_s / there.int8_gmac_s


def estimates(bundle: Bundle, here: Probe, baseline: Baseline) -> dict[str, Estimate | str]:
    """For every variant of a bundle, in the engine that made its format; where there is none, why."""
    work = work_of(bundle)

    def of(variant: Variant) -> Estimate | str:
        try:
            return estimate(work, ENGINES[variant.format][0], variant.precision, here, baseline)
        except ResultError as none:
            return str(none)

    return {each.name: of(each) for each in bundle.manifest.variants}
