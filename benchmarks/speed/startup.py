"""What a cold start costs: CPU seconds and memory of a fresh interpreter, from nothing to the first result.

    python -m edgekit.benchmarks.speed.startup cart.ekb

Each variant starts in interpreters of its own, in turn, each in the engine that made its format; nothing is warm but
the disk's cache. OpenVINO compiles a model at its first start on a board and keeps that for the later ones, so it has
two figures. Beside them starts one that imports numpy and OpenCV and does nothing: below that nobody comes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.benchmarks.speed.promise import Kept, Promise, text
from edgekit.bundle import Bundle
from edgekit.engines.compiled import FOLDER
from edgekit.errors import EngineMissing

CPU_S, PEAK_MB = 0.6, 150.0
BARE = "numpy and OpenCV alone"
FIRST = ", first start"

_OPEN = """
import sys
import numpy as np
from edgekit.tasks import open_task
with open_task(sys.argv[1], variant=sys.argv[2], engine=sys.argv[3]) as task:
    task(np.zeros((720, 1280, 3), np.uint8))
"""
# The peak is read from /proc: getrusage would give that of the process which started this one, where it is larger.
_TELL = """
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024]))
"""


@dataclass(frozen=True)
class Start:
    """One cold start: CPU seconds of all threads, and the most memory that was resident, in megabytes."""

    cpu_s: float
    peak_mb: float


def measure(bundle: Path | str, engines: Mapping[str, str], runs: int = 5) -> dict[str, list[Start]]:
    """`runs` cold starts of each variant in `engines`, variant -> engine, and of `BARE`. With OpenVINO they are later
    starts, and first ones are taken beside them as '<variant>, first start'."""
    commands = {name: [_OPEN + _TELL, str(bundle), name, engine] for name, engine in engines.items()}
    compiling = {f"{name}{FIRST}": commands[name] for name, engine in engines.items() if engine == "openvino"}
    commands |= {**compiling, BARE: ["import numpy, cv2" + _TELL]}
    taken: dict[str, list[Start]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for name in compiling:
            _start(commands[name], f"{folder}/kept")
        for run in range(runs):
            for name, arguments in commands.items():
                taken[name].append(
                    _start(arguments, f"{folder}/{name}-{run}" if name in compiling else f"{folder}/kept")
                )
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


def _start(arguments: list[str], compiled: str) -> Start:
    """compiled: the folder in which compiled models are kept."""
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, FOLDER: compiled},
    )
    if done.returncode:
        raise RuntimeError(f"a cold start failed: {done.stderr.strip().splitlines()[-1:]}")
    return Start(*json.loads(done.stdout))


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(text(promises(path)), end="")
