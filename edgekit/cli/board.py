"""`edgekit profiles` and `edgekit doctor`: what is known of a board, and how this host compares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup


class _ShowByName(TyperGroup):
    """`edgekit profiles NAME` is `edgekit profiles show NAME`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, args if args[0] in self.commands else ["show", *args])


profiles = typer.Typer(
    cls=_ShowByName, invoke_without_command=True, help="List the device profiles, show one, write one for this board."
)


@profiles.callback()
def _list(context: typer.Context) -> None:
    """List the device profiles; with a name, show that one."""
    if context.invoked_subcommand is not None:
        return
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile, profile_names

    rows = [_row(DeviceProfile.load(each)) for each in profile_names()]
    show.table("device profiles", ("name", "board", "run on hardware", "first choice"), rows, left=4)


@profiles.command("show")
def _show(name: Annotated[str, typer.Argument(help="A profile's name, or a profile's file (.toml).")]) -> None:
    """Show one profile, each figure with its source."""
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile

    profile = DeviceProfile.load(name)
    seen = "run on hardware" if profile.run_on_hardware else "profile limits, not measured on this board by edgekit"
    show.out.print(f"{profile.title} ({profile.name}): {seen}", soft_wrap=True)
    show.table("", ("figure", "value", "provenance", "source"), _figures(profile), left=4)
    for note in profile.notes:
        show.out.print(f"note: {note}", soft_wrap=True)


@profiles.command("probe")
def _probe(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the profile to this file (.toml); stdout if not said.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long memory is copied to measure it.", min=0.1, max=3600)] = 10.0,
) -> None:
    """Write a profile for this board: what it tells, how fast it copies memory, and the plan that follows.

    What the board does not tell is left out. Other commands take the file where they take a profile's name.
    """
    from edgekit.cli import show
    from edgekit.files import write_text
    from edgekit.host import Host, unsteady
    from edgekit.probe import as_text, copy_memory, describe

    if output is not None:
        if output.suffix != ".toml":
            raise typer.BadParameter(f"a profile's file ends in .toml; got {output}", param_hint="--output")
        show.check_place(output)
    host = Host.probe()
    for each in unsteady(host):
        show.err.print(f"the figures may be low: {each}", soft_wrap=True)
    show.err.print(f"copying memory for {seconds:g} s", soft_wrap=True)
    text = as_text(describe(host, copy_memory(seconds), None if output is None else output.stem))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_text(output, text)
        show.err.print(f"written; try 'edgekit doctor --profile {output}'", soft_wrap=True)


def doctor(
    profile: Annotated[
        str | None,
        typer.Option(help="Hold this profile, a name or a file, against the host; the one it looks like if not said."),
    ] = None,
) -> None:
    """Hold a device profile against this host, say what would spoil a measurement, and run a tiny model on every
    engine.

    Exit code 1 where none of the profile's plans works here.
    """
    from edgekit.cli import show
    from edgekit.doctor import examine
    from edgekit.profile import Host, named_or_detected

    host = Host.probe()
    report = examine(named_or_detected(profile, host), host)
    where = f" in a container ({host.container})" if host.container else ""
    show.out.print(f"{host.model or host.cpu_model or host.arch}{where}, held against profile '{report.profile.name}'")
    for difference in report.differences:
        show.out.print(f"  {difference}", soft_wrap=True)
    if not report.differences:
        show.out.print("  nothing that could be read differs")
    for reason in report.unsteady:
        show.out.print(f"  spoils a measurement: {reason}", soft_wrap=True)
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
    app.add_typer(profiles, name="profiles")
    app.command()(doctor)


def _row(profile: Any) -> tuple[str, ...]:
    return profile.name, profile.title, "yes" if profile.run_on_hardware else "no", profile.variants.value[0]


def _figures(profile: Any) -> list[tuple[str, str, str, str]]:
    """Every figure of a profile with its provenance and source, those that nobody published left out."""
    from dataclasses import fields

    from edgekit.profile import Figure

    held = [(field.name, getattr(profile, field.name)) for field in fields(profile)]
    held += [(f"thermal.{field.name}", getattr(profile.thermal, field.name)) for field in fields(profile.thermal)]
    return [(name, _words(f.value), f.provenance, f.source) for name, f in held if isinstance(f, Figure)]


def _words(value: Any) -> str:
    from edgekit.hostplan import told
    from edgekit.plan import EnginePlan

    if isinstance(value, tuple):
        return "; ".join(told(each) if isinstance(each, EnginePlan) else str(each) for each in value)
    return str(value)
