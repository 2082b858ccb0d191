"""LiteRT and its elder, tflite-runtime: .tflite files on the CPU through XNNPACK, and on Coral's Edge TPU.

The Edge TPU path was not run on hardware yet.
"""

from __future__ import annotations

import ctypes
import re
from importlib import metadata
from typing import Any

import numpy as np

from edgekit.contract import Artifact
from edgekit.engines.session import (
    Outputs,
    Session,
    Tensor,
    TensorInfo,
    check_tensor,
    closed,
    import_engine,
    only_input,
    said,
)
from edgekit.errors import AcceleratorMissing, EngineError, EngineMissing
from edgekit.plan import EnginePlan

_EDGETPU = "libedgetpu.so.1"


class LiteSession(Session):
    """One TFLite model in LiteRT or tflite-runtime, as `plan.engine` says.

    Outputs that the file quantizes leave as float32, by the file's own scale and zero point. A side that the file
    leaves open has the length that the file gives it at rest.
    """

    def __init__(self, artifact: Artifact, plan: EnginePlan) -> None:
        module, version = _import(plan)
        self.engine = f"{plan.engine} {version}"
        self.plan = plan
        self.precision = plan.precision
        self.threads = plan.threads
        try:
            self._interpreter: Any = module.Interpreter(
                model_content=artifact.model,
                num_threads=plan.threads,
                experimental_delegates=_delegates(module, artifact, plan),
            )
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{self.engine} does not load this model: {said(error)}") from error
        described = self._interpreter.get_input_details()
        self.input = only_input([_info(each) for each in described])
        self._index = described[0]["index"]
        self._details = _outputs_in_order(self._interpreter)
        self.outputs = tuple(_info(each) for each in self._details)

    def run(self, tensor: Tensor) -> Outputs:
        if self._interpreter is None:
            raise closed()
        tensor = check_tensor(tensor, self.input)
        try:
            self._interpreter.set_tensor(self._index, tensor)
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"{self.engine} failed on a run: {said(error)}") from error
        # get_tensor copies out of the interpreter's arena, which the next run overwrites.
        return tuple(_dequantized(self._interpreter.get_tensor(each["index"]), each) for each in self._details)

    def close(self) -> None:
        self._interpreter = None


def _import(plan: EnginePlan) -> tuple[Any, str]:
    if plan.engine == "litert":
        return import_engine("litert", "ai_edge_litert.interpreter"), metadata.version("ai-edge-litert")
    module = import_engine("tflite-runtime", "tflite_runtime.interpreter")
    version = metadata.version("tflite-runtime")
    # Its wheels are built against numpy 1. With numpy 2 they import, and fail only when a model loads.
    if int(np.__version__.partition(".")[0]) >= 2:
        raise EngineMissing(
            f"tflite-runtime {version} needs numpy 1 and numpy {np.__version__} is installed: "
            "pip install 'edgekit[tflite-legacy]' in an environment of its own, or use engine 'litert'"
        )
    return module, version


def _delegates(module: Any, artifact: Artifact, plan: EnginePlan) -> list[Any] | None:
    if plan.device != "edgetpu":
        return None
    if b"edgetpu-custom-op" not in artifact.model:
        # The delegate would take none of its operators and the CPU would run them all, without a word.
        raise EngineError("this model is not compiled for the Edge TPU: run edgetpu_compiler on the INT8 .tflite")
    try:
        # Asked here first: a delegate that fails to load leaves a traceback of its own on stderr.
        ctypes.CDLL(_EDGETPU)
        return [module.load_delegate(_EDGETPU)]
    except OSError as error:
        raise AcceleratorMissing(f"no {_EDGETPU} ({error}): apt install libedgetpu1-std, coral.ai/software") from error
    except ValueError as error:
        raise AcceleratorMissing(f"{_EDGETPU} finds no Edge TPU ({error}): is it plugged in?") from error


def _outputs_in_order(interpreter: Any) -> list[dict[str, Any]]:
    """The outputs as the model returned them.

    A converter may write a file's outputs in another order than the model had. Where all outputs of the file's
    signature are numbered (output_0, output_1, ...) the numbers tell; elsewhere the file's own order stands.
    """
    details: list[dict[str, Any]] = interpreter.get_output_details()
    signatures = interpreter.get_signature_list()
    if len(signatures) != 1:
        return details
    named = interpreter.get_signature_runner(next(iter(signatures))).get_output_details()
    numbers = {name: re.fullmatch(r"output_(\d+)", name) for name in named}
    if len(named) != len(details) or not all(numbers.values()):
        return details
    return [named[name] for name in sorted(named, key=lambda name: int(name.rpartition("_")[2]))]


def _dequantized(values: Tensor, detail: dict[str, Any]) -> Tensor:
    scale, zero_point = detail["quantization"]
    if scale == 0 or values.dtype.kind == "f":
        return values
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _info(detail: dict[str, Any]) -> TensorInfo:
    return TensorInfo(detail["name"], np.dtype(detail["dtype"]).name, tuple(int(side) for side in detail["shape"]))
