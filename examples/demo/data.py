"""The demo's pictures: rendered scenes with their truth, in memory for training and on disk for a recipe.

    python examples/demo/data.py            # writes pictures/ beside the recipes, in half a minute

Training, calibration and evaluation draw their scenes from seeds that have nothing in common, and the demo's own
scenes have other seeds again.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from edgekit.frames import Detections, Image
from edgekit.preprocess import crop
from edgekit.runtime.scene import NAMES, Scene

PICTURES = Path(__file__).parent / "pictures"
TRAINING, CALIBRATION, EVALUATION = 3_000_000, 2_000_000, 1_000_000  # scenes below 1 000 000 are for demos and tests
CALIBRATION_IMAGES, EVALUATION_IMAGES = 100, 250
CROP_MARGIN = 0.05  # as the camera loop widens a box before the classifier sees it
_SHELVES = 0.6  # of the pictures; the others show a cart
_LENGTH = 60  # frames of a scene that a picture is chosen from


def render(first_seed: int, images: int) -> Iterator[tuple[Image, Detections]]:
    """Pictures with the products that can be seen in them, each from a scene of its own."""
    for seed in range(first_seed, first_seed + images):
        rng = np.random.default_rng(seed)
        scene = Scene("shelf" if rng.random() < _SHELVES else "cart", seed, _LENGTH)
        index = int(rng.integers(_LENGTH))
        yield scene.image(index), scene.truth(index)


def crops(
    image: Image, truth: Detections, rng: np.random.Generator, jitter: float = 0.05
) -> Iterator[tuple[Image, int]]:
    """Each product cut out as after a detector, whose boxes are off by some `jitter` of their sides."""
    for box, label in zip(truth.boxes, truth.labels.tolist(), strict=True):
        sides = np.tile(box[2:] - box[:2], 2)
        yield crop(image, box + rng.normal(0, jitter, 4).clip(-0.12, 0.12) * sides, CROP_MARGIN), label


def write_demo_data(
    folder: Path = PICTURES, evaluation: int = EVALUATION_IMAGES, calibration: int = CALIBRATION_IMAGES, seed: int = 0
) -> None:
    """Render `calibration` and `evaluation` pictures into `folder`, the same for the same seed.

    For the detector COCO files with the one class 'product' (`detector/evaluation.json`); for the classifier a folder
    a product (`classifier/evaluation/cola/`) with about twice as many crops in all, equally many of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    for name, first_seed, images in (("calibration", CALIBRATION, calibration), ("evaluation", EVALUATION, evaluation)):
        rendered = render(first_seed + seed * 100_000, images)
        shown = track(rendered, f"rendering for {name}", images, disable=not sys.stderr.isatty())
        _write_set(folder, name, shown, 2 * images // len(NAMES) + 1, np.random.default_rng([seed, first_seed]))


def _write_set(
    folder: Path, name: str, rendered: Iterable[tuple[Image, Detections]], crops_each: int, rng: np.random.Generator
) -> None:
    pictures: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    written: Counter[int] = Counter()
    for number, (image, truth) in enumerate(rendered):
        _write(folder / "detector" / name / f"{number:04}.jpg", image)
        height, width = image.shape[:2]
        pictures.append({"id": number, "file_name": f"{name}/{number:04}.jpg", "width": width, "height": height})
        boxes += [_coco_box(len(boxes) + i, number, box) for i, box in enumerate(truth.boxes.tolist(), 1)]
        for cut, label in crops(image, truth, rng):
            if written[label] < crops_each and rng.random() < 0.2:  # a few of each scene, so that many have a part
                _write(folder / "classifier" / name / NAMES[label] / f"{written[label]:04}.jpg", cut)
                written[label] += 1
    coco = {"images": pictures, "annotations": boxes, "categories": [{"id": 1, "name": "product"}]}
    (folder / "detector" / f"{name}.json").write_text(json.dumps(coco), encoding="utf-8")


def _coco_box(number: int, image: int, box: list[float]) -> dict[str, Any]:
    x, y, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
    where = {"bbox": [x, y, width, height], "area": width * height}
    return {"id": number, "image_id": image, "category_id": 1, "iscrowd": 0, **where}


def _write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image):
        raise OSError(f"{path}: could not be written")


if __name__ == "__main__":
    write_demo_data()
