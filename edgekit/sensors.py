"""Reads single files of /proc and /sys: the heat, the clocks and the memory of this machine at this moment.

What a machine does not tell is None, or absent from a mapping, and never 0: containers hide their sensors, boards lack
some, and drivers refuse at times. Paths are looked up once and then read again and again; `root` is "/" except in
tests.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

_PART = 1 << 16


def text(path: Path | str) -> str | None:
    """The file's text without the white space around it; None where there is none, or its driver refuses to tell.

    By the system's own calls: `Path.read_text` takes twice as long, and a watcher reads dozens of files a second
    beside what it watches.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _whole(handle).decode(errors="replace").strip().rstrip("\0") or None
    except OSError:  # a zone of a sleeping core, a rail of a sleeping chip
        return None
    finally:
        os.close(handle)


def _whole(handle: int) -> bytes:
    """Until nothing more comes: /proc gives a page at a time, however much is asked for."""
    parts = []
    while part := os.read(handle, _PART):
        parts.append(part)
    return b"".join(parts)


def number(value: str | None) -> float | None:
    """`value` as a finite number."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def thousandths(path: Path | str) -> float | None:
    """What the file says in thousandths: degrees of a thermal zone, megahertz of cpufreq."""
    found = number(text(path))
    return None if found is None else found / 1000


def in_order(root: Path, pattern: str) -> list[Path]:
    """The paths under `root` that match, ordered as a person counts: cpu2 before cpu10."""
    return sorted(root.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", path.as_posix())])


def cpufreq(root: Path) -> list[Path]:
    """The cpufreq folder of each core that has one."""
    return in_order(root, "sys/devices/system/cpu/cpu[0-9]*/cpufreq")


def zones(root: Path) -> dict[str, Path]:
    """Thermal zones by their type; a type that comes twice has its number in its name."""
    found: dict[str, Path] = {}
    for zone in in_order(root, "sys/class/thermal/thermal_zone*"):
        name = text(zone / "type") or zone.name
        found[name if name not in found else f"{name} ({zone.name})"] = zone
    return found


def hwmon(root: Path, name: str) -> list[Path]:
    """The hwmon folders of a driver of that name."""
    return [folder for folder in in_order(root, "sys/class/hwmon/hwmon*") if text(folder / "name") == name]


def temperatures_c(found: Mapping[str, Path]) -> dict[str, float | None]:
    """Degrees Celsius by zone, of what `zones` found."""
    return {name: thousandths(zone / "temp") for name, zone in found.items()}


def memory_mb(root: Path, of: str) -> float | None:
    """An entry of /proc/meminfo: 'MemTotal', 'MemAvailable' (to be had without swapping)."""
    for line in (text(root / "proc/meminfo") or "").splitlines():
        if line.startswith(f"{of}:"):
            kilobytes = number(line.removeprefix(f"{of}:").removesuffix("kB"))
            return None if kilobytes is None else kilobytes / 1024
    return None


def pressure(root: Path, of: str) -> float | None:
    """Per cent of the last 10 s in which some task waited for 'memory' or 'cpu' ("some avg10": PSI,
    Documentation/accounting/psi.rst)."""
    for line in (text(root / "proc/pressure" / of) or "").splitlines():
        if line.startswith("some "):
            figures = dict(word.partition("=")[::2] for word in line.split()[1:])
            return number(figures.get("avg10"))
    return None


def load(root: Path) -> float | None:
    """Processes that wanted a core, the mean of the last minute."""
    return number(next(iter((text(root / "proc/loadavg") or "").split()), None))
