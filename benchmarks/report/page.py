"""A result as one self-contained HTML page; the same result gives the same page, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from statistics import fmean

from edgekit.benchmarks.baselines import Row
from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.report import tables
from edgekit.benchmarks.report.plots import cold, density, histogram, tail, waterfall
from edgekit.benchmarks.report.series import all_series, frame_ms, stages
from edgekit.benchmarks.report.standing import Judged, standing
from edgekit.benchmarks.report.timeline import timeline, unknown
from edgekit.benchmarks.report.units import UNMEASURED, told, told_any, told_range
from edgekit.benchmarks.report.words import how_measured, where_measured
from edgekit.benchmarks.result import Executed, Result
from edgekit.benchmarks.scenario import Streams
from edgekit.benchmarks.timed import judged
from edgekit.bundle import Bundle
from edgekit.measure import percentile
from edgekit.page import Block, Folded, Grid, Plot, Section, Text, render
from edgekit.svg import Point, front

_ENVIRONMENT = fields(Environment)
_FEW = 12  # windows of a search that are shown without being asked for


def page(
    result: Result, bundle: Bundle | None = None, verdicts: Sequence[Judged] = (), beside: Sequence[Row] = ()
) -> str:
    """The page as text. bundle: the measured one, for its accuracy; `ValueError` where it is another. verdicts: what
    came out of the limits that the result was held against. beside: from `against_baseline`."""
    lead = f"{how_measured(result)} {where_measured(result)}"
    return render(f"{result.bundle} under load", lead, _sections(result, bundle, verdicts, beside))


def sections(result: Result, bundle: Bundle | None = None) -> list[Section]:
    """The same for a page of one's own, where other bundles may stand beside this one."""
    lead = Text(f"{how_measured(result)} {where_measured(result)}")
    first, *others = _sections(result, bundle, (), ())
    found = [Section(first.title, [lead, *first.blocks]), *others]
    return [Section(f"{result.bundle}: {each.title.lower()}", each.blocks) for each in found]


def _sections(
    result: Result, bundle: Bundle | None, verdicts: Sequence[Judged], beside: Sequence[Row]
) -> list[Section]:
    """Only what the scenario measured."""
    if bundle is not None and bundle.digest != result.digest:
        raise ValueError(
            f"{bundle.path} is not what was measured: its digest is {bundle.digest[:16]}, the result's is "
            f"{result.digest[:16]}"
        )
    found = [
        Section("Standing", list(standing(result, verdicts))),
        Section("Latency", list(_latency(result))),
        Section("Accuracy against latency", list(_front(result, bundle))),
        Section("Frames", list(_frames(result))),
        Section("From frame to event", list(_stages(result))),
        Section("Stream density", list(_streams(result))),
        Section("Cold start", list(_starts(result))),
        Section("Beside what is known of this model", list(_beside(beside))),
        Section("The host meanwhile", list(_host(result))),
        Section("How it ran", list(_origin(result))),
    ]
    return [each for each in found if each.blocks]


def _latency(result: Result) -> Iterator[Block]:
    series = all_series(result)
    if not series:
        return
    yield tables.latency(result)
    yield Text(
        f"Milliseconds. A percentile that too few samples stand behind is '{UNMEASURED}'. CPU time is of all threads; "
        "wall/CPU above 1.1 on one thread means that others had the core."
    )
    yield Plot(histogram(series), "Every run; the height goes by the logarithm of the count, so one stall is a bar.")
    yield Plot(tail(series), "The tail: p99 is where a line crosses 0.01. A step at the lower end is a single run.")


def _front(result: Result, bundle: Bundle | None) -> Iterator[Block]:
    if bundle is None:
        return
    evidence = bundle.manifest.evidence
    figure = next(iter(evidence.framework), "")
    points, what = [], ""
    for each in judged(result).variants:
        accuracy = evidence.variants[each.variant].figures.get(figure) if each.variant in evidence.variants else None
        what, taken = frame_ms(each)
        median = percentile(taken, 50)
        if accuracy is not None and median is not None:
            points.append(Point(median, accuracy, each.variant))
    if len(points) > 1:
        plot = front(points, f"p50, {what}, ms", figure)
        yield Plot(plot, f"Up and to the left is better. {figure} is of {evidence.images} evaluation pictures.")


def _frames(result: Result) -> Iterator[Block]:
    table = tables.frames(result)
    if table:
        yield table
        yield Text("A frame's age counts from when it was due to its event; what nobody was there to take is dropped.")


def _stages(result: Result) -> Iterator[Block]:
    table = tables.stage_times(result)
    if table:
        shown = [(each.variant, stages(each), _mean_engine(each)) for each in result.variants if stages(each)]
        yield Plot(waterfall(shown), "Means, so that they add up. 'between' is what no stage accounts for.")
        yield Folded("Every stage in figures", [table])


def _mean_engine(each: Executed) -> float | None:
    return fmean(each.engine_only.wall_ms) if each.engine_only else None


def _streams(result: Result) -> Iterator[Block]:
    table = tables.streams(result)
    if table is None or not isinstance(result.scenario, Streams):
        return
    yield table
    searched = [(each.variant, each.windows) for each in result.variants if any(w.fps for w in each.windows)]
    if searched:
        scenario = result.scenario
        caption = "The slowest camera of each window; full where the rate held. A line goes up to the fastest camera."
        yield Plot(density(searched, scenario.fps, scenario.tolerance), caption)
    every = tables.windows(result)
    yield every if len(every.rows) <= _FEW else Folded(f"All {len(every.rows)} windows", [every])


def _starts(result: Result) -> Iterator[Block]:
    table = tables.starts(result)
    if table:
        started = [(each.variant, each.starts) for each in result.variants if each.starts]
        yield Plot(cold(started), "Means of fresh interpreters; each mark is one start. Memory is the most of any.")
        yield table


def _beside(rows: Sequence[Row]) -> Iterator[Block]:
    if rows:
        columns = ["whose", "model", "input", "engine", "precision", "ms", "source"]
        cells = [
            [each.whose, each.model, each.input, each.engine, each.precision, told(each.ms), each.source]
            for each in rows
        ]
        yield Grid(columns, cells, words=(0, 3, 6))
        yield Text("Other engines, versions and threads on other days: for orientation, and no verdict.")


def _host(result: Result) -> Iterator[Block]:
    drawn = timeline(result.variants, result.looks)
    if drawn:
        yield Plot(drawn, "Frames: the median, and a thin line from the fastest to the slowest. Red: throttled.")
    if result.looks:
        yield Grid(["seen", "range"], _seen(result), words=(0, 1))
        hidden = unknown(result.looks)
        if hidden:
            yield Text(f"Unknown, since this host does not tell: {', '.join(hidden)}.")
    else:
        yield Text(f"The host was not watched while it was measured: temperature, clock and load are {UNMEASURED}.")


def _seen(result: Result) -> list[list[str]]:
    looks = result.looks
    hot = [value for look in looks for value in look.temperatures_c.values() if value is not None]
    complaints = sorted({word for look in looks for word in look.throttled or ()})
    told_of = any(look.throttled is not None for look in looks)
    return [
        ["looks, one a second", str(len(looks))],
        ["temperature", told_range(hot, "°C", 1)],
        ["clock", told_range([mhz for look in looks for mhz in look.mhz], "MHz")],
        ["throttled", ", ".join(complaints) or ("no" if told_of else "unknown")],
        ["load", told_range(_known(look.load for look in looks), "", 1)],
        ["cores that others used", told_range(_known(look.others_cpu for look in looks), "", 2)],
        ["tasks waited for a core", told_range(_known(look.cpu_pressure for look in looks), "%")],
        ["tasks waited for memory", told_range(_known(look.memory_pressure for look in looks), "%")],
        ["memory of this process", told_range(_known(look.rss_mb for look in looks), "MB")],
    ]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _origin(result: Result) -> Iterator[Block]:
    yield tables.executed(result)
    classifier = "none" if result.classifier is None else f"{result.classifier[0]}, digest {result.classifier[1]}"
    told_of = [
        ["bundle", f"{result.bundle}, digest {result.digest}"],
        ["classifier behind it", classifier],
        ["pictures", result.source],
        ["profile", result.profile],
        ["taken", result.taken],
    ]
    host = [[each.name.replace("_", " "), told_any(getattr(result.environment, each.name))] for each in _ENVIRONMENT]
    yield Grid(["what", "value"], told_of, words=(0, 1))
    yield Grid(["host, before it began", "value"], host, words=(0, 1))
    yield Text(f"Result schema {result.schema}: benchmarks/result.schema.json. The JSON file holds every raw sample.")
