"""The YOLO families: anchor-free v8 to v11, YOLOX with its grid, v5 and v7 with anchors."""

from __future__ import annotations

import math

import numpy as np

from edgekit.boxes import xywh_to_xyxy
from edgekit.contract import InputSpec, Yolo, YoloV5, YoloX
from edgekit.decode.candidates import found, grid, logit, objects, sigmoid, strongest
from edgekit.decode.outputs import Outputs, Shape, expect, finite
from edgekit.errors import ContractError
from edgekit.frames import Detections, FloatArray


def decode_yolo(outputs: Outputs, head: Yolo, spec: InputSpec, labels: int) -> Detections:
    """Anchor-free YOLO, in one output or in two."""
    what = f"a yolo head with {labels} labels"
    if len(outputs) == 2:
        boxes, scores = expect(outputs, [(1, 4, None), (1, labels, None)], what)
        if boxes.shape[1] != scores.shape[1]:
            raise ContractError(f"{what}: {boxes.shape[1]} boxes and {scores.shape[1]} anchors with scores")
    else:
        (whole,) = expect(outputs, [(1, 4 + labels, None)], what)
        boxes, scores = whole[:4], whole[4:]
    where, best, label = strongest(scores, head.score, what)
    chosen = boxes[:, where].T
    if head.normalised:
        chosen = chosen * np.array((spec.width, spec.height, spec.width, spec.height), np.float32)
    return found(xywh_to_xyxy(chosen) if head.boxes == "xywh" else chosen, best, label, what)


def decode_yolox(outputs: Outputs, head: YoloX, spec: InputSpec, labels: int) -> Detections:
    """YOLOX: centre = (x, y + cell) * stride, sides = e^(w, h) * stride."""
    what = f"a yolox head with {labels} labels at {spec.width}x{spec.height}"
    cells, strides = grid(spec.width, spec.height, head.strides)
    (rows,) = expect(outputs, [(1, len(cells), 5 + labels)], what)
    where, scores, label = objects(rows, head.score, what)
    boxes, strides = rows[where, :4], strides[where]
    boxes[:, :2] += cells[where]
    with np.errstate(over="ignore"):  # an infinite side is found out by `found`
        np.exp(boxes[:, 2:], out=boxes[:, 2:])
    return found(xywh_to_xyxy(boxes * strides), scores, label, what)


def decode_yolov5(outputs: Outputs, head: YoloV5, spec: InputSpec, labels: int) -> Detections:
    """YOLO v5 and v7, decoded by the model or as raw maps."""
    what = f"a yolov5 head with {labels} labels at {spec.width}x{spec.height}"
    if head.decoded:
        (rows,) = expect(outputs, [(1, None, 5 + labels)], what)
    else:
        maps = expect(outputs, _map_shapes(outputs, head, spec, labels), what)
        rows = np.concatenate([_anchored(each, level, head, labels, what) for level, each in enumerate(maps)])
    where, scores, label = objects(rows, head.score, what)
    return found(xywh_to_xyxy(rows[where, :4]), scores, label, what)


def _map_shapes(outputs: Outputs, head: YoloV5, spec: InputSpec, labels: int) -> list[Shape]:
    """What the raw maps look like: with anchors and values apart where the first has five dimensions, else together."""
    apart = bool(outputs) and outputs[0].ndim == 5
    shapes: list[Shape] = []
    for stride, pairs in zip(head.strides, head.anchors, strict=True):
        h, w, anchors = math.ceil(spec.height / stride), math.ceil(spec.width / stride), len(pairs) // 2
        shapes.append((1, anchors, h, w, 5 + labels) if apart else (1, anchors * (5 + labels), h, w))
    return shapes


def _anchored(raw: FloatArray, level: int, head: YoloV5, labels: int, what: str) -> FloatArray:
    """The candidates of one raw map as rows x, y, w, h, objectness, classes, decoded."""
    if raw.ndim == 3:
        raw = raw.reshape(-1, 5 + labels, *raw.shape[1:]).transpose(0, 2, 3, 1)
    finite(raw[..., 4], what, "objectness values")
    anchor, y, x = np.nonzero(raw[..., 4] >= logit(head.score))
    rows = sigmoid(raw[anchor, y, x])
    rows[:, :2] = (rows[:, :2] * 2 - 0.5 + np.stack((x, y), axis=1)) * head.strides[level]
    rows[:, 2:4] = (rows[:, 2:4] * 2) ** 2 * np.reshape(head.anchors[level], (-1, 2))[anchor]
    return rows
