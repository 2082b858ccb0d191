"""NanoDet and PicoDet, where each side of a box is a distribution over distances.

Li et al., Generalized Focal Loss, NeurIPS 2020.
"""

from __future__ import annotations

import math

import numpy as np

from edgekit.boxes import clip
from edgekit.contract import Gfl, InputSpec
from edgekit.decode.candidates import by_class, found, grid, strongest
from edgekit.decode.outputs import Outputs, Shape, expect, finite
from edgekit.frames import Detections, FloatArray


def decode_gfl(outputs: Outputs, head: Gfl, spec: InputSpec, labels: int) -> Detections:
    """One output for all strides, or classes and distances of each; boxes end at the edges of the input."""
    what = f"a gfl head with {labels} labels at {spec.width}x{spec.height}"
    points, strides = grid(spec.width, spec.height, head.strides, head.offset)
    scores, sides = _joined(outputs, head, spec, labels, len(points), what)
    where, best, label = strongest(by_class(scores), head.score, what)
    distances = _expected(sides[where].reshape(len(where), 4, head.reg_max + 1))
    edges = np.concatenate((points[where] - distances[:, :2], points[where] + distances[:, 2:]), axis=1)
    boxes = edges * strides[where]
    finite(boxes, what, "box edges")
    return found(clip(boxes, spec.width, spec.height), best, label, what)


def _joined(
    outputs: Outputs, head: Gfl, spec: InputSpec, labels: int, points: int, what: str
) -> tuple[FloatArray, FloatArray]:
    """Class scores (points, labels) and distributions (points, 4 * (reg_max + 1)) of all strides."""
    bins = 4 * (head.reg_max + 1)
    if len(outputs) == 1:
        (whole,) = expect(outputs, [(1, points, labels + bins)], what)
        return whole[:, :labels], whole[:, labels:]
    sizes = [math.ceil(spec.height / stride) * math.ceil(spec.width / stride) for stride in head.strides]
    shapes: list[Shape] = [(1, size, values) for values in (labels, bins) for size in sizes]
    maps = expect(outputs, shapes, what)
    return np.concatenate(maps[: len(sizes)]), np.concatenate(maps[len(sizes) :])


def _expected(logits: FloatArray) -> FloatArray:
    """(k, 4): the mean of each side's distribution over 0, 1, ... reg_max, from logits (k, 4, reg_max + 1)."""
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    bins = np.arange(logits.shape[2], dtype=np.float32)
    return (powers @ bins) / powers.sum(axis=2)  # type: ignore[no-any-return]
