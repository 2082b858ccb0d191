"""What a cold start costs: CPU seconds and memory of a fresh interpreter, from nothing to the first result.

    python -m edgekit.benchmarks.speed.startup cart.ekb

Each variant starts in interpreters of its own, in turn, each in the engine that made its format; nothing is warm but
the disk's cache. OpenVINO compiles a model at its first start on a board and keeps that for the later ones, so it has
two figures. Beside them starts one that imports numpy and OpenCV and does nothing: below that nobody comes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from edgekit.benchmarks.result import Start
from edgekit.benchmarks.scenarios.cold_start import bare_start, start
from edgekit.benchmarks.speed.command import BUNDLES, asked, tell
from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.benchmarks.speed.promise import Kept, Promise
from edgekit.bundle import Bundle
from edgekit.errors import EngineMissing

CPU_S, PEAK_MB = 0.6, 150.0
BARE = "numpy and OpenCV alone"
FIRST = ", first start"


def measure(bundle: Path | str, engines: Mapping[str, str], runs: int = 5) -> dict[str, list[Start]]:
    """`runs` cold starts of each variant in `engines`, variant -> engine, and of `BARE`. With OpenVINO they are later
    starts, and first ones are taken beside them as '<variant>, first start'."""
    compiling = [name for name, engine in engines.items() if engine == "openvino"]
    taken: dict[str, list[Start]] = {name: [] for name in (*engines, *(f"{name}{FIRST}" for name in compiling), BARE)}
    with tempfile.TemporaryDirectory() as folder:
        for name in compiling:
            start(bundle, name, f"{folder}/kept", engine="openvino")
        for run in range(runs):
            for name, engine in engines.items():
                taken[name].append(start(bundle, name, f"{folder}/kept", engine=engine))
            for name in compiling:
                taken[f"{name}{FIRST}"].append(start(bundle, name, f"{folder}/{name}-{run}", engine="openvino"))
            taken[BARE].append(bare_start())
    return taken


def promises(bundle: Path | str, runs: int = 5) -> list[Promise]:
    """The promise for each variant; one whose engine is not here was not measured."""
    engines: dict[str, str] = {}
    missing: list[Promise] = []
    with Bundle.open(bundle) as opened:
        model = opened.manifest.name
        for variant in opened.manifest.variants:
            try:
                engines[variant.name] = own_engine(variant)
            except EngineMissing as absent:
                missing.append(Promise(f"cold start, {model}, {variant.name}", "", "", "not measured", str(absent)))
    taken = measure(bundle, engines, runs)
    floor = f"{BARE}: {_spread(taken.pop(BARE))}"
    kept = [
        Promise(
            what=f"cold start, {model}, {name}",
            target=f"at most {CPU_S} CPU-s and {PEAK_MB:.0f} MB",
            result=_spread(starts),
            kept=_kept(starts),
            how=f"{engines[name.removesuffix(FIRST)]}, {runs} fresh interpreters up to the first result; {floor}",
        )
        for name, starts in taken.items()
    ]
    return kept + missing


def _kept(starts: Sequence[Start]) -> Kept:
    good = median(each.cpu_s for each in starts) <= CPU_S and median(each.peak_mb for each in starts) <= PEAK_MB
    return "met" if good else "not met"


def _spread(starts: Sequence[Start]) -> str:
    seconds, megabytes = [each.cpu_s for each in starts], [each.peak_mb for each in starts]
    return (
        f"{median(seconds):.2f} CPU-s ({min(seconds):.2f} to {max(seconds):.2f}), "
        f"{median(megabytes):.0f} MB ({min(megabytes):.0f} to {max(megabytes):.0f})"
    )


if __name__ == "__main__":
    tell(each for path in asked(__doc__, bundles=BUNDLES).bundles for each in promises(path))
