"""Writes a profile for the board at hand: what it tells of itself, what can be measured of it, and what follows.

    profile = describe(Host.probe(), copy_memory(), "till-3")
    Path("till-3.toml").write_text(as_text(profile))

What the board does not tell stays unknown. Plans and preferences are inferred, as in the profiles that edgekit brings.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import TypeVar

import numpy as np

from edgekit import __version__
from edgekit.host import TELLING, Host
from edgekit.plan import EngineName, EnginePlan
from edgekit.profile import DeviceProfile, Figure, Match, Provenance, Thermal
from edgekit.toml import as_toml

T = TypeVar("T")

COPIED_MB = 32  # beyond the caches of any board, and as tinymembench, whose figures the other profiles have
_ZONES = ("cpu-thermal", "x86_pkg_temp", "soc-thermal", "CPU-therm")  # where a processor's heat is told, best first
_SMALL_MB = 768  # of what the kernel leaves: boards below it, of 512 MB, have no room for more than LiteRT


@dataclass(frozen=True)
class Copied:
    """How fast one thread copies memory: the median of `copies` of `megabytes` each, in gigabytes a second, each byte
    counted once."""

    gb_s: float
    copies: int
    megabytes: int


def copy_memory(
    seconds: float = 10.0, megabytes: int = COPIED_MB, clock: Callable[[], float] = time.perf_counter
) -> Copied:
    """Copy `megabytes` from one place in memory to another for so many seconds."""
    if seconds <= 0 or megabytes < 1:
        raise ValueError(f"seconds must be above 0 and megabytes at least 1; got {seconds!r} and {megabytes!r}")
    source = np.ones(megabytes * 10**6, np.uint8)
    target = np.full_like(source, 2)  # its pages must be there before the first copy is timed
    took_s: list[float] = []
    end = clock() + seconds
    while not took_s or clock() < end:
        began = clock()
        np.copyto(target, source)
        took_s.append(clock() - began)
    return Copied(megabytes / 1e3 / median(took_s), len(took_s), megabytes)


def describe(
    host: Host, copied: Copied | None = None, name: str | None = None, today: date | None = None
) -> DeviceProfile:
    """The profile of `host`. name: what it is called; after its board or CPU if it is not said."""
    title = host.model or host.cpu_model or f"a machine of {host.arch}"
    here = f"this host, {today or date.today():%Y-%m-%d}, edgekit {__version__}"
    generic = DeviceProfile.load("generic")
    isa = tuple(flag for flag in ("asimd", *TELLING) if flag in host.isa)
    return DeviceProfile(
        name=name or re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
        title=title,
        run_on_hardware=True,
        match=_match(host),
        plans=_plans(host),
        variants=_variants(host),
        frame_budget_ms=generic.frame_budget_ms,
        arch=_figure(host.arch, here),
        cores=_figure(host.cores, here),
        isa=_figure(isa or None, here),
        clock_mhz=_figure(None if host.max_mhz is None else round(host.max_mhz), here),
        memory_mb=_memory(host, here),
        memcpy_gb_s=_copied(copied, here),
        thermal=_thermal(host, here),
        notes=("written by 'edgekit profiles probe'; the thread plan and the frame budget are inferred, not measured",),
    )


def as_text(profile: DeviceProfile) -> str:
    """`profile` as a TOML file that `DeviceProfile.read` reads."""
    return as_toml(profile, tables=("match", "plans", "thermal"))


def _figure(value: T | None, source: str, provenance: Provenance = "measured") -> Figure[T] | None:
    return None if value is None else Figure(value, provenance, source)


def _copied(copied: Copied | None, here: str) -> Figure[float] | None:
    if copied is None:
        return None
    how = f"the median of {copied.copies} copies of {copied.megabytes} MB by one thread"
    return Figure(round(copied.gb_s, 1), "measured", f"{here}: {how}")


def _match(host: Host) -> Match:
    """A device tree names the board first, and then ever more that is like it."""
    if host.compatible:
        return Match(compatible=host.compatible[:1])
    return Match(cpu_model=() if host.cpu_model is None else (host.cpu_model,))


def _engines(host: Host) -> tuple[EngineName, ...]:
    if host.memory_mb is not None and host.memory_mb < _SMALL_MB:
        return ("litert", "tflite-runtime")
    if host.arch == "x86_64":
        return ("openvino", "onnxruntime", "litert", "tflite-runtime")
    return ("litert", "openvino", "onnxruntime", "tflite-runtime")


def _plans(host: Host) -> Figure[tuple[EnginePlan, ...]]:
    if host.cores is None:
        threads, why = 2, "the host does not tell its cores, and two threads leave most boards one for the camera"
    elif host.fastest_cores is not None and host.fastest_cores < host.cores:
        threads = host.fastest_cores
        why = f"one thread for each of the fastest cores, {threads} of {host.cores}"
    else:
        threads, why = max(1, host.cores - 1), f"one of the {host.cores} cores is left to the camera and the events"
    return Figure(tuple(EnginePlan(engine, threads) for engine in _engines(host)), "inferred", why)


def _variants(host: Host) -> Figure[tuple[str, ...]]:
    formats = {"openvino": "openvino", "onnxruntime": "onnx", "litert": "tflite"}
    there = [formats[engine] for engine in _engines(host) if engine in formats]
    names = tuple(f"{each}-{kind}" for kind in ("int8", "float") for each in there)
    return Figure(names, "inferred", f"INT8 before float, by the engines in the order of the plans for {host.arch}")


def _memory(host: Host, here: str) -> Figure[tuple[int, ...]] | None:
    """The size that the board is sold with: the kernel and the GPU keep some of it for themselves."""
    if host.memory_mb is None:
        return None
    sizes = sorted(each << n for n in range(20) for each in (256, 384))
    sold = next((size for size in sizes if size >= host.memory_mb), host.memory_mb)
    return Figure((sold,), "inferred", f"{here}: MemTotal is {host.memory_mb} MB, and boards come with {sold}")


def _thermal(host: Host, here: str) -> Thermal:
    zone = next((each for each in _ZONES if host.temperatures_c.get(each) is not None), None)
    if zone is None:
        return Thermal()
    # x86_pkg_temp's passive trips are thresholds that a program may set to be woken by; the chip slows down elsewhere.
    kinds = () if zone == "x86_pkg_temp" else ("passive",)
    soft = [trip.celsius for trip in host.trips.get(zone, ()) if trip.kind in kinds]
    hard = [trip.celsius for trip in host.trips.get(zone, ()) if trip.kind in ("hot", "critical")]
    trips = f"{here}: the kernel's trip points of {zone}"
    return Thermal(zone, _figure(min(soft, default=None), trips), _figure(min(hard, default=None), trips))
