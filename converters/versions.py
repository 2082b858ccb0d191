"""The versions of what a build is made with."""

from __future__ import annotations

import importlib.metadata

_TOOLS = (
    "edgekit", "torch", "torchvision", "torch-pruning", "onnx", "onnxruntime", "openvino", "nncf", "ai-edge-litert",
    "litert-torch", "ai-edge-quantizer", "numpy", "opencv-python-headless",
)  # fmt: skip


def tools() -> dict[str, str]:
    """The versions of everything that may decide what comes out of a build."""
    return {name: version for name in _TOOLS if (version := _version(name))}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
