"""From a model's raw outputs to detections, a classification or an embedding; one file a head family.

    found = decode_detections(session.run(tensor), head, spec, len(labels))    # in pixels of the input
    boxes = placement.to_frame(found.boxes)                                    # in pixels of the frame

Outputs are the model's, in its order, batch of one, as floats. Their number, shapes and the ranges of what a detection
depends on are held against the contract on every frame; what does not fit is a ContractError that says what was
expected and what came. A NaN in a box that no threshold lets pass is not looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.boxes import nms
from edgekit.contract import (
    DetectionHead,
    EndToEnd,
    FastestDet,
    Gfl,
    InputSpec,
    Ssd,
    Yolo,
    YoloV5,
    YoloX,
)
from edgekit.decode.end2end import decode_end2end
from edgekit.decode.fastestdet import decode_fastestdet
from edgekit.decode.gfl import decode_gfl
from edgekit.decode.outputs import Outputs
from edgekit.decode.ssd import decode_ssd
from edgekit.decode.vectors import decode_classification, decode_embedding
from edgekit.decode.yolo import decode_yolo, decode_yolov5, decode_yolox
from edgekit.frames import Detections

__all__ = ["decode_classification", "decode_detections", "decode_embedding"]

_FAMILIES: dict[type, Callable[[Outputs, Any, InputSpec, int], Detections]] = {
    Ssd: decode_ssd,
    Yolo: decode_yolo,
    YoloX: decode_yolox,
    YoloV5: decode_yolov5,
    Gfl: decode_gfl,
    FastestDet: decode_fastestdet,
}


def decode_detections(outputs: Outputs, head: DetectionHead, spec: InputSpec, labels: int) -> Detections:
    """What the model found, best first, boxes in pixels of its input. `labels`: how many the bundle has.

    A candidate has the label of its best class. Where the model has no NMS of its own, greedy NMS per label follows
    and the best `head.max_detections` stay.
    """
    if isinstance(head, EndToEnd):
        return decode_end2end(outputs, head, spec, labels)
    candidates = _FAMILIES[type(head)](outputs, head, spec, labels)
    kept = nms(candidates.boxes, candidates.scores, candidates.labels, head.iou, head.class_agnostic)
    return candidates[kept[: head.max_detections]]
