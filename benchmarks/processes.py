"""What this process and its children use of the host, and what it is busy with altogether, read from /proc.

CPU time is counted in ticks, a hundredth of a second on most kernels: a difference over a second is good to two per
cent of a core.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgekit.sensors import number, text

_TICKS_S = os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20

# Fields of /proc/PID/stat behind the name, which may hold blanks and brackets (proc_pid_stat(5) counts from 1, and two
# fields come before).
_PARENT, _TIMES, _RESIDENT = 1, slice(11, 15), 21


@dataclass(frozen=True)
class Family:
    """A process and its descendants. cpu_s: of all of them, those that ended included. rss_mb: resident; pages that
    several share are counted in each of them."""

    cpu_s: float
    rss_mb: float


def busy_s(root: Path) -> float | None:
    """Core-seconds that were worked since boot: user, nice, system, and what a hypervisor gave to others (steal).

    Interrupts are left out: those of a network camera come from the process that is measured.
    """
    first = (text(root / "proc/stat") or "").partition("\n")[0].split()
    if len(first) < 9 or first[0] != "cpu":
        return None
    user, nice, system, steal = (int(first[i]) for i in (1, 2, 3, 8))
    return (user + nice + system + steal) / _TICKS_S


def family(root: Path, pid: int) -> Family | None:
    """That process with all that it has started; None where /proc does not show it."""
    found = {pid: stat} if (stat := _stat(root, pid)) else {}
    newest = list(found)
    while newest:
        children = [child for each in newest for child in _children(root, each) if child not in found]
        stats = {child: stat for child in children if (stat := _stat(root, child))}
        found |= stats
        newest = list(stats)
    if not found:
        return None
    # The times of children that have ended and were waited for are in their parent's: the sum loses nothing.
    ticks = sum(int(ticks) for stat in found.values() for ticks in stat[_TIMES])
    return Family(ticks / _TICKS_S, sum(int(stat[_RESIDENT]) for stat in found.values()) * _PAGE_MB)


def swapped_pages(root: Path) -> float | None:
    """Pages that were swapped in and out since boot."""
    words = (text(root / "proc/vmstat") or "").split()
    counts = dict(zip(words[::2], words[1::2], strict=False))
    both = [number(counts.get(name)) for name in ("pswpin", "pswpout")]
    known = [each for each in both if each is not None]
    return sum(known) if known else None


def _stat(root: Path, pid: int) -> list[str] | None:
    line = text(root / f"proc/{pid}/stat")
    fields = line.rpartition(")")[2].split() if line else []
    return fields if len(fields) > _RESIDENT else None


def _children(root: Path, pid: int) -> list[int]:
    """Each thread has children of its own. A kernel without CONFIG_PROC_CHILDREN does not list them: then every process
    is asked for its parent."""
    try:
        threads = os.listdir(root / f"proc/{pid}/task")
    except OSError:  # it has ended
        return []
    lists = [root / f"proc/{pid}/task/{thread}/children" for thread in threads]
    if lists and not lists[0].exists():
        return _by_parent(root, pid)
    return [int(child) for each in lists for child in (text(each) or "").split()]


def _by_parent(root: Path, pid: int) -> list[int]:
    everyone = [int(name) for name in os.listdir(root / "proc") if name.isdigit()]
    return [each for each in everyone if (stat := _stat(root, each)) and stat[_PARENT] == str(pid)]
