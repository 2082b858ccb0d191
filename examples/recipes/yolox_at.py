"""YOLOX-nano at a size of one's own: it is fully convolutional, only its published file says 416."""

from __future__ import annotations

from pathlib import Path

import onnx

from edgekit.converters.onnx_to_torch import ImportedOnnx, import_onnx

HERE = Path(__file__).parent


def build(file: str, size: int) -> ImportedOnnx:
    """The net of `file`, a path from here, for pictures of `size` x `size`; a multiple of 32."""
    model = onnx.load(HERE / file)
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.Clear()
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return import_onnx(model.SerializeToString(), (1, 3, size, size))
