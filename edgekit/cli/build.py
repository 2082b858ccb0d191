"""`edgekit build`: from a recipe to a bundle, or the reasons why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgekit.errors import EngineMissing, SettingsError

if TYPE_CHECKING:
    from edgekit.converters.build import Built


def build(
    recipe: Annotated[Path, typer.Argument(help="A recipe (.toml): model, input, head, labels, pictures, gate.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle to write (.ekb).")],
    allow_inconclusive: Annotated[
        bool, typer.Option("--allow-inconclusive", help="Write a bundle that could not be judged; it will say so.")
    ] = False,
    measure: Annotated[bool, typer.Option(help="Measure every variant's latency on this host as well.")] = True,
) -> None:
    """Export a trained model to ONNX, OpenVINO and TFLite, in float and INT8, and prove that its accuracy held.

    Exit code 0: every variant passed the recipe's gate and the bundle is written. 1: one failed. 2: the evaluation
    set is too small to tell. In the last two cases no bundle is written, and one that was there stays as it was.
    """
    from edgekit.cli import show

    show.check_place(output)
    try:
        from edgekit.converters.build import build as build_bundle
        from edgekit.converters.recipe import read_recipe
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("edgekit"):
            raise
        raise EngineMissing(f"building needs '{missing.name}': pip install 'edgekit[convert]'") from missing
    settings = read_recipe(recipe)
    if measure and not settings.golden:
        raise SettingsError(f"{recipe}: there is nothing to measure with: set golden to 1 or more, or add --no-measure")
    with show.progress() as tell:
        built = build_bundle(settings, tell)
    _print(built)
    verdict = built.verdict.outcome
    if verdict == "FAIL" or (verdict == "INCONCLUSIVE" and not allow_inconclusive):
        show.err.print(f"{verdict}: {output} was not written", soft_wrap=True)
        raise typer.Exit(1 if verdict == "FAIL" else 2)
    if verdict == "INCONCLUSIVE":
        built = built.allowing("inconclusive")
    digest = write_measured(built, output) if measure else built.write(output)
    show.err.print(f"{verdict}: {output} written, digest {digest[:16]}", soft_wrap=True)


def write_measured(built: Built, output: Path) -> str:
    """Measure the variants here, from a copy, then write the bundle with their times: its digest."""
    from tempfile import TemporaryDirectory

    from edgekit.benchmarks.bench import bench
    from edgekit.benchmarks.measure import Rounds
    from edgekit.bundle import Bundle
    from edgekit.cli import show
    from edgekit.profile import DeviceProfile

    with TemporaryDirectory(prefix="edgekit-") as folder:
        copy = Path(folder) / output.name
        built.write(copy)
        with Bundle.open(copy) as bundle, show.progress() as tell:
            found = bench(bundle, DeviceProfile.load("generic"), rounds=Rounds(rounds=10), progress=tell)
    measured = {"environment": found.environment.line(), "latency": found.latency()}
    return built.write(output, measured | {"against_float": found.against_float()})


def register(app: typer.Typer) -> None:
    app.command()(build)


def _print(built: Built) -> None:
    from edgekit.cli import show

    evidence = built.manifest.evidence
    figures = list(evidence.framework)
    rows = [["framework", *(f"{evidence.framework[name]:.4f}" for name in figures), "", ""]]
    for name, found in evidence.variants.items():
        done = found.int8_convolutions
        share = f"{done[0]}/{done[1]}" if done else ""
        rows.append([name, *(show.figure(found.figures.get(name)) for name in figures), share, found.outcome])
    show.table(
        f"{built.manifest.name}: {evidence.images} pictures", ["variant", *figures, "int8 convs", "verdict"], rows
    )
    for name, found in evidence.variants.items():
        for reason in found.reasons:
            show.out.print(f"  {name}: {reason}", soft_wrap=True)
