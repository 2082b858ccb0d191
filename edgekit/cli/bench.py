"""`edgekit bench`: figures of this host that can be argued with."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
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
def run(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    scenario: Annotated[
        Literal["single-stream", "camera", "streams", "cold-start", "sustained"],
        typer.Option(help="Under which load it is measured; see above."),
    ] = "single-stream",
    profile: Annotated[
        str, typer.Option(help="The device profile whose engines and threads are used; see 'profiles'.")
    ] = "generic",
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
    html: Annotated[Path | None, typer.Option(help="Write a page with table and plots to this file.")] = None,
) -> None:
    """Measure a bundle's variants on this host, each as it would run in a shop.

    'single-stream': back to back, in turn with the bare engine. 'camera': frames come at a camera's rate whether or
    not the last one was answered; how old they get, how many are dropped. 'streams': the most cameras that hold their
    rate. 'cold-start': fresh interpreters up to the first result. 'sustained': one variant until the board is warm.

    A frame's time ends with its event. A percentile without enough samples behind it is 'n/a'. Ctrl-C stops a run and
    writes nothing, since half a run is no result.

    edgekit bench cart.ekb --scenario camera --fps 15 --classifier products.ekb --source aisle.mp4 --json cart.json
    """
    from edgekit.benchmarks.bench import bench
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile

    settings = {"rounds": rounds, "fps": fps, "seconds": seconds, "window_s": window_s, "most": most}
    asked = _scenario(scenario, settings | {"starts": starts, "minutes": minutes})
    _check(scenario, variant or [], classifier, source)
    for path in filter(None, (html, None if json == Path("-") else json)):
        show.check_place(path)
    with ExitStack() as opened:
        detector = opened.enter_context(Bundle.open(bundle))
        products = None if classifier is None else opened.enter_context(Bundle.open(classifier))
        board = DeviceProfile.load(profile)
        with show.progress() as tell:
            found = bench(detector, board, asked, variant or (), products, source, tell, allow_noisy=allow_noisy)
        _write(found, detector, json, html)
    _print(found, to_stdout=json != Path("-"))


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


def _write(found: Result, bundle: Bundle, json: Path | None, html: Path | None) -> None:
    from edgekit.benchmarks.table import sections
    from edgekit.files import write_text
    from edgekit.page import render

    if html:
        lead = f"edgekit bench {bundle.path} --scenario {found.scenario.kind}"
        write_text(html, render(f"{found.bundle}: {found.scenario.kind}", lead, sections(found, bundle)))
    if json == Path("-"):
        typer.echo(found.text(), nl=False)
    elif json:
        write_text(json, found.text())


def _print(found: Result, to_stdout: bool) -> None:
    from edgekit.benchmarks.table import columns, rows, title
    from edgekit.cli import show

    if to_stdout:
        show.table(title(found), columns(found), rows(found), left=3)
    for name, why in found.not_run.items():
        show.err.print(f"{name} was not run: {why}", soft_wrap=True)
