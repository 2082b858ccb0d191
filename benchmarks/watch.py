"""What the host did while it was measured: once a second a look at its clocks, heat, memory and neighbours.

What the host does not tell is None, or absent from a mapping, and means "unknown"; it is never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Look:
    """The host at one moment.

    at_s: seconds since the measurement began. mhz: of each core that tells. temperatures_c: by thermal zone. throttled:
    what the firmware complains of, () when it is content. memory_pressure, cpu_pressure: per cent of the last 10 s in
    which some task waited (PSI, "some avg10"). memory_available_mb: without swapping. rss_mb: of this process and its
    children. others_cpu: cores that other processes kept busy since the last look. power_w: mean since the last look,
    by what measures it: a RAPL domain, a Jetson's INA3221 rail.
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
