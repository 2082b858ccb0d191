"""OpenVINO's own benchmark of the same file: its median latency, which is that of an engine without a loop."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from edgekit.benchmarks.peers.environments import PeerError
from edgekit.benchmarks.peers.models import Model
from edgekit.benchmarks.peers.pipe import QUIET

FRAMES = 200


def line(model: Model, app: Path, floats: str) -> str:
    """One thread, one request at a time; on the core on which everybody ran, but not in turn with them."""
    command = [
        str(app),
        "-m",
        str(model.onnx),
        "-d",
        "CPU",
        "-api",
        "sync",
        "-hint",
        "none",
        "-nireq",
        "1",
        "-nstreams",
        "1",
    ]
    command += ["-nthreads", "1", "-infer_precision", floats, "-niter", str(FRAMES)]
    core = {max(os.sched_getaffinity(0))}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **QUIET},
        preexec_fn=lambda: os.sched_setaffinity(0, core),
    )
    found = re.search(r"Median:\s+([\d.]+) ms", done.stdout)
    if found is None:
        last = [each for each in (done.stderr or done.stdout).splitlines() if each.strip()][-1:]
        raise PeerError(f"benchmark_app failed: {' '.join(last)}")
    return f"benchmark_app, openvino: median {float(found[1]):.2f} ms of wall time over {FRAMES} inferences"
