"""Runs a model file in the engine that the plan names.

    with open_session(Artifact.read("shelf.onnx"), EnginePlan("onnxruntime", threads=2)) as session:
        scores, boxes = session.run(tensor)

An engine is imported when a session in it is opened, and no other engine with it.
"""

from __future__ import annotations

import importlib.util
from importlib import metadata

from edgekit.contract import Artifact
from edgekit.engines.guard import Proof, check_loads
from edgekit.engines.null import NullSession
from edgekit.engines.session import Outputs, Session, Tensor, TensorInfo
from edgekit.errors import EngineError
from edgekit.plan import ENGINES, EngineName, EnginePlan

__all__ = [
    "ENGINES",
    "NullSession",
    "Outputs",
    "Proof",
    "Session",
    "Tensor",
    "TensorInfo",
    "check_loads",
    "installed",
    "open_session",
]

# Engine -> its module and the distributions that bring it; the first one found gives the version.
_PACKAGES: dict[EngineName, tuple[str, tuple[str, ...]]] = {
    "onnxruntime": ("onnxruntime", ("onnxruntime", "onnxruntime-gpu")),
    "openvino": ("openvino", ("openvino",)),
    "litert": ("ai_edge_litert", ("ai-edge-litert",)),
    "tflite-runtime": ("tflite_runtime", ("tflite-runtime",)),
}


def open_session(artifact: Artifact, plan: EnginePlan) -> Session:
    """`artifact` loaded in `plan.engine`, on `plan.device`.

    `EngineMissing` and `AcceleratorMissing` say what is absent and what to install, `EngineError` what the engine had
    against the file. Nothing is replaced by something else: what the plan asks for is what runs.
    """
    if plan.engine not in ENGINES[artifact.format]:
        able = " and ".join(ENGINES[artifact.format])
        raise EngineError(f"{plan.engine} does not open {artifact.format} files; {able} can")
    if plan.engine == "onnxruntime":
        from edgekit.engines.ort import OrtSession

        return OrtSession(artifact, plan)
    if plan.engine == "openvino":
        from edgekit.engines.ov import OpenVinoSession

        return OpenVinoSession(artifact, plan)
    from edgekit.engines.lite import LiteSession

    return LiteSession(artifact, plan)


def installed() -> dict[EngineName, str | None]:
    """Every engine and its version, None where it is not installed. Looks, and imports nothing."""
    return {engine: _version(*package) for engine, package in _PACKAGES.items()}


def _version(module: str, distributions: tuple[str, ...]) -> str | None:
    if importlib.util.find_spec(module) is None:
        return None
    for name in distributions:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "of unknown version"
