"""Where two versions of a network part is found by name."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.contract import Artifact, Format, InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.ladder import Divergence, export_divergence, first_divergence, int8_divergence
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.escalate import open_net
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.quantize.for_tflite import quantize_tflite
from edgekit.converters.quantize.net import Operator
from edgekit.converters.quantize.static import look

Files = dict[Format, Exported]
OPERATORS = (
    Operator("a", "Conv", ("x",), ("t",)),
    Operator("b", "Relu", ("t",), ("u",)),
    Operator("c", "Conv", ("u",), ("v",)),
)
WAVE = np.sin(np.arange(100, dtype=np.float32))


def noisy(db: float | None) -> np.ndarray:
    """The wave with so much noise; None: as it is."""
    noise = np.cos(np.arange(100, dtype=np.float32) * 7)
    return WAVE if db is None else WAVE + noise * np.float32(10 ** (-db / 20) * WAVE.std() / noise.std())


@pytest.mark.parametrize(
    ("t", "u", "v", "found"),
    [
        (None, None, None, None),
        (40, 30, 20, None),
        (40, 30, 5, "v"),
        (40, 5, 5, "u"),
        (5, 5, 5, "t"),
        (5, 30, 30, "t"),
    ],
)
def test_the_first_tensor_that_is_off_while_what_it_is_made_of_is_not(
    t: float | None, u: float | None, v: float | None, found: str | None
) -> None:
    wanted = [dict.fromkeys("tuv", WAVE)]
    divergence = first_divergence(OPERATORS, wanted, [{"t": noisy(t), "u": noisy(u), "v": noisy(v)}], 10)
    assert (divergence.tensor if divergence else None) == found


def test_a_tensor_that_one_side_lacks_is_passed_over() -> None:
    divergence = first_divergence(OPERATORS, [dict.fromkeys("tuv", WAVE)], [{"t": noisy(31), "v": noisy(5)}], 10)
    assert divergence is not None
    assert (divergence.operator, divergence.before_db) == ("c", pytest.approx(31, abs=0.1))


def test_a_divergence_is_a_sentence() -> None:
    said = str(Divergence("getitem_36", "Conv_12", (1, 24, 56, 56), 9.31, 31.0))
    assert said == "first diverging tensor: 'getitem_36' of Conv_12, (1, 24, 56, 56): 9.3 dB after 31.0 dB before it"


@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_int8_that_is_fine_diverges_nowhere_and_a_range_cut_in_two_is_found(
    target: Format, detector_files: Files, raw_pictures: list[np.ndarray]
) -> None:
    start = detector_files[target]
    quantize = {"onnx": quantize_onnx, "tflite": quantize_tflite}[target]
    assert int8_divergence(start, quantize(start, raw_pictures[:8]), raw_pictures[8:10]) is None
    net = open_net(start)
    seen = look(net, raw_pictures[:8], Int8Settings())
    broken = {"onnx": "hardtanh_1", "tflite": "CONV_2D_1"}[target]
    low, high = seen.ranges[broken]
    int8 = net.quantized(seen.ranges | {broken: (low / 8, high / 8)}, Int8Settings())
    found = int8_divergence(start, int8, raw_pictures[8:10])
    assert found is not None
    assert found.tensor == broken


def test_a_float_file_is_held_against_the_module_layer_by_layer(
    detector: nn.Module, spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    images = [np.ascontiguousarray(each[0]) for each in raw_pictures[:2]]
    exported = to_onnx(detector, spec)
    assert export_divergence(detector, spec, exported, images) is None
    other = copy.deepcopy(detector)
    with torch.no_grad():
        other.scores[0].weight[0] *= 1.1  # type: ignore[index,union-attr]
    found = export_divergence(other, spec, exported, images)
    assert found is not None
    assert (found.operator, found.tensor) == ("Conv_4", "conv2d_2")


def test_a_file_of_another_format_has_its_own_ladder(detector_files: Files) -> None:
    with pytest.raises(ValueError, match="give that, and target 'openvino'"):
        int8_divergence(Exported(Artifact("openvino", b""), detector_files["onnx"].input), detector_files["onnx"], [])
