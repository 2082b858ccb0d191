"""SSD and SSDLite as torchvision trains them (Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from edgekit.boxes import clip, xywh_to_xyxy
from edgekit.contract import InputSpec, Ssd
from edgekit.decode.candidates import Positions, by_class, found, frozen, logit, sigmoid
from edgekit.decode.outputs import Outputs, expect, finite
from edgekit.frames import Detections, FloatArray

# torchvision's bound on the logarithm of how much larger than its anchor a box may get (det_utils.BoxCoder).
_LARGEST = math.log(1000 / 16)


def decode_ssd(outputs: Outputs, head: Ssd, spec: InputSpec, labels: int) -> Detections:
    """Class logits and box regressions; the boxes are clipped to the input before NMS, as torchvision does it."""
    anchors = anchors_of(head, spec)
    classes = labels + (head.activation == "softmax")
    what = f"an ssd head with {labels} labels, {head.activation}, and {len(anchors)} anchors"
    logits, regression = expect(outputs, [(1, len(anchors), classes), (1, len(anchors), 4)], what)
    choose = _by_softmax if head.activation == "softmax" else _by_sigmoid
    where, scores, label = choose(by_class(logits), head.score, what)
    boxes = xywh_to_xyxy(_moved(anchors[where], regression[where] * np.array(head.variances, np.float32)))
    finite(boxes, what, "box edges")
    return found(clip(boxes, spec.width, spec.height), scores, label, what)


def anchors_of(head: Ssd, spec: InputSpec) -> FloatArray:
    """(n, 4): centre x, centre y, width, height of every anchor, in pixels of the input."""
    steps = head.steps or (0.0,) * len(head.grids)
    return _anchors(head.grids, head.scales, head.aspect_ratios, steps, head.clip_anchors, spec.width, spec.height)


@lru_cache(maxsize=8)
def _anchors(
    grids: tuple[tuple[int, int], ...],
    scales: tuple[float, ...],
    aspect_ratios: tuple[tuple[float, ...], ...],
    steps: tuple[float, ...],
    clipped: bool,
    width: int,
    height: int,
) -> FloatArray:
    maps = []
    for k, ((rows, columns), ratios, step) in enumerate(zip(grids, aspect_ratios, steps, strict=True)):
        sides = [(scales[k], scales[k]), (math.sqrt(scales[k] * scales[k + 1]),) * 2]
        for ratio in ratios:
            long, short = scales[k] * math.sqrt(ratio), scales[k] / math.sqrt(ratio)
            sides += [(long, short), (short, long)]
        y, x = np.indices((rows, columns)).reshape(2, -1) + 0.5
        x, y = (x * step / width, y * step / height) if step else (x / columns, y / rows)
        centres = np.repeat(np.stack((x, y), axis=1), len(sides), axis=0)
        shapes = np.tile(np.minimum(sides, 1.0) if clipped else sides, (rows * columns, 1))
        maps.append(np.concatenate((centres, shapes), axis=1) * (width, height, width, height))
    return frozen(np.concatenate(maps).astype(np.float32))


def _moved(anchors: FloatArray, change: FloatArray) -> FloatArray:
    """Anchors shifted by parts of their sides and scaled by powers of e."""
    centres = anchors[:, :2] + change[:, :2] * anchors[:, 2:]
    sides = anchors[:, 2:] * np.exp(np.minimum(change[:, 2:], np.float32(_LARGEST)))
    return np.concatenate((centres, sides), axis=1)


def _by_softmax(logits: FloatArray, threshold: float, what: str) -> tuple[Positions, FloatArray, Positions]:
    """Anchors, scores and labels that pass, from logits (classes + 1, anchors), class 0 being background.

    A class of probability p has at least p / (1 - p) times the background's, so the difference of two logits rules
    out nearly all anchors and softmax is worked out for the rest alone.
    """
    best = logits[1:].max(axis=0)
    finite(logits[0], what, "logits")
    finite(best, what, "logits")
    where = np.flatnonzero(best - logits[0] >= logit(threshold) - 1e-3)
    powers = np.exp(logits[:, where] - logits[:, where].max(axis=0))
    scores = powers[1:].max(axis=0) / powers.sum(axis=0)
    passed = scores >= threshold
    return where[passed], scores[passed], powers[1:, passed].argmax(axis=0)


def _by_sigmoid(logits: FloatArray, threshold: float, what: str) -> tuple[Positions, FloatArray, Positions]:
    best = logits.max(axis=0)
    finite(best, what, "logits")
    where = np.flatnonzero(best >= logit(threshold))
    return where, sigmoid(best[where]), logits[:, where].argmax(axis=0)
