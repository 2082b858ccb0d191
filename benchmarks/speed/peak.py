"""How much of what this host can multiply in INT8 a bundle's INT8 variants make use of, on one thread.

    python -m edgekit.benchmarks.speed.peak grocery-1.0.ekb

The peak is not a datasheet's: it is a net of dense convolutions, which runs in turn with the variants. Small nets of
depthwise convolutions stay far below it in every engine, since moving their values takes longer than multiplying them.
Of each round the quickest run of either counts, by CPU time: what a neighbour leaves in the caches slows small layers
more than large ones, and on a host with a load of 10 made 27 % by medians of what were 43 % on a quieter one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.benchmarks.probe import DenseInt8
from edgekit.benchmarks.speed.command import BUNDLES, asked, tell
from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.benchmarks.speed.promise import Kept, Promise, at_least
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
        """Of the peak."""
        found, less = cpu_ratio(_quickest(self.dense), _quickest(self.taken)), self.work.macs / DenseInt8.macs
        return Ratio(found.median * less, found.low * less, found.high * less)

    @property
    def ms(self) -> float:
        return _quickest(self.taken).median_cpu_ms

    @property
    def peak_gmac_s(self) -> float:
        return DenseInt8.macs / _quickest(self.dense).median_cpu_ms / 1e6


def _quickest(samples: Samples) -> Samples:
    """The one run of each round that took the least CPU time."""
    pairs = list(zip(samples.cpu_ms, samples.wall_ms, strict=True))
    rounds = [min(pairs[i : i + samples.block]) for i in range(0, len(pairs), samples.block)]
    return Samples(tuple(wall for _, wall in rounds), tuple(cpu for cpu, _ in rounds), (), 1)


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
    kept: Kept = at_least(SHARE, share) if promised else "not promised"
    return Promise(
        what=f"share of INT8 peak, {model}, {use.variant}",
        target=f"at least {SHARE:.0%}" if promised else "none",
        result=f"{share.median:.1%} ({share.low:.1%} to {share.high:.1%})",
        kept=kept,
        how=(
            f"{use.engine}, 1 thread, CPU time: {use.work.macs / 1e6:.0f} MMAC of a {use.work.family} net in "
            f"{use.ms:.2f} ms are {use.work.macs / use.ms / 1e6:.0f} GMAC/s; dense convolutions come to "
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
    tell(each for path in asked(__doc__, bundles=BUNDLES).bundles for each in promises(path))
