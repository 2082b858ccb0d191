"""`edgekit bench`: figures of this host that can be argued with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from edgekit.benchmarks.limits import Limits
from edgekit.cli.compare import compare
from edgekit.cli.estimate import estimate
from edgekit.cli.limits import tell_verdicts, with_limits
from edgekit.cli.sweep import sweep

if TYPE_CHECKING:
    from edgekit.benchmarks.baselines import Row
    from edgekit.benchmarks.result import Result
    from edgekit.benchmarks.scenario import Scenario
    from edgekit.bundle import Bundle

RUN = "run"


class _RunUnlessNamed(TyperGroup):
    """`edgekit bench cart.ekb` is `edgekit bench run cart.ekb`: what is no subcommand belongs to `run`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = args and args[0] in self.commands
        return super().parse_args(ctx, args if named else [RUN, *args])


group = typer.Typer(cls=_RunUnlessNamed)


@group.command(RUN)
@with_limits
def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    scenario: Annotated[
        Literal["single-stream", "camera", "streams", "cold-start", "sustained"],
        typer.Option(help="Under which load it is measured; see above."),
    ] = "single-stream",
    profile: Annotated[
        str | None,
        typer.Option(help="The device profile whose engines and threads are used; this board's if it is not said."),
    ] = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="Measure this variant only; may be repeated, but for 'sustained'.")
    ] = None,
    classifier: Annotated[Path | None, typer.Option(help="The classifier's bundle, which runs behind it.")] = None,
    source: Annotated[
        str | None, typer.Option(help="A video, pictures or a scene to look at, not the bundle's golden pictures.")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(help="single-stream: rounds of ten runs a variant, 20; p90 needs 7, p99 67.", min=1),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="camera, streams: frames/s of a camera, 15. sustained: back to back without.")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="camera: for so long a variant, 60.")] = None,
    window_s: Annotated[float | None, typer.Option(help="streams: seconds of a window, 10.")] = None,
    most: Annotated[int | None, typer.Option(help="streams: the number of cameras at which it ends, 64.")] = None,
    starts: Annotated[int | None, typer.Option(help="cold-start: interpreters a variant, 5.")] = None,
    minutes: Annotated[float | None, typer.Option(help="sustained: for so long, 10 at least.")] = None,
    allow_noisy: Annotated[
        bool, typer.Option("--allow-noisy", help="Accept a run on a host that did other work; the result says so.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Write every raw sample to this file; '-' is stdout, without the table.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with tables and plots to this file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables as Markdown to this file.")] = None,
    known_as: Annotated[
        str | None,
        typer.Option("--as", help="The model as others call it, 'MobileNetV2': the page shows what is known."),
    ] = None,
    *,
    limits: Limits,
) -> None:
    """Measure a bundle's variants on this host, each as it would run in a shop.

    'single-stream': back to back, in turn with the bare engine. 'camera': frames come at a camera's rate whether or
    not the last one was answered; how old they get, how many are dropped. 'streams': the most cameras that hold their
    rate. 'cold-start': fresh interpreters up to the first result. 'sustained': one variant until the board is warm.

    The host is looked at once a second; a run that was throttled, crowded out or short of memory is INVALID, and says
    so. With limits it ends by PASS (exit code 0), FAIL (1) or INCONCLUSIVE (2), which an invalid run always is.
    'edgekit bench compare' says which of two results is faster, 'edgekit bench estimate' what to expect elsewhere,
    'edgekit bench sweep' measures on many boards, 'edgekit bench selftest' checks this harness here.

    A frame's time ends with its event. A percentile without enough samples behind it is 'n/a'. Ctrl-C stops a run and
    writes nothing, since half a run is no result.

    edgekit bench cart.ekb --scenario camera --fps 15 --classifier products.ekb --source aisle.mp4 --json cart.json
    """
    from edgekit.benchmarks.bench import bench
    from edgekit.benchmarks.report import page
    from edgekit.benchmarks.validity import judge
    from edgekit.benchmarks.verdict import verdict
    from edgekit.benchmarks.watch import Watcher
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.files import write_text
    from edgekit.profile import named_or_detected

    settings = {"rounds": rounds, "fps": fps, "seconds": seconds, "window_s": window_s, "most": most}
    asked = _scenario(scenario, settings | {"starts": starts, "minutes": minutes})
    _check(scenario, variant or [], classifier, source)
    _check_limits(limits, asked)
    if known_as is not None and html is None:
        raise typer.BadParameter("--as is for the page: name one with --html")
    for path in filter(None, (html, markdown, None if json == Path("-") else json)):
        show.check_place(path)
    with ExitStack() as opened:
        detector = opened.enter_context(Bundle.open(bundle))
        products = None if classifier is None else opened.enter_context(Bundle.open(classifier))
        board = named_or_detected(profile)
        with show.progress() as tell:
            given = (detector, board, asked, variant or (), products, source, tell)
            found = bench(*given, allow_noisy=allow_noisy, watch=Watcher, judge=judge)
        verdicts = verdict(found, limits) if any(limits.given()) else ()
        _write(found, json, markdown)
        if html:
            beside = [] if known_as is None else _known(found, detector, known_as)
            write_text(html, page(found, detector, verdicts, beside))
    to_stdout = json != Path("-")
    _print(found, to_stdout)
    tell_verdicts(verdicts, to_stdout)


group.command("compare")(compare)
group.command("estimate")(estimate)
group.command("sweep")(sweep)


@group.command("selftest")
def selftest() -> None:
    """Check the harness itself on this host: known costs, planted stalls, and the wrong ways that it must catch.

    Exit codes: 0 all as promised; 1 a check failed, or a wrong way was not caught; 2 this host was too busy to say.
    """
    from edgekit.benchmarks.selftest.__main__ import main

    raise typer.Exit(main())


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="bench", help="Measure a bundle's variants on this host.")


def _scenario(kind: str, given: dict[str, Any]) -> Scenario:
    """The scenario with the settings that were given; one that it does not have is a mistake in the command line."""
    from dataclasses import fields
    from typing import get_args

    from edgekit.benchmarks import scenario as scenarios
    from edgekit.measure import Rounds

    kinds = {each.kind: each for each in get_args(get_args(scenarios.Scenario)[0])}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        able = [each.kind for each in kinds.values() if name in {field.name for field in fields(each)}]
        if kind not in able:
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter(f"'{kind}' has no {option}; it is of {', '.join(able)}")
    if "rounds" in given:
        given["rounds"] = Rounds(rounds=given["rounds"])
    try:
        made: Scenario = kinds[kind](**given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    return made


def _check(kind: str, variants: list[str], classifier: Path | None, source: str | None) -> None:
    if kind == "sustained" and len(variants) > 1:
        raise typer.BadParameter("'sustained' measures one --variant: the next one would find a board that is warm")
    if kind == "cold-start" and (classifier is not None or source is not None):
        raise typer.BadParameter("a cold start is one model's, up to one black picture: no --classifier, no --source")


def _known(found: Result, bundle: Bundle, model: str) -> list[Row]:
    """What is known of the model at the bundle's input size on the result's board."""
    from edgekit.benchmarks.baselines import against_baseline
    from edgekit.cli import show

    spec = bundle.manifest.variants[0].input
    size = f"{spec.width}x{spec.height}"
    known = against_baseline(found, model, size)
    if not known:
        show.err.print(f"nothing is known of '{model}' at {size} with profile '{found.profile}'", soft_wrap=True)
    return known


def _check_limits(limits: Limits, scenario: Scenario) -> None:
    from edgekit.errors import SettingsError

    try:
        limits.check(scenario)
    except SettingsError as error:
        raise typer.BadParameter(str(error)) from error


def _write(found: Result, json: Path | None, markdown: Path | None) -> None:
    from edgekit.benchmarks.report import markdown as as_markdown
    from edgekit.files import write_text

    if markdown:
        write_text(markdown, as_markdown(found))
    if json == Path("-"):
        typer.echo(found.text(), nl=False)
    elif json:
        write_text(json, found.text())


def _print(found: Result, to_stdout: bool) -> None:
    from edgekit.benchmarks.table import columns, rows, title
    from edgekit.cli import show

    if to_stdout:
        show.table(title(found), columns(found), rows(found), left=3)
    validity = found.validity
    told = [("INVALID", validity.invalid), ("allowed", validity.allowed), ("warning", validity.warnings)]
    for word, reasons in told:
        for reason in reasons:
            show.err.print(f"{word}: {reason}", soft_wrap=True)
    for name, why in found.not_run.items():
        show.err.print(f"{name} was not run: {why}", soft_wrap=True)
