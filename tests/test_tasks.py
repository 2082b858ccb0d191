"""A model that is called on a picture, with answers that are known."""

from __future__ import annotations

import numpy as np

from edgekit.contract import InputSpec, Yolo
from edgekit.engines import NullSession, TensorInfo
from edgekit.tasks import Detector


def test_what_lies_in_the_padding_alone_was_not_found():
    """Of a 32x16 picture in a 32x32 input, the first and the last eight rows are padding."""
    boxes = [(4, 1, 12, 7), (4, 4, 12, 12), (20, 25, 30, 31)]
    answer = np.array([[*box, 0.9] for box in boxes], np.float32).T[None]
    session = NullSession(TensorInfo("image", "float32", (1, 3, 32, 32)), [answer])
    with Detector(session, InputSpec(32, 32), Yolo(boxes="xyxy"), ("can",)) as detect:
        found = detect(np.zeros((16, 32, 3), np.uint8))
    np.testing.assert_array_equal(found.boxes, [(4, 0, 12, 4)])
