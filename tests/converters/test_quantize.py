"""INT8 that is INT8, says what float says, and refuses to be made of nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.tools import flatbuffer_utils
from torch import Tensor, nn

from edgekit.contract import Artifact, Format, InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import operator_names, to_tflite
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.coverage import Coverage, coverage_of, running
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.quantize.for_openvino import openvino_int8, quantize_openvino
from edgekit.converters.quantize.for_tflite import quantize_tflite
from edgekit.engines import open_session
from edgekit.errors import ConversionError, EngineError, SettingsError
from edgekit.plan import ENGINES, EnginePlan

Files = dict[Format, Exported]
# Target -> its quantizer and the float file that it takes.
QUANTIZERS: dict[Format, tuple[Callable[..., Exported], Format]] = {
    "onnx": (quantize_onnx, "onnx"),
    "openvino": (quantize_openvino, "onnx"),
    "tflite": (quantize_tflite, "tflite"),
}
INT8 = 9  # TensorType.INT8 in TFLite's schema
PLAIN = Int8Settings()
every_target = pytest.mark.parametrize("target", list(QUANTIZERS))
every_quantizer = pytest.mark.parametrize("target", ["onnx", "tflite"])


def quantized(target: Format, files: Files, calibration: Any, settings: Int8Settings = PLAIN) -> Exported:
    quantize, source = QUANTIZERS[target]
    return quantize(files[source], calibration, settings)


def run(artifact: Artifact, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
    """What the artifact's own engine answers."""
    with open_session(artifact, EnginePlan(ENGINES[artifact.format][0])) as session:
        return session.run(tensor)


def likeness(float_file: Artifact, int8_file: Artifact, seen: list[np.ndarray]) -> float:
    """The least cosine between float and INT8 outputs, over pictures and outputs."""

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))

    pairs = [(run(float_file, tensor), run(int8_file, tensor)) for tensor in seen]
    return min(cosine(a, b) for before, after in pairs for a, b in zip(before, after, strict=True))


@every_target
@pytest.mark.parametrize(("net", "heavy"), [("classifier_files", 6), ("detector_files", 6)])
def test_every_convolution_runs_in_int8_and_says_what_float_says(
    target: Format, net: str, heavy: int, raw_pictures: list[np.ndarray], request: pytest.FixtureRequest
) -> None:
    files: Files = request.getfixturevalue(net)
    int8 = quantized(target, files, raw_pictures[:16])
    assert int8.input == files[target].input
    assert coverage_of(files[target].artifact) == Coverage(0, heavy)
    assert coverage_of(int8.artifact) == Coverage(heavy, heavy)
    assert likeness(files[target].artifact, int8.artifact, raw_pictures[16:]) > 0.99


@every_quantizer
@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_every_way_to_calibrate_gives_a_faithful_model(
    target: Format,
    method: Literal["minmax", "percentile", "entropy"],
    classifier_files: Files,
    raw_pictures: list[np.ndarray],
) -> None:
    int8 = quantized(target, classifier_files, raw_pictures[:16], Int8Settings(calibration=method))
    assert likeness(classifier_files[target].artifact, int8.artifact, raw_pictures[16:]) > 0.98


@every_target
def test_one_scale_for_all_channels_ruins_uneven_weights(
    target: Format, classifier: nn.Module, spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    """Half of the depthwise weights are a thousand times larger, on channels that are as much smaller and then unused:
    activations are of one size, and only the weights are not."""
    torch.manual_seed(0)
    uneven = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1)).eval()
    with torch.no_grad():
        uneven[0].weight[:4] /= 1000
        uneven[0].bias[:4] /= 1000
        uneven[1].weight[:4] *= 1000
        uneven[2].weight[:, :4] = 0
        uneven[2].bias.zero_()  # what is left where every weight was rounded to nothing
    files: Files = {"onnx": to_onnx(uneven, spec), "tflite": to_tflite(uneven, spec)}
    source = files[QUANTIZERS[target][1]].artifact
    fine, coarse = (
        likeness(
            source,
            quantized(target, files, raw_pictures[:8], Int8Settings(per_channel=each)).artifact,
            raw_pictures[8:12],
        )
        for each in (True, False)
    )
    assert fine > 0.9
    assert coarse < 0.5


@every_target
def test_the_same_pictures_give_the_same_bytes(
    target: Format, detector_files: Files, raw_pictures: list[np.ndarray]
) -> None:
    first, second = (quantized(target, detector_files, iter(raw_pictures[:4])).artifact for _ in range(2))
    assert first == second


@every_quantizer
def test_what_follows_the_last_convolution_stays_in_float(
    target: Format, detector_files: Files, raw_pictures: list[np.ndarray]
) -> None:
    """Sigmoid scores in steps of 1/256 would tie, boxes would snap to a grid."""
    int8 = quantized(target, detector_files, raw_pictures[:8]).artifact
    float_made = made_in_float(int8)
    assert {"onnx": {"Sigmoid", "Exp", "Concat"}, "tflite": {"LOGISTIC", "EXP", "CONCATENATION"}}[target] <= float_made


def made_in_float(artifact: Artifact) -> set[str]:
    """The kinds of operators none of whose results is quantized."""
    if artifact.format == "onnx":
        nodes = onnx.load_from_string(artifact.model).graph.node
        quantized = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
        kinds = {(node.op_type, name in quantized) for node in nodes for name in node.output}
    else:
        tree = flatbuffer_utils.read_model_from_bytearray(artifact.model)
        types = [tensor.type for tensor in tree.subgraphs[0].tensors]
        named = operator_names(tree)
        kinds = {(name.rpartition("_")[0], types[o] == INT8) for name, operator in named for o in operator.outputs}
    return {kind for kind, is_int8 in kinds if (kind, True) not in kinds}


@every_quantizer
def test_an_operator_can_be_kept_in_float(
    target: Format, classifier_files: Files, raw_pictures: list[np.ndarray]
) -> None:
    name = {"onnx": "Conv_0", "tflite": "CONV_2D_0"}[target]
    int8 = quantized(target, classifier_files, raw_pictures[:4], Int8Settings(keep_float=(name,)))
    assert coverage_of(int8.artifact) == Coverage(5, 6)


@every_quantizer
def test_keeping_an_operator_that_is_not_there_is_an_error(target: Format, classifier_files: Files) -> None:
    with pytest.raises(SettingsError, match=r"no operator is named 'Swish_\*'; there are .*(Conv|CONV_2D)"):
        quantized(target, classifier_files, [], Int8Settings(keep_float=("Swish_*",)))


@every_target
def test_no_pictures_no_int8(target: Format, classifier_files: Files) -> None:
    with pytest.raises(ConversionError, match="the calibration set is empty"):
        quantized(target, classifier_files, iter(()))


@every_quantizer
@pytest.mark.parametrize("wrong", [np.zeros((1, 32, 40, 3), np.float32), np.zeros((1, 3, 32, 40), np.uint8)])
def test_a_tensor_that_the_float_file_would_not_take_is_refused(
    target: Format, wrong: np.ndarray, classifier_files: Files, raw_pictures: list[np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=r"\(1, 32, 40, 3\) uint8; number 1 is"):
        quantized(target, classifier_files, [raw_pictures[0], wrong])


class Breaks(nn.Module):
    """Fine on most pictures; `how` goes wrong on one that is white all over."""

    def __init__(self, how: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.how = nn.Conv2d(3, 8, 3), how

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x * self.how(x))


@every_quantizer
@pytest.mark.parametrize(
    "how",
    [lambda x: torch.exp(x.mean() * 160), lambda x: (x - x.mean()) / (x - x.mean()).abs().mean()],
    ids=["infinity", "nan"],
)
def test_activations_that_are_not_finite_are_found_in_calibration(
    target: Format, how: Callable[[Tensor], Tensor], spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    plain = replace(spec, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    net = Breaks(how).eval()
    files: Files = {"onnx": to_onnx(net, plain)} if target == "onnx" else {"tflite": to_tflite(net, plain)}
    quantized(target, files, raw_pictures[:1])
    white = np.full_like(raw_pictures[0], 255)
    with pytest.raises(ConversionError, match="in calibration: the float model itself is broken"):
        quantized(target, files, [raw_pictures[0], white])


@every_quantizer
def test_progress_is_told_picture_by_picture(
    target: Format, classifier_files: Files, raw_pictures: list[np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    quantize, source = QUANTIZERS[target]
    told: list[tuple[int, int]] = []
    quantize(classifier_files[source], raw_pictures[:3], progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    quantize(classifier_files[source], iter(raw_pictures[:1]), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (1, 0)
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_a_quantizer_takes_its_own_format_only(classifier_files: Files) -> None:
    with pytest.raises(ValueError, match="quantize_onnx takes ONNX; got tflite"):
        quantize_onnx(classifier_files["tflite"], [])
    with pytest.raises(ValueError, match="quantize_tflite takes TFLite; got onnx"):
        quantize_tflite(classifier_files["onnx"], [])


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_coverage_of_a_broken_file_is_an_engine_error(target: Format) -> None:
    with pytest.raises(EngineError, match="refuses this model"):
        coverage_of(Artifact(target, b"not a model"))


def test_coverage_is_a_share_and_a_sentence() -> None:
    assert (str(Coverage(49, 52)), Coverage(13, 52).share, Coverage(0, 0).share) == ("49 of 52", 0.25, 0.0)


def test_hard_swish_stays_out_of_tflites_int8(spec: InputSpec, raw_pictures: list[np.ndarray]) -> None:
    """XNNPACK has no INT8 kernel for it; one such operator makes two graphs of one."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 8, 3)).eval()
    int8 = quantize_tflite(to_tflite(net, spec), raw_pictures[:4]).artifact
    assert "HARD_SWISH" in made_in_float(int8)
    assert coverage_of(int8) == Coverage(2, 2)


@every_quantizer
def test_a_maximum_over_padding_stays_a_maximum(
    target: Format, spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    """TFLite pads with minus infinity here, which is no range for 8 bits; and not all values are above 0."""
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3)).eval()
    files: Files = {"onnx": to_onnx(net, spec)} if target == "onnx" else {"tflite": to_tflite(net, spec)}
    int8 = quantized(target, files, raw_pictures[:8])
    assert coverage_of(int8.artifact) == Coverage(2, 2)
    assert likeness(files[target].artifact, int8.artifact, raw_pictures[8:12]) > 0.999


@every_target
def test_mobilenet_v2_with_its_real_weights(target: Format, data: Path) -> None:
    """53 layers, all of them in INT8; on photographs the outputs point where float's do, and per tensor they do not."""
    import cv2

    from edgekit.converters.torchvision_cpu import import_torchvision

    net = import_torchvision().models.mobilenet_v2(weights=None).eval()
    net.load_state_dict(torch.load(data / "models" / "mobilenet_v2_1.0_imagenet.pt", weights_only=True))
    spec = InputSpec(width=128, height=128, fit="stretch", scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    photographs = sorted((data / "grocery").rglob("*.jpg"))[::150][:24]
    seen = [cv2.resize(cv2.imread(str(path)), (128, 128))[None, :, :, ::-1].copy() for path in photographs]
    quantize, source = QUANTIZERS[target]
    float_file = (to_onnx if source == "onnx" else to_tflite)(net, spec)
    int8 = quantize(float_file, seen[:16]).artifact
    assert coverage_of(int8) == Coverage(53, 53)
    assert likeness(float_file.artifact, int8, seen[16:]) > 0.98
    ruined = quantize(float_file, seen[:16], Int8Settings(per_channel=False)).artifact
    assert likeness(float_file.artifact, ruined, seen[16:]) < 0.5


class Swish(nn.Module):
    """Two convolutions with an activation each; where `skips`, what the first one gives is also read by an addition."""

    def __init__(self, activation: type[nn.Module], skips: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 8, 1)
        self.activation, self.skips = activation(), skips

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = self.activation(self.second(self.activation(y)))
        return self.last(z + y if self.skips else z)


@pytest.mark.parametrize("activation", [nn.SiLU, nn.Hardswish, nn.LeakyReLU])
def test_openvino_computes_an_activation_within_the_convolutions_kernel_and_more_exactly(
    activation: type[nn.Module], spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    """Beside the convolutions one operator in 8 bits is left, which makes floats of the picture."""
    float_file = to_onnx(Swish(activation).eval(), spec)
    int8 = quantize_onnx(float_file, raw_pictures[:8])
    fused, as_it_is = openvino_int8(int8, float_file).artifact, as_openvino(int8).artifact
    assert coverage_of(fused) == Coverage(3, 3)
    assert computing(fused) == ["Convolution"] * 3 + ["Subgraph"]
    seen = raw_pictures[8:]
    assert likeness(float_file.artifact, fused, seen) > likeness(float_file.artifact, as_it_is, seen)


def test_what_an_addition_reads_as_well_stays_rounded_for_openvino(
    spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    float_file = to_onnx(Swish(nn.SiLU, skips=True).eval(), spec)
    int8 = quantize_onnx(float_file, raw_pictures[:8])
    assert len(computing(openvino_int8(int8, float_file).artifact)) > 4


class Clipped(nn.Module):
    """What an activation reads, or gives, is clipped, of which the quantizer makes the range of a rounding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).relu()
        z = self.second(y * y.sigmoid())
        return self.last(z * z.sigmoid().clamp(0.4, 0.6))


def test_a_rounding_that_clips_as_well_stays_for_openvino(spec: InputSpec, raw_pictures: list[np.ndarray]) -> None:
    float_file = to_onnx(Clipped().eval(), spec)
    for int8 in (quantize_openvino(float_file, raw_pictures[:8]), quantize_onnx(float_file, raw_pictures[:8])):
        assert likeness(float_file.artifact, int8.artifact, raw_pictures[8:]) > 0.9995  # 0.9985 without the clips


def computing(artifact: Artifact) -> list[str]:
    """The operators in 8 bits, as OpenVINO runs the file, without those that only move values."""
    moves = ("Const", "Input", "Output", "Reorder", "Reshape", "Transpose")
    return sorted(kind for kind, precision in running(artifact) if precision in ("u8", "i8") and kind not in moves)
