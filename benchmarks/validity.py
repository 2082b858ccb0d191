"""Whether a measurement may be shown: a board that was slowed down, or that others used meanwhile, was not measured.

    validity = judge(environment, watcher.looks, executed)
    validity.invalid    # ("under-voltage in 3 of 60 looks",)

Neighbours can be allowed by the caller, and are then on record; a throttled, under-volted or swapping board cannot. A
sensor that is missing makes nothing invalid, and is a warning: "not measured on this host: heat, clocks".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Literal, TypeAlias

from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.interference import FLAGGED, REFUSED, interference, windows
from edgekit.benchmarks.result import Executed
from edgekit.benchmarks.watch import Look, Validity
from edgekit.host import HELD, STRAINED, unsteady
from edgekit.throttling import SINCE_BOOT

# invalid: the run does not count. noisy: it does not, unless the caller allows neighbours.
Severity: TypeAlias = Literal["invalid", "noisy", "warning"]
Finding: TypeAlias = tuple[Severity, str]

SLOW_LOOKS = 0.01  # in so many of the looks it may be slower: one may fall into a change of the clock

OTHERS = 0.1  # cores that a system's own services keep busy

# Where intel-retail/performance-tools (stream_density.py) adds no more streams. PSI in per cent; pages a second.
PRESSURE, SWAPPED = 10.0, 1000.0


def judge(
    environment: Environment, looks: Sequence[Look], executed: Sequence[Executed], allow_noisy: bool = False
) -> Validity:
    """What `looks` and `executed` say against a run that began in `environment`.

    allow_noisy: neighbours on the cores do not make it invalid, and stand in `Validity.allowed`.
    """
    found: list[Finding] = [
        *(("warning", f"before it began: {text}") for text in unsteady(environment)),
        *_throttling(environment, looks),
        *_clocks(environment, looks),
        *_neighbours(environment, looks, executed),
        *_interference(executed),
        *_memory(looks),
        *_unknown(environment, looks),
    ]
    refused = ("invalid",) if allow_noisy else ("invalid", "noisy")
    return Validity(
        invalid=tuple(text for severity, text in found if severity in refused),
        warnings=tuple(text for severity, text in found if severity == "warning"),
        allowed=tuple(text for severity, text in found if severity == "noisy" and allow_noisy),
    )


def _throttling(environment: Environment, looks: Sequence[Look]) -> Iterator[Finding]:
    """What was complained of during the run. A bit that says "since boot" counts where it was not set before."""
    told = [each for each in (environment.throttled, *(look.throttled for look in looks)) if each is not None]
    during = [look.throttled or () for look in looks]
    new = [set(now) - set(before) for before, now in pairwise(told)]
    for name in dict.fromkeys(name for each in during for name in each):
        if not name.endswith(SINCE_BOOT):
            yield "invalid", f"{name} in {sum(name in each for each in during)} of {len(looks)} looks"
        elif any(name in each for each in new) and not any(name.removesuffix(SINCE_BOOT) in each for each in during):
            yield "invalid", f"{name.removesuffix(SINCE_BOOT)} between two looks"


def _clocks(environment: Environment, looks: Sequence[Look]) -> Iterator[Finding]:
    limits = environment.limit_mhz
    told = [look.mhz for look in looks if look.mhz and limits]
    known = [mhz for mhz in told if len(mhz) == len(limits)]
    if len(known) < len(told):
        yield "warning", f"cores came or went in {len(told) - len(known)} of {len(looks)} looks"
    falls = _turbo_falls if environment.arch in ("x86_64", "AMD64", "i686") else _clock_falls
    slow = [mhz for mhz in known if falls(mhz, limits)]
    if len(slow) <= SLOW_LOOKS * len(known):
        return
    held = environment.governor == "performance" and falls is _clock_falls
    fastest = median(max(mhz) for mhz in known)
    text = f"the clock was below {100 * HELD:.0f} % of its {max(limits):.0f} MHz in {len(slow)} of {len(known)} looks"
    yield "invalid" if held else "warning", f"{text}; the fastest core's median was {fastest:.0f} MHz"


def _clock_falls(mhz: Sequence[float], limits: Sequence[float]) -> bool:
    return any(now < HELD * most for now, most in zip(mhz, limits, strict=True))


def _turbo_falls(mhz: Sequence[float], limits: Sequence[float]) -> bool:
    """An x86 chip promises its highest clock to one busy core, and idle ones show their lowest: of the fastest core it
    is worth a warning. That the chip was too hot is told by its throttle counters."""
    return max(mhz) < HELD * max(limits)


def _neighbours(environment: Environment, looks: Sequence[Look], executed: Sequence[Executed]) -> Iterator[Finding]:
    """Others that leave too few cores for the threads that were measured contend; with fewer they still share caches,
    memory and heat. The worst minute counts."""
    told = [(look.at_s, look.others_cpu) for look in looks if look.others_cpu is not None]
    by_window: dict[float, list[float]] = {}
    for window, (_, busy) in zip(windows([at for at, _ in told]), told, strict=True):
        by_window.setdefault(window, []).append(busy)
    others = max((fmean(each) for each in by_window.values()), default=0.0)
    cores = environment.cores or environment.cores_allowed
    threads = max((each.threads for each in executed if each.device == "cpu"), default=1)
    if others <= OTHERS:
        return
    text = f"other processes kept {others:.1f} of {cores} cores busy" + (" for a minute" if len(by_window) > 1 else "")
    if others + threads > cores + OTHERS:
        yield "noisy", f"{text}, and {threads} thread{'s' if threads > 1 else ''} were measured"
    else:
        yield "warning", text


def _interference(executed: Sequence[Executed]) -> Iterator[Finding]:
    for each in executed:
        index = interference(each)
        if index is not None and index > FLAGGED:
            severity: Severity = "noisy" if index > REFUSED else "warning"
            yield severity, f"{each.variant} waited for its cores: wall over CPU time is {index:.2f}"


def _memory(looks: Sequence[Look]) -> Iterator[Finding]:
    pressure = max((look.memory_pressure or 0.0 for look in looks), default=0.0)
    swapped = max((look.swapped_pages_s or 0.0 for look in looks), default=0.0)
    if pressure > STRAINED:
        severity: Severity = "invalid" if pressure > PRESSURE else "warning"
        yield severity, f"memory pressure of up to {pressure:.0f} %: tasks waited for memory"
    if swapped > 0:
        severity = "invalid" if swapped > SWAPPED else "warning"
        yield severity, f"up to {swapped:.0f} pages a second were swapped"


def _unknown(environment: Environment, looks: Sequence[Look]) -> Iterator[Finding]:
    if not looks:
        yield "warning", "the host was not watched"
        return
    told = {
        "heat": any(heat is not None for look in looks for heat in look.temperatures_c.values()),
        "clocks": environment.limit_mhz != () and any(look.mhz for look in looks),
        "governor": environment.governor is not None,
        "throttling": any(look.throttled is not None for look in looks),
        "other processes": any(look.others_cpu is not None for look in looks),
        "memory pressure": any(look.memory_pressure is not None for look in looks),
    }
    missing = [what for what, known in told.items() if not known]
    if missing:
        yield "warning", f"not measured on this host: {', '.join(missing)}"
