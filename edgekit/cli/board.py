"""`edgekit profiles` and `edgekit doctor`: what is known of a board, and how this host compares."""

from __future__ import annotations

from typing import Annotated, Any

import typer


def profiles(
    name: Annotated[
        str | None, typer.Argument(help="Show this one, each figure with its source; all of them if not said.")
    ] = None,
) -> None:
    """List the device profiles, or show one of them."""
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile, profile_names

    if name is None:
        rows = [_row(DeviceProfile.load(each)) for each in profile_names()]
        show.table("device profiles", ("name", "board", "run on hardware", "first choice"), rows, left=4)
        return
    profile = DeviceProfile.load(name)
    seen = "run on hardware" if profile.run_on_hardware else "profile limits, not measured on this board by edgekit"
    show.out.print(f"{profile.title} ({profile.name}): {seen}", soft_wrap=True)
    show.table("", ("figure", "value", "provenance", "source"), _figures(profile), left=4)
    for note in profile.notes:
        show.out.print(f"note: {note}", soft_wrap=True)


def doctor(
    profile: Annotated[
        str | None, typer.Option(help="Hold this profile against the host; the one it looks like if not said.")
    ] = None,
) -> None:
    """Hold a device profile against this host, and load and run a tiny model on every engine.

    Exit code 1 where none of the profile's plans works here.
    """
    from edgekit.cli import show
    from edgekit.doctor import examine
    from edgekit.profile import DeviceProfile, Host, detect_profile

    host = Host.probe()
    report = examine(DeviceProfile.load(profile) if profile else detect_profile(host), host)
    show.out.print(f"{host.model or host.cpu_model or host.arch}, held against profile '{report.profile.name}'")
    for difference in report.differences:
        show.out.print(f"  {difference}", soft_wrap=True)
    if not report.differences:
        show.out.print("  nothing that could be read differs")
    rows = [
        (
            each.engine or each.plan.engine,
            each.plan.device,
            each.precision or "-",
            each.trouble or "ok",
            "-" if each.threads is None else str(each.threads),
            "-" if each.error is None else f"{each.error:.1e}",
        )
        for each in report.engines
    ]
    show.table(
        "a tiny model on every engine", ("engine", "device", "floats", "result", "threads", "error"), rows, left=4
    )
    if not report.usable:
        show.err.print(f"none of the plans of profile '{report.profile.name}' works here", soft_wrap=True)
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    app.command()(profiles)
    app.command()(doctor)


def _row(profile: Any) -> tuple[str, ...]:
    return profile.name, profile.title, "yes" if profile.run_on_hardware else "no", profile.variants.value[0]


def _figures(profile: Any) -> list[tuple[str, str, str, str]]:
    """Every figure of a profile with its provenance and source, those that nobody published left out."""
    from dataclasses import fields

    from edgekit.profile import Figure

    held = [(field.name, getattr(profile, field.name)) for field in fields(profile)]
    held += [(f"thermal.{field.name}", getattr(profile.thermal, field.name)) for field in fields(profile.thermal)]
    return [(name, str(f.value), f.provenance, f.source) for name, f in held if isinstance(f, Figure)]
