"""The loop on a film of bottles that are taken from a shelf and put back, whose counts were checked by eye."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgekit.contract import Artifact, InputSpec, YoloX
from edgekit.engines import open_session
from edgekit.profile import EnginePlan
from edgekit.runtime.pipeline import Pipeline
from edgekit.tasks import Detector

BOTTLE = 39
FRAMES = 600  # three bottles, two, three again, then one
COCO = tuple("bottle" if i == BOTTLE else f"coco {i}" for i in range(80))


def median_of(counts: list[int], width: int) -> npt.NDArray[np.float64]:
    padded = np.pad(np.array(counts), width // 2, mode="edge")
    medians: npt.NDArray[np.float64] = np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)
    return medians


def test_the_tracked_bottles_are_as_many_as_a_person_counts(data: Path) -> None:
    pytest.importorskip("onnxruntime")
    spec = InputSpec(416, 416, colour="BGR", pad_side="end", scale=1.0)
    artifact = Artifact.read(data / "models" / "yolox_nano_coco.onnx")
    with open_session(artifact, EnginePlan("onnxruntime")) as session:
        pipeline = Pipeline(Detector(session, spec, YoloX(), COCO), COCO)
        seen = list(islice(pipeline.observe(data / "video" / "bottle-detection.mp4"), FRAMES))
    counts = [each.labels.count("bottle") for each in seen]
    truth = json.loads((data / "video" / "bottle-detection.timeline.json").read_text())["median15"][:FRAMES]
    agreement = (median_of(counts, 5) == np.array(truth)).mean()
    assert agreement >= 0.97, f"{agreement:.1%} of {len(truth)} frames"
    # Three stand there at first, and one that comes back after more than `keep` frames has a new number.
    numbers = {int(n) for each in seen for n in each.detections[each.detections.labels == BOTTLE].track_ids}  # type: ignore[union-attr]
    assert len(numbers) <= 6
