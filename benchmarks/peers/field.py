"""Who is measured on a model, and what each is asked: edgekit and the bare engine by variant, and the peers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.benchmarks.peers.environments import ROOT
from edgekit.benchmarks.peers.models import Model
from edgekit.benchmarks.peers.pipe import Peer
from edgekit.benchmarks.speed.loop import THINGS, find_twenty, sway
from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.bundle import Bundle, Variant
from edgekit.contract import Yolo
from edgekit.engines import open_session
from edgekit.plan import EngineName, EnginePlan, Precision
from edgekit.tasks import Detector

ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino", "litert")
# Which of a bundle's variants each engine runs, float and INT8.
FLOAT = {"onnxruntime": "onnx-float", "openvino": "openvino-float", "litert": "tflite-float"}
_BELOW = 1e-6  # edgekit keeps what reaches the threshold, peers what exceeds it
INT8 = {"onnxruntime": "onnx-int8", "openvino": "openvino-int8", "litert": "tflite-int8"}


@dataclass(frozen=True)
class Pythons:
    """The interpreters of the peers."""

    plain: Path
    model_api: Path
    ultralytics: Path


def field(model: Model, pythons: Pythons, scratch: Path, floats: Precision) -> list[Peer]:
    """Everybody who runs `model`, all on the same frames, which are written to `scratch`.

    In each frame 20 things are found: the threshold of score is the one at which edgekit's float model finds them, and
    peers are given the same; INT8 has its own, as its scores are others. The frames are copies of one picture: seeded
    weights see other things in one that is a pixel off, and nobody could follow them. floats: what OpenVINO computes
    float models in, for everybody; ONNX Runtime and LiteRT have float32 only.
    """
    core = max(os.sched_getaffinity(0))
    with Bundle.open(model.bundle) as bundle:
        frames, head = sway(bundle), bundle.manifest.head
        assert isinstance(head, Yolo)  # the recipe says so
        scores = {name: _score(bundle, bundle.variant(name)) for name in (*FLOAT.values(), *INT8.values())}
    np.save(scratch / "frames.npy", np.stack([frames[0]] * len(frames)))
    common = {"core": core, "frames": str(scratch / "frames.npy"), "size": model.size, "things": THINGS}
    common |= {"iou": head.iou, "classes": len(bundle.manifest.labels), "score": scores["onnx-float"] - _BELOW}
    ort = {**common, "model": str(model.onnx), "engine": "onnxruntime", "floats": "f32"}
    openvino = {**common, "model": str(model.openvino), "engine": "openvino", "floats": floats}
    litert = {**ort, "model": str(model.tflite), "engine": "litert"}
    quiet = {"YOLO_CONFIG_DIR": str(scratch)}
    return [
        *_ours(model, common, scores, scratch, floats),
        Peer("Ultralytics, onnxruntime", pythons.ultralytics, "of_ultralytics.py", ort, quiet),
        Peer("Ultralytics, openvino", pythons.ultralytics, "of_ultralytics.py", openvino, quiet),
        Peer("Ultralytics, litert", pythons.ultralytics, "of_ultralytics.py", litert, quiet),
        Peer("Model API, openvino", pythons.model_api, "of_model_api.py", {**openvino, "model": str(model.ir)}),
        Peer("plain script, onnxruntime", pythons.plain, "plain.py", ort),
    ]


def _ours(
    model: Model, common: dict[str, Any], scores: dict[str, float], scratch: Path, floats: Precision
) -> Iterator[Peer]:
    variables = {"PYTHONPATH": str(ROOT)}
    for suffix, variants in (("", FLOAT), (", INT8", INT8)):
        for engine in ENGINES:
            openvino = engine == "openvino"
            asked = {**common, "bundle": str(model.bundle), "variant": variants[engine], "engine": engine}
            asked |= {"score": scores[variants[engine]], "floats": floats if openvino else "f32"}
            for name, bare in (("edgekit", False), ("bare engine", True)):
                compiled = str(scratch / name) if openvino else None  # empty at the first start of each
                yield Peer(
                    f"{name}, {engine}{suffix}",
                    Path(sys.executable),
                    "of_edgekit.py",
                    {**asked, "bare": bare, "compiled": compiled},
                    variables,
                )


def _score(bundle: Bundle, variant: Variant) -> float:
    """The score of the 20th thing, in the frame that shows the faintest."""
    head = bundle.manifest.head
    assert isinstance(head, Yolo)
    with open_session(bundle.artifact(variant), EnginePlan(own_engine(variant))) as session:
        detector = Detector(session, variant.input, head, bundle.manifest.labels)
        find_twenty(detector, sway(bundle)[:1])
        return detector.head.score
