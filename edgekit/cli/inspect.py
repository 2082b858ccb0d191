"""`edgekit inspect` and `edgekit verify`: what a bundle holds, and whether it holds here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.bundle import Bundle, Evidence, Manifest
from edgekit.cli import show
from edgekit.plan import RealEngine


def inspect(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    json: Annotated[bool, typer.Option("--json", help="The whole manifest as JSON instead.")] = False,
    classes: Annotated[
        str | None, typer.Option(help="The figures of every class instead, of this variant or of 'framework'.")
    ] = None,
) -> None:
    """Print what a bundle is, what it expects, and the proof that its accuracy held."""
    from edgekit import schema

    if json and classes is not None:
        raise typer.BadParameter("--json and --classes cannot be had at once")
    with Bundle.open(bundle) as opened:
        manifest = opened.manifest
        if json:
            import json as json_

            content = {"digest": opened.digest, **schema.dump(manifest), "measured": opened.measured()}
            typer.echo(json_.dumps(content, indent=2, ensure_ascii=False))
            return
        if classes is not None:
            show.table(f"{manifest.name}, {classes}", *_by_class(opened.classes(classes)))
            return
        _describe(opened)
        if manifest.evidence.steps:
            show.table("the model, step by step", *_steps(manifest.evidence))
        show.table("accuracy, by each variant's own engine", *_accuracy(opened), left=2)
        for name, evidence in manifest.evidence.variants.items():
            for reason in evidence.reasons:
                show.out.print(f"  {name}: {reason}", soft_wrap=True)


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle (.ekb).")],
    profile: Annotated[
        str | None,
        typer.Option(help="The device profile whose engines and threads are used; this board's if it is not said."),
    ] = None,
    engine: Annotated[RealEngine | None, typer.Option(help="Use this engine only.")] = None,
) -> None:
    """Check every digest, then run every variant on this host against the framework's own outputs.

    The models are shown the frames as they were fitted where the bundle was built; 'pixels' is how far this host's own
    resize is from those, in levels of 255. Needs no torch. Exit code 1 where something differs or a variant kills its
    engine, 2 where no variant could be run here.
    """
    from edgekit.profile import named_or_detected
    from edgekit.verify import PIXELS, verify_bundle

    with Bundle.open(bundle) as opened:
        board = named_or_detected(profile)
        checks = verify_bundle(opened, board, engine)
        files = len(opened.manifest.files)
    show.out.print(f"{bundle}: {files} files, every digest as it should be", soft_wrap=True)
    rows = [
        (c.variant, c.engine or "-", c.result, show.figure(c.error), show.figure(c.limit), c.reason) for c in checks
    ]
    title = f"golden vectors, profile '{board.name}'"
    show.table(title, ("variant", "engine", "result", "error", "limit", "reason"), rows, left=3)
    if any(c.result in ("differs", "failed") for c in checks):
        raise typer.Exit(1)
    if not any(c.result == "ok" for c in checks if c.variant != PIXELS):
        raise typer.Exit(2)


def register(app: typer.Typer) -> None:
    app.command()(inspect)
    app.command()(verify)


def _describe(bundle: Bundle) -> None:
    manifest, spec = bundle.manifest, bundle.manifest.input
    host = bundle.measured().get("environment", "not measured")
    labels = ", ".join(manifest.labels[:6]) + (", ..." if len(manifest.labels) > 6 else "")
    for line in (
        f"{manifest.name}, release {manifest.release}, digest {bundle.digest[:16]}",
        f"  task    {manifest.task}, head {manifest.head.kind}, {len(manifest.labels)} labels: {labels}",
        f"  input   {spec.width} x {spec.height} {spec.colour}, {spec.fit}, {spec.interpolation}",
        f"  proof   {manifest.evidence.images} evaluation pictures, {manifest.golden} golden frames"
        + (f", allowed: {', '.join(manifest.evidence.allowed)}" if manifest.evidence.allowed else ""),
        f"  times   {host}",
    ):
        show.out.print(line, soft_wrap=True)


def _steps(evidence: Evidence) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: the model as it came, then after each step."""
    figures = list(evidence.framework)
    rows = [["as it came", *(show.figure(evidence.start.get(name)) for name in figures), "", ""]]
    for step in evidence.steps:
        accuracy = (show.figure(step.accuracy.get(name)) for name in figures)
        rows.append([step.kind, *accuracy, f"{step.macs / 1e6:.1f} M", f"{step.parameters / 1e6:.2f} M"])
    return ["after", *figures, "multiply-adds", "parameters"], rows


def _accuracy(bundle: Bundle) -> tuple[list[str], list[list[str]]]:
    """Columns and rows: the framework, then each variant with size, INT8 share, latency where built, verdict."""
    evidence, latency = bundle.manifest.evidence, bundle.measured().get("latency", {})
    figures = list(evidence.framework)
    columns = ["variant", "engine", *figures, "size", "int8 convs", "p50 where built", "verdict"]
    rows = [["framework", "torch", *(f"{evidence.framework[name]:.4f}" for name in figures), "", "", "", ""]]
    for variant in bundle.manifest.variants:
        found = bundle.evidence(variant)
        done = found.int8_convolutions
        rows.append(
            [
                variant.name,
                found.engine,
                *(show.figure(found.figures.get(name)) for name in figures),
                show.size(_size(bundle.manifest, variant.name)),
                f"{done[0]}/{done[1]}" if done else "",
                f"{latency[variant.name]['p50_ms']:.2f} ms" if variant.name in latency else "not measured",
                found.outcome,
            ]
        )
    return columns, rows


def _by_class(found: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Columns and rows, the classes in the order of the labels."""
    names = [name for name in found[0] if name not in ("label", "number", "support")] if found else []
    rows = [[each["label"], str(each["support"]), *(show.figure(each[name]) for name in names)] for each in found]
    return ["class", "in the data", *names], rows


def _size(manifest: Manifest, name: str) -> int:
    variant = next(each for each in manifest.variants if each.name == name)
    return sum(manifest.files[file].size for file in (variant.model, variant.weights) if file)
