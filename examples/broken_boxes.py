"""What the gate says of a detector whose every score is as it was while its boxes are too small.

    python examples/broken_boxes.py examples/detector/fruit-distilled.toml out/fruit-distilled.ekb

The recipe brings the pictures and the limits, the bundle the detector: one of its variants, as it is and with each box
smaller by some percent, held against its float variant for ONNX Runtime.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgekit.bundle import Bundle
from edgekit.converters.data import Dataset, open_dataset
from edgekit.converters.evaluate import evaluate_detector, with_candidates
from edgekit.converters.gate import judge
from edgekit.converters.recipe import read_recipe
from edgekit.converters.scores import Score
from edgekit.frames import Detections
from edgekit.tasks import Detector, open_task

_ABOUT_THE_CENTRE = np.array([[1, 0, -1, 0], [0, 1, 0, -1], [-1, 0, 1, 0], [0, -1, 0, 1]], np.float32) / 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--variant", default="onnx-int8", help="of the bundle")
    parser.add_argument("--percent", type=float, nargs="+", default=[0, 3, 7, 15], help="by which boxes are smaller")
    asked = parser.parse_args()
    recipe = read_recipe(asked.recipe)
    with Bundle.open(asked.bundle) as bundle:
        pictures = open_dataset(recipe.evaluation, bundle.manifest.labels, recipe.folder, recipe.seed)
        reference = scored(bundle, "onnx-float", pictures)
        for percent in asked.percent:
            verdict = judge(reference, scored(bundle, asked.variant, pictures, percent / 100), recipe.gate)
            print(f"{asked.variant}, boxes {percent:g} % smaller: {verdict.outcome}")
            for reason in verdict.reasons:
                print(f"  {reason}")


def scored(bundle: Bundle, variant: str, pictures: Dataset, smaller: float = 0.0) -> Score:
    """A variant's score with each box smaller by that part of its sides."""
    with open_task(bundle, variant=variant) as detector:
        assert isinstance(detector, Detector)
        threshold, detector.head = detector.head.score, with_candidates(detector.head)

        def detect(image: np.ndarray) -> Detections:
            found = detector(image)
            return replace(found, boxes=found.boxes - smaller * found.boxes @ _ABOUT_THE_CENTRE)

        return evaluate_detector(detect, pictures, threshold)


if __name__ == "__main__":
    main()
