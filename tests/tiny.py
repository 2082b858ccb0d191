"""A small real bundle for tests: edgekit's own tiny net as ONNX and TFLite, with a golden frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgekit.bundle import Evidence, Golden, Manifest, Variant, VariantEvidence, golden_files, write_bundle
from edgekit.contract import Artifact, InputSpec, Yolo
from edgekit.doctor import tiny_model
from edgekit.engines import open_session
from edgekit.plan import EnginePlan
from edgekit.preprocess import fit, preprocess

SPEC = InputSpec(16, 16, fit="stretch", scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
HEAD = Yolo(score=0.9)
LABELS = ("apple", "banana", "can", "bottle", "box")
IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)


def _same(content):
    return content


def golden_bundle(
    path: Path,
    outputs: Callable = _same,
    onnx: Callable[[bytes], bytes] = _same,
    golden: int = 1,
    fitted: np.ndarray | None = None,
) -> Path:
    """The bundle at `path`; `outputs` changes what the framework is said to have answered, `onnx` damages the file,
    `fitted` is what the building host's resize is said to have given."""
    artifacts = {"onnx": tiny_model("onnxruntime")[0], "tflite": tiny_model("litert")[0]}
    with open_session(artifacts["onnx"], EnginePlan("onnxruntime")) as session:
        answers = tuple(outputs(output) for output in session.run(preprocess(IMAGE, SPEC)[0]))
    artifacts["onnx"] = Artifact("onnx", onnx(artifacts["onnx"].model))
    variants = tuple(Variant(f"{f}-float", f, "float", SPEC, f"{f}-float/model.{f}") for f in artifacts)
    proof = VariantEvidence("onnxruntime", "PASS", ("PASS: top1",), {"ap": 0.5}, {"cosine": 1.0}, 1e-6)
    evidence = Evidence(200, {"ap": 0.5}, {variant.name: proof for variant in variants}, {}, {})
    manifest = Manifest("tiny", 1, SPEC, HEAD, LABELS, variants, evidence, golden)
    files = {variant.model: artifacts[variant.format].model for variant in variants}
    write_bundle(
        path,
        manifest,
        files | golden_files([Golden(IMAGE, answers, fit(IMAGE, SPEC) if fitted is None else fitted)][:golden]),
    )
    return path
