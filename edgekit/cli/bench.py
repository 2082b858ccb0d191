"""`edgekit bench`: latency on this host that can be argued with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bench(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    profile: Annotated[
        str, typer.Option(help="The device profile whose engines and threads are used; see 'profiles'.")
    ] = "generic",
    variant: Annotated[list[str] | None, typer.Option(help="Measure this variant only; may be repeated.")] = None,
    rounds: Annotated[int, typer.Option(help="Rounds of ten runs a variant; p90 needs 7, p99 needs 67.", min=1)] = 20,
    json: Annotated[
        Path | None, typer.Option(help="Write every raw sample to this file; '-' is stdout, without the table.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with table and plots to this file.")] = None,
) -> None:
    """Measure every variant in turn, warm-up apart, and print percentiles where enough samples stand behind them.

    Percentiles and 'cpu' are of the bare engine on a prepared tensor; 'whole p50' is from the picture to decoded
    results. 'wall/cpu' above 1 means that others had the cores. A percentile without enough samples is 'n/a'.
    """
    from edgekit.benchmarks.bench import COLUMNS, rows, sections
    from edgekit.benchmarks.bench import bench as measure
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.files import write_text
    from edgekit.measure import Rounds
    from edgekit.page import render
    from edgekit.profile import DeviceProfile

    for path in filter(None, (html, None if json == Path("-") else json)):
        show.check_place(path)
    with Bundle.open(bundle) as opened:
        with show.progress() as tell:
            found = measure(opened, DeviceProfile.load(profile), variant or (), Rounds(rounds=rounds), tell)
        if html:
            write_text(html, render(f"{found.bundle}: latency", f"edgekit bench {bundle}", sections(found, opened)))
    if json == Path("-"):
        typer.echo(found.text(), nl=False)
    else:
        if json:
            write_text(json, found.text())
        show.table(f"{found.bundle}, {found.environment.line()}; milliseconds", COLUMNS, rows(found), left=3)
    for name, why in found.not_run.items():
        show.err.print(f"{name} was not run: {why}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(bench)
