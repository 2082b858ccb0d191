"""`edgekit bench sweep`: many measurements on the boards of a Dask cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekit.benchmarks.sweep import Outcome


def sweep(
    settings: Annotated[Path, typer.Argument(help="A sweep's file (.toml): bundles, boards, profiles, scenarios.")],
    cluster: Annotated[str, typer.Option(help="The scheduler's address: tcp://host:8786.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder of results, one file each.")],
) -> None:
    """Measure every bundle with every profile and scenario on every board, one at a time on each.

    What has its result in the folder is not run again, unless that is INVALID. A board is a worker that offers itself
    by name: 'dask worker tcp://host:8786 --nthreads 1 --resources "pi5=1"'. The exit code is 1 where a cell failed.
    """
    from edgekit.benchmarks.sweep import read_sweep
    from edgekit.benchmarks.sweep import sweep as run
    from edgekit.cli import show
    from edgekit.errors import EngineMissing, SettingsError

    try:
        from distributed import Client
    except ModuleNotFoundError as missing:
        raise EngineMissing(f"a sweep needs '{missing.name}': pip install 'edgekit[sweep]'") from missing
    cells = read_sweep(settings).cells()
    try:
        client = Client(cluster, timeout="10s")
    except (OSError, ValueError) as error:
        raise SettingsError(f"no scheduler answers at '{cluster}': {error}") from error
    with client, show.progress() as tell:
        outcomes = run(cells, output, client, lambda done, total: tell("measuring", done, total))
    rows = [[str(each.cell), _became(each), str(each.path or "-")] for each in outcomes]
    show.table(f"{len(outcomes)} measurements", ("cell", "result", "file"), rows, left=3)
    for each in outcomes:
        if each.error:
            show.err.print(f"{each.cell}: {each.error}", soft_wrap=True)
    raise typer.Exit(1 if any(each.error for each in outcomes) else 0)


def _became(outcome: Outcome) -> str:
    from edgekit.benchmarks.result import Result

    if outcome.path is None:
        return "failed"
    if not outcome.fresh:
        return "was there"
    return "measured" if Result.read(outcome.path).validity.valid else "measured, INVALID"
