"""What a measurement leaves behind: every raw sample, how the models really ran, and the host meanwhile.

    result = Result.read("cart.json")

The file is JSON; its schema is published as benchmarks/result.schema.json and made from these classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgekit import schema
from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.scenario import Scenario
from edgekit.benchmarks.watch import Look, Validity
from edgekit.errors import ResultError
from edgekit.measure import Samples
from edgekit.schema import STRICT

SCHEMA: Literal[2] = 2
_VALID = Validity()


@dataclass(frozen=True)
class Frames:
    """The frames of one camera that were answered, in order: one entry a frame in every list.

    at_s: when the answer was there, since the measurement began. frame_ms: from the frame in hand to its event.
    cpu_ms: of all threads of the process meanwhile. age_ms: from when the frame was due to its event. stages_ms: by
    stage, 0 for a frame in which the stage did not run: capture, preprocess, detect, decode, track, crop, classify,
    event. arrived: frames that came; dropped: those that nobody was there to take.
    """

    __pydantic_config__ = STRICT

    at_s: tuple[float, ...]
    frame_ms: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    age_ms: tuple[float, ...]
    stages_ms: Mapping[str, tuple[float, ...]]
    arrived: int
    dropped: int

    @property
    def drop(self) -> float:
        """The share of the frames that came and were not answered."""
        return self.dropped / max(1, self.arrived)


@dataclass(frozen=True)
class Window:
    """One window of the search for stream density: so many cameras, and the rate that each of them got."""

    __pydantic_config__ = STRICT

    streams: int
    fps: tuple[float, ...]
    passed: bool


@dataclass(frozen=True)
class Start:
    """One cold start. wall_s: from the interpreter's start to the first result; of it import_s until edgekit is
    imported and load_s until the model is. cpu_s: of all threads; peak_mb: the most memory that was resident."""

    __pydantic_config__ = STRICT

    wall_s: float
    import_s: float
    load_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Executed:
    """A variant as it really ran, and what was measured of it; what a scenario does not measure is None or empty.

    precision: of its floats. engine_only: the bare engine on a prepared tensor, beside `whole`, from the frame in hand
    to its event, in the same rounds; stages_ms: of `whole`. frames: under `Camera` and `Sustained`. streams: the most
    cameras that held their rate, 0 where not even one did, and the `windows` that led to it. starts: of `ColdStart`.
    """

    __pydantic_config__ = STRICT

    variant: str
    engine: str
    device: str
    precision: str
    threads: int
    spinning: bool
    engine_only: Samples | None = None
    whole: Samples | None = None
    stages_ms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    frames: Frames | None = None
    streams: int | None = None
    windows: tuple[Window, ...] = ()
    starts: tuple[Start, ...] = ()


@dataclass(frozen=True)
class Result:
    """One run of the bench. taken: when, UTC. environment: before it began; looks: while it ran, once a second.

    classifier: the bundle behind the detector and its digest, None without one. source: what the camera saw. not_run:
    variants that could not run here, with the reason.
    """

    __pydantic_config__ = STRICT

    bundle: str
    digest: str
    profile: str
    taken: str
    scenario: Scenario
    environment: Environment
    variants: tuple[Executed, ...]
    looks: tuple[Look, ...] = ()
    validity: Validity = _VALID
    classifier: tuple[str, str] | None = None
    source: str = "the bundle's golden pictures"
    not_run: Mapping[str, str] = field(default_factory=dict)
    schema: Literal[2] = SCHEMA

    def text(self) -> str:
        """All of it as JSON text, raw samples included."""
        return json.dumps(schema.dump(self), ensure_ascii=False) + "\n"

    @classmethod
    def parse(cls, text: str | bytes, what: str) -> Result:
        """What `text` gave; `ResultError` says what is wrong in `what`, an older schema included."""
        return schema.parse_json(cls, text, what, ResultError)

    @classmethod
    def read(cls, path: Path | str) -> Result:
        """From a file that `edgekit bench --json` wrote."""
        try:
            return cls.parse(Path(path).read_bytes(), str(path))
        except OSError as error:
            raise ResultError(f"{path}: {error.strerror or error}") from error
