"""How much of what this host can multiply in INT8 a bundle's INT8 variants make use of, on one thread.

    python -m edgekit.benchmarks.speed.peak grocery-1.0.ekb

The peak is not a datasheet's: it is a net of dense convolutions, which runs in turn with the variants. Small nets of
depthwise convolutions stay far below it in every engine, since moving their values takes longer than multiplying them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.benchmarks.probe import DenseInt8
from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.benchmarks.speed.promise import Kept, Promise, at_least, text
from edgekit.benchmarks.work import Work, work_of
from edgekit.bundle import Bundle
from edgekit.engines import open_session
from edgekit.errors import EngineError, EngineMissing
from edgekit.host import Host
from edgekit.measure import Ratio, Rounds, Samples, cpu_ratio, interleave
from edgekit.plan import EngineName, EnginePlan

SHARE = 0.35
VNNI = ("avx512_vnni", "avx_vnni")  # the promise is for cores with one of these

_PEAK = "dense INT8"
_ROUNDS = Rounds(rounds=40, block=10)


@dataclass(frozen=True)
class Use:
    """One variant beside the dense net, in the same rounds."""

    variant: str
    engine: str
    work: Work
    taken: Samples
    dense: Samples

    @property
    def share(self) -> Ratio:
        """Of the peak, by CPU time."""
        found, less = cpu_ratio(self.dense, self.taken), self.work.macs / DenseInt8.macs
        return Ratio(found.median * less, found.low * less, found.high * less)

    @property
    def gmac_s(self) -> float:
        return self.work.macs / self.taken.median_cpu_ms / 1e6

    @property
    def peak_gmac_s(self) -> float:
        return DenseInt8.macs / self.dense.median_cpu_ms / 1e6


def measure(bundle: Bundle, engines: Mapping[str, EngineName], rounds: Rounds = _ROUNDS) -> list[Use]:
    """engines: of the variants to measure, by name. `EngineError` where OpenVINO, which gives the peak, cannot."""
    work, dense = work_of(bundle), DenseInt8()
    with ExitStack() as stack:
        runs: dict[str, Callable[[], object]] = {_PEAK: dense.run}
        versions = {}
        for name, engine in engines.items():
            variant = bundle.variant(name)
            session = stack.enter_context(open_session(bundle.artifact(variant), EnginePlan(engine, threads=1)))
            tensor = np.zeros(variant.input.shape, variant.input.dtype)
            runs[name] = lambda session=session, tensor=tensor: session.run(tensor)  # type: ignore[misc]
            versions[name] = session.engine
        taken = interleave(runs, rounds)
    return [Use(name, version, work, taken[name], taken[_PEAK]) for name, version in versions.items()]


def promise(model: str, use: Use, isa: frozenset[str]) -> Promise:
    """isa: of the host. Only a 'depthwise' net on a VNNI core was promised anything."""
    promised = use.work.family == "depthwise" and any(flag in isa for flag in VNNI)
    share = use.share
    kept: Kept = at_least(SHARE, share.median) if promised else "not promised"
    return Promise(
        what=f"share of INT8 peak, {model}, {use.variant}",
        target=f"at least {SHARE:.0%}" if promised else "none",
        result=f"{share.median:.0%} ({share.low:.0%} to {share.high:.0%})",
        kept=kept,
        how=(
            f"{use.engine}, 1 thread, CPU time: {use.work.macs / 1e6:.0f} MMAC of a {use.work.family} net in "
            f"{use.taken.median_cpu_ms:.2f} ms are {use.gmac_s:.0f} GMAC/s; dense convolutions come to "
            f"{use.peak_gmac_s:.0f}"
        ),
    )


def promises(bundle: Path | str, rounds: Rounds = _ROUNDS) -> list[Promise]:
    """The promise for each INT8 variant of a bundle; one whose engine is not here was not measured."""
    engines: dict[str, EngineName] = {}
    kept: list[Promise] = []
    with Bundle.open(bundle) as opened:
        model = opened.manifest.name
        for variant in (each for each in opened.manifest.variants if each.precision == "int8"):
            try:
                engines[variant.name] = own_engine(variant)
            except EngineMissing as missing:
                kept.append(_unmeasured(f"{model}, {variant.name}", missing))
        if not engines:
            return kept
        try:
            found = measure(opened, engines, rounds)
        except EngineError as absent:
            return [*kept, _unmeasured(model, absent)]
    isa = Host.probe().isa
    return [*(promise(model, use, isa) for use in found), *kept]


def _unmeasured(what: str, why: EngineError) -> Promise:
    return Promise(f"share of INT8 peak, {what}", "", "", "not measured", str(why))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(text(promises(path)), end="")
