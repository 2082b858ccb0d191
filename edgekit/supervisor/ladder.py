"""What to give up when the board cannot keep up, in which order, and when to take it back.

Each rung does less than the one before. The ladder goes down a rung when a gauge has been ill for a while, and climbs
one rung when every gauge that is known has been well for longer. Between "ill" and "well" lies a band in which it
stays, and a climb that did not hold doubles the wait for the next one, so it cannot flap. Pure: time goes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgekit.schema import STRICT
from edgekit.supervisor.lasting import lasted, since
from edgekit.supervisor.sensors import Reading

_SOFT_C = 80.0  # of a board that nobody knows it of
_COOLER_C = 8.0  # than the limit, before more is asked of the board again


@dataclass(frozen=True)
class Rung:
    """How much is done here. rate: share of the frames that are looked at. variant: the bundle's variant that runs
    instead of the chosen one. detector_only: products are found and not named."""

    name: str
    rate: float = 1.0
    variant: str | None = None
    detector_only: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1:
            raise ValueError(f"rate of rung '{self.name}' must be above 0 and at most 1; got {self.rate}")


def default_rungs(smaller: str | None = None, classifier: bool = True) -> tuple[Rung, ...]:
    """Half the rate, a quarter, the smaller variant where the bundle has one, and the detector alone."""
    rungs = [Rung("full"), Rung("half rate", 0.5), Rung("quarter rate", 0.25)]
    if smaller is not None:
        rungs.append(Rung("smaller variant", 0.25, smaller))
    if classifier:
        rungs.append(Rung("detector only", 0.25, smaller, detector_only=True))
    return tuple(rungs)


@dataclass(frozen=True)
class LadderSettings:
    """When it is too much, and when there is room again.

    heat_*_c: degrees Celsius; the high one is the board's own limit unless it is said, the low one 8 below the high.
    missed_*: share of the frames of the last ten seconds that were due and not looked at. memory_*_mb: available
    memory. pressure_*: per cent of the time in which tasks waited for memory.
    worse_after_s: ill for so long before a rung down, at least as long as the window of `missed`. better_after_s: well
    for so long before a rung up. held_after_s: a climb that lasted so long has held; one that did not doubles the wait
    for the next, up to longest_wait_s.
    """

    __pydantic_config__ = STRICT

    heat_high_c: float | None = None
    heat_low_c: float | None = None
    missed_high: float = 0.3
    missed_low: float = 0.05
    memory_low_mb: float = 100.0
    memory_high_mb: float = 200.0
    pressure_high: float = 20.0
    pressure_low: float = 2.0
    worse_after_s: float = 10.0
    better_after_s: float = 60.0
    held_after_s: float = 600.0
    longest_wait_s: float = 1800.0

    def __post_init__(self) -> None:
        for low, high in _BANDS:
            least, most = getattr(self, low), getattr(self, high)
            if least is not None and most is not None and not least < most:
                raise ValueError(f"{low} must be below {high}; got {least} and {most}")
        if not 0 < self.worse_after_s <= self.better_after_s <= self.longest_wait_s:
            raise ValueError(
                "need 0 < worse_after_s <= better_after_s <= longest_wait_s; "
                f"got {self.worse_after_s}, {self.better_after_s}, {self.longest_wait_s}"
            )
        if self.held_after_s < 0:
            raise ValueError(f"held_after_s must be 0 or more; got {self.held_after_s}")

    def heat_c(self, soft_c: float | None) -> tuple[float, float]:
        """The low and the high temperature for a board that slows itself down at `soft_c`; ValueError where the one
        that is said and the board's do not go together."""
        usual = _SOFT_C if soft_c is None else soft_c
        high = usual if self.heat_high_c is None else self.heat_high_c
        low = high - _COOLER_C if self.heat_low_c is None else self.heat_low_c
        if not low < high:
            raise ValueError(f"heat_low_c must be below the board's {high:g} °C; got {low:g}")
        return low, high


_BANDS = (
    ("heat_low_c", "heat_high_c"),
    ("missed_low", "missed_high"),
    ("memory_low_mb", "memory_high_mb"),
    ("pressure_low", "pressure_high"),
)


@dataclass(frozen=True)
class Step:
    """One move: to which rung, in which direction and why."""

    rung: int
    name: str
    reason: str
    direction: Literal["down", "up"]


class Ladder:
    """Where on the ladder the runtime stands; it begins on the first rung. soft_c: where the board slows itself down.

    ladder = Ladder(LadderSettings(), default_rungs("tflite-int8"))
    step = ladder.update(now, read_sensors(), missed=0.4)   # once a second or so
    """

    def __init__(self, settings: LadderSettings, rungs: Sequence[Rung], soft_c: float | None = None) -> None:
        if not rungs:
            raise ValueError("a ladder needs at least one rung")
        self.index = 0
        self.reason = ""  # of the last step
        self._settings = settings
        self._heat_c = settings.heat_c(soft_c)
        self._rungs = tuple(rungs)
        self._ill_since: float | None = None
        self._well_since: float | None = None
        self._climbed_at: float | None = None
        self._wait_s = settings.better_after_s  # or more, after climbs that did not hold

    @property
    def rung(self) -> Rung:
        return self._rungs[self.index]

    def update(self, now: float, reading: Reading, missed: float | None) -> Step | None:
        """Take in what is known at `now` (monotonic seconds); the move it leads to, if any.

        A gauge that is None counts neither as ill nor as well, and where all are, nothing moves.
        """
        gauges = [gauge for gauge in _gauges(self._settings, self._heat_c, reading, missed) if gauge.value is not None]
        ill = [gauge for gauge in gauges if gauge.ill]
        self._ill_since = since(self._ill_since, now, bool(ill))
        self._well_since = since(self._well_since, now, bool(gauges) and all(gauge.well for gauge in gauges))
        self._forget_a_climb_that_held(now)
        if lasted(self._ill_since, now, self._settings.worse_after_s) and self.index + 1 < len(self._rungs):
            return self._fall(ill, now - self._ill_since)
        if lasted(self._well_since, now, self._wait_s) and self.index > 0:
            return self._climb(gauges, now, now - self._well_since)
        return None

    def _fall(self, ill: list[_Gauge], lasted_s: float) -> Step:
        if self._climbed_at is not None:
            self._climbed_at = None
            self._wait_s = min(2 * self._wait_s, self._settings.longest_wait_s)
        return self._move("down", ill, lasted_s)

    def _climb(self, well: list[_Gauge], now: float, lasted_s: float) -> Step:
        self._climbed_at = now
        return self._move("up", well, lasted_s)

    def _move(self, direction: Literal["down", "up"], gauges: list[_Gauge], lasted_s: float) -> Step:
        self.index += 1 if direction == "down" else -1
        self.reason = f"{', '.join(gauge.says for gauge in gauges)} for {lasted_s:.0f} s"
        # what was measured so far was measured on the rung before: each rung is given its own time
        self._ill_since = self._well_since = None
        return Step(self.index, self.rung.name, self.reason, direction)

    def _forget_a_climb_that_held(self, now: float) -> None:
        """Held, that is for longer than the wait before it: else a wait that has grown would forget why."""
        if lasted(self._climbed_at, now, max(self._settings.held_after_s, self._wait_s)):
            self._climbed_at = None
            self._wait_s = self._settings.better_after_s


@dataclass(frozen=True)
class _Gauge:
    """A value and its two limits. The bad one may lie above the good one (heat) or below it (memory)."""

    what: str
    value: float | None
    bad: float
    good: float

    @property
    def ill(self) -> bool:
        return self.value is not None and (self.value >= self.bad if self.bad > self.good else self.value <= self.bad)

    @property
    def well(self) -> bool:
        return self.value is not None and (self.value <= self.good if self.bad > self.good else self.value >= self.good)

    @property
    def says(self) -> str:
        return self.what.format(self.value)


def _gauges(
    limits: LadderSettings, heat_c: tuple[float, float], reading: Reading, missed: float | None
) -> tuple[_Gauge, ...]:
    cool_c, hot_c = heat_c
    return (
        _Gauge("{:.1f} °C", reading.heat_c, hot_c, cool_c),
        _Gauge("{:.0%} of the frames missed", missed, limits.missed_high, limits.missed_low),
        _Gauge("{:.0f} MB available", reading.memory_available_mb, limits.memory_low_mb, limits.memory_high_mb),
        _Gauge("memory pressure {:.1f} %", reading.memory_pressure, limits.pressure_high, limits.pressure_low),
    )
