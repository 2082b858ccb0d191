"""What the host did while it was measured: once a second a look at its clocks, heat, memory and neighbours.

    with Watcher() as watcher:
        ...
    watcher.looks

What the host does not tell is None, or absent from a mapping, and means "unknown"; it is never 0.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from edgekit.benchmarks.processes import busy_s, family, swapped_pages
from edgekit.power import Meters
from edgekit.sensors import cpufreq, load, memory_mb, pressure, temperatures_c, thousandths, zones
from edgekit.throttling import Complaints

_LEAST_S = 0.25  # rates over less say nothing: the kernel counts CPU time in hundredths of a second


@dataclass(frozen=True)
class Look:
    """The host at one moment.

    at_s: seconds since the measurement began. mhz: of each core that tells. temperatures_c: by thermal zone. throttled:
    what slows it down, now or since the last look (edgekit/throttling.py), () when nothing does. memory_pressure,
    cpu_pressure: per cent of the last 10 s in which some task waited (PSI, "some avg10"). memory_available_mb: without
    swapping. rss_mb: of this process and its children. others_cpu: cores that other processes kept busy since the last
    look. power_w: by what measures it: a RAPL domain's mean since the last look, a Jetson's INA3221 rail now.
    swapped_pages_s: pages a second, in and out, since the last look.
    """

    at_s: float
    mhz: tuple[float, ...] = ()
    temperatures_c: Mapping[str, float | None] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None
    memory_pressure: float | None = None
    cpu_pressure: float | None = None
    memory_available_mb: float | None = None
    rss_mb: float | None = None
    load: float | None = None
    others_cpu: float | None = None
    power_w: Mapping[str, float] = field(default_factory=dict)
    swapped_pages_s: float | None = None


@dataclass(frozen=True)
class Validity:
    """Whether a measurement may be shown. invalid: why not, () where it may; such a run cannot pass anything.

    warnings: what a reader should know. allowed: what would have made it invalid and was allowed by the caller.
    """

    invalid: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.invalid


@dataclass(frozen=True)
class Sensors:
    """Where a host tells of itself; looked up once, since that takes longer than reading. pid: whose memory and CPU
    time are 'ours', its children's included.

    Clocks are asked of each core. Linux before 5.19 interrupts an x86 core for that, and waits 10 ms where it is idle
    (arch/x86/kernel/cpu/aperfmperf.c): once a second that is microseconds of work, and a look that takes longer.
    """

    root: Path
    pid: int
    clocks: tuple[Path, ...]
    zones: Mapping[str, Path]
    complaints: Complaints
    meters: Meters

    @classmethod
    def find(cls, root: Path | str = "/", pid: int | None = None) -> Sensors:
        root = Path(root)
        clocks = tuple(each / "scaling_cur_freq" for each in cpufreq(root))
        whose = os.getpid() if pid is None else pid
        return cls(root, whose, clocks, zones(root), Complaints.find(root), Meters.find(root))


@dataclass(frozen=True)
class Counters:
    """What only counts up, at one moment; two of them make a rate. busy_s and ours_s: CPU seconds."""

    at_s: float
    busy_s: float | None
    ours_s: float | None
    rss_mb: float | None
    energy_uj: Mapping[str, float]
    throttles: Mapping[Path, int]
    swapped_pages: float | None

    @classmethod
    def read(cls, sensors: Sensors, at_s: float) -> Counters:
        ours = family(sensors.root, sensors.pid)
        return cls(
            at_s,
            busy_s(sensors.root),
            None if ours is None else ours.cpu_s,
            None if ours is None else ours.rss_mb,
            sensors.meters.energy_uj(),
            sensors.complaints.counts(),
            swapped_pages(sensors.root),
        )


def take_look(sensors: Sensors, before: Counters, now: Counters) -> Look:
    """The host at the moment of `now`, and what it did since `before`."""
    root = sensors.root
    each = (thousandths(path) for path in sensors.clocks)
    return Look(
        at_s=now.at_s,
        mhz=tuple(mhz for mhz in each if mhz is not None),
        temperatures_c=temperatures_c(sensors.zones),
        throttled=_throttled(sensors.complaints, before, now),
        memory_pressure=pressure(root, "memory"),
        cpu_pressure=pressure(root, "cpu"),
        memory_available_mb=memory_mb(root, "MemAvailable"),
        rss_mb=now.rss_mb,
        load=load(root),
        others_cpu=_others_cpu(before, now),
        power_w=_power_w(sensors.meters, before, now),
        swapped_pages_s=_rate(before, now, before.swapped_pages, now.swapped_pages),
    )


class Watcher:
    """Looks at the host every `every_s` seconds, and once more at the end, from a thread of its own; see `looks`.

    A thread and not a process: a look takes under a millisecond, and a second interpreter would be part of the memory
    and of the load that are measured. cpu_s: what all looks together have cost. clock: seconds, monotonic.
    """

    def __init__(
        self,
        root: Path | str = "/",
        every_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if every_s <= 0:
            raise ValueError(f"every_s must be above 0; got {every_s!r}")
        self.cpu_s = 0.0
        self._root, self._every_s, self._clock = root, every_s, clock
        self._looks: list[Look] = []
        self._stop = threading.Event()

    @property
    def looks(self) -> tuple[Look, ...]:
        return tuple(self._looks)

    def __enter__(self) -> Watcher:
        self._sensors = Sensors.find(self._root)
        self._began = self._clock()
        self._before = Counters.read(self._sensors, 0.0)
        self._thread = ThreadPoolExecutor(1, "watcher")
        self._watching = self._thread.submit(self._watch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.shutdown()
        self._watching.result()  # a fault of the watcher's own is not kept silent

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s - self._now_s() % self._every_s):
            self._look()
        self._look()
        self.cpu_s = time.thread_time()

    def _look(self) -> None:
        now = Counters.read(self._sensors, self._now_s())
        self._looks.append(take_look(self._sensors, self._before, now))
        self._before = now

    def _now_s(self) -> float:
        return self._clock() - self._began


def _throttled(complaints: Complaints, before: Counters, now: Counters) -> tuple[str, ...] | None:
    states = complaints.now()
    if states is None and not now.throttles:
        return None
    return (*(states or ()), *complaints.risen(before.throttles, now.throttles))


def _others_cpu(before: Counters, now: Counters) -> float | None:
    busy = _rate(before, now, before.busy_s, now.busy_s)
    ours = _rate(before, now, before.ours_s, now.ours_s)
    if busy is None or ours is None or ours < 0:  # less than before: an orphan took its time along
        return None
    return max(0.0, busy - ours)  # ticks make it a hair less than nothing


def _power_w(meters: Meters, before: Counters, now: Counters) -> dict[str, float]:
    took_s = now.at_s - before.at_s
    spent = meters.spent_uj(before.energy_uj, now.energy_uj) if took_s >= _LEAST_S else {}
    return {name: energy / took_s / 1e6 for name, energy in spent.items()} | meters.rails_w()


def _rate(before: Counters, now: Counters, was: float | None, is_: float | None) -> float | None:
    took_s = now.at_s - before.at_s
    return None if was is None or is_ is None or took_s < _LEAST_S else (is_ - was) / took_s
