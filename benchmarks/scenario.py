"""Under which load a bundle is measured: the scenarios of `edgekit bench`, each a type with its settings.

They follow MLPerf's inference scenarios (mlcommons/inference, loadgen) where those fit a shop: `SingleStream` is
LoadGen's; `Camera` is its Server with a camera's even arrivals in place of Poisson's; `Streams` is the stream density
that retailers buy by (intel-retail/performance-tools, benchmark-scripts/stream_density.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from edgekit.measure import USUAL, Rounds
from edgekit.schema import STRICT, TaggedBy


@dataclass(frozen=True)
class SingleStream:
    """Back to back: the next frame is there as soon as the last was answered; the variants run in turn."""

    __pydantic_config__ = STRICT

    rounds: Rounds = USUAL
    kind: Literal["single-stream"] = "single-stream"


@dataclass(frozen=True)
class Camera:
    """Frames come at `fps` for `seconds`, whether or not the last one was answered; the newest is taken, the others
    are dropped and counted. A frame's age counts from when it was due."""

    __pydantic_config__ = STRICT

    fps: float = 15.0
    seconds: float = 60.0
    kind: Literal["camera"] = "camera"

    def __post_init__(self) -> None:
        _positive(self, "fps", "seconds")


@dataclass(frozen=True)
class Streams:
    """How many cameras of `fps` hold their rate on this host.

    A number of cameras passes a window of `window_s` seconds when each of them got `tolerance` of its rate, and
    `windows` such windows in a row are needed; as many that fail make the search step down. hysteresis_fps: how far
    below the limit a rate may still lie in the second window and later ones. most: cameras at which the search ends.
    """

    __pydantic_config__ = STRICT

    fps: float = 15.0
    tolerance: float = 0.95
    hysteresis_fps: float = 0.1
    window_s: float = 10.0
    windows: int = 2
    most: int = 64
    kind: Literal["streams"] = "streams"

    def __post_init__(self) -> None:
        _positive(self, "fps", "tolerance", "window_s", "windows", "most")
        if self.tolerance > 1 or self.hysteresis_fps < 0:
            raise ValueError(f"tolerance must be at most 1 and hysteresis_fps at least 0; got {self}")


@dataclass(frozen=True)
class ColdStart:
    """Fresh interpreters, from nothing to the first result: import, load, answer; `starts` of them a variant."""

    __pydantic_config__ = STRICT

    starts: int = 5
    kind: Literal["cold-start"] = "cold-start"

    def __post_init__(self) -> None:
        _positive(self, "starts")


@dataclass(frozen=True)
class Sustained:
    """The same load for `minutes`, ten at least: what a board does when it is warm. fps: None is back to back.

    burst: the first `burst_s` seconds; sustained: the last `tail_s`.
    """

    __pydantic_config__ = STRICT

    minutes: float = 10.0
    fps: float | None = None
    burst_s: float = 30.0
    tail_s: float = 60.0
    kind: Literal["sustained"] = "sustained"

    def __post_init__(self) -> None:
        _positive(self, "minutes", "burst_s", "tail_s", *([] if self.fps is None else ["fps"]))
        if self.minutes < 10:
            raise ValueError(f"a board takes ten minutes to warm up; got minutes = {self.minutes:g}")


Scenario: TypeAlias = Annotated[SingleStream | Camera | Streams | ColdStart | Sustained, TaggedBy("kind")]


def _positive(scenario: object, *names: str) -> None:
    for name in names:
        value = getattr(scenario, name)
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0 and finite; got {value!r}")
