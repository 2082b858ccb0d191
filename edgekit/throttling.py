"""What slows this machine down: the complaints of its firmware, of the kernel's thermal governor and of the chip.

    complaints = Complaints.find(Path("/"))
    complaints.now()     # ("under-voltage", "frequency capped since boot")
    before = complaints.counts()
    complaints.risen(before, complaints.counts())  # ("core throttled",)

A Raspberry Pi's firmware is asked through the kernel's file and not by `vcgencmd`: both give the same word, every
kernel of Raspberry Pi OS since 4.14 has the file, and a process a look would cost more than all other sensors. Linux's
own kernels have only the alarm of an under-voltage. The kernel asks the firmware every two seconds and clears the
sticky bits by that (drivers/hwmon/raspberrypi-hwmon.c), so a fault of milliseconds between two looks is still seen, and
"since boot" may mean since the kernel asked last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from edgekit.sensors import hwmon, in_order, number, text

SINCE_BOOT = " since boot"

# `vcgencmd get_throttled` in the Raspberry Pi documentation: bits 0 to 3 are now, 16 to 19 since power was applied.
_FLAGS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}
_FIRMWARE = _FLAGS | {bit + 16: name + SINCE_BOOT for bit, name in _FLAGS.items()}
# "soc/soc:firmware" up to the Raspberry Pi 4; later device trees put the bus address behind "soc".
_FIRMWARE_FILES = "sys/devices/platform/soc*/soc*:firmware/get_throttled"

# What the kernel's thermal governors turn down: cpufreq and devfreq, by their names before and since Linux 5.12, an x86
# processor by ACPI or by forced idling, and the alerts of a Jetson's firmware. Fans are cooling devices too, and slow
# nothing down.
_SLOWED = re.compile(r"(thermal-)?(cpu|dev)freq-|Processor$|intel_powerclamp$|.*-throttle-alert$")

# A Jetson Orin's comparators: NVIDIA Jetson Linux Developer Guide, Platform Power and Performance, "over-current". Each
# event takes clock pulses away for some milliseconds.
_OVER_CURRENT = {"oc1": "under-voltage (oc1)", "oc2": "average over-current (oc2)", "oc3": "over-current (oc3)"}

# Documentation/ABI/testing/sysfs-devices-system-cpu; of Intel's chips only. An idle core is not woken by reading them.
_X86 = {"core throttled": "core_throttle_count", "package throttled": "package_throttle_count"}


@dataclass(frozen=True)
class Complaints:
    """Where this machine complains. firmware: a Raspberry Pi's file. voltage: of its hwmon driver, which is all that
    Linux's own kernel has. cooling: folders of what the kernel slows down when it is hot, by name. counters: files that
    count events since boot, each with its event; several cores may count the same one."""

    firmware: Path | None = None
    voltage: Path | None = None
    cooling: Mapping[str, Path] = field(default_factory=dict)
    counters: Mapping[Path, str] = field(default_factory=dict)

    @classmethod
    def find(cls, root: Path) -> Complaints:
        voltage = (each / "in0_lcrit_alarm" for each in hwmon(root, "rpi_volt"))
        return cls(
            firmware=firmware_file(root),
            voltage=next(voltage, None),
            cooling=_cooling(root),
            counters=_throttle_counters(root) | _over_current_counters(root),
        )

    def now(self) -> tuple[str, ...] | None:
        """What is complained of at this moment, () where everything is well, None where nothing can complain."""
        told = [firmware_flags(self.firmware), _alarm(self.voltage)]
        told += [_slowed(what, folder) for what, folder in self.cooling.items()]
        known = [each for each in told if each is not None]
        return tuple(dict.fromkeys(chain.from_iterable(known))) if known else None

    def counts(self) -> dict[Path, int]:
        """How often each counter has counted since boot; one that cannot be read is left out."""
        read = {path: number(text(path)) for path in self.counters}
        return {path: int(count) for path, count in read.items() if count is not None}

    def risen(self, before: Mapping[Path, int], now: Mapping[Path, int]) -> tuple[str, ...]:
        """The events that were counted between two `counts`, each once."""
        return self._events(path for path, count in now.items() if count > before.get(path, count))

    def ever(self) -> tuple[str, ...] | None:
        """What is complained of at this moment, and what was counted since boot."""
        now, counts = self.now(), self.counts()
        if now is None and not counts:
            return None
        counted = self._events(path for path, count in counts.items() if count)
        return (*(now or ()), *(what + SINCE_BOOT for what in counted))

    def _events(self, paths: Iterable[Path]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.counters[path] for path in paths))


def firmware_file(root: Path) -> Path | None:
    """Where a Raspberry Pi's firmware tells of throttling."""
    return next(iter(in_order(root, _FIRMWARE_FILES)), None)


def firmware_flags(path: Path | None) -> tuple[str, ...] | None:
    """The bits of a Raspberry Pi's `get_throttled` by name."""
    try:
        bits = int((path and text(path)) or "", 16)
    except ValueError:
        return None
    return tuple(name for bit, name in _FIRMWARE.items() if bits >> bit & 1)


def _alarm(path: Path | None) -> tuple[str, ...] | None:
    """An alarm that is silent says nothing of heat, so it alone does not mean that all is well."""
    return ("under-voltage",) if path and number(text(path)) else None


def _slowed(what: str, folder: Path) -> tuple[str, ...] | None:
    state = number(text(folder / "cur_state"))
    return None if state is None else ((f"{what} slowed by heat",) if state > 0 else ())


def _cooling(root: Path) -> dict[str, Path]:
    folders = in_order(root, "sys/class/thermal/cooling_device*")
    kinds = {folder: text(folder / "type") or "" for folder in folders}
    return {f"{kind} ({folder.name})": folder for folder, kind in kinds.items() if _SLOWED.match(kind)}


def _throttle_counters(root: Path) -> dict[Path, str]:
    folder = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"
    return {path: what for what, name in _X86.items() for path in in_order(root, f"{folder}/{name}")}


def _over_current_counters(root: Path) -> dict[Path, str]:
    """Those that do throttle: `ocN_throt_en` is 0 for one that only counts."""
    return {
        folder / f"{oc}_event_cnt": what
        for folder in hwmon(root, "soctherm_oc")
        for oc, what in _OVER_CURRENT.items()
        if number(text(folder / f"{oc}_throt_en"))
    }
