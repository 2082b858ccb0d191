"""Static INT8 for OpenVINO: the QDQ file of `for_onnx`, as IR.

One way to quantize serves both engines, and was the faster: MobileNetV2 took 1.25 ms so, 1.58 ms as quantized by NNCF
(mixed preset) and 2.85 ms in float.
"""

from __future__ import annotations

from edgekit.converters.export import Exported
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.quantize import Calibration, Int8Settings
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.steps import Count


def quantize_openvino(
    exported: Exported,
    calibration: Calibration,
    settings: Int8Settings = Int8Settings(),  # noqa: B008 (frozen)
    progress: Count | None = None,
) -> Exported:
    """A float file of `to_onnx` as IR in INT8; arguments and errors as for `quantize_onnx`.

    Where the ONNX file is quantized anyway, `as_openvino(quantize_onnx(...))` is the same and calibrates once.
    """
    return as_openvino(quantize_onnx(exported, calibration, settings, progress))
