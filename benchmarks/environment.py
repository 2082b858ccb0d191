"""The circumstances of a measurement: without them a figure is an anecdote."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from edgekit.host import TELLING, Host
from edgekit.plan import EngineName


@dataclass(frozen=True)
class Environment:
    """The host before it was measured. What it does not tell is None: a container hides its sensors.

    load: processes that wanted a core, the mean of the last minute. governor: of all cores, with commas where they
    differ. mhz: of each core; limit_mhz: the most that its governor may choose; max_mhz: what the fastest core is built
    for. throttled: what slowed it down then, or since boot. memory_pressure: per cent of the last 10 s in which some
    task waited for memory. power_mode: a Jetson's. container: what it runs in, None where nothing says so.
    cpu_quota: as many cores' time as its cgroup may use. system: kernel and C library. versions: of everything that had
    a part in it.
    """

    arch: str
    cpu: str | None
    cores: int | None
    cores_allowed: int
    isa: tuple[str, ...]
    memory_mb: int | None
    governor: str | None
    mhz: tuple[float, ...]
    temperatures_c: dict[str, float | None]
    load: float
    system: str
    versions: dict[str, str]
    limit_mhz: tuple[float, ...] = ()
    max_mhz: float | None = None
    throttled: tuple[str, ...] | None = None
    memory_pressure: float | None = None
    power_mode: str | None = None
    container: str | None = None
    cpu_quota: float | None = None

    def line(self) -> str:
        """The few words that belong under every table."""
        speed = ", ".join(self.isa) or "no INT8 dot product"
        return f"{self.cpu or self.arch}, {self.cores_allowed} cores, {speed}, load {self.load:.1f} before"


def look_around(engines: Mapping[EngineName, str | None], host: Host | None = None) -> Environment:
    """This host, now, or `host` as it was probed. `engines`: versions by name, those that are not installed None."""
    host = host or Host.probe()
    found: dict[str, str] = {name: version for name, version in engines.items() if version is not None}
    return Environment(
        arch=host.arch,
        cpu=host.model or host.cpu_model,
        cores=host.cores,
        cores_allowed=len(os.sched_getaffinity(0)),
        isa=tuple(flag for flag in TELLING if flag in host.isa),
        memory_mb=host.memory_mb,
        governor=host.governor,
        mhz=host.mhz,
        temperatures_c=dict(host.temperatures_c),
        load=os.getloadavg()[0],
        system=platform.platform(),
        versions={"python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__, **found},
        limit_mhz=host.limit_mhz,
        max_mhz=host.max_mhz,
        throttled=host.throttled,
        memory_pressure=host.memory_pressure,
        power_mode=host.power_mode,
        container=host.container,
        cpu_quota=host.cpu_quota,
    )
