"""What a cold start costs: CPU seconds and memory of a fresh interpreter from nothing to the first result.

    python -m edgekit.benchmarks.speed.startup cart.ekb

Each variant runs in interpreters of its own, in turn, so that nothing is warm but the disk.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle

_CHILD = """
import sys
import numpy as np
from edgekit.tasks import open_task
task = open_task(sys.argv[1], variant=sys.argv[2])
task(np.zeros((720, 1280, 3), np.uint8))
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "rss_mb": used.ru_maxrss / 1024}))
"""


def measure(bundle: Path, runs: int = 5) -> dict[str, Any]:
    """Per variant the median and the range of CPU seconds and peak resident megabytes over `runs` interpreters."""
    with Bundle.open(bundle) as opened:
        names = [variant.name for variant in opened.manifest.variants]
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(runs):
        for name in names:
            taken[name].append(_start(bundle, name))
    return {
        name: {key: _spread([each[key] for each in found]) for key in ("cpu_s", "rss_mb")}
        for name, found in taken.items()
    }


def _start(bundle: Path, variant: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, "-c", _CHILD, bundle, variant], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


if __name__ == "__main__":
    for variant, figures in measure(Path(sys.argv[1])).items():
        cpu, rss = figures["cpu_s"], figures["rss_mb"]
        print(
            f"{variant:16} {cpu['median']:.2f} CPU-s ({cpu['min']:.2f} to {cpu['max']:.2f}), "
            f"{rss['median']:.0f} MB ({rss['min']:.0f} to {rss['max']:.0f})"
        )
