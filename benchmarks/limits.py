"""What a bundle must reach on a board: the limits of `edgekit bench`, of which each is an option of its own name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from edgekit.benchmarks.scenario import Scenario, Sustained
from edgekit.errors import SettingsError
from edgekit.schema import STRICT

_TIMES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms")
_PACED = (*_TIMES, "age_p95_ms", "max_drop")
_MEASURED = {
    "single-stream": _TIMES,
    "camera": _PACED,
    "sustained": _PACED,
    "streams": ("min_streams",),
    "cold-start": ("max_start_s", "max_start_cpu_s", "max_peak_mb"),
}


def _limit(help_: str) -> Any:
    return field(default=None, metadata={"help": help_})


@dataclass(frozen=True)
class Limits:
    """None is no limit. Each is reached or kept: 33.0 ms pass `p99_ms=33`, 4 cameras pass `min_streams=4`."""

    __pydantic_config__ = STRICT

    p50_ms: float | None = _limit("The median of a frame's time may be so many milliseconds.")
    p90_ms: float | None = _limit("90 % of frames may take so many milliseconds.")
    p95_ms: float | None = _limit("95 % of frames may take so many milliseconds.")
    p99_ms: float | None = _limit("99 % of frames may take so many milliseconds.")
    p999_ms: float | None = _limit("99.9 % of frames may take so many milliseconds.")
    age_p95_ms: float | None = _limit("95 % of frames may be so many milliseconds old when their event is there.")
    max_drop: float | None = _limit("The share of frames that may be dropped: 0.01 is one of a hundred.")
    min_streams: int | None = _limit("So many cameras must hold their rate.")
    max_start_s: float | None = _limit("A cold start may take so many seconds to the first result.")
    max_start_cpu_s: float | None = _limit("A cold start may take so many seconds of CPU time.")
    max_peak_mb: float | None = _limit("A cold start may have so many megabytes resident at most.")

    def __post_init__(self) -> None:
        for name, value in self.given():
            if not value > 0:
                raise ValueError(f"{name} must be above 0; got {value:g}")
        if self.max_drop is not None and self.max_drop >= 1:
            raise ValueError(f"max_drop is a share, below 1 (one point is 0.01); got {self.max_drop:g}")

    def given(self) -> Iterator[tuple[str, float]]:
        """The limits that there are, by name."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None:
                yield each.name, value

    def check(self, scenario: Scenario) -> None:
        """SettingsError where a limit was set that the scenario measures nothing of: said before minutes are spent."""
        measured = _TIMES if isinstance(scenario, Sustained) and scenario.fps is None else _MEASURED[scenario.kind]
        for name, _ in self.given():
            if name not in measured:
                others = " and ".join(f"'{kind}'" for kind, names in _MEASURED.items() if name in names)
                paced = " with fps" if scenario.kind == "sustained" and name in _PACED else ""
                raise SettingsError(f"{name} is not measured under '{scenario.kind}'; it is under {others}{paced}")
