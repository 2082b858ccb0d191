"""`edgekit run`: the camera loop of a store file, for one look or for years."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekit.runtime.store import Store, Summary
    from edgekit.supervisor.settings import Unattended


def run(
    store: Annotated[Path, typer.Argument(help="A store file (.toml): cameras or one source, models, outputs.")],
    web: Annotated[bool, typer.Option("--web", help="Serve a local page, at [web] address or 127.0.0.1:8080.")] = False,
    frames: Annotated[int | None, typer.Option(help="Of a source: stop after that many frames.", min=1)] = None,
    source: Annotated[
        str | None, typer.Option(help="Of a source: look at this camera, URL, video, folder or scene instead.")
    ] = None,
    jsonl: Annotated[str | None, typer.Option(help="Of a source: JSON lines go to this file; '-' is stdout.")] = None,
    video: Annotated[Path | None, typer.Option(help="Of a source: write an annotated video (.mp4) here.")] = None,
) -> None:
    """Run a store file. With [[cameras]] it runs unattended, until it is stopped; with [source] until that ends.

    Unattended, each camera and the models live in processes of their own that are started anew when they fail, events
    wait on the disk until their sinks have them, and what happens is logged to stderr. With a source it writes an
    observation a frame as JSON lines. Ctrl-C and SIGTERM end both cleanly, with exit code 0.
    """
    from edgekit.supervisor.settings import Unattended

    settings = read_store(store)
    if isinstance(settings, Unattended):
        given = {"--frames": frames, "--source": source, "--jsonl": jsonl, "--video": video}
        strange = [name for name, value in given.items() if value is not None]
        if strange:
            raise typer.BadParameter(f"{store} runs unattended, by [[cameras]]: {', '.join(strange)} is of a [source]")
        _unattended(settings, web)
    elif web:
        raise typer.BadParameter(f"--web needs [[cameras]] in {store}")
    else:
        _source(_changed(settings, source, jsonl, video), frames)


def register(app: typer.Typer) -> None:
    app.command()(run)


def read_store(path: Path) -> Store | Unattended:
    """What a store file says, of whichever kind it is; `SettingsError` names every fault in it."""
    from edgekit.schema import read_toml

    if "cameras" in read_toml(path):
        from edgekit.supervisor.settings import Unattended

        return Unattended.read(path)
    from edgekit.runtime.store import Store

    return Store.read(path)


def _unattended(settings: Unattended, web: bool) -> None:
    from edgekit.logs import log_to
    from edgekit.redactor import Redactor
    from edgekit.supervisor.run import run_unattended
    from edgekit.supervisor.settings import WebSettings

    if web:
        settings = replace(settings, web=settings.web or WebSettings())
    redactor = Redactor(secret.read() for secret in settings.secrets())
    handler = log_to(redactor=redactor)
    run_unattended(settings, on_status=lambda _: handler.write_due(), keep_out=redactor.add)


def _source(settings: Store, frames: int | None) -> None:
    from edgekit.cli import show
    from edgekit.runtime.store import run_store

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a video that was cut off cannot be opened
    with show.counter("frames") as count:
        summary = run_store(settings, lambda _: count(), frames)
    show.err.print(_line(summary), soft_wrap=True)
    for reason in summary.unreadable:
        show.err.print(f"not read: {reason}", soft_wrap=True)


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
