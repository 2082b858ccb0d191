"""Runs a TFLite detector with its own NMS as it is, without a recipe, and prints its COCO figures.

    python examples/evaluate_tflite.py ../shared/data

The model is SSD MobileNet v1 (uint8, TFLite_Detection_PostProcess), the pictures are fruit_det: apples, bananas and
oranges among its 90 labels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgekit.contract import Artifact, EndToEnd, InputSpec
from edgekit.converters.data import DataSpec, open_dataset
from edgekit.converters.evaluate import evaluate
from edgekit.engines import open_session
from edgekit.plan import EnginePlan
from edgekit.tasks import Detector


def main(data: Path) -> None:
    labels = (data / "models" / "ssd_labelmap.txt").read_text().splitlines()
    labels = [f"unused {i}" if name == "???" else name for i, name in enumerate(labels)]
    spec = InputSpec(300, 300, fit="stretch").raw("uint8", "NHWC")
    fruit = open_dataset(DataSpec("coco", "fruit_det/train.json"), labels, data)
    model = Artifact.read(data / "models" / "ssd_mobilenet_v1_coco_uint8.tflite")
    with open_session(model, EnginePlan("litert", threads=2)) as session:
        score = evaluate(Detector(session, spec, EndToEnd(), labels), fruit)
    for name, figure in score.figures().items():
        print(f"{name:10} {figure:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds models/ and fruit_det/")
    main(parser.parse_args().data)
