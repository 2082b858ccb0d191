"""What edgekit measured of known models, one JSON file a profile: to hold later results against, and to estimate from.

    for row in against_baseline(result, "MobileNetV2", "224x224"):
        print(row)

Only what was measured by edgekit is here, with its host. What others published of a board stays in its profile, where
each figure has its source, and is in one place only. Neither is a verdict: other engines, other versions, other days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, TypeAlias

from edgekit.benchmarks.probe import Probe
from edgekit.benchmarks.result import Executed, Result
from edgekit.benchmarks.work import Work
from edgekit.errors import ResultError
from edgekit.plan import EngineName
from edgekit.profile import DeviceProfile, profile_names
from edgekit.schema import STRICT, parse_json

__all__ = ["Baseline", "Measured", "Row", "against_baseline", "baseline_names"]

Whose: TypeAlias = Literal["this result", "measured by edgekit", "published"]


@dataclass(frozen=True)
class Measured:
    """One variant of a known model: the bare engine on a prepared tensor, on one thread.

    cpu_ms, wall_ms: medians of `samples` runs. quick_ms: the CPU time that nine of ten of them took longer than, which
    on a busy host is nearest to a quiet one's median. engine, version: what it ran in. digest: of the bundle.
    """

    __pydantic_config__ = STRICT

    model: str
    input: str
    engine: EngineName
    version: str
    precision: Literal["float", "int8"]
    work: Work
    cpu_ms: float
    quick_ms: float
    wall_ms: float
    samples: int
    digest: str


@dataclass(frozen=True)
class Baseline:
    """All that was measured in one session on one host. how: in which circumstances."""

    __pydantic_config__ = STRICT

    profile: str
    host: str
    taken: str
    how: str
    probe: Probe
    measured: tuple[Measured, ...]

    @classmethod
    def load(cls, profile: str) -> Baseline:
        """Of that profile; `ResultError` names those that exist where it has none."""
        if profile not in baseline_names():
            there = ", ".join(baseline_names()) or "none"
            raise ResultError(f"nothing was measured yet with profile '{profile}'; there are baselines of: {there}")
        return cls.read(_folder() / f"{profile}.json")

    @classmethod
    def read(cls, path: Path) -> Baseline:
        return parse_json(cls, path.read_bytes(), str(path), ResultError)


@dataclass(frozen=True)
class Row:
    """One latency with all that it belongs to, as its source says it. ms: of wall time; None is "not measured"."""

    whose: Whose
    model: str
    input: str
    engine: str
    precision: str
    ms: float | None
    source: str

    def __str__(self) -> str:
        ms = "not measured" if self.ms is None else f"{self.ms:.2f} ms"
        return f"{self.whose}: {self.model} {self.input}, {self.engine}, {self.precision}: {ms} ({self.source})"


def baseline_names() -> tuple[str, ...]:
    """The profiles with which something was measured."""
    return tuple(sorted(path.stem for path in _folder().glob("*.json")))


def against_baseline(result: Result, model: str, size: str) -> list[Row]:
    """A result's bare engines beside what is known of the same model at the same input size ('224x224') on its board.

    `model` is what the bundle holds, in the words of the figures: a bundle does not say that it is a 'MobileNetV2'.
    Empty where nothing is known of it at that size: no other one is taken instead.
    """
    known = [*_measured(result.profile, model, size), *_published(result.profile, model, size)]
    return [*(_row(each, model, size, result) for each in result.variants), *known] if known else []


def _row(each: Executed, model: str, size: str, result: Result) -> Row:
    taken = each.engine_only
    p50 = taken.percentile(50) if taken else None
    cpu = f", {taken.median_cpu_ms:.2f} ms of CPU time" if taken else ""
    engine = f"{each.engine}, {each.threads} threads"
    return Row("this result", model, size, engine, _precision(each), p50, f"{result.environment.line()}; p50{cpu}")


def _precision(each: Executed) -> str:
    return f"{each.variant}, floats in {each.precision}"


def _measured(profile: str, model: str, size: str) -> Iterator[Row]:
    if profile not in baseline_names():
        return
    baseline = Baseline.load(profile)
    for each in baseline.measured:
        if (each.model, each.input) == (model, size):
            engine = f"{each.engine} {each.version}, 1 thread"
            figure = f"p50 of {each.samples} runs, {each.cpu_ms:.2f} ms of CPU time"
            source = f"{baseline.host}; {baseline.taken}; {figure}; {baseline.how}"
            yield Row("measured by edgekit", model, size, engine, each.precision, each.wall_ms, source)


def _published(profile: str, model: str, size: str) -> Iterator[Row]:
    if profile not in profile_names():
        return  # one of the reader's own
    for each in DeviceProfile.load(profile).published:
        if (each.model, each.input) == (model, size):
            source = f"{each.source}; {each.note}" if each.note else each.source
            yield Row("published", model, size, each.engine, each.precision, each.ms, source)


def _folder() -> Path:
    return Path(str(resources.files("edgekit") / "benchmarks" / "baselines"))
