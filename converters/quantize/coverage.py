"""How much of a model really runs in INT8: counted in what the engine makes of the file, not in the file."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.contract import Artifact, Format
from edgekit.engines.ov import import_openvino
from edgekit.errors import EngineError

_ORT_INT8 = {"QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger", "QAttention"}
_ORT_FLOAT = {"Conv", "FusedConv", "ConvTranspose", "Gemm", "FusedGemm", "MatMul", "FusedMatMul"}
_OPENVINO = {"Convolution", "Deconvolution", "FullyConnected", "MatMul"}
_TFLITE = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "BATCH_MATMUL"}


@dataclass(frozen=True)
class Coverage:
    """`int8` of `total` convolutions and matrix products run in INT8 kernels."""

    int8: int
    total: int

    @property
    def share(self) -> float:
        """0 to 1; 0 for a model that has none of them."""
        return self.int8 / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.int8} of {self.total}"


def coverage_of(artifact: Artifact) -> Coverage:
    """Compiles the artifact with its engine on the CPU and counts; `EngineError` where the engine refuses it.

    ONNX Runtime and OpenVINO are asked for the graph that they run. XNNPACK does not tell, so a TFLite operator counts
    as INT8 where its input, weights and output are.
    """
    counters: dict[Format, Callable[[Artifact], Coverage]] = {
        "onnx": _in_onnxruntime,
        "openvino": _in_openvino,
        "tflite": _in_litert,
    }
    return counters[artifact.format](artifact)


def _in_onnxruntime(artifact: Artifact) -> Coverage:
    kinds = Counter(node.op_type for node in optimized(artifact).node)
    int8 = sum(kinds[kind] for kind in _ORT_INT8)
    return Coverage(int8, int8 + sum(kinds[kind] for kind in _ORT_FLOAT))


def optimized(artifact: Artifact) -> Any:
    """The graph that ONNX Runtime makes of the file and runs."""
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the optimized graph fits this machine only, which is what we ask
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(artifact.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no base of their own
            raise EngineError(f"onnxruntime refuses this model: {error}") from error
        return onnx.load(path).graph


def _in_openvino(artifact: Artifact) -> Coverage:
    heavy = [precision for kind, precision in running(artifact) if kind in _OPENVINO]
    return Coverage(sum(precision in ("u8", "i8") for precision in heavy), len(heavy))


def running(artifact: Artifact) -> list[tuple[str, str]]:
    """Kind and precision of each operator that OpenVINO makes of the file and runs on the CPU."""
    import numpy as np

    openvino = import_openvino()

    core = openvino.Core()
    try:
        weights = openvino.Tensor(np.frombuffer(artifact.weights, np.uint8))
        compiled = core.compile_model(core.read_model(artifact.model, weights), "CPU")
    except RuntimeError as error:
        raise EngineError(f"openvino refuses this model: {str(error).strip().splitlines()[-1]}") from error
    facts = [operator.get_rt_info() for operator in compiled.get_runtime_model().get_ops()]
    return [(_fact(fact, "layerType"), _fact(fact, "runtimePrecision")) for fact in facts]


def _fact(facts: Any, name: str) -> str:
    return str(facts[name].astype(str))


def _in_litert(artifact: Artifact) -> Coverage:
    from edgekit.converters.export.to_tflite import operator_names

    tree = taken(artifact)
    int8_code = 9  # TensorType.INT8 of TFLite's schema
    types = [tensor.type for tensor in tree.subgraphs[0].tensors]
    heavy = [operator for name, operator in operator_names(tree) if name.rpartition("_")[0] in _TFLITE]
    int8 = [o for o in heavy if {types[i] for i in (*o.inputs[:2], *o.outputs)} == {int8_code}]
    return Coverage(len(int8), len(heavy))


def taken(artifact: Artifact) -> Any:
    """The TFLite file's contents, once LiteRT took it."""
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.tools import flatbuffer_utils

    try:
        Interpreter(model_content=artifact.model)
    except (ValueError, RuntimeError) as error:
        raise EngineError(f"litert refuses this model: {error}") from error
    return flatbuffer_utils.read_model_from_bytearray(artifact.model)
