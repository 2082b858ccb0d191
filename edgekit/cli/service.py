"""`edgekit service install`: a store file as a systemd service that starts at boot and is restarted for ever."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Annotated

import typer

service = typer.Typer(no_args_is_help=True, help="Run a store file as a systemd service.")


@service.callback()
def _group() -> None:
    """Run a store file as a systemd service."""


@service.command()
def install(
    store: Annotated[Path, typer.Argument(help="A store file (.toml).")],
    show: Annotated[bool, typer.Option("--print", help="Print the unit and write nothing.")] = False,
    root: Annotated[
        Path, typer.Option(help="Write into the system under this folder, such as an image; paths are as it sees them.")
    ] = Path("/"),
    name: Annotated[str, typer.Option(help="The service's name, and its folder's in /var/lib.")] = "edgekit",
    user: Annotated[str | None, typer.Option(help="Run as this system user; systemd makes one up if not said.")] = None,
    group: Annotated[
        list[str] | None, typer.Option(help="Who may open cameras and GPU; video and render if not said.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(help="May be opened too: a path in /dev, or 'char-' and a group of /proc/devices."),
    ] = None,
    read: Annotated[
        list[Path] | None, typer.Option(help="May be seen, of /home, /root and /tmp, beside the store file's folder.")
    ] = None,
    write: Annotated[
        list[Path] | None, typer.Option(help="May be written to, beside /var/lib/NAME; with --user.")
    ] = None,
    credential: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH of a secret's file; the store file says file:/run/credentials/UNIT/NAME."),
    ] = None,
    command: Annotated[
        Path | None, typer.Option(help="The program to start; this very installation's edgekit if not said.")
    ] = None,
    argument: Annotated[
        list[str] | None, typer.Option(help="Append this to 'edgekit run STORE', such as --argument=--web.")
    ] = None,
) -> None:
    """Write the unit into /etc/systemd/system and say what to type next; nothing is started."""
    from edgekit.cli.run import read_store
    from edgekit.cli.show import err, out
    from edgekit.service import DEVICES, GROUPS, Service, systemd_version, unit
    from edgekit.service import install as write_unit

    try:
        settings = Service(
            store=_whole(store),
            command=command or Path(sysconfig.get_path("scripts")) / "edgekit",
            arguments=tuple(argument or ()),
            name=name,
            user=user,
            groups=GROUPS if group is None else tuple(group),
            devices=(*DEVICES, *(device or ())),
            reads=(*map(_whole, read or ()), *(_installation() if command is None else ())),
            writes=tuple(map(_whole, write or ())),
            credentials=dict(map(_named, credential or ())),
            systemd=systemd_version() if root == Path("/") else None,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if show:
        if root == Path("/"):
            read_store(settings.store)
        out.print(unit(settings), soft_wrap=True, end="")
        return
    installed = write_unit(settings, read_store, root)
    err.print(f"{installed.path} is written; type next:", soft_wrap=True)
    for line in installed.commands:
        out.print(line, soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.add_typer(service, name="service")


def _whole(path: Path) -> Path:
    """Absolute and without '..'; links stay, since they may be meant to point elsewhere tomorrow."""
    return Path(os.path.abspath(path))


def _installation() -> tuple[Path, ...]:
    """What this very edgekit is made of: its Python, and where it was installed from a checkout, that."""
    import edgekit

    return Path(sys.prefix), Path(sys.base_prefix), Path(edgekit.__file__).parents[1]


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--credential takes NAME=PATH; got '{text}'")
    return name, _whole(Path(path))
