"""`edgekit bench compare`: which of two measurements is faster, where that can be said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekit.benchmarks.compare import Comparison
    from edgekit.measure import Ratio


def compare(
    before: Annotated[Path, typer.Argument(help="What 'edgekit bench --json' wrote.")],
    after: Annotated[
        Path | None, typer.Argument(help="The same, later; without it the variants of the first are compared.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="The variant that the others are compared with; the first if it is not said.")
    ] = None,
    allow_unlike: Annotated[
        bool, typer.Option("--allow-unlike", help="Compare although board, settings or scenario differ.")
    ] = False,
    least: Annotated[
        float | None,
        typer.Option(
            help="A smaller difference of times is none, as a share; of two results 0.05, of variants 0.02.", min=0.0
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON instead.")] = False,
) -> None:
    """Say for each variant whether it became faster or slower, or stayed the same, with 95 % intervals.

    Results of unlike boards, engines, settings or scenarios are refused. The bundles may differ. Two results were taken
    at different times, so what the machine does by itself counts against a difference; the variants of one result took
    turns and can be told apart more finely, unless they are of 'streams'.

    Exit codes: 0 all the same or faster; 1 something slower, or an error; 2 nothing slower and something unclear, where
    an unclear p99 does not count: to call two the same takes some ten thousand samples.
    """
    import json as json_

    from edgekit import schema
    from edgekit.benchmarks.compare import compare as of_results
    from edgekit.benchmarks.compare import compare_variants
    from edgekit.benchmarks.difference import LEAST, LEAST_APART
    from edgekit.benchmarks.result import Result

    if after is not None and against is not None:
        raise typer.BadParameter("--against is for the variants of one result; two were given")
    earlier = Result.read(before)
    if after is not None:
        found = of_results(earlier, Result.read(after), allow_unlike, LEAST_APART if least is None else least)
    else:
        found = compare_variants(earlier, against, LEAST if least is None else least)
    if json:
        typer.echo(json_.dumps({**schema.dump(found), "exit_code": found.exit_code}, ensure_ascii=False))
    else:
        _print(found)
    raise typer.Exit(found.exit_code)


def _print(found: Comparison) -> None:
    from edgekit.cli import show

    columns = ("variant", "figure", "change", "before", "after", "after / before", "in CPU time")
    rows = [
        [
            each.variant,
            each.name,
            each.change,
            f"{each.before:.4g}",
            f"{each.after:.4g}",
            _interval(each.wall),
            _interval(each.cpu),
        ]
        for each in found.differences
    ]
    show.table(f"before: {found.before}\nafter: {found.after}", columns, rows, left=3)
    for each in found.differences:
        if each.why:
            show.out.print(f"{each.variant}, {each.name}, {each.change}: {each.why}", soft_wrap=True)
    for line in found.unlike:
        show.err.print(f"unlike: {line}", soft_wrap=True)
    if found.unknown:
        show.err.print(f"neither result tells, and so nobody knows whether alike: {', '.join(found.unknown)}")
    if found.left_out:
        show.err.print(f"in one of them only, and not compared: {', '.join(found.left_out)}", soft_wrap=True)


def _interval(ratio: Ratio | None) -> str:
    return "-" if ratio is None else f"{ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"
