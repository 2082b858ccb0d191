"""`edgekit bench estimate`: what a bundle should take where it was not measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def estimate(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    board: Annotated[
        str | None,
        typer.Option("--profile", help="A board that is not at hand, by its profile; this host if it is not said."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="For so long this host's speed is probed, 3 if it is not said.", min=0.5, max=3600),
    ] = None,
) -> None:
    """Say what each variant should take on this host, or on a board by what others published of it.

    Milliseconds with the band that left-out models gave: of this host on one thread, of a board as others ran it there.
    An estimate is for planning a purchase and passes nothing. A family of nets of which too little was measured gets
    none, and the reason is said.
    """
    from edgekit.benchmarks.anchors import estimates_by_published
    from edgekit.benchmarks.baselines import Baseline
    from edgekit.benchmarks.estimate import Estimate, estimates
    from edgekit.benchmarks.probe import probe
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile

    if board is not None and seconds is not None:
        raise typer.BadParameter("--seconds is for probing this host; with --profile nothing is probed")
    known = Baseline.load("generic")
    with Bundle.open(bundle) as opened:
        if board is None:
            found = estimates(opened, probe(seconds or 3.0), known)
        else:
            found = estimates_by_published(opened, DeviceProfile.load(board), known)
    made = {name: each for name, each in found.items() if isinstance(each, Estimate)}
    rows = [[name, *(f"{ms:.2f}" for ms in (each.ms, each.low_ms, each.high_ms))] for name, each in made.items()]
    if rows:
        what = ("variant", "ms, one thread") if board is None else ("precision", "ms, as published there")
        show.table(f"{board or 'this host'}, estimated", (*what, "from", "to"), rows)
    for name, each in found.items():
        show.out.print(f"{name}: {each.how if isinstance(each, Estimate) else each}", soft_wrap=True)
