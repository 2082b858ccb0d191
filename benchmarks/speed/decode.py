"""How much faster `edgekit.decode` is than transposing, taking every maximum, and NMS in vectorised NumPy.

    python -m edgekit.benchmarks.speed.decode

YOLO v8 style outputs with 20 objects of 8 candidates each, at 320 and 640 pixels. That both keep the same boxes is
checked first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.benchmarks.speed.command import asked
from edgekit.contract import InputSpec, Yolo
from edgekit.decode import decode_detections
from edgekit.frames import Detections, FloatArray
from edgekit.measure import Rounds, interleave, ratio

HEAD = Yolo()
CASES = {"320, 80 classes": (320, 80), "640, 80 classes": (640, 80), "320, 300 classes": (320, 300)}


def measure(rounds: Rounds = Rounds(rounds=30, block=20)) -> dict[str, Any]:  # noqa: B008  (a frozen value)
    """Per case the median milliseconds of both, and how many times as long the naive one takes, with its interval."""
    subjects: dict[str, Callable[[], Detections]] = {}
    for name, (size, classes) in CASES.items():
        output = scene(size, classes)
        subjects[f"{name}/naive"] = partial(naive, output)
        subjects[f"{name}/edgekit"] = partial(decode_detections, (output,), HEAD, InputSpec(size, size), classes)
        _check_keeps(subjects[f"{name}/edgekit"](), subjects[f"{name}/naive"]())
    taken = interleave(subjects, rounds)
    return {
        "median_ms": {name: samples.percentile(50) for name, samples in taken.items()},
        "speedup": {name: vars(ratio(taken[f"{name}/naive"], taken[f"{name}/edgekit"])) for name in CASES},
        "same_keeps": True,
    }


def naive(output: FloatArray) -> Detections:
    """(1, 4 + classes, anchors): transpose, argmax of all, threshold, corners, NMS per class in NumPy."""
    rows = output[0].T
    labels = rows[:, 4:].argmax(axis=1)
    scores = rows[np.arange(len(rows)), labels + 4]
    passed = scores >= HEAD.score
    rows, scores, labels = rows[passed], scores[passed], labels[passed]
    boxes = np.concatenate((rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2), axis=1)
    kept = numpy_nms(boxes + labels[:, None] * 4096.0, scores, HEAD.iou)[: HEAD.max_detections]
    return Detections(boxes[kept], scores[kept], labels[kept])


def numpy_nms(boxes: npt.NDArray[Any], scores: FloatArray, threshold: float) -> list[int]:
    """Greedy NMS, one row of overlaps at a time."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        sides = np.maximum(np.minimum(boxes[best, 2:], boxes[rest, 2:]) - low, 0)
        common = sides[:, 0] * sides[:, 1]
        order = rest[common / (areas[best] + areas[rest] - common) <= threshold]
    return kept


def scene(size: int, classes: int, objects: int = 20, candidates: int = 8, seed: int = 0) -> FloatArray:
    """An output (1, 4 + classes, anchors) of low scores, in which each object has some candidates around it."""
    rng = np.random.default_rng(seed)
    anchors = sum((size // stride) ** 2 for stride in (8, 16, 32))
    output = np.zeros((1, 4 + classes, anchors), np.float32)
    output[0, :2] = rng.random((2, anchors)) * size
    output[0, 2:4] = rng.random((2, anchors)) * 60 + 10
    output[0, 4:] = rng.random((classes, anchors)) ** 4 * 0.2
    where = rng.choice(anchors, (objects, candidates), replace=False)
    boxes = np.column_stack((rng.random((objects, 2)) * size, rng.random((objects, 2)) * 60 + 30))
    for anchor, box, label in zip(where, boxes, rng.integers(classes, size=objects), strict=True):
        output[0, :4, anchor] = box * rng.normal(1, 0.05, (candidates, 4))
        output[0, 4 + label, anchor] = 0.3 + 0.6 * rng.random(candidates)
    return output


def _check_keeps(ours: Detections, theirs: Detections) -> None:
    same = np.array_equal(ours.scores, theirs.scores) and np.array_equal(ours.labels, theirs.labels)
    if not same or not np.array_equal(ours.boxes, theirs.boxes):
        raise AssertionError(f"other boxes were kept: {len(ours)} by edgekit, {len(theirs)} by the naive path")


if __name__ == "__main__":
    asked(__doc__)
    found = measure()
    for name, times in found["speedup"].items():
        naive_ms, ours_ms = (found["median_ms"][f"{name}/{which}"] for which in ("naive", "edgekit"))
        interval = f"({times['low']:.1f} to {times['high']:.1f})"
        print(f"{name:17} naive {naive_ms:.3f} ms, edgekit {ours_ms:.3f} ms, {times['median']:.1f}x {interval}")
