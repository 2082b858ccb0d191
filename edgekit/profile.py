"""What a board is, what it can do, and how models should run on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgekit.schema import STRICT

EngineName: TypeAlias = Literal["onnxruntime", "openvino", "litert", "tflite-runtime", "null"]


@dataclass(frozen=True)
class EnginePlan:
    """How one model runs: which engine, on what, with how many threads.

    spinning: whether idle threads of ONNX Runtime spin. Off unless asked for: beside a decoding thread a cascade on
    two cores took 17-25 ms with it and 3.7-4.7 ms without.
    precision: what an engine may compute float models in. OpenVINO would choose bfloat16 by itself where the CPU has
    it. device: 'cpu', or 'cuda' and 'tensorrt' (ONNX Runtime), 'gpu' and 'npu' (OpenVINO). Never replaced by another
    silently.
    """

    __pydantic_config__ = STRICT

    engine: EngineName
    threads: int = 1
    spinning: bool = False
    precision: Literal["f32", "bf16", "f16"] = "f32"
    device: str = "cpu"
    cache_dir: str | None = None
