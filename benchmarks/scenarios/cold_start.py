"""From nothing to the first result: fresh interpreters, one after the other, nothing warm but the disk's cache.

What OpenVINO compiles at a model's first start on a board it keeps for the later ones; the starts that are counted are
later ones. An interpreter begins with the variables that `edgekit run` gives its children (`LEAN`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgekit.benchmarks.result import Executed, Start
from edgekit.benchmarks.scenario import ColdStart
from edgekit.benchmarks.scenarios.progress import Progress
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.engines.compiled import FOLDER
from edgekit.errors import EngineError
from edgekit.probe import as_text
from edgekit.profile import DeviceProfile
from edgekit.supervisor.children import LEAN

_PATIENCE_S = 300.0

_OPEN = """
import sys, time
import numpy as np
from edgekit.hostplan import Plans
from edgekit.tasks import open_task
imported = time.monotonic()
path, variant, profile, engine = sys.argv[1:]
with open_task(path, profile, variant, engine or None, Plans(())) as task:
    loaded = time.monotonic()
    task(np.zeros((720, 1280, 3), np.uint8))
    answered = time.monotonic()
"""
_BARE = """
import time
import numpy, cv2
imported = loaded = answered = time.monotonic()
"""
# The peak is read from /proc: getrusage would give that of the process which started this one, where it is larger.
_TELL = """
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([imported, loaded, answered, used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024]))
"""


def run_cold_start(
    scenario: ColdStart,
    subjects: Sequence[Subject],
    bundle: Path | str,
    profile: DeviceProfile,
    progress: Progress | None = None,
) -> tuple[Executed, ...]:
    """`scenario.starts` of each subject, in turn, after one of each that is not counted: it fills the disk's cache.

    bundle: its path. A start ends with the answer to one black picture.
    """
    starts: dict[str, list[Start]] = {subject.name: [] for subject in subjects}
    total = (scenario.starts + 1) * len(subjects)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as compiled:
        board = f"{compiled}/profile.toml"  # as it was given, wherever that came from
        Path(board).write_text(as_text(profile), encoding="utf-8")
        for turn in range(scenario.starts + 1):
            for i, subject in enumerate(subjects):
                begun = start(bundle, subject.name, compiled, profile=board)
                if turn:
                    starts[subject.name].append(begun)
                if progress is not None:
                    progress("cold starts", turn * len(subjects) + i + 1, total)
    return tuple(subject.executed(starts=tuple(starts[subject.name])) for subject in subjects)


def start(
    bundle: Path | str, variant: str, compiled: Path | str, *, profile: str = "generic", engine: str = ""
) -> Start:
    """One cold start of a variant, in the profile's engine if none is named. compiled: the folder in which compiled
    models are kept. `EngineError` says why there was no result."""
    return _run([_OPEN + _TELL, str(bundle), variant, profile, engine], compiled)


def bare_start() -> Start:
    """An interpreter that imports numpy and OpenCV and does nothing: below that nobody comes."""
    return _run([_BARE + _TELL], "")


def _run(arguments: Sequence[str], compiled: Path | str) -> Start:
    began = time.monotonic()  # one clock for all processes of a host
    try:
        done = subprocess.run(
            [sys.executable, "-c", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_PATIENCE_S,
            env={**LEAN, **os.environ, FOLDER: str(compiled)},
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"a cold start came to no result within {_PATIENCE_S:g} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise EngineError(f"a cold start failed: {said[-1]}")
    imported, loaded, answered, cpu_s, peak_mb = json.loads(done.stdout)
    return Start(answered - began, imported - began, loaded - imported, cpu_s, peak_mb)
