"""Arithmetic of boxes: (n, 4) arrays of x0, y0, x1, y1, edges in pixels (or any other unit, as long as it is one)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.frames import FloatArray

Boxes = npt.NDArray[np.floating[Any]]

# (x, y, w, h) @ this = (x - w/2, y - h/2, x + w/2, y + h/2), to the last bit: one product instead of six small steps.
_CENTRE_TO_CORNERS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32)

# An area to divide by where there is none, a score where it is 0. The smallest that every CPU takes for more than 0:
# engines tell theirs to take anything below it for 0.
_TINY = np.finfo(np.float32).tiny


def area(boxes: Boxes) -> Boxes:
    """(n,): width times height; 0 where a box is turned inside out."""
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return sides[:, 0] * sides[:, 1]


def iou(a: Boxes, b: Boxes) -> Boxes:
    """(n, m): intersection over union of each box of `a` with each of `b`; 0 for boxes without an area."""
    from_a, from_b = np.ascontiguousarray(a.T)[:, :, None], np.ascontiguousarray(b.T)[:, None]
    sides = np.minimum(from_a[2:], from_b[2:]) - np.maximum(from_a[:2], from_b[:2])
    width, height = np.maximum(sides, 0, out=sides)
    common = width * height
    union = area(a)[:, None] + area(b) - common
    shared: Boxes = common / np.maximum(union, _TINY)
    return shared


def xywh_to_xyxy(boxes: Boxes) -> Boxes:
    """Centre x, centre y, width, height as x0, y0, x1, y1."""
    corners: Boxes = boxes @ _CENTRE_TO_CORNERS
    return corners


def clip(boxes: Boxes, width: float, height: float) -> FloatArray:
    """The boxes cut off at the edges of a picture of this size. A box wholly outside becomes one without an area."""
    inside = np.minimum(np.maximum(boxes, 0), (width, height, width, height))  # half the time of np.clip
    return inside.astype(np.float32)


def nms(
    boxes: Boxes,
    scores: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    iou: float = 0.5,
    class_agnostic: bool = False,
) -> npt.NDArray[np.intp]:
    """Positions of the boxes that stay, best first, when of two boxes that overlap the weaker one goes.

    Greedy and per label (`class_agnostic`: over all labels): a box goes if it shares more than `iou` with a better
    one that stayed. Of equal scores the earlier box is the better one. A box without an area is never kept. Needs an
    `iou`, scores and labels of 0 or more, and no NaN anywhere.
    """
    if not len(boxes):
        return np.empty(0, np.intp)  # OpenCV cannot tell the type of an empty list
    rectangles = boxes.astype(np.float64)  # x, y, width, height
    rectangles[:, 2:] -= rectangles[:, :2]
    if rectangles[:, 2:].min() <= 0:  # OpenCV takes any two boxes without an area for the same
        solid = np.flatnonzero((rectangles[:, 2:] > 0).all(axis=1))
        return solid[nms(boxes[solid], scores[solid], labels[solid], iou, class_agnostic)]
    if not class_agnostic:
        rectangles[:, 0] += labels * _reach(boxes)
    # OpenCV drops a score of 0, and reads boxes from a list three times as fast as from an array.
    kept = cv2.dnn.NMSBoxes(rectangles.tolist(), np.maximum(scores, _TINY), 0.0, iou)
    return np.asarray(kept, np.intp)


def _reach(boxes: Boxes) -> float:
    """How far apart to move boxes of different labels so that they cannot touch.

    `cv2.dnn.NMSBoxesBatched` moves them by the largest coordinate alone, and a box that reaches out of the picture on
    the left then meets those of the label before it. So the smallest coordinate counts here as well.
    """
    return float(boxes.max()) - float(boxes.min()) + 1
