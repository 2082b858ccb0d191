"""What this machine says of itself: its board, cores, clock, memory and temperatures, read from /proc and /sys.

A figure that the machine does not tell is None and never 0: containers hide their sensors, and boards lack some.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Trip:
    """A temperature at which the kernel acts: kind 'active' (fan), 'passive' (slower), 'hot' or 'critical' (off)."""

    kind: str
    celsius: float


@dataclass(frozen=True)
class Host:
    """One machine at one moment.

    model, compatible: from the device tree, which x86 machines lack. isa: the flags in /proc/cpuinfo, of all cores.
    max_mhz: of the fastest core. mhz: of each core now. temperatures_c: by the zone's type, in degrees Celsius; None
    where the zone is there and cannot be read.
    """

    arch: str
    cores: int | None = None
    cpu_model: str | None = None
    model: str | None = None
    compatible: tuple[str, ...] = ()
    isa: frozenset[str] = frozenset()
    memory_mb: int | None = None
    max_mhz: float | None = None
    mhz: tuple[float, ...] = ()
    governor: str | None = None
    temperatures_c: Mapping[str, float | None] = field(default_factory=dict)
    trips: Mapping[str, tuple[Trip, ...]] = field(default_factory=dict)

    @classmethod
    def probe(cls, root: Path | str = "/", arch: str | None = None) -> Host:
        """The machine whose /proc and /sys lie under `root`; `arch` as `platform.machine()` says it."""
        root = Path(root)
        cpuinfo = _cpuinfo(root)
        cpus = sorted((root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq"))
        zones = _zones(root)
        return cls(
            arch=arch or platform.machine(),
            cores=len(cpuinfo.get("processor", ())) or None,
            cpu_model=next(iter(cpuinfo.get("model name", ())), None),
            model=_text(root / "proc/device-tree/model"),
            compatible=_strings(root / "proc/device-tree/compatible"),
            isa=_common([*cpuinfo.get("flags", ()), *cpuinfo.get("Features", ())]),
            memory_mb=_memory_mb(root),
            max_mhz=max(_all_mhz(cpus, "cpuinfo_max_freq"), default=None),
            mhz=_all_mhz(cpus, "scaling_cur_freq"),
            governor=_text(cpus[0] / "scaling_governor") if cpus else None,
            temperatures_c={name: _thousandths(zone / "temp") for name, zone in zones.items()},
            trips={name: _trips(zone) for name, zone in zones.items()},
        )


def _cpuinfo(root: Path) -> dict[str, list[str]]:
    """Each key of /proc/cpuinfo with its values, one a core."""
    values: dict[str, list[str]] = {}
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), []).append(value.strip())
    return values


def _common(flags: list[str]) -> frozenset[str]:
    """What every core can do: a thread may land on any of them."""
    return frozenset.intersection(*(frozenset(each.split()) for each in flags)) if flags else frozenset()


def _memory_mb(root: Path) -> int | None:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return None


def _all_mhz(cpus: list[Path], name: str) -> tuple[float, ...]:
    each = (_thousandths(cpu / name) for cpu in cpus)
    return tuple(mhz for mhz in each if mhz is not None)


def _zones(root: Path) -> dict[str, Path]:
    """Thermal zones by their type; a type that comes twice has its number in its name."""
    zones: dict[str, Path] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        name = _text(zone / "type") or zone.name
        zones[name if name not in zones else f"{name} ({zone.name})"] = zone
    return zones


def _trips(zone: Path) -> tuple[Trip, ...]:
    trips = []
    for path in sorted(zone.glob("trip_point_*_temp")):
        celsius = _thousandths(path)
        kind = _text(path.with_name(path.name.replace("_temp", "_type")))
        if celsius is not None and kind is not None:
            trips.append(Trip(kind, celsius))
    return tuple(trips)


def _thousandths(path: Path) -> float | None:
    text = _text(path)
    return None if text is None or not text.lstrip("-").isdigit() else int(text) / 1000


def _strings(path: Path) -> tuple[str, ...]:
    """A device tree property that lists strings, each ended by a NUL."""
    try:
        return tuple(filter(None, path.read_bytes().decode(errors="replace").split("\0")))
    except OSError:
        return ()


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip().rstrip("\0") or None
    except OSError:
        return None
