"""Why INT8 is no faster: which operators of an INT8 file its engine still computes in float.

Each of them makes the engine turn its input to float and its result back to 8 bits; where one follows every second
convolution, as a hard swish does in MobileNetV3, that costs what INT8 wins.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from edgekit.contract import Artifact, Format
from edgekit.converters.export.to_tflite import operator_names
from edgekit.converters.quantize.coverage import optimized, running, taken

# What moves values and computes none, and what turns them from float to 8 bits and back.
_ORT_MOVES = {
    "Cast", "Concat", "DequantizeLinear", "Expand", "Flatten", "Gather", "Identity", "Pad", "QuantizeLinear",
    "ReorderInput", "ReorderOutput", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
_OPENVINO_MOVES = {
    "Broadcast", "Concatenation", "Const", "Convert", "Gather", "Input", "Output", "Pad", "Reorder", "Reshape", "Split",
    "StridedSlice", "Transpose",
}  # fmt: skip
_TFLITE_MOVES = {
    "CAST", "CONCATENATION", "DEQUANTIZE", "EXPAND_DIMS", "GATHER", "PACK", "PAD", "PADV2", "QUANTIZE", "RESHAPE",
    "SLICE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TRANSPOSE", "UNPACK",
}  # fmt: skip


def operators_in_float(artifact: Artifact) -> Mapping[str, int]:
    """The kinds of operators that compute in float, in the engine's own words, with how many there are, most first.

    Normalising the picture and decoding after the last convolution are among them: they always stay in float. What only
    moves values is left out. `EngineError` where the engine refuses the file.
    """
    ways: dict[Format, Callable[[Artifact], Iterator[str]]] = {
        "onnx": _in_onnxruntime,
        "openvino": _in_openvino,
        "tflite": _in_litert,
    }
    return dict(Counter(ways[artifact.format](artifact)).most_common())


def _in_onnxruntime(artifact: Artifact) -> Iterator[str]:
    """A kind with one name for all types, such as MaxPool, is what its input is."""
    graph = optimized(artifact)
    integer = {value.name for value in graph.input if value.type.tensor_type.elem_type != 1}
    for node in graph.node:
        if node.op_type in ("DequantizeLinear", "Cast"):
            continue
        if node.op_type.startswith(("QLinear", "QGemm", "QuantizeLinear")) or integer.intersection(node.input[:1]):
            integer.update(node.output)
        elif node.op_type not in _ORT_MOVES:
            yield node.op_type


def _in_openvino(artifact: Artifact) -> Iterator[str]:
    floats = ("f32", "f16", "bf16")
    return (kind for kind, precision in running(artifact) if precision in floats and kind not in _OPENVINO_MOVES)


def _in_litert(artifact: Artifact) -> Iterator[str]:
    tree = taken(artifact)
    types = [tensor.type for tensor in tree.subgraphs[0].tensors]
    for name, operator in operator_names(tree):
        kind = name.rpartition("_")[0]
        if kind not in _TFLITE_MOVES and types[operator.outputs[0]] == 0:  # TensorType.FLOAT32
            yield kind
