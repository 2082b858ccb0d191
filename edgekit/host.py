"""What this machine says of itself: its board, cores, clocks, memory, heat and complaints, read from /proc and /sys.

A figure that the machine does not tell is None and never 0: containers hide their sensors, and boards lack some.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from edgekit.power import power_mode
from edgekit.sensors import cpufreq, in_order, memory_mb, number, pressure, temperatures_c, text, thousandths, zones
from edgekit.throttling import Complaints

# What decides how fast INT8 and half floats run, in /proc/cpuinfo's words; the hundred other flags do not.
TELLING = ("asimddp", "asimdhp", "i8mm", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8")

# Big cores of one chip differ by some per cent, by bin or by favour; little ones by 20 and more.
NEAR = 0.9

HELD = 0.98  # a core that runs at this share of its clock holds it: sensors round
STRAINED = 1.0  # per cent of memory pressure that a host with enough memory never shows


@dataclass(frozen=True)
class Trip:
    """A temperature at which the kernel acts: kind 'active' (fan), 'passive' (slower), 'hot' or 'critical' (off)."""

    kind: str
    celsius: float


@dataclass(frozen=True)
class Host:
    """One machine at one moment.

    model, compatible: from the device tree, which x86 machines lack. isa: the flags in /proc/cpuinfo, of all cores.
    max_mhz: of the fastest core. fastest_cores: how many come near it, which on a board of big and little cores is not
    all. mhz: of each core now, limit_mhz: the most that its governor may choose. governor: of all cores, with
    commas where they differ. temperatures_c: by the zone's type, in degrees Celsius; None where the zone is there and
    cannot be read. throttled: what slows it down now or did since boot (edgekit/throttling.py). memory_pressure: per
    cent of the last 10 s in which some task waited for memory. power_mode: a Jetson's. container: what it runs in.
    cpu_quota: as many cores' time as this process' cgroup may use, None where nothing limits it.
    """

    arch: str
    cores: int | None = None
    cpu_model: str | None = None
    model: str | None = None
    compatible: tuple[str, ...] = ()
    isa: frozenset[str] = frozenset()
    memory_mb: int | None = None
    max_mhz: float | None = None
    fastest_cores: int | None = None
    mhz: tuple[float, ...] = ()
    limit_mhz: tuple[float, ...] = ()
    governor: str | None = None
    temperatures_c: Mapping[str, float | None] = field(default_factory=dict)
    trips: Mapping[str, tuple[Trip, ...]] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None
    memory_pressure: float | None = None
    power_mode: str | None = None
    container: str | None = None
    cpu_quota: float | None = None

    @classmethod
    def probe(cls, root: Path | str = "/", arch: str | None = None) -> Host:
        """The machine whose /proc and /sys lie under `root`; `arch` as `platform.machine()` says it."""
        root = Path(root)
        cpuinfo = _cpuinfo(root)
        cpus, found = cpufreq(root), zones(root)
        clocks = _all_mhz(cpus, "cpuinfo_max_freq")
        total_mb = memory_mb(root, "MemTotal")
        return cls(
            arch=arch or platform.machine(),
            cores=len(cpuinfo.get("processor", ())) or None,
            cpu_model=next(iter(cpuinfo.get("model name", ())), None),
            model=text(root / "proc/device-tree/model"),
            compatible=_strings(root / "proc/device-tree/compatible"),
            isa=_common([*cpuinfo.get("flags", ()), *cpuinfo.get("Features", ())]),
            memory_mb=None if total_mb is None else int(total_mb),
            max_mhz=max(clocks, default=None),
            fastest_cores=sum(mhz >= NEAR * max(clocks) for mhz in clocks) or None,
            mhz=_all_mhz(cpus, "scaling_cur_freq"),
            limit_mhz=_all_mhz(cpus, "scaling_max_freq"),
            governor=_governor(cpus),
            temperatures_c=temperatures_c(found),
            trips={name: _trips(zone) for name, zone in found.items()},
            throttled=Complaints.find(root).ever(),
            memory_pressure=pressure(root, "memory"),
            power_mode=power_mode(root),
            container=_container(root),
            cpu_quota=_cpu_quota(root),
        )


class Conditions(Protocol):
    """What decides how steadily a host computes: of a `Host`, or of what was kept of it."""

    @property
    def governor(self) -> str | None: ...
    @property
    def limit_mhz(self) -> tuple[float, ...]: ...
    @property
    def max_mhz(self) -> float | None: ...
    @property
    def power_mode(self) -> str | None: ...
    @property
    def throttled(self) -> tuple[str, ...] | None: ...
    @property
    def memory_pressure(self) -> float | None: ...
    @property
    def cpu_quota(self) -> float | None: ...


def unsteady(now: Conditions) -> tuple[str, ...]:
    """What would spoil a measurement that began in these conditions, one sentence each; unknowns spoil nothing."""
    found = list(now.throttled or ())
    if now.governor is not None and now.governor != "performance":
        found.append(f"the governor is {now.governor}: clocks fall between frames; for figures choose performance")
    limit = max(now.limit_mhz, default=None)
    if limit is not None and now.max_mhz is not None and limit < HELD * now.max_mhz:
        mode = f" (power mode {now.power_mode})" if now.power_mode else ""
        found.append(f"the clock is limited to {limit:.0f} of {now.max_mhz:.0f} MHz{mode}")
    if now.memory_pressure is not None and now.memory_pressure > STRAINED:
        found.append(f"memory pressure is {now.memory_pressure:.0f} %: tasks wait for memory")
    if now.cpu_quota is not None:
        found.append(
            f"a quota of {now.cpu_quota:g} cores: once it is used, every thread stands still until its period ends"
        )
    return tuple(found)


def _cpuinfo(root: Path) -> dict[str, list[str]]:
    """Each key of /proc/cpuinfo with its values, one a core."""
    values: dict[str, list[str]] = {}
    for line in (text(root / "proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            values.setdefault(key.strip(), []).append(value.strip())
    return values


def _common(flags: list[str]) -> frozenset[str]:
    """What every core can do: a thread may land on any of them."""
    return frozenset.intersection(*(frozenset(each.split()) for each in flags)) if flags else frozenset()


def _all_mhz(cpus: list[Path], name: str) -> tuple[float, ...]:
    each = (thousandths(cpu / name) for cpu in cpus)
    return tuple(mhz for mhz in each if mhz is not None)


def _governor(cpus: list[Path]) -> str | None:
    each = {text(cpu / "scaling_governor") for cpu in cpus} - {None}
    return ", ".join(sorted(filter(None, each))) or None


def _trips(zone: Path) -> tuple[Trip, ...]:
    trips = []
    for path in in_order(zone, "trip_point_*_temp"):
        celsius = thousandths(path)
        kind = text(path.with_name(path.name.replace("_temp", "_type")))
        if celsius is not None and celsius > 0 and kind is not None:  # -274 is the kernel's "not set"
            trips.append(Trip(kind, celsius))
    return tuple(trips)


def _container(root: Path) -> str | None:
    """By the marks that Docker, Podman and systemd's rules for containers leave; None is no proof of bare metal."""
    marks = {"docker": root / ".dockerenv", "podman": root / "run/.containerenv"}
    named = text(root / "run/systemd/container")
    return named or next((name for name, mark in marks.items() if mark.exists()), None)


def _cpu_quota(root: Path) -> float | None:
    """The smallest of those that hold here: by cpu.max of the own cgroup and of all above it
    (Documentation/admin-guide/cgroup-v2.rst), and by cgroup v1's files as a container sees its own."""
    top = root / "sys/fs/cgroup"
    own = re.search(r"^0::/(.*)$", text(root / "proc/self/cgroup") or "", re.MULTILINE)
    group = PurePosixPath(own[1] if own else "")
    limits = [(text(top / each / "cpu.max") or "").split() for each in (group, *group.parents)]
    limits.append([text(top / "cpu" / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period")])
    return min(filter(None, map(_quota, limits)), default=None)


def _quota(limit: list[str]) -> float | None:
    """Of a quota and a period in microseconds, as many cores; "max" and -1 mean that there is no limit."""
    quota, period = map(number, limit) if len(limit) == 2 else (None, None)
    return quota / period if quota and period and quota > 0 else None


def _strings(path: Path) -> tuple[str, ...]:
    """A device tree property that lists strings, each ended by a NUL."""
    try:
        return tuple(filter(None, path.read_bytes().decode(errors="replace").split("\0")))
    except OSError:
        return ()
