"""What this machine draws: Intel RAPL's energy counters, a Jetson's INA3221 rails, and the power mode it was put into.

A counter that may not be read is unknown: `energy_uj` is root's alone since CVE-2020-8694.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.sensors import hwmon, in_order, number, text


@dataclass(frozen=True)
class Domain:
    """Something whose energy RAPL counts. turn_uj: where its counter begins again."""

    counter: Path
    turn_uj: float


@dataclass(frozen=True)
class Rail:
    """A supply line. The product of what its files say, times `unit`, is watts."""

    files: tuple[Path, ...]
    unit: float


@dataclass(frozen=True)
class Meters:
    """Where power is measured, by name: RAPL's domains ('package-0', 'package-0/core'), an INA3221's rails."""

    domains: Mapping[str, Domain] = field(default_factory=dict)
    rails: Mapping[str, Rail] = field(default_factory=dict)

    @classmethod
    def find(cls, root: Path) -> Meters:
        return cls(_rapl(root), _ina3221(root) | _ina3221x(root))

    def energy_uj(self) -> dict[str, float]:
        """Microjoules by domain, counted from an arbitrary moment; see `spent_uj`."""
        read = {name: number(text(domain.counter)) for name, domain in self.domains.items()}
        return {name: energy for name, energy in read.items() if energy is not None}

    def spent_uj(self, before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
        """What each domain took between two readings that lie less than one turn of its counter apart: at 28 W a
        counter of 262 kJ turns once in two and a half hours."""
        both = [name for name in now if name in before]
        return {name: (now[name] - before[name]) % self.domains[name].turn_uj for name in both}

    def rails_w(self) -> dict[str, float]:
        """Watts at this moment by rail."""
        watts = {}
        for label, rail in self.rails.items():
            told = [each for file in rail.files if (each := number(text(file))) is not None]
            if len(told) == len(rail.files):
                watts[label] = rail.unit * math.prod(told)
        return watts


def power_mode(root: Path) -> str | None:
    """A Jetson's power mode by the name that its nvpmodel.conf gives it, '15W'; its number where it gives none.

    From the file in which nvpmodel keeps it, which everybody may read: `nvpmodel -q` would be a process.
    """
    found = re.search(r"pmode:0*(\d+)", text(root / "var/lib/nvpmodel/status") or "")
    if found is None:
        return None
    named = rf"^<\s*POWER_MODEL\s+ID={found[1]}\s+NAME=(\S+)"
    mode = re.search(named, text(root / "etc/nvpmodel.conf") or "", re.MULTILINE)
    return mode[1] if mode else found[1]


def _rapl(root: Path) -> dict[str, Domain]:
    """Documentation/power/powercap/powercap.rst: packages are 'intel-rapl:0', their parts 'intel-rapl:0:0'. AMD's
    counters come by the same driver. The same packages through 'intel-rapl-mmio' are not counted twice."""
    names: dict[str, str] = {}
    domains: dict[str, Domain] = {}
    for folder in in_order(root, "sys/class/powercap/intel-rapl:*"):
        most = number(text(folder / "max_energy_range_uj"))
        parent = names.get(folder.name.rpartition(":")[0])
        name = text(folder / "name") or folder.name
        names[folder.name] = name if parent is None else f"{parent}/{name}"
        if most is not None:
            domains[names[folder.name]] = Domain(folder / "energy_uj", most)
    return domains


def _ina3221(root: Path) -> dict[str, Rail]:
    """Linux's driver, JetPack 5 and later: millivolts and milliamperes a channel (Documentation/hwmon/ina3221.rst)."""
    rails = {}
    for folder in hwmon(root, "ina3221"):
        for channel in (1, 2, 3):
            label = text(folder / f"in{channel}_label")
            if label is not None:
                rails[label] = Rail((folder / f"in{channel}_input", folder / f"curr{channel}_input"), 1e-6)
    return rails


def _ina3221x(root: Path) -> dict[str, Rail]:
    """NVIDIA's driver of JetPack 4: milliwatts a channel. Its folder is 'iio:device0' or 'iio_device'."""
    rails = {}
    for path in in_order(root, "sys/bus/i2c/drivers/ina3221x/*/iio*device*/rail_name_*"):
        label = text(path)
        if label is not None:
            power = path.with_name(f"in_power{path.name.removeprefix('rail_name_')}_input")
            rails[label] = Rail((power,), 1e-3)
    return rails
