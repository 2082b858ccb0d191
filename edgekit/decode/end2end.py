"""Models that come with their own NMS, or need none: TFLite_Detection_PostProcess, YOLO v10, YOLO26."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgekit.contract import EndToEnd, InputSpec
from edgekit.decode.candidates import found
from edgekit.decode.outputs import Outputs, expect, finite, probabilities
from edgekit.errors import ContractError
from edgekit.frames import Detections, FloatArray, IntArray

_SHAPES = {"boxes": (1, None, 4), "scores": (1, None), "labels": (1, None), "count": (1,), "rows": (1, None, 6)}
_PARTS = ("boxes", "scores", "labels")


def decode_end2end(outputs: Outputs, head: EndToEnd, spec: InputSpec, labels: int) -> Detections:
    """What the model found and the threshold lets pass, best first. Beyond its count a model leaves old numbers."""
    what = f"an end2end head with {labels} labels and outputs {', '.join(head.outputs)}"
    tensors = expect(_as_floats(outputs, head), [_SHAPES[name] for name in head.outputs], what)
    given: dict[str, FloatArray] = dict(zip(head.outputs, tensors, strict=True))
    if "rows" in given:
        given = {"boxes": given["rows"][:, :4], "scores": given["rows"][:, 4], "labels": given["rows"][:, 5]}
    count = _count(given, what)
    boxes, scores, classes = (given[part][:count] for part in _PARTS)
    probabilities(scores, what)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= head.score][: head.max_detections]
    numbers = _labelled(classes[order], head, labels, what)
    return found(_in_pixels(boxes[order], head, spec), scores[order], numbers, what)


def _as_floats(outputs: Outputs, head: EndToEnd) -> Outputs:
    """Labels and the count, which some models give as integers, as floats like the rest."""
    named = dict(enumerate(head.outputs))
    return [o.astype(np.float32) if named.get(k) in ("labels", "count") else o for k, o in enumerate(outputs)]


def _count(given: dict[str, FloatArray], what: str) -> int:
    sizes = {len(given[part]) for part in _PARTS}
    count = float(given["count"]) if "count" in given else float(min(sizes))
    if len(sizes) != 1 or not 0 <= count <= min(sizes):
        raise ContractError(f"{what}: boxes, scores and labels are of sizes {sorted(sizes)}, the count is {count:g}")
    return int(count)


def _in_pixels(boxes: npt.NDArray[Any], head: EndToEnd, spec: InputSpec) -> npt.NDArray[Any]:
    if head.boxes == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    return boxes * (spec.width, spec.height, spec.width, spec.height) if head.normalised else boxes


def _labelled(classes: npt.NDArray[Any], head: EndToEnd, labels: int, what: str) -> IntArray:
    finite(classes, what, "labels")
    numbers: IntArray = np.rint(classes).astype(np.int64) - head.first_label
    outside = numbers[(numbers < 0) | (numbers >= labels)]
    if len(outside):
        raise ContractError(
            f"{what}: the model gave label {outside[0]} (after first_label), expected 0 to {labels - 1}"
        )
    return numbers
