"""Makes torchvision importable beside a torch for which its compiled operators were not made.

The registry's wheel is linked against CUDA; beside a CPU-only torch `import torchvision` stops at its missing `nms`,
and Ultralytics, which imports it at the first prediction, with it. Where torchvision loads, it is left as it is.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import cv2
import numpy as np
import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> str:
    """Import it; says whose `nms` it has. OpenCV's stands in: compiled as torchvision's is, and no slower."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    else:
        return "torchvision"
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _LIBRARY.define(f"nms{_SCHEMA}")
    _LIBRARY.define(f"qnms{_SCHEMA}")
    _LIBRARY.impl("nms", _nms, "CPU")
    importlib.import_module("torchvision")
    sys.modules["torchvision.ops.boxes"]._assert_has_ops = lambda: None  # type: ignore[attr-defined]
    return "OpenCV"


_LIBRARY: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]


def _nms(dets: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    boxes = dets.numpy().astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    kept = cv2.dnn.NMSBoxes(boxes, scores.numpy(), 0.0, iou_threshold)  # type: ignore[arg-type]
    return torch.from_numpy(np.asarray(kept, np.int64).reshape(-1))
