"""OpenVINO: its own IR (.xml with .bin) and .onnx files, on Intel's CPUs, GPUs and NPUs, and on Arm CPUs.

The GPU and NPU paths were not run on hardware yet.
"""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgekit.contract import Artifact
from edgekit.engines.compiled import CompiledModels, key_of
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
from edgekit.errors import AcceleratorMissing, EngineError
from edgekit.plan import EnginePlan

log = logging.getLogger(__name__)

_SHORT = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}

_DRIVERS = {"GPU": "the OpenCL driver (apt install intel-opencl-icd)", "NPU": "the NPU driver (intel/linux-npu-driver)"}


class OpenVinoSession(Session):
    """One model compiled by OpenVINO for the shortest time per picture."""

    def __init__(self, artifact: Artifact, plan: EnginePlan) -> None:
        ov = import_openvino()
        compiled = _compile(ov.Core(), artifact, plan)
        self.engine = f"openvino {ov.get_version().partition('-')[0]}"
        self.plan = plan
        self.precision = _precision(compiled, plan)
        self.threads = compiled.get_property("INFERENCE_NUM_THREADS") if plan.device == "cpu" else plan.threads
        self.input = only_input([_info(each) for each in compiled.inputs])
        self.outputs = tuple(_info(each) for each in compiled.outputs)
        self._tensor = ov.Tensor
        self._request: Any = compiled.create_infer_request()

    def run(self, tensor: Tensor) -> Outputs:
        if self._request is None:
            raise closed()
        tensor = check_tensor(tensor, self.input)
        fresh = [_room(each) for each in self.outputs]
        try:
            self._request.set_input_tensor(self._tensor(tensor, shared_memory=True))
            for index, room in enumerate(fresh):
                if room is not None:
                    self._request.set_output_tensor(index, self._tensor(room, shared_memory=True))
            self._request.infer()
        except RuntimeError as error:
            raise EngineError(f"{self.engine} failed on a run: {said(error)}") from error
        return tuple(self._taken(index) if room is None else room for index, room in enumerate(fresh))

    def _taken(self, index: int) -> Tensor:
        """A copy of an output whose shape is known only now: the request writes every run into the same memory. Others
        are written where they stay, which at 8400 candidates of 85 values saves a quarter of a millisecond."""
        copied: Tensor = self._request.get_output_tensor(index).data.copy()
        return copied

    def close(self) -> None:
        self._request = None


def import_openvino() -> Any:
    """The openvino package, without its model converter and the telemetry that comes with it.

    `import openvino` by itself loads openvino.tools.ovc, which costs 10 MB, writes a client id under ~/intel and sends
    an event to Google Analytics from a thread of its own (seen with strace, 2026.4.1). OpenVINO does without it where
    it cannot be imported. Afterwards it can: what `openvino.convert_model` would be is in openvino.tools.ovc. Where a
    program has imported openvino before, that was its decision.
    """
    return import_engine("openvino", "openvino", _import_without_converter)


def _import_without_converter(module: str) -> ModuleType:
    converter = "openvino.tools.ovc"
    known = converter in sys.modules
    if not known:
        sys.modules[converter] = None  # type: ignore[assignment]  # the import system's word for "no"
    try:
        return importlib.import_module(module)
    finally:
        if not known:
            del sys.modules[converter]


def _compile(core: Any, artifact: Artifact, plan: EnginePlan) -> Any:
    device = plan.device.upper()
    if device != "CPU":
        _check_there(core, device)
    try:
        if plan.device == "cpu" and plan.cache_dir is not None:
            return _compile_once(core, artifact, plan, CompiledModels(Path(plan.cache_dir)))
        return core.compile_model(core.read_model(artifact.model, artifact.weights), device, _settings(plan))
    except RuntimeError as error:
        raise EngineError(f"openvino does not load this {artifact.format} model on {device}: {said(error)}") from error


def _check_there(core: Any, device: str) -> None:
    """Not asked for a CPU's sake: to list the devices, OpenVINO loads its plugins for all of them, 20 MB."""
    there = core.available_devices
    if not any(name.partition(".")[0] == device for name in there):
        needs = f": install {_DRIVERS[device]}" if device in _DRIVERS else ""
        raise AcceleratorMissing(f"openvino finds no {device} here, only {', '.join(there)}{needs}")


def _compile_once(core: Any, artifact: Artifact, plan: EnginePlan, kept: CompiledModels) -> Any:
    """As it was compiled on this machine before, or compiled now and kept.

    Not by OpenVINO's own CACHE_DIR, which has to read the model and to hash its graph first, and does not write whole
    files or none. OpenVINO refuses what another version or another instruction set has compiled, beside our own key.
    """
    settings = _settings(plan)
    key = _key(core, artifact, settings)
    compiled = kept.read(key)
    if compiled is not None:
        try:
            return core.import_model(compiled, "CPU", settings)
        except RuntimeError as error:
            log.warning("openvino does not take what it compiled before, and compiles anew: %s", said(error))
    model = core.compile_model(core.read_model(artifact.model, artifact.weights), "CPU", settings)
    try:
        kept.write(key, model.export_model().getvalue())
    except RuntimeError as error:
        log.warning("a compiled model is not kept, so every start compiles anew: %s", said(error))
    return model


def _key(core: Any, artifact: Artifact, settings: dict[str, Any]) -> str:
    machine = [core.get_property("CPU", each) for each in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    how = [core.get_versions("CPU")["CPU"].build_number, machine, sorted(settings.items())]
    return key_of(artifact.model, artifact.weights or b"", repr(how).encode())


def _settings(plan: EnginePlan) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": plan.precision}
    if plan.device == "cpu":
        settings |= {"INFERENCE_NUM_THREADS": plan.threads, "NUM_STREAMS": "1"}
    elif plan.cache_dir is not None:
        settings["CACHE_DIR"] = plan.cache_dir
    return settings


def _precision(compiled: Any, plan: EnginePlan) -> str:
    """What the compiled model really computes in: on a CPU without f16, a wish for f16 silently becomes bf16."""
    real = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    real = _SHORT.get(real, real)
    if real != plan.precision:
        raise EngineError(
            f"the plan asks openvino for {plan.precision} and it would compute in {real} on this {plan.device}: "
            f"set precision = '{real}' or 'f32'"
        )
    return str(real)


def _room(output: TensorInfo) -> Tensor | None:
    """Memory for an output; None where its shape is not known before."""
    shape = [side for side in output.shape if side is not None]
    return np.empty(shape, output.dtype) if len(shape) == len(output.shape) else None


def _info(port: Any) -> TensorInfo:
    sides = port.get_partial_shape()
    shape = tuple(side.get_length() if side.is_static else None for side in sides)
    name = port.get_any_name() if port.get_names() else f"#{port.get_index()}"
    return TensorInfo(name, np.dtype(port.get_element_type().to_dtype()).name, shape)
