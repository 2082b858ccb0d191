"""What is said of the measured peers: the table of all of them, and edgekit's promises against Ultralytics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from edgekit.benchmarks.peers.field import ENGINES
from edgekit.benchmarks.peers.pipe import Measured, Start
from edgekit.benchmarks.speed.promise import Promise, at_most
from edgekit.measure import Ratio, Samples, cpu_ratio

FRAME, FRAME_INT8, OVERHEAD, START = 0.87, 0.70, 1 / 3, 0.25
MEMORY = {"onnxruntime": 0.25, "openvino": 0.40, "litert": 0.25}

COLUMNS = (
    "who",
    "CPU ms a frame",
    "wall ms",
    "beyond the bare engine, CPU ms",
    "found",
    "first start, CPU s",
    "later",
    "peak MB",
    "ran",
)


def rows(measured: Mapping[str, Measured]) -> list[tuple[str, ...]]:
    """One row each, by `COLUMNS`: medians. Beyond the bare engine of the same engine and precision."""
    return [
        (
            name,
            f"{each.samples.median_cpu_ms:.2f}",
            f"{median(each.samples.wall_ms):.2f}",
            "" if name.startswith("bare") else f"{median(_beyond(name, measured).cpu_ms):.2f}",
            "-".join(str(number) for number in dict.fromkeys(each.found)),
            f"{each.starts[0].cpu_s:.2f}",
            f"{_cpu_s(each):.2f}",
            f"{_peak_mb(each):.0f}",
            _ran(each),
        )
        for name, each in measured.items()
    ]


def promises(measured: Mapping[str, Measured], size: int) -> list[Promise]:
    """What edgekit promises of itself against Ultralytics in the same engine, and what came out."""
    return [each for engine in ENGINES for each in _against_ultralytics(measured, engine, size)]


def _against_ultralytics(measured: Mapping[str, Measured], engine: str, size: int) -> list[Promise]:
    ours, int8, theirs = (measured[f"{who}, {engine}{more}"] for who, more in _PAIRS)
    overhead = cpu_ratio(_beyond(f"edgekit, {engine}", measured), _beyond(f"Ultralytics, {engine}", measured))
    at = f"{engine}, {size}"
    how = "CPU time of a frame in which 20 things are found, in turn on one core; they ran " + _ran(theirs)
    first = f"; first ones {ours.starts[0].cpu_s:.2f} and {theirs.starts[0].cpu_s:.2f} CPU s"
    return [
        _by_ratio(f"frame, {at}, float", FRAME, cpu_ratio(ours.samples, theirs.samples), _both(ours, theirs), how),
        _by_ratio(f"frame, {at}, INT8", FRAME_INT8, cpu_ratio(int8.samples, theirs.samples), _both(int8, theirs), how),
        _by_ratio(
            f"beyond the engine, {at}", OVERHEAD, overhead, "", "CPU time of a frame less that of the bare engine"
        ),
        _by_start(f"start, {at}", START, _cpu_s(ours), _cpu_s(theirs), "CPU s", first),
        _by_start(f"memory, {at}", MEMORY[engine], _peak_mb(ours), _peak_mb(theirs), "MB", ""),
    ]


_PAIRS = (("edgekit", ""), ("edgekit", ", INT8"), ("Ultralytics", ""))


def _beyond(name: str, measured: Mapping[str, Measured]) -> Samples:
    """What each round's median frame took beyond the bare engine's in the same round."""
    engine = name.partition(", ")[2]
    frame, bare = measured[name].samples, measured[f"bare engine, {engine}"].samples
    cpu = _less(frame.cpu_round_medians, bare.cpu_round_medians)
    return Samples(_less(frame.round_medians, bare.round_medians), cpu, (), block=1)


def _less(a: Sequence[float], b: Sequence[float]) -> tuple[float, ...]:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def _by_ratio(what: str, limit: float, ratio: Ratio, both: str, how: str) -> Promise:
    said = f"{ratio.median:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    return Promise(f"{what}, against Ultralytics", f"at most {limit:.2f}x", said, at_most(limit, ratio), f"{both}{how}")


def _by_start(what: str, limit: float, ours: float, theirs: float, unit: str, first: str) -> Promise:
    """Of later starts, for which edgekit keeps what OpenVINO compiled at the first."""
    how = f"{ours:.2f} and {theirs:.2f} {unit}, from a later start of the interpreter to its first answer, medians"
    said = f"{ours / theirs:.2f}x"
    kept = at_most(limit, ours / theirs)
    return Promise(f"{what}, against Ultralytics", f"at most {limit:.2f}x", said, kept, how + first)


def _both(ours: Measured, theirs: Measured) -> str:
    return f"{ours.samples.median_cpu_ms:.2f} and {theirs.samples.median_cpu_ms:.2f} ms; "


def _ran(each: Measured) -> str:
    return ", ".join(f"{name} {value}" for name, value in each.facts.items())


def _later(each: Measured) -> Sequence[Start]:
    """All starts but the first, where there are others."""
    return each.starts[1:] or each.starts


def _cpu_s(each: Measured) -> float:
    return median(start.cpu_s for start in _later(each))


def _peak_mb(each: Measured) -> float:
    return median(start.peak_mb for start in _later(each))
