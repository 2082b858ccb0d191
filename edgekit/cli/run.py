"""`edgekit run`: the camera loop of a store file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    store: Annotated[Path, typer.Argument(help="A store file (.toml): source, detector, classifier, output.")],
    frames: Annotated[int | None, typer.Option(help="Stop after that many frames.", min=1)] = None,
    source: Annotated[str | None, typer.Option(help="Look at this source instead of the store file's.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write an annotated video here as well.")] = None,
    output: Annotated[str | None, typer.Option(help="JSON lines go to this file instead; '-' is stdout.")] = None,
) -> None:
    """Watch a camera, a video, a folder of pictures or a rendered scene; write an observation a frame as JSON lines.

    Ctrl-C ends the loop cleanly: the last line and the video are whole.
    """
    from edgekit.cli import show
    from edgekit.runtime.store import read_store, run_store

    settings = read_store(store).changed(source=source, video=video, output=output)
    with show.progress() as tell:
        summary = run_store(settings, limit=frames, progress=tell)
    show.err.print(summary.line(), soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(run)
