"""How one model runs: which engine, on what device, with how many threads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgekit.contract import Format
from edgekit.schema import STRICT

RealEngine: TypeAlias = Literal["onnxruntime", "openvino", "litert", "tflite-runtime"]
EngineName: TypeAlias = Literal[RealEngine, "null"]  # the null session's, which computes nothing
Device: TypeAlias = Literal["cpu", "cuda", "tensorrt", "gpu", "npu", "edgetpu"]
Precision: TypeAlias = Literal["f32", "bf16", "f16"]

# Which engines open which files, the one that made the format first.
ENGINES: dict[Format, tuple[EngineName, ...]] = {
    "onnx": ("onnxruntime", "openvino"),
    "openvino": ("openvino",),
    "tflite": ("litert", "tflite-runtime"),
}

# What each engine runs on, and what it can be held to compute float models in there, the usual choice first.
ABILITIES: dict[EngineName, dict[Device, tuple[Precision, ...]]] = {
    "onnxruntime": {"cpu": ("f32",), "cuda": ("f32",), "tensorrt": ("f32", "f16")},
    "openvino": {"cpu": ("f32", "bf16", "f16"), "gpu": ("f32", "f16"), "npu": ("f16",)},
    "litert": {"cpu": ("f32",), "edgetpu": ("f32",)},
    "tflite-runtime": {"cpu": ("f32",), "edgetpu": ("f32",)},
    "null": {"cpu": ("f32",)},
}


@dataclass(frozen=True)
class EnginePlan:
    """How one model runs: which engine, on what, with how many threads. What no engine could keep is refused here.

    spinning: whether idle threads of ONNX Runtime spin. Off unless asked for: beside a decoding thread a cascade on
    two cores took 17-25 ms with it and 3.7-4.7 ms without.
    precision: what an engine may compute float models in. OpenVINO would choose bfloat16 by itself where the CPU has
    it. device: 'cpu', or 'cuda' and 'tensorrt' (ONNX Runtime), 'gpu' and 'npu' (OpenVINO), 'edgetpu' (LiteRT). Never
    replaced by another silently. cache_dir: where OpenVINO and TensorRT keep what they compiled.
    """

    __pydantic_config__ = STRICT

    engine: EngineName
    threads: int = 1
    spinning: bool = False
    precision: Precision = "f32"
    device: Device = "cpu"
    cache_dir: str | None = None

    def __post_init__(self) -> None:
        devices = ABILITIES[self.engine]
        if self.device not in devices:
            raise ValueError(f"{self.engine} runs on {', '.join(devices)}; got device '{self.device}'")
        if self.precision not in devices[self.device]:
            able = ", ".join(devices[self.device])
            raise ValueError(f"{self.engine} on {self.device} computes in {able}; got precision '{self.precision}'")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1; got {self.threads}")
        if self.threads > 1 and self.device not in ("cpu", "edgetpu"):
            raise ValueError(f"threads are for the CPU; on '{self.device}' leave them at 1, got {self.threads}")
        if self.spinning and self.engine != "onnxruntime":
            raise ValueError(f"only onnxruntime's threads spin; got spinning for {self.engine}")
        if self.cache_dir is not None and self.engine != "openvino" and self.device != "tensorrt":
            raise ValueError(f"only openvino and tensorrt keep a cache; got cache_dir for {self.engine}")
