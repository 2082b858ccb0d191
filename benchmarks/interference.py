"""How much others disturbed a measurement: the interference index, wall over CPU time.

A neighbour that takes the core costs wall time and no CPU time, so of one thread the two tell them apart: 1.005 was
measured on a quiet machine, 1.4 to 1.9 beside one neighbour on the same core.
"""

from __future__ import annotations

from edgekit.benchmarks.result import Executed

FLAGGED, REFUSED = 1.1, 1.5


def interference(executed: Executed) -> float | None:
    """Of all that was timed of a variant on one thread; None where no CPU time was taken, and of several threads, whose
    quotient is that of the cores that they kept busy."""
    timed = [(each.wall_ms, each.cpu_ms) for each in (executed.engine_only, executed.whole) if each is not None]
    if executed.frames is not None:
        timed.append((executed.frames.frame_ms, executed.frames.cpu_ms))
    cpu_ms = sum(sum(cpu) for _, cpu in timed)
    return sum(sum(wall) for wall, _ in timed) / cpu_ms if executed.threads == 1 and cpu_ms > 0 else None
