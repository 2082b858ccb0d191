"""What an INT8 file still computes in float is named, in each engine's own words."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from edgekit.contract import Artifact, Format, InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.quantize.for_openvino import openvino_int8
from edgekit.converters.quantize.for_tflite import quantize_tflite
from edgekit.converters.quantize.in_float import operators_in_float
from edgekit.errors import EngineError


@pytest.fixture(scope="module")
def swish(spec: InputSpec, raw_pictures: list[np.ndarray]) -> dict[Format, Exported]:
    """MobileNetV3's trouble, twice: a hard swish between convolutions. ONNX Runtime makes two operators of it."""
    layers = [nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 8, 3), nn.Hardswish(), nn.Conv2d(8, 4, 1)]
    net = nn.Sequential(*layers).eval()
    float_file = to_onnx(net, spec)
    onnx = quantize_onnx(float_file, raw_pictures[:4])
    tflite = quantize_tflite(to_tflite(net, spec), raw_pictures[:4])
    return {"onnx": onnx, "openvino": openvino_int8(onnx, float_file), "tflite": tflite}


@pytest.mark.parametrize(("target", "kind"), [("onnx", "HardSigmoid"), ("tflite", "HARD_SWISH")])
def test_a_hard_swish_in_float_is_named_and_counted(target: Format, kind: str, swish: dict[Format, Exported]) -> None:
    assert operators_in_float(swish[target].artifact)[kind] == 2


@pytest.mark.parametrize(("target", "kind"), [("onnx", "Conv"), ("openvino", "Convolution"), ("tflite", "CONV_2D")])
def test_convolutions_are_in_float_before_and_not_after(
    target: Format, kind: str, swish: dict[Format, Exported], detector_files: dict[Format, Exported]
) -> None:
    assert (
        sum(count for name, count in operators_in_float(detector_files[target].artifact).items() if kind in name) == 6
    )
    assert kind not in operators_in_float(swish[target].artifact)


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_a_broken_file_is_an_engine_error(target: Format) -> None:
    with pytest.raises(EngineError, match="refuses this model"):
        operators_in_float(Artifact(target, b"not a model"))
