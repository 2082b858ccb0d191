"""A result as one small table, a row a variant, and as the sections of a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeAlias

from edgekit.benchmarks.result import Executed, Frames, Result
from edgekit.benchmarks.scenario import Streams, Sustained
from edgekit.benchmarks.scenarios.sustained import burst, steady, sustained_over_burst
from edgekit.benchmarks.timed import judged_frames
from edgekit.measure import Samples

Cells: TypeAlias = list[str]

HOW = ("variant", "engine", "floats", "threads")
COLUMNS: dict[str, tuple[str, ...]] = {
    "single-stream": (*HOW, "p50", "p90", "p99", "cpu", "whole p50", "wall/cpu"),
    "camera": (*HOW, "p50", "p90", "p99", "cpu", "age p50", "age p99", "dropped"),
    "sustained": (*HOW, "p50", "p99", "burst p50", "ratio", "dropped", "steady"),
    "streams": (*HOW, "cameras", "rate", "windows"),
    "cold-start": (*HOW, "wall s", "import s", "load s", "cpu s", "peak MB"),
}
MEANING = {
    "single-stream": "milliseconds of the bare engine, and from a frame to its event ('whole')",
    "camera": "milliseconds from a frame in hand to its event, and from when it was due ('age')",
    "sustained": "milliseconds from a frame in hand to its event, at the end and in the first seconds ('burst')",
    "streams": "the most cameras that hold their rate, and the lowest rate among them in frames/s",
    "cold-start": "medians of fresh interpreters up to the first result",
}


def columns(result: Result) -> tuple[str, ...]:
    return COLUMNS[result.scenario.kind]


def rows(result: Result) -> list[Cells]:
    """By `columns`; a percentile without enough samples behind it is 'n/a'."""
    cells = _CELLS[result.scenario.kind]
    return [
        [each.variant, each.engine, each.precision, str(each.threads), *cells(each, result)] for each in result.variants
    ]


def title(result: Result) -> str:
    host = f"{result.environment.line()}, profile '{result.profile}'"
    return f"{result.bundle}, {host}; {MEANING[result.scenario.kind]}"


def _single_stream(each: Executed, _: Result) -> Cells:
    engine, whole = each.engine_only, each.whole
    assert engine is not None
    assert whole is not None
    percentiles = [_ms(engine.percentile(p)) for p in (50, 90, 99)]
    return [*percentiles, _ms(engine.median_cpu_ms), _ms(whole.percentile(50)), f"{engine.interference:.2f}"]


def _camera(each: Executed, _: Result) -> Cells:
    frames = _frames(each)
    times, ages = _of(frames.frame_ms, frames.cpu_ms), _of(frames.age_ms, frames.cpu_ms)
    percentiles = [_ms(times.percentile(p)) for p in (50, 90, 99)]
    return [
        *percentiles,
        _ms(times.median_cpu_ms),
        _ms(ages.percentile(50)),
        _ms(ages.percentile(99)),
        f"{frames.drop:.1%}",
    ]


def _sustained(each: Executed, result: Result) -> Cells:
    assert isinstance(result.scenario, Sustained)
    frames, scenario = _frames(each), result.scenario
    end = judged_frames(frames, scenario)
    times = _of(end.frame_ms, end.cpu_ms)
    return [
        _ms(times.percentile(50)),
        _ms(times.percentile(99)),
        _ms(median(burst(frames, scenario))),
        f"{sustained_over_burst(frames, scenario):.2f}",
        f"{end.drop:.1%}",
        steady(frames, result.looks) or "yes",
    ]


def _streams(each: Executed, result: Result) -> Cells:
    assert isinstance(result.scenario, Streams)
    held = [min(window.fps) for window in each.windows if window.streams == each.streams and window.passed]
    bound = " or more" if each.streams == result.scenario.most else ""
    return [f"{each.streams}{bound}", f"{min(held):.2f}" if held else "n/a", str(len(each.windows))]


def _cold_start(each: Executed, _: Result) -> Cells:
    seconds = ("wall_s", "import_s", "load_s", "cpu_s")
    medians = [f"{median(getattr(start, name) for start in each.starts):.2f}" for name in seconds]
    return [*medians, f"{median(start.peak_mb for start in each.starts):.0f}"]


_CELLS: dict[str, Callable[[Executed, Result], Cells]] = {
    "single-stream": _single_stream,
    "camera": _camera,
    "sustained": _sustained,
    "streams": _streams,
    "cold-start": _cold_start,
}


def _frames(each: Executed) -> Frames:
    assert each.frames is not None, "this scenario keeps frames"
    return each.frames


def _of(wall_ms: Sequence[float], cpu_ms: Sequence[float]) -> Samples:
    return Samples(tuple(wall_ms), tuple(cpu_ms), (), 1)


def _ms(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
