"""The tables of a report: of what was timed, of frames, streams and starts, and of how the models really ran."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, median

from edgekit.benchmarks.report.series import Series, all_series, stages
from edgekit.benchmarks.report.units import told, told_share
from edgekit.benchmarks.result import Executed, Result
from edgekit.benchmarks.scenario import Camera, Streams, Sustained
from edgekit.benchmarks.scenarios.sustained import burst, sustained
from edgekit.benchmarks.timed import judged
from edgekit.measure import percentile
from edgekit.page import Grid

PERCENTS = (50, 90, 95, 99, 99.9)


def latency(result: Result) -> Grid:
    """Milliseconds of everything that was timed, of a sustained load what is judged: its end. A percentile without
    enough samples behind it is 'not measured'."""
    columns = ["timed", "samples", *(f"p{p:g}" for p in PERCENTS), "most", "CPU p50", "wall/CPU"]
    return Grid(columns, [_timed(each) for each in all_series(judged(result))])


def _timed(series: Series) -> list[str]:
    return [
        series.name,
        str(len(series.wall_ms)),
        *(told(percentile(series.wall_ms, percent)) for percent in PERCENTS),
        told(max(series.wall_ms)),
        *([told(series.cpu_p50_ms), told(series.interference)] if series.cpu_ms else ["", ""]),
    ]


def executed(result: Result) -> Grid:
    """How each variant really ran."""
    columns = ["variant", "engine", "device", "floats computed in", "threads", "idle threads"]
    return Grid(columns, [_executed(each) for each in result.variants], words=(0, 1))


def _executed(each: Executed) -> list[str]:
    idle = "spin" if each.spinning else "sleep"
    return [each.variant, each.engine, each.device, each.precision, str(each.threads), idle]


def frames(result: Result) -> Grid | None:
    """What became of the frames that came, where a scenario has frames."""
    columns = ["variant", "came", "answered", "dropped", "share dropped", "age p50, ms", "age p99, ms"]
    if isinstance(result.scenario, Sustained):
        columns += ["burst p50, ms", "sustained p50, ms", "ratio"]
    return _grid(columns, result, lambda each: each.frames is not None, lambda each: _frames(each, result))


def _frames(each: Executed, result: Result) -> list[str]:
    assert each.frames is not None
    seen = each.frames
    cells = [each.variant, str(seen.arrived), str(len(seen.at_s)), str(seen.dropped), told_share(seen.drop)]
    cells += [told(percentile(seen.age_ms, percent)) for percent in (50, 99)]
    if isinstance(result.scenario, Sustained):
        first, last = (percentile(taken(seen, result.scenario), 50) for taken in (burst, sustained))
        cells += [told(first), told(last), told(last / first if first and last else None)]
    return cells


def stage_times(result: Result) -> Grid | None:
    """Milliseconds of each stage, over all frames; one that seldom runs has a mean and a p50 of 0."""
    rows = [
        [
            variant.variant,
            stage.name,
            told(stage.mean_ms),
            *(told(percentile(stage.taken_ms, percent)) for percent in (50, 99)),
            told_share(stage.ran) if stage.taken_ms else "",
        ]
        for variant in result.variants
        for stage in stages(variant)
    ]
    return Grid(["variant", "stage", "mean, ms", "p50", "p99", "ran in"], rows, words=(0, 1)) if rows else None


def streams(result: Result) -> Grid | None:
    columns = ["variant", "cameras that hold their rate", "windows tried"]
    return _grid(
        columns,
        result,
        lambda each: each.streams is not None,
        lambda each: [each.variant, _held(each, result), str(len(each.windows))],
    )


def _held(each: Executed, result: Result) -> str:
    """A search that ended at its limit found no capacity, only that it is not below."""
    at_the_end = isinstance(result.scenario, Streams) and each.streams == result.scenario.most
    return f"{each.streams} or more" if at_the_end else str(each.streams)


def windows(result: Result) -> Grid:
    """Every window of the search for stream density, in the order they were tried."""
    rows = [
        [each.variant, str(window.streams), *_rates(window.fps), "held" if window.passed else "not held"]
        for each in result.variants
        for window in each.windows
    ]
    return Grid(["variant", "cameras", "slowest, 1/s", "median", "fastest", "rate"], rows)


def _rates(fps: Sequence[float]) -> list[str]:
    return [told(each) for each in (min(fps), median(fps), max(fps))] if fps else [told(None)] * 3


def starts(result: Result) -> Grid | None:
    """Means of a few cold starts; their spread is in the plot."""
    columns = ["variant", "starts", "first result after, s", "import", "load", "CPU, s", "peak memory, MB"]
    return _grid(columns, result, lambda each: bool(each.starts), _starts)


def _starts(each: Executed) -> list[str]:
    means = [fmean(getattr(start, name) for start in each.starts) for name in ("wall_s", "import_s", "load_s", "cpu_s")]
    peak = max(start.peak_mb for start in each.starts)
    return [each.variant, str(len(each.starts)), *(told(mean) for mean in means), told(peak, 0)]


def _grid(
    columns: Sequence[str],
    result: Result,
    has: Callable[[Executed], bool],
    row: Callable[[Executed], list[str]],
) -> Grid | None:
    rows = [row(each) for each in result.variants if has(each)]
    return Grid(columns, rows) if rows else None


def offered_fps(result: Result) -> float | None:
    """The rate of each camera, None where frames come back to back."""
    return result.scenario.fps if isinstance(result.scenario, (Camera, Streams, Sustained)) else None
