"""ONNX Runtime: .onnx files on the CPU, and on NVIDIA's chips through its CUDA and TensorRT providers.

The CUDA and TensorRT paths were not run on hardware yet.
"""

from __future__ import annotations

from typing import Any

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
from edgekit.errors import AcceleratorMissing, EngineError
from edgekit.plan import EnginePlan

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}

_INSTALL = (
    "install an onnxruntime-gpu whose CUDA is the board's (on a Jetson: NVIDIA's wheel for its JetPack), "
    "or set device = 'cpu'"
)


class OrtSession(Session):
    """One ONNX model in ONNX Runtime, operators one after the other."""

    def __init__(self, artifact: Artifact, plan: EnginePlan) -> None:
        ort = import_engine("onnxruntime", "onnxruntime")
        self._errors = _errors()
        self._session: Any = _load(ort, artifact, plan, self._errors)
        self.engine = f"onnxruntime {ort.__version__}"
        self.plan = plan
        self.precision = plan.precision
        self.threads = self._session.get_session_options().intra_op_num_threads
        self.input = only_input([_info(each) for each in self._session.get_inputs()])
        self.outputs = tuple(_info(each) for each in self._session.get_outputs())
        self._names = [each.name for each in self.outputs]

    def run(self, tensor: Tensor) -> Outputs:
        if self._session is None:
            raise closed()
        tensor = check_tensor(tensor, self.input)
        try:
            # ONNX Runtime allocates each run's outputs anew, so they need no copy to stay valid.
            return tuple(self._session.run(self._names, {self.input.name: tensor}))
        except self._errors as error:
            raise EngineError(f"{self.engine} failed on a run: {said(error)}") from error

    def close(self) -> None:
        self._session = None


def session_options(ort: Any, plan: EnginePlan) -> Any:
    """The plan in ONNX Runtime's words.

    Off the CPU, an operator that the accelerator does not know is an error: ONNX Runtime would run it on the CPU
    without a word, and the frame budget would be gone.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    spin = "1" if plan.spinning else "0"
    options.add_session_config_entry("session.intra_op.allow_spinning", spin)
    options.add_session_config_entry("session.inter_op.allow_spinning", spin)
    if plan.device != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def provider_options(artifact: Artifact, plan: EnginePlan) -> dict[str, Any]:
    """What the plan's provider is told.

    CUDA would round float32 matrices to TF32 by itself; 'f32' means f32 here. TensorRT builds an engine for the very
    chip at the first load, which takes minutes on a Jetson: `plan.cache_dir` keeps it. It takes symmetric INT8 only
    (zero points of 0), so U8S8 files made for CPUs are refused by TensorRT itself.

    https://onnxruntime.ai/docs/execution-providers/TensorRT-ExecutionProvider.html
    """
    if plan.device == "cpu":
        return {}
    if plan.device == "cuda":
        return {"device_id": 0, "use_tf32": 0}
    options: dict[str, Any] = {
        "device_id": 0,
        "trt_fp16_enable": plan.precision == "f16",
        "trt_int8_enable": b"QuantizeLinear" in artifact.model,
    }
    if plan.cache_dir is not None:
        options |= {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": plan.cache_dir,
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": plan.cache_dir,
        }
    return options


def _load(ort: Any, artifact: Artifact, plan: EnginePlan, errors: tuple[type[Exception], ...]) -> Any:
    provider = _PROVIDERS[plan.device]
    if provider not in ort.get_available_providers():
        there = ", ".join(ort.get_available_providers())
        raise AcceleratorMissing(f"onnxruntime {ort.__version__} has no {provider}, only {there}: {_INSTALL}")
    providers = [(provider, provider_options(artifact, plan))]
    if plan.device == "tensorrt":
        providers.append(
            ("CUDAExecutionProvider", provider_options(artifact, EnginePlan("onnxruntime", device="cuda")))
        )

    def load(options: Any) -> Any:
        # Without enable_fallback=0 a failing provider means a second try on the CPU, announced on stdout only.
        return ort.InferenceSession(artifact.model, options, providers=providers, enable_fallback=0)

    try:
        session = load(session_options(ort, plan))
    except errors as error:
        if plan.device != "cpu":
            _check_started(provider, load(ort.SessionOptions()))
        where = f"onnxruntime {ort.__version__} on {plan.device}"
        raise EngineError(f"{where} does not load this model: {said(error)}") from error
    _check_started(provider, session)
    return session


def _check_started(provider: str, session: Any) -> None:
    """A provider that is compiled in and finds no driver or no library drops out with a warning at most."""
    if session.get_providers()[0] != provider:
        runs_on = ", ".join(session.get_providers())
        raise AcceleratorMissing(f"{provider} did not start and onnxruntime chose {runs_on} instead: {_INSTALL}")


def _info(described: Any) -> TensorInfo:
    plain = described.type.removeprefix("tensor(").removesuffix(")")
    dtype = {"float": "float32", "double": "float64"}.get(plain, plain)
    return TensorInfo(described.name, dtype, tuple(side if isinstance(side, int) else None for side in described.shape))


def _errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions share no ancestor of their own, so they are listed."""
    state = import_engine("onnxruntime", "onnxruntime.capi.onnxruntime_pybind11_state")
    kinds = (each for each in vars(state).values() if isinstance(each, type) and issubclass(each, Exception))
    return (*kinds, RuntimeError)
