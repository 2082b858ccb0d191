"""edgekit: run a trained product-recognition model in a shop, on the board that is there.

    from edgekit import Pipeline
    for seen in Pipeline.open("cart.ekb").observe("/dev/video0"):
        print(seen.detections)

Importing edgekit loads numpy and the standard library. Engines, OpenCV and the converters load where they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.frames import Classification, Detections, Frame

if TYPE_CHECKING:
    from edgekit.bundle import Bundle
    from edgekit.profile import DeviceProfile
    from edgekit.runtime.pipeline import Observation, Pipeline
    from edgekit.tasks import Classifier, Detector, Embedder

__all__ = [
    "Bundle",
    "Classification",
    "Classifier",
    "Detections",
    "Detector",
    "DeviceProfile",
    "EdgekitError",
    "Embedder",
    "Frame",
    "Observation",
    "Pipeline",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {
    "Bundle": "edgekit.bundle",
    "Classifier": "edgekit.tasks",
    "Detector": "edgekit.tasks",
    "DeviceProfile": "edgekit.profile",
    "Embedder": "edgekit.tasks",
    "Observation": "edgekit.runtime.pipeline",
    "Pipeline": "edgekit.runtime.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
