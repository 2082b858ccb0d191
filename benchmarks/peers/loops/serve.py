"""The other end of a peer's pipe: starts its loop, then runs a block of frames whenever it is told to.

Standard library and numpy only, since each peer's own Python runs it. A line of JSON each way: the first answer is what
the start cost, and after a line with a number of frames come their times. The process stays on one core from its first
moment, so what an engine does by itself with more threads it does on that core as well.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

# A loop takes a picture, (height, width, 3) uint8 BGR, and says how many things it found.
Loop: TypeAlias = Callable[[Any], int]


def serve(start: Callable[[dict[str, Any], Any], tuple[Loop, dict[str, str]]]) -> None:
    """`start` gets what is asked for and the first picture; it gives the loop, and versions and the like by name."""
    asked = json.loads(sys.argv[1])
    os.sched_setaffinity(0, {asked["core"]})
    talk = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers

    import numpy as np

    frames = np.load(asked["frames"], mmap_mode="r")
    began = _spent()
    loop, facts = start(asked, frames[0])
    found = loop(np.array(frames[0]))
    used = resource.getrusage(resource.RUSAGE_SELF)
    first = {"cpu_s": used.ru_utime + used.ru_stime, "peak_mb": _peak_mb(), "found": found, "facts": facts}
    first["first_s"] = (_spent()[0] - began[0]) / 1e9
    _say(talk, first)
    pictures = [np.array(each) for each in frames]
    position = 0
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            before = _spent()
            found = loop(pictures[position % len(pictures)])
            after = _spent()
            times.append([(after[0] - before[0]) / 1e6, (after[1] - before[1]) / 1e6, found])
            position += 1
        _say(talk, times)


def _say(talk: Any, what: object) -> None:
    print(json.dumps(what), file=talk, flush=True)


def _spent() -> tuple[int, int]:
    return time.perf_counter_ns(), time.process_time_ns()


def _peak_mb() -> float:
    """From /proc: getrusage would give the peak of the process that started this one, where that is larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
