"""A report as one self-contained HTML page; the same report gives the same page, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgekit.converters.report.changed import Answer, Changed
from edgekit.converters.report.charts import front_plot, heat_map, layer_bars, reliability_plot
from edgekit.converters.report.front import Placed
from edgekit.converters.report.report import FRAMEWORK, Report, StepRow, VariantRow
from edgekit.converters.report.units import (
    UNMEASURED,
    told_count,
    told_latency,
    told_median,
    told_range,
    told_share,
    told_size,
)
from edgekit.files import write_text
from edgekit.page import Block, Folded, Grid, Lines, Pictures, Plot, Plots, Section, Text, Tiles, render

_ACCURACY = {"top1": "top-1", "ap": "AP"}
_COST = {"latency_ms": "latency", "size": "size", "accuracy": "accuracy"}
_WORST = 20  # classes that are shown at once


def write_report(report: Report, path: Path | str) -> None:
    """The page at `path`, whole or not at all; `EdgekitError` where the system refuses."""
    write_text(path, to_html(report))


def to_html(report: Report) -> str:
    """The page as text."""
    lead = f"{report.evidence.images} evaluation pictures; {report.compared} is held against the framework below."
    sections = [
        Section("Verdict", list(_verdict(report))),
        Section("Accuracy, latency and size", list(_front(report))),
        Section("What each step bought", list(_steps(report.steps, _ACCURACY[report.figure]))),
        Section("Classes", list(_classes(report))),
        Section("Confusions", list(_confusions(report))),
        Section("Calibration", list(_calibration(report))),
        Section("Sensitivity of layers", list(_sensitivity(report))),
        Section("Pictures that changed their answer", list(_changed(report))),
        Section("Data and tools", list(_origin(report))),
    ]
    return render(f"{report.name}, release {report.release}", lead, sections)


def _verdict(report: Report) -> Iterator[Block]:
    yield Tiles([("the build", report.outcome, "the worst of all that was judged"), *_tiles(report)])
    figures = list(report.evidence.framework)
    columns = ["variant", "verdict", *figures, "size", "latency", "range", "INT8 convs", "engine"]
    yield Grid(columns, [_variant(each, figures) for each in report.variants])
    if any(each.latency for each in report.variants):
        yield Text(f"Latency is the median, with its range; measured on {report.host or 'a host that was not named'}.")
    for name, found in report.evidence.variants.items():
        if found.outcome == "PASS":
            yield Folded(f"{name}: PASS, the gate's reasons", [Lines(found.reasons)])
        else:
            yield Text(f"{name}: {found.outcome}")
            yield Lines(found.reasons)
        if len(found.attempts) > 1:
            yield Folded(f"{name}: {len(found.attempts)} ways to quantize were tried", [Lines(found.attempts)])
    if report.evidence.compression:
        yield Text("The model after its steps against what it was before it was pruned:")
        yield Lines(report.evidence.compression)
    if report.evidence.warnings:
        yield Text("The pictures that it was built with:")
        yield Lines(report.evidence.warnings)
    if report.evidence.allowed:
        yield Text(f"Allowed by hand, against the gate: {', '.join(report.evidence.allowed)}.")


def _tiles(report: Report) -> Iterator[tuple[str, str, str]]:
    """What the compared artifact is like, and below it the framework."""
    compared, framework = report.variant(report.compared), report.variant(FRAMEWORK)
    figures = [told_share(each.figures.get(report.figure)) for each in (compared, framework)]
    for name, (value, before) in (
        (_ACCURACY[report.figure], figures),
        ("size", (told_size(compared.size), told_size(framework.size))),
        ("latency", (told_median(compared.latency), told_median(framework.latency))),
    ):
        yield f"{name} of {report.compared}", value, f"framework: {before}"


def _variant(row: VariantRow, figures: Sequence[str]) -> list[str]:
    shares = [told_share(row.figures.get(name)) for name in figures]
    cells = [*shares, told_size(row.size), told_median(row.latency), told_range(row.latency)]
    if row.evidence is None:
        return [row.name, "", *cells, "", ""]
    done = row.evidence.int8_convolutions
    return [row.name, row.evidence.outcome, *cells, "{} of {}".format(*done) if done else "", row.evidence.engine]


def _front(report: Report) -> Iterator[Block]:
    accuracy = _ACCURACY[report.figure]
    drawn = [
        Plot(svg, caption)
        for cost, name, caption in (
            ("latency_ms", "median latency, ms", f"{accuracy} against latency"),
            ("size", "size, MB", f"{accuracy} against size"),
        )
        if (svg := front_plot(report.front, cost, name, accuracy))
    ]
    if drawn:
        yield Plots(drawn)
        yield Text(
            "Up and to the left is better; the line follows the best of each plot alone. A full mark is Pareto-optimal "
            "in everything that was measured: no other is as good in all of it and better in some. A hollow one is "
            "beaten, or lacks a figure."
        )
    if all(each.candidate.latency_ms is None for each in report.front):
        yield Text(f"Latency: {UNMEASURED}.")
    if all(each.candidate.size is None for each in report.front):
        yield Text(f"Size: {UNMEASURED}.")
    yield Grid(
        ["model", accuracy, "median latency", "size", "Pareto-optimal"], [_placed(each) for each in report.front]
    )


def _placed(place: Placed) -> list[str]:
    each = place.candidate
    latency = UNMEASURED if each.latency_ms is None else f"{each.latency_ms:.2f} ms"
    return [each.name, told_share(each.accuracy), latency, told_size(each.size), _standing(place)]


def _standing(place: Placed) -> str:
    if place.optimal is None:
        return f"cannot be told without {' and '.join(_COST[each] for each in place.lacks)}"
    return "yes" if place.optimal else f"no, {place.beaten_by} beats it"


def _steps(steps: Sequence[StepRow], accuracy: str) -> Iterator[Block]:
    if not steps:
        yield Text(f"{UNMEASURED}: the recipe has no steps on the model itself.")
        return
    columns = ["after", accuracy, "drop, 95 % interval", "MACs", "params", "size", "latency", "time"]
    befores = [None, *steps[:-1]]
    yield Grid(columns, [_step(before, after) for before, after in zip(befores, steps, strict=True)])
    yield Text("Each row is the model after a step; in brackets the change against the row before.")
    for each in steps:
        told = [f"{name}: {value:g}" for name, value in each.figures.items()] + list(each.notes)
        if told:
            yield Folded(f"{each.title}: what the step says of itself", [Lines(told)])


def _step(before: StepRow | None, after: StepRow) -> list[str]:
    interval = UNMEASURED if after.interval is None else "{:+.4f} to {:+.4f}".format(*after.interval)
    seconds = UNMEASURED if after.seconds is None else f"{after.seconds:.1f} s"
    accuracy, macs, params = (
        (getattr(after, name), getattr(before, name, None)) for name in ("accuracy", "macs", "params")
    )
    return [
        after.title,
        told_share(accuracy[0]) + ("" if None in accuracy else f" ({accuracy[0] - accuracy[1]:+.4f})"),
        interval if before else "",
        told_count(*macs),
        told_count(*params),
        told_size(after.size),
        told_latency(after.latency),
        seconds if before else "",
    ]


def _classes(report: Report) -> Iterator[Block]:
    what = "recall" if report.figure == "top1" else "AP"
    thing = "pictures" if report.figure == "top1" else "boxes"
    columns = ["class", thing, *report.scored, "largest loss"]
    rows = [[row.label, str(row.support), *map(told_share, row.figures), f"{row.lost:.4f}"] for row in report.classes]
    yield Text(f"The {what} of each class, by whom; the class that lost most comes first.")
    yield Grid(columns, rows[:_WORST])
    if rows[_WORST:]:
        yield Folded(f"the other {len(rows) - _WORST} classes", [Grid(columns, rows[_WORST:])])


def _confusions(report: Report) -> Iterator[Block]:
    if report.confusions is None:
        why = "a detector's boxes are matched label by label; one of a wrong label is one missed and one wrong"
        yield Text(f"{UNMEASURED}: {why}.")
        return
    before, after = report.confusions
    yield Plot(
        heat_map(after, report.compared),
        f"{report.compared}: truth down, answers across, by the share of the class's pictures; right in blue, wrong in "
        "orange. Rest the mouse on a cell for its classes and count.",
    )
    yield Folded("the framework's", [Plot(heat_map(before, FRAMEWORK), "the same of the framework")])
    if not report.confused:
        yield Text(f"{report.compared} takes no class for another.")
        return
    rows = [[each.truth, each.answer, str(each.after), str(each.before)] for each in report.confused]
    yield Text(f"The commonest confusions of {report.compared}, in pictures.")
    yield Grid(["shown", "taken for", report.compared, FRAMEWORK], rows, words=[1])


def _calibration(report: Report) -> Iterator[Block]:
    drawn = {name: found for name in (FRAMEWORK, report.compared) if (found := report.reliability[name])}
    plots = [
        Plot(reliability_plot(found, name), f"{name}: ECE {found.ece:.4f} over {found.count} answers")
        for name, found in drawn.items()
    ]
    if plots:
        yield Plots(plots)
        yield Text(
            "How often answers of each confidence are right: blue bars; where they should end, at the mean confidence: "
            "orange lines. ECE is the mean distance of the two (Guo et al., ICML 2017), over 15 bins."
        )
    if report.figure == "ap":
        yield Text("Detections at the score that the model runs at; one is right that finds a true box at IoU 0.5.")
    rows = [
        [name, f"{found.ece:.4f}" if found else UNMEASURED, str(found.count) if found else UNMEASURED]
        for name, found in report.reliability.items()
    ]
    yield Grid(["model", "ECE", "answers"], rows)


def _sensitivity(report: Report) -> Iterator[Block]:
    if not report.sensitivity:
        yield Text(f"{UNMEASURED}: no sensitivity analysis was asked for.")
        return
    yield Plots(
        [
            Plot(layer_bars(layers, f"sensitivity of {target}"), f"{target}: {len(layers)} layers in the net's order")
            for target, layers in report.sensitivity.items()
            if layers
        ]
    )
    yield Text(
        "Signal to quantization noise at the net's outputs with one layer alone in INT8: the shorter the bar, the more "
        "INT8 costs there. Orange layers are kept in float."
    )


def _changed(report: Report) -> Iterator[Block]:
    parted = report.parted
    yield Text(
        f"Of {parted.total} {parted.things}, {parted.lost} were lost (found by the framework and not by "
        f"{report.compared}) and {parted.won} were won."
    )
    if report.changed is None:
        yield Text(f"Examples: {UNMEASURED}.")
        return
    if not report.changed:
        return
    yield Text(_SEEN if report.figure == "top1" else _DRAWN)
    width = 150 if report.figure == "top1" else 340
    for each in report.changed:
        yield Pictures(each.shown, _change(each), width)


_SEEN = (
    "What counted for the answer that each model gave, warmer for more. Occlusion covers a quarter of each side with "
    "the picture's mean colour and notes how much of the answer's probability is lost; both models are asked through "
    "their own engines, so their maps can be compared. Each is scaled to its greatest loss, told below it, or to 0.05 "
    "where it is less. Grad-CAM needs gradients, so there is none of a file that runs in an engine."
)
_DRAWN = (
    "Detections at the score that the model runs at: green where they find a true box at IoU 0.5, vermilion where they "
    "find none; true boxes that were not found are yellow."
)


def _change(changed: Changed) -> str:
    return (
        f"{changed.outcome}: {changed.picture} shows {changed.truth}; "
        f"before: {_answer(changed.before)}, after: {_answer(changed.after)}"
    )


def _answer(answer: Answer) -> str:
    return answer.label if answer.score is None else f"{answer.label} {answer.score:.4f}"


def _origin(report: Report) -> Iterator[Block]:
    evidence = report.evidence
    yield Grid(["data", "digest"], [[name, digest] for name, digest in evidence.data.items()], words=[1])
    yield Grid(["tool", "version"], [[name, version] for name, version in evidence.tools.items()])
