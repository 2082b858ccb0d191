"""How the board is doing at this moment: its heat, its free memory, and whether its firmware slows it down.

What the board does not tell is None and never 0. These few files are read every few seconds for years, so they are
read by themselves: `Host.probe` also asks every core for its clock, which on x86 can wake it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.sensors import memory_mb, pressure, text, thousandths
from edgekit.throttling import firmware_file, firmware_flags


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
        memory_available_mb=memory_mb(root, "MemAvailable"),
        memory_pressure=pressure(root, "memory"),
        throttled=firmware_flags(firmware_file(root)),
    )


def _heat_c(root: Path, zone: str | None) -> float | None:
    zones = (root / "sys/class/thermal").glob("thermal_zone*")
    heats = (thousandths(each / "temp") for each in zones if zone is None or text(each / "type") == zone)
    return max((heat for heat in heats if heat is not None), default=None)
