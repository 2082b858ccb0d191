"""`edgekit plan`: how a bundle runs best on this host, measured under its cameras' load and kept for `edgekit run`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edgekit.benchmarks.plan import Load, Outcome
    from edgekit.runtime.settings import ModelSettings
    from edgekit.runtime.store import Store
    from edgekit.supervisor.settings import Unattended

_BUDGET_S = 45.0  # a bundle
_QUIET = 1.3  # wall over CPU time of one thread: the cameras alone leave it lower


def plan(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    classifier: Annotated[Path | None, typer.Option(help="The classifier's bundle, which runs behind it.")] = None,
    store: Annotated[
        Path | None, typer.Option(help="A store file (.toml): its cameras, their rates, its profile, its classifier.")
    ] = None,
    plans: Annotated[
        Path | None, typer.Option(help="Keep the plan in this folder; $EDGEKIT_PLANS tells 'run' of it.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="The device profile; the store file's, or this board's, if it is not said.")
    ] = None,
    looks: Annotated[int, typer.Option(help="How often the classifier looks, a frame.", min=1)] = 1,
    budget_s: Annotated[
        float | None,
        typer.Option(help="Measure for about so long; 45 seconds a bundle if it is not said.", min=1, max=3600),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything that was measured as JSON instead.")] = False,
) -> None:
    """Measure which variant, engine and threads are best on this host, and keep that for 'run' and the Python API.

    Candidates take turns while capture processes deliver frames at the cameras' rates. Of those that take at most 1.25
    times the CPU time of the cheapest, the fastest wins. Without --store it is one camera of 1280x720 at 10 frames a
    second. The plan holds until an engine's version changes, and never replaces what a command or a store file names.
    """
    from edgekit.benchmarks.plan import plan as measure
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.cli.run import read_store
    from edgekit.hostplan import Plans
    from edgekit.profile import named_or_detected

    settings = None if store is None else read_store(store)
    if classifier is None and settings is not None and settings.classifier is not None:
        classifier = settings.classifier.bundle
    where = Plans((plans,)) if plans is not None else Plans.usual(_state(settings))
    with ExitStack() as opened:
        detector = opened.enter_context(Bundle.open(bundle))
        products = None if classifier is None else opened.enter_context(Bundle.open(classifier))
        models = [] if settings is None else [each for each in (settings.detector, settings.classifier) if each]
        tell = opened.enter_context(show.progress())
        outcome = measure(
            detector,
            products,
            profile=named_or_detected(profile or (None if settings is None else settings.profile)),
            load=_load(settings, looks),
            only=_named(models),
            budget_s=budget_s or _BUDGET_S * (1 if products is None else 2),
            progress=tell,
        )
    kept = [where.keep(each) for each in outcome.host_plans()]
    if json:
        typer.echo(outcome.text(), nl=False)
    else:
        _print(outcome)
    for path in kept:
        show.err.print(f"kept in {path}", soft_wrap=True)


def register(app: typer.Typer) -> None:
    app.command()(plan)


def _print(outcome: Outcome) -> None:
    from edgekit.benchmarks.plan.outcome import COLUMNS
    from edgekit.cli import show

    for stage in outcome.stages:
        title = f"{stage.bundle}, {outcome.environment.line()}; milliseconds a frame"
        show.table(title, COLUMNS, stage.rows(), left=2)
        for what, why in stage.left_out.items():
            show.err.print(f"not tried: {what} {why}", soft_wrap=True)
    for stage in outcome.stages:
        show.out.print(f"{stage.bundle}: {stage.why()}", soft_wrap=True)
        if stage.interference > _QUIET:
            show.err.print(
                f"others had the cores while {stage.bundle} was measured (wall over CPU time of one thread "
                f"{stage.interference:.1f}): plan again when this host does only its own work",
                soft_wrap=True,
            )
    if outcome.streams is not None:
        show.out.print(outcome.streams.line(), soft_wrap=True)
    show.out.print(f"load: {outcome.load}; {outcome.seconds:.0f} s", soft_wrap=True)


def _load(settings: Store | Unattended | None, looks: int) -> Load:
    from edgekit.benchmarks.plan import Load
    from edgekit.supervisor.settings import CameraSettings, Unattended

    if settings is None:
        return Load(looks=looks)
    if isinstance(settings, Unattended):
        return Load(settings.cameras, looks)
    source = settings.source
    fps = (source.camera and source.camera.fps) or CameraSettings.fps
    return Load((CameraSettings(source.name or "source", source.address, fps, mode=source.camera),), looks)


def _state(settings: Store | Unattended | None) -> Path | None:
    from edgekit.supervisor.settings import Unattended

    return settings.state if isinstance(settings, Unattended) else None


def _named(models: list[ModelSettings]) -> dict[str, str]:
    """The variants that a store file names, by their bundle's digest."""
    from edgekit.bundle import Bundle

    named = {}
    for model in models:
        if model.variant is not None:
            with Bundle.open(model.bundle) as bundle:
                named[bundle.digest] = model.variant
    return named
