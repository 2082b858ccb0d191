"""FastestDet: one coarse map, one box a cell (https://github.com/dog-qiuqiu/FastestDet, `handle_preds`)."""

from __future__ import annotations

import numpy as np

from edgekit.boxes import xywh_to_xyxy
from edgekit.contract import FastestDet, InputSpec
from edgekit.decode.candidates import found, sigmoid
from edgekit.decode.outputs import Outputs, expect, probabilities
from edgekit.frames import Detections

# score = objectness ** 0.6 * class ** 0.4
_OBJECTNESS, _CLASS = np.float32(0.6), np.float32(0.4)


def decode_fastestdet(outputs: Outputs, head: FastestDet, spec: InputSpec, labels: int) -> Detections:
    """Cells whose objectness alone could reach the score; the powers are worked out for those."""
    what = f"a fastestdet head with {labels} labels"
    (cells,) = expect(outputs, [(1, 5 + labels, None, None)], what)
    height, width = cells.shape[1:]
    probabilities(cells[0], what)
    y, x = np.nonzero(cells[0] >= head.score ** (1 / 0.6) - 1e-6)
    rows = cells[:, y, x].T
    probabilities(rows[:, 5:], what)
    scores = np.maximum(rows[:, 0], 0) ** _OBJECTNESS * rows[:, 5:].max(axis=1) ** _CLASS
    passed = scores >= head.score
    rows, x, y = rows[passed], x[passed], y[passed]
    centres = (np.tanh(rows[:, 1:3]) + np.stack((x, y), axis=1)) / (width, height)
    parts = np.concatenate((centres, sigmoid(rows[:, 3:5])), axis=1)
    boxes = xywh_to_xyxy(parts * (spec.width, spec.height, spec.width, spec.height))
    return found(boxes, scores[passed], rows[:, 5:].argmax(axis=1), what)
