"""The whole of edgekit in one go, on a rendered shop (`make demo`): build, prove, run, bench, and a page to look at.

    python examples/demo/run.py --out out/demo

Two small trained models become bundles of six INT8 and float variants each; the camera loop watches a shelf of which
every frame's truth is known; the bench measures all variants in turn; out/demo/index.html shows what came of it.
"""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from data import PICTURES, write_demo_data

from edgekit.benchmarks.bench import bench
from edgekit.benchmarks.report import sections
from edgekit.benchmarks.scenario import SingleStream
from edgekit.benchmarks.validity import judge
from edgekit.benchmarks.watch import Watcher
from edgekit.bundle import Bundle
from edgekit.cli import show
from edgekit.converters.build import Built, build
from edgekit.converters.recipe import read_recipe
from edgekit.files import write_text
from edgekit.measure import Rounds
from edgekit.page import Block, Grid, Pictures, Section, Text, render
from edgekit.profile import DeviceProfile
from edgekit.runtime.annotate import annotate
from edgekit.runtime.pipeline import Observation
from edgekit.runtime.scene import Scene, open_scene
from edgekit.runtime.store import Output, Store, Summary, run_store

HERE = Path(__file__).parent
SHOWN = (30, 75, 120, 165, 210, 255)  # frames of the loop that the page shows


@dataclass(frozen=True)
class Watched:
    """The camera loop's run: its summary, what it counted against the truth, and a few frames as JPEG."""

    summary: Summary
    counts: Sequence[int]
    true_counts: Sequence[int]
    named_right: float
    jpegs: Sequence[tuple[bytes, str]]

    @property
    def right(self) -> float:
        """The share of frames whose count of products, after a median of 15 frames, is the true one."""
        return float((median15(self.counts) == median15(self.true_counts)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for bundles, video and page")
    parser.add_argument("--open", action="store_true", help="open the page in a browser at the end")
    options = parser.parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if not (PICTURES / "detector" / "evaluation.json").is_file():  # what is written last
        show.err.print("rendering the pictures that INT8 is calibrated and judged on")
        write_demo_data()
    built = {name: build_one(name, out) for name in ("detector", "classifier")}
    watched = watch(out)
    page = [*(proof(name, each) for name, each in built.items()), loop(watched)]
    for name in built:
        with Bundle.open(out / f"{name}.ekb") as bundle, show.progress() as tell:
            quick = SingleStream(Rounds(rounds=10))
            measured = bench(bundle, DeviceProfile.load("generic"), quick, progress=tell, watch=Watcher, judge=judge)
            page += sections(measured, bundle)
    index = out / "index.html"
    lead = "Two small models, built, proven, run on a rendered shelf and measured on this machine, by one command."
    write_text(index, render("edgekit demo", lead, page))
    show.out.print(
        f"counts right on {watched.right:.1%} of frames, {watched.summary.fps:.0f} frames/s; look at {index}"
    )
    if options.open:
        webbrowser.open(index.resolve().as_uri())


def build_one(name: str, out: Path) -> Built:
    """Build examples/demo/<name>.toml into <out>/<name>.ekb; a bundle that does not pass the gate is not written."""
    with show.progress() as tell:
        built = build(read_recipe(HERE / f"{name}.toml"), tell)
    show.err.print(f"{name}: {built.verdict.outcome}")
    if built.verdict.outcome != "PASS":
        show.err.print("\n".join(built.verdict.reasons), soft_wrap=True)
        sys.exit(built.verdict.exit_code)
    built.write(out / f"{name}.ekb")
    return built


def watch(out: Path) -> Watched:
    """Run examples/demo/store.toml over the new bundles and hold every frame against the scene's truth."""
    store = Store.read(HERE / "store.toml")
    assert store.classifier is not None
    for output in (out / "seen.jsonl", out / "seen.mp4"):
        output.unlink(missing_ok=True)
    store = replace(
        store,
        detector=replace(store.detector, bundle=out / "detector.ekb"),
        classifier=replace(store.classifier, bundle=out / "classifier.ekb"),
        output=Output(str(out / "seen.jsonl"), out / "seen.mp4"),
    )
    scene = open_scene(str(store.source.address))
    counts: list[int] = []
    right: list[float] = []
    jpegs: list[tuple[bytes, str]] = []

    def look(seen: Observation) -> None:
        counts.append(len(seen.detections))
        right.append(named_right(seen, scene))
        if seen.index in SHOWN and seen.frame is not None:
            jpegs.append((jpeg(annotate(seen.frame.image, seen)), f"frame {seen.index}"))
        tell("watching the shelf", seen.index + 1, len(scene))

    with show.progress() as tell:
        summary = run_store(store, look)
    truth = [len(scene.truth(i)) for i in range(len(counts))]
    return Watched(summary, counts, truth, float(np.nanmean(right)), jpegs)


def named_right(seen: Observation, scene: Scene) -> float:
    """The share of a frame's classified products whose name is that of the true product in the same place."""
    from edgekit.boxes import iou

    truth = scene.truth(seen.index)
    named = [i for i, product in enumerate(seen.products) if product is not None]
    if not named or not len(truth):
        return float("nan")
    overlap = iou(seen.detections.boxes[named], truth.boxes)
    names = [scene.names[label] for label in truth.labels[overlap.argmax(axis=1)]]
    return float(np.mean([seen.products[i].label == name for i, name in zip(named, names, strict=True)]))


def median15(counts: Sequence[int]) -> np.ndarray:
    padded = np.pad(np.asarray(counts), 7, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, 15), axis=1)


def jpeg(image: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes()


def proof(name: str, built: Built) -> Section:
    """The accuracy table of one bundle."""
    evidence = built.manifest.evidence
    figures = list(evidence.framework)
    rows = [["framework", *(f"{evidence.framework[f]:.4f}" for f in figures), "", ""]]
    for variant, found in evidence.variants.items():
        share = "" if found.int8_convolutions is None else "{} of {}".format(*found.int8_convolutions)
        cells = (show.figure(found.figures.get(f)) for f in figures)
        rows.append([variant, *cells, share, found.outcome])
    blocks: list[Block] = [Grid(["variant", *figures, "in INT8 kernels", "verdict"], rows)]
    return Section(f"Accuracy of the {name}, {evidence.images} pictures", blocks)


def loop(watched: Watched) -> Section:
    """What the camera loop saw."""
    summary = watched.summary
    stages = ", ".join(f"{stage} {spent:.2f} ms" for stage, spent in summary.stages_ms.items())
    said = (
        f"{summary.frames} frames: the number of products is right on {watched.right:.1%} of them after a median of "
        f"15; {watched.named_right:.1%} of the products that were named were named right. p50 of the stages: {stages}."
    )
    return Section("The camera loop", [Text(said), Pictures(watched.jpegs)])


if __name__ == "__main__":
    main()
