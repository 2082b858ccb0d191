"""How the board is doing at this moment: its heat, its free memory, and whether its firmware slows it down.

What the board does not tell is None and never 0. These few files are read every few seconds for years, so they are
read by themselves: `Host.probe` also asks every core for its clock, which on x86 can wake it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

# `vcgencmd get_throttled` in the Raspberry Pi documentation: bits 0 to 3 are now, 16 to 19 since power was applied.
_THROTTLED = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_THROTTLED_SINCE_BOOT = {bit + 16: f"{name} since boot" for bit, name in _THROTTLED.items()}
# "soc/soc:firmware" up to the Raspberry Pi 4; later device trees put the bus address behind "soc".
_THROTTLED_FILES = "sys/devices/platform/soc*/soc*:firmware/get_throttled"


@dataclass(frozen=True)
class Reading:
    """One look at the board.

    heat_c: degrees Celsius. memory_available_mb: what can be had without swapping, MemAvailable of /proc/meminfo.
    memory_pressure: per cent of the last 10 s in which some task waited for memory (PSI, "some avg10"). throttled: what
    a Raspberry Pi's firmware complains of, () when it is content.
    """

    heat_c: float | None = None
    memory_available_mb: float | None = None
    memory_pressure: float | None = None
    throttled: tuple[str, ...] | None = None


def read_sensors(root: Path | str = "/", zone: str | None = None) -> Reading:
    """The board whose /proc and /sys lie under `root`.

    zone: the type of the thermal zone that tells the processor's heat, as a device profile names it; where two zones
    have that type, and where none is named, the hottest.
    """
    root = Path(root)
    return Reading(
        heat_c=_heat_c(root, zone),
        memory_available_mb=_memory_available_mb(root),
        memory_pressure=_memory_pressure(root),
        throttled=_throttled(root),
    )


def _heat_c(root: Path, zone: str | None) -> float | None:
    zones = (root / "sys/class/thermal").glob("thermal_zone*")
    heats = (_number(_text(each / "temp")) for each in zones if zone is None or _text(each / "type") == zone)
    return max((heat / 1000 for heat in heats if heat is not None), default=None)


def _memory_available_mb(root: Path) -> float | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemAvailable:"):
            kilobytes = _number(line.removeprefix("MemAvailable:").removesuffix("kB"))
            return None if kilobytes is None else kilobytes / 1024
    return None


def _memory_pressure(root: Path) -> float | None:
    for line in (_text(root / "proc/pressure/memory") or "").splitlines():
        if line.startswith("some "):
            figures = dict(word.partition("=")[::2] for word in line.split()[1:])
            return _number(figures.get("avg10"))
    return None


def _throttled(root: Path) -> tuple[str, ...] | None:
    path = next(iter(sorted(root.glob(_THROTTLED_FILES))), None)
    text = None if path is None else _text(path)
    try:
        bits = int(text or "", 16)
    except ValueError:
        return None
    return tuple(name for bit, name in (_THROTTLED | _THROTTLED_SINCE_BOOT).items() if bits >> bit & 1)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _text(path: Path) -> str | None:
    """The file's text; None where it is not there or its driver refuses, as a zone of a sleeping core does."""
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
