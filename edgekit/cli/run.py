"""`edgekit run`: the camera loop of a store file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekit.runtime.store import Store, Summary


def run(
    store: Annotated[Path, typer.Argument(help="A store file (.toml): source, detector, classifier, output.")],
    frames: Annotated[int | None, typer.Option(help="Stop after that many frames.", min=1)] = None,
    source: Annotated[
        str | None, typer.Option(help="Look at this camera, URL, video, folder or scene instead of the store file's.")
    ] = None,
    jsonl: Annotated[str | None, typer.Option(help="JSON lines go to this file instead; '-' is stdout.")] = None,
    video: Annotated[Path | None, typer.Option(help="Write an annotated video (.mp4) here.")] = None,
) -> None:
    """Watch a camera, a video, a folder of pictures or a rendered scene; write an observation a frame as JSON lines.

    Ctrl-C ends the loop cleanly: the last line and the video are whole, and the exit code is 0.
    """
    from edgekit.cli import show
    from edgekit.runtime.store import Store, run_store

    settings = _changed(Store.read(store), source, jsonl, video)
    with show.counter("frames") as count:
        summary = run_store(settings, lambda _: count(), frames)
    show.err.print(_line(summary), soft_wrap=True)
    for reason in summary.unreadable:
        show.err.print(f"not read: {reason}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(run)


def _changed(store: Store, source: str | None, jsonl: str | None, video: Path | None) -> Store:
    """The store with what the command line says instead."""
    if source is not None:
        store = replace(store, source=replace(store.source, address=source, name=""))
    if jsonl is not None:
        store = replace(store, output=replace(store.output, jsonl=jsonl))
    if video is not None:
        if video.suffix.lower() != ".mp4":
            raise typer.BadParameter(f"--video must end in .mp4; got '{video}'")
        store = replace(store, output=replace(store.output, video=video))
    return store


def _line(summary: Summary) -> str:
    stages = ", ".join(f"{stage} {spent:.2f}" for stage, spent in summary.stages_ms.items())
    frame = "not measured" if summary.frame_ms is None else f"{summary.frame_ms:.1f} ms a frame (p50)"
    return (
        f"{summary.source}: {summary.ending}; {summary.frames} frames at {summary.fps:.1f}/s, {summary.dropped} dropped"
        f", {summary.tracks} tracks; {frame}: {stages}"
    )
