"""What a board is, what it can do, and how models should run on it.

    profile = DeviceProfile.load("raspberry-pi-5")  # or a file of one's own: "my-board.toml"
    plan = profile.plan_for("tflite", installed())

A profile is a TOML file, in device_profiles/ or anywhere. Each figure in it carries where it comes from; none of them
was measured by edgekit on the board itself while `run_on_hardware` is false.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Generic, Literal, TypeAlias, TypeVar

from edgekit.contract import Format
from edgekit.errors import EngineMissing, ProfileError
from edgekit.host import Host
from edgekit.plan import ABILITIES, ENGINES, Device, EngineName, EnginePlan
from edgekit.schema import STRICT, parse, read_toml

__all__ = [
    "ENGINES",
    "Accelerator",
    "DeviceProfile",
    "Difference",
    "EngineName",
    "EnginePlan",
    "Figure",
    "Host",
    "Match",
    "Published",
    "Thermal",
    "compare",
    "detect_profile",
    "named_or_detected",
    "profile_names",
]

T = TypeVar("T")

Provenance: TypeAlias = Literal["datasheet", "measured", "published", "inferred"]


@dataclass(frozen=True)
class Figure(Generic[T]):
    """A value and where it comes from; `source` is a public page or file, or for 'inferred' the reasoning."""

    __pydantic_config__ = STRICT

    value: T
    provenance: Provenance
    source: str


@dataclass(frozen=True)
class Match:
    """How a board is recognised: any of these words in its device tree's `compatible` or in its CPU's name."""

    __pydantic_config__ = STRICT

    compatible: tuple[str, ...] = ()
    cpu_model: tuple[str, ...] = ()

    def recognises(self, host: Host) -> bool:
        return any(word in host.compatible for word in self.compatible) or any(
            word in (host.cpu_model or "") for word in self.cpu_model
        )


@dataclass(frozen=True)
class Thermal:
    """Where the board's temperature is read, and where it slows down (`soft_c`) and where it stops (`hard_c`)."""

    __pydantic_config__ = STRICT

    zone: str | None = None
    soft_c: Figure[float] | None = None
    hard_c: Figure[float] | None = None


@dataclass(frozen=True)
class Accelerator:
    """A chip beside the CPU, with its advertised speed. `device`: what a plan calls it; None where edgekit cannot use
    it."""

    __pydantic_config__ = STRICT

    name: str
    advertised: str
    source: str
    device: Device | None = None


@dataclass(frozen=True)
class Published:
    """A latency that somebody else measured on this board: an anchor to hold one's own figures against."""

    __pydantic_config__ = STRICT

    model: str
    input: str
    engine: str
    precision: str
    ms: float
    source: str
    note: str = ""


@dataclass(frozen=True)
class DeviceProfile:
    """One board. A figure that nobody published is None, and means "unknown".

    plans: how models run, the preferred engine first. variants: which of a bundle's artifacts to take, best first.
    memory_mb: the sizes the board is sold with. memcpy_gb_s: one thread's.
    """

    __pydantic_config__ = STRICT

    name: str
    title: str
    run_on_hardware: bool
    match: Match
    plans: Figure[tuple[EnginePlan, ...]]
    variants: Figure[tuple[str, ...]]
    frame_budget_ms: Figure[float]
    arch: Figure[str] | None = None
    cores: Figure[int] | None = None
    isa: Figure[tuple[str, ...]] | None = None
    clock_mhz: Figure[int] | None = None
    memory_mb: Figure[tuple[int, ...]] | None = None
    memory_bandwidth_gb_s: Figure[float] | None = None
    memcpy_gb_s: Figure[float] | None = None
    power_w: Figure[tuple[float, ...]] | None = None
    thermal: Thermal = Thermal()
    accelerators: tuple[Accelerator, ...] = ()
    published: tuple[Published, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.plans.value and self.variants.value):
            raise ValueError("plans and variants must name one at least")
        if any(plan.engine == "null" for plan in self.plans.value):
            raise ValueError("plans must not name the engine 'null', which computes nothing")

    @classmethod
    def load(cls, name: str) -> DeviceProfile:
        """The profile of that name; `ProfileError` lists the names where there is none. A name that ends in .toml or
        has a folder in it is a file, see `read`."""
        if is_file(name):
            return cls.read(name)
        if name not in profile_names():
            raise ProfileError(f"no device profile named '{name}'; there are: {', '.join(profile_names())}")
        return cls.read(_folder() / f"{name}.toml")

    @classmethod
    def read(cls, path: Path | str) -> DeviceProfile:
        """A profile of one's own, from any TOML file; `edgekit profiles probe` writes one."""
        return parse(cls, read_toml(path), str(path), ProfileError)

    def plan_for(
        self,
        format: Format,  # noqa: A002  named as in the contract
        installed: Mapping[EngineName, str | None],
        engine: EngineName | None = None,
        device: Device | None = None,
    ) -> EnginePlan:
        """The first plan whose engine opens that format and is installed; `engine` and `device` narrow it down.

        The format's own engine comes before one that reads it too, whatever the profile's order: a variant is judged
        and measured in its own.

        `EngineMissing` names the engines that would do. An accelerator that is absent shows when the session opens:
        the plan still asks for it, and nothing falls back.
        """
        able = [
            plan
            for plan in self._plans(engine, device)
            if plan.engine in ENGINES[format] and engine in (None, plan.engine) and device in (None, plan.device)
        ]
        if not able:
            asked = " on ".join(filter(None, [engine, device])) or f"profile '{self.name}'"
            raise EngineMissing(f"{asked} does not open {format} files; {' and '.join(ENGINES[format])} do")
        for plan in sorted(able, key=lambda plan: ENGINES[format].index(plan.engine)):
            if installed.get(plan.engine) is not None:
                return plan
        wanted = " or ".join(dict.fromkeys(plan.engine for plan in able))
        raise EngineMissing(f"{self.name} runs {format} files on {wanted}; not installed: try 'edgekit doctor'")

    def _plans(self, engine: EngineName | None, device: Device | None) -> tuple[EnginePlan, ...]:
        """The profile's own plans, and behind them a plain one for an engine that was asked for by name."""
        if engine is None:
            return self.plans.value
        device = device or "cpu"
        precision = ABILITIES[engine].get(device, ("f32",))[0]
        threads = self.threads if device == "cpu" else 1
        return (*self.plans.value, EnginePlan(engine, threads, precision=precision, device=device))

    @property
    def threads(self) -> int:
        """The most threads that any of the plans gives a model."""
        return max(plan.threads for plan in self.plans.value)


@dataclass(frozen=True)
class Difference:
    """One thing in which a host is not what a profile expects; `found` is 'unknown' where the host does not say."""

    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, found {self.found}"


@cache
def profile_names() -> tuple[str, ...]:
    """The profiles that edgekit brings."""
    return tuple(sorted(path.stem for path in _folder().glob("*.toml")))


def is_file(name: str) -> bool:
    """Whether what names a profile is a file of one's own, and not one of `profile_names`."""
    return name.endswith(".toml") or "/" in name or os.sep in name


def profile_within(name: str | None, folder: Path) -> str | None:
    """What names a profile in a settings file in `folder`: the path of a file made whole, a name as it is."""
    return str(folder / name) if name is not None and is_file(name) else name


def detect_profile(host: Host) -> DeviceProfile:
    """The profile whose board `host` is; 'generic' where none of them recognises it."""
    profiles = (DeviceProfile.load(name) for name in profile_names())
    return next((each for each in profiles if each.match.recognises(host)), DeviceProfile.load("generic"))


def named_or_detected(name: str | None, host: Host | None = None) -> DeviceProfile:
    """The profile of that name or file; where none is named, that of this host's board."""
    return DeviceProfile.load(name) if name else detect_profile(host or Host.probe())


def compare(profile: DeviceProfile, host: Host) -> tuple[Difference, ...]:
    """Where `host` is not what `profile` says, unknowns included; empty where all that can be read agrees."""
    return tuple(each for each in (rule(profile, host) for rule in _RULES) if each is not None)


def _board(profile: DeviceProfile, host: Host) -> Difference | None:
    words = (*profile.match.compatible, *profile.match.cpu_model)
    if not words or profile.match.recognises(host):
        return None
    return Difference("board", " or ".join(words), host.model or host.cpu_model or "unknown")


def _arch(profile: DeviceProfile, host: Host) -> Difference | None:
    if profile.arch is None or profile.arch.value == host.arch:
        return None
    return Difference("architecture", profile.arch.value, host.arch)


def _cores(profile: DeviceProfile, host: Host) -> Difference | None:
    if profile.cores is None or profile.cores.value == host.cores:
        return None
    return Difference("cores", str(profile.cores.value), _told(host.cores))


def _isa(profile: DeviceProfile, host: Host) -> Difference | None:
    expected = () if profile.isa is None else profile.isa.value
    absent = [name for name in expected if name not in host.isa]
    return Difference("instructions", " ".join(expected), f"no {' '.join(absent)}") if absent else None


def _clock(profile: DeviceProfile, host: Host) -> Difference | None:
    if profile.clock_mhz is None:
        return None
    # Editions of one board differ: a Raspberry Pi 4 comes with 1.5, 1.8 and 1.25 GHz under one model name.
    if host.max_mhz is not None and host.max_mhz >= 0.98 * profile.clock_mhz.value:
        return None
    return Difference("clock", f"{profile.clock_mhz.value} MHz", _told(host.max_mhz, " MHz"))


def _memory(profile: DeviceProfile, host: Host) -> Difference | None:
    if profile.memory_mb is None:
        return None
    sizes = profile.memory_mb.value
    # The kernel and the GPU keep up to a quarter of a small board for themselves.
    if host.memory_mb is not None and any(0.75 * size <= host.memory_mb <= size for size in sizes):
        return None
    return Difference("memory", " or ".join(str(size) for size in sizes) + " MB", _told(host.memory_mb, " MB"))


def _thermal(profile: DeviceProfile, host: Host) -> Difference | None:
    zone = profile.thermal.zone
    if zone is None or host.temperatures_c.get(zone) is not None:
        return None
    there = ", ".join(host.temperatures_c) or "none"
    return Difference("temperature", f"a sensor '{zone}'", f"unknown (zones: {there})")


_RULES = (_board, _arch, _cores, _isa, _clock, _memory, _thermal)


def _told(value: float | None, unit: str = "") -> str:
    return "unknown" if value is None else f"{value:g}{unit}"


def _folder() -> Path:
    return Path(str(resources.files("edgekit") / "device_profiles"))
