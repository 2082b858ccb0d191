"""`edgekit build`: from a recipe to a bundle, or the reasons why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.errors import EngineMissing, SettingsError

if TYPE_CHECKING:
    from edgekit.converters.build import Built
    from edgekit.converters.recipe import Recipe


def build(
    recipe: Annotated[
        Path, typer.Argument(help="A recipe (.toml): model, input, head, labels, pictures, steps, gate.")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The bundle to write (.ekb).")] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Only say which operators stand in the way of which target.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be done, and how long it would take here.")
    ] = False,
    steps: Annotated[
        Path | None,
        typer.Option(help="The folder that keeps finished steps; beside the bundle, ending in .steps, if not named."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Write the model as its steps left it to this file too (.safetensors).")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with all that was found to this file (.html), PASS or not.")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A finding of the calibration audit to build in spite of, by its code; goes on record."),
    ] = None,
    allow_inconclusive: Annotated[
        bool, typer.Option("--allow-inconclusive", help="Write a bundle that could not be judged; it will say so.")
    ] = False,
    measure: Annotated[bool, typer.Option(help="Measure every variant's latency on this host as well.")] = True,
) -> None:
    """Train, distil, prune as the recipe says, export to ONNX, OpenVINO and TFLite, in float and INT8, and prove it.

    Exit code 0: every variant passed the recipe's gate and the bundle is written. 1: one failed. 2: the evaluation
    set is too small to tell. In the last two cases no bundle is written, and one that was there stays as it was.

    A build that was interrupted goes on where it was: finished steps are kept, and training goes on after its last
    whole epoch. With --explain the exit code is 1 where something blocks a target.
    """
    from edgekit.cli import show

    if output is None and not (explain or plan):
        raise typer.BadParameter("name the bundle to write: -o cart.ekb")
    for path in filter(None, (output, weights, report)):
        show.check_place(path)
    settings = _read(recipe)
    kept = steps or (None if output is None else output.with_suffix(".steps"))
    if explain or plan:
        blocked = explain and _explain(settings)
        if plan:
            _plan(settings, kept)
        raise typer.Exit(1 if blocked else 0)
    if measure and not settings.golden:
        raise SettingsError(f"{recipe}: there is nothing to measure with: set golden to 1 or more, or add --no-measure")
    assert output is not None
    _build(settings, output, kept, weights, report, allow or [], allow_inconclusive, measure)


def measured_times(built: Built, name: str) -> dict[str, Any]:
    """The times of every variant on this host, from a copy of the bundle."""
    from tempfile import TemporaryDirectory

    from edgekit.benchmarks.bench import against_float, bench, latency
    from edgekit.benchmarks.scenario import SingleStream
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.measure import Rounds
    from edgekit.profile import DeviceProfile

    with TemporaryDirectory(prefix="edgekit-") as folder:
        copy = Path(folder) / name
        built.write(copy)
        with Bundle.open(copy) as bundle, show.progress() as tell:
            found = bench(bundle, DeviceProfile.load("generic"), SingleStream(Rounds(rounds=10)), progress=tell)
    times = {"environment": found.environment.line(), "latency": latency(found)}
    return times | {"against_float": against_float(found)}


def register(app: typer.Typer) -> None:
    app.command()(build)


def _read(path: Path) -> Recipe:
    try:
        from edgekit.converters.recipe import read_recipe
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("edgekit"):
            raise
        raise EngineMissing(f"building needs '{missing.name}': pip install 'edgekit[convert]'") from missing
    return read_recipe(path)


def _build(
    recipe: Recipe,
    output: Path,
    kept: Path | None,
    weights: Path | None,
    report: Path | None,
    allow: list[str],
    allow_inconclusive: bool,
    measure: bool,
) -> None:
    from edgekit.cli import show
    from edgekit.converters.build import build as build_bundle

    keeps = recipe.model_steps or recipe.aware_step
    with show.progress() as tell:
        built = build_bundle(recipe, tell, kept if keeps else None, allow)
    _print(built)
    if weights is not None:
        built.write_weights(weights)
    measured = measured_times(built, output.name) if measure else {}
    _print_slower(built, measured)
    if report is not None:
        _write_report(built, measured, report)
    verdict = built.verdict.outcome
    if verdict == "FAIL" or (verdict == "INCONCLUSIVE" and not allow_inconclusive):
        show.err.print(f"{verdict}: {output} was not written", soft_wrap=True)
        raise typer.Exit(1 if verdict == "FAIL" else 2)
    if verdict == "INCONCLUSIVE":
        built = built.allowing("inconclusive")
    digest = built.write(output, measured or None)
    show.err.print(f"{verdict}: {output} written, digest {digest[:16]}", soft_wrap=True)


def _write_report(built: Built, measured: Mapping[str, Any], path: Path) -> None:
    from edgekit.cli import show
    from edgekit.converters.report.of_build import report_on
    from edgekit.converters.report.page import write_report

    write_report(report_on(built, measured), path)
    show.err.print(f"{path} written", soft_wrap=True)


def _explain(recipe: Recipe) -> bool:
    """Print what stands in the way; whether any of it blocks a target."""
    from edgekit.cli import show
    from edgekit.converters.explain import explain

    blocks = explain(recipe)
    for block in (each for each in blocks if each.fatal):
        show.out.print(f"blocked: {block}", soft_wrap=True)
    costly = Counter((each.target, each.operator, each.why, each.remedy) for each in blocks if not each.fatal)
    for (target, operator, why, remedy), times in costly.items():
        show.out.print(f"costly in INT8: {target}: {operator} x{times}: {why}; {remedy}", soft_wrap=True)
    if not blocks:
        show.out.print(f"nothing stands in the way of {', '.join(recipe.targets)}", soft_wrap=True)
    return any(block.fatal for block in blocks)


def _plan(recipe: Recipe, kept: Path | None) -> None:
    from edgekit.cli import show
    from edgekit.converters.forecast import forecast, total
    from edgekit.converters.opened import open_recipe

    planned = forecast(open_recipe(recipe), kept)
    rows = [[each.what, "not estimated" if each.seconds is None else show.duration(each.seconds)] for each in planned]
    show.table(f"{recipe.name}: what will be done", ["", "here, about"], rows)
    show.out.print(f"together {show.duration(total(planned))}, without what is not estimated", soft_wrap=True)


def _print(built: Built) -> None:
    from edgekit.cli import show

    evidence = built.manifest.evidence
    figures = list(evidence.framework)
    rows = [[each.kind, *_accuracy(each.accuracy, figures), "", ""] for each in evidence.steps]
    if evidence.start:
        rows.insert(0, ["as it came", *_accuracy(evidence.start, figures), "", ""])
    rows.append(["framework", *_accuracy(evidence.framework, figures), "", ""])
    for name, found in evidence.variants.items():
        done = found.int8_convolutions
        share = f"{done[0]}/{done[1]}" if done else ""
        rows.append([name, *_accuracy(found.figures, figures), share, found.outcome])
    show.table(
        f"{built.manifest.name}: {evidence.images} pictures", ["variant", *figures, "int8 convs", "verdict"], rows
    )
    for note in evidence.loaded:
        show.out.print(f"  {note}", soft_wrap=True)
    for step in evidence.steps:
        for note in step.notes:
            show.out.print(f"  {step.kind}: {note}", soft_wrap=True)
    for name, found in evidence.variants.items():
        tried = found.attempts if len(found.attempts) > 1 else ()
        for line in (*(f"tried {attempt}" for attempt in tried), *found.reasons):
            show.out.print(f"  {name}: {line}", soft_wrap=True)
    for reason in evidence.compression:
        show.out.print(f"  compression: {reason}", soft_wrap=True)
    for warning in evidence.warnings:
        show.err.print(f"warning: {warning}", soft_wrap=True)


def _accuracy(found: Mapping[str, float], figures: list[str]) -> list[str]:
    from edgekit.cli import show

    return [show.figure(found.get(name)) for name in figures]


def _print_slower(built: Built, measured: Mapping[str, Any]) -> None:
    """Which INT8 variants do not pay here, and what of them its engine still computes in float."""
    from edgekit.cli import show

    for name, times in measured.get("against_float", {}).items():
        if times["low"] > 1:
            told = f"{times['median']:.2f} times as long as float (95 % from {times['low']:.2f} to {times['high']:.2f})"
            kinds = built.manifest.evidence.variants[name].in_float
            in_float = ", ".join(f"{kind} x{count}" for kind, count in kinds.items()) or "nothing"
            show.err.print(
                f"{name} takes {told} in its engine here and will not be preferred; in float: {in_float}",
                soft_wrap=True,
            )
