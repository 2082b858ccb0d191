"""A module and its three files say the same, and say it in the same bytes every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgekit.contract import Artifact, Format, InputSpec
from edgekit.converters.export import Exported, normalisation
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino, to_openvino
from edgekit.converters.export.to_tflite import operator_names, to_tflite
from edgekit.engines import open_session
from edgekit.errors import ConversionError
from edgekit.plan import ENGINES, EnginePlan

Export = Callable[..., Exported]
every_format = pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
every_target = pytest.mark.parametrize("export", [to_onnx, to_openvino, to_tflite])


def run(artifact: Artifact, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
    """What the artifact's own engine answers."""
    with open_session(artifact, EnginePlan(ENGINES[artifact.format][0])) as session:
        return session.run(tensor)


def answers(module: nn.Module, pixels: np.ndarray, spec: InputSpec) -> tuple[np.ndarray, ...]:
    """The oracle: torch, fed what `spec` makes of the pixels by its own formula."""
    values = (pixels * spec.scale - np.array(spec.mean)) / np.array(spec.std)
    with torch.no_grad():
        found = module(torch.from_numpy(values.transpose(0, 3, 1, 2)).float())
    return tuple(output.numpy() for output in (found if isinstance(found, tuple) else (found,)))


@every_target
@pytest.mark.parametrize(
    "normalised",
    [
        {},
        {"scale": 1 / 127.5, "mean": (1.0, 1.0, 1.0), "std": (1.0, 1.0, 1.0)},
        {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    ],
    ids=["imagenet", "minus one to one", "pixels as they are"],
)
def test_raw_pixels_give_what_the_module_says_of_normalised_ones(
    export: Export,
    normalised: dict[str, object],
    classifier: nn.Module,
    spec: InputSpec,
    raw_pictures: list[np.ndarray],
) -> None:
    spec = replace(spec, **normalised)  # type: ignore[arg-type]
    exported = export(classifier, spec)
    assert exported.input == spec.raw("uint8", "NHWC")
    (expected,) = answers(classifier, raw_pictures[0], spec)
    (found,) = run(exported.artifact, raw_pictures[0])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@every_target
def test_without_raw_the_file_takes_what_the_module_takes(
    export: Export, detector: nn.Module, spec: InputSpec, raw_pictures: list[np.ndarray]
) -> None:
    exported = export(detector, spec, raw=False)
    assert replace(exported.input, layout="NCHW") == spec
    factor, offset = normalisation(spec)
    tensor = raw_pictures[0] * factor + offset
    tensor = tensor if exported.input.layout == "NHWC" else np.ascontiguousarray(tensor.transpose(0, 3, 1, 2))
    for found, expected in zip(run(exported.artifact, tensor), answers(detector, raw_pictures[0], spec), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@every_format
def test_outputs_come_in_the_modules_order(target: Format, detector_files: dict[Format, Exported]) -> None:
    exported = detector_files[target]
    scores, boxes = run(exported.artifact, np.zeros(exported.input.shape, np.uint8))
    assert (scores.shape, boxes.shape) == ((1, 100, 3), (1, 100, 4))


EXPORT_IN_A_CHILD = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from conftest import IMAGENET, TwoMaps, settled
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import to_openvino
from edgekit.converters.export.to_tflite import to_tflite
for export in (to_tflite, to_openvino, to_onnx):
    artifact = export(settled(TwoMaps(16)), IMAGENET).artifact
    print(artifact.format, hashlib.sha256(artifact.model + artifact.weights).hexdigest())
"""


def test_another_process_writes_the_same_bytes(detector_files: dict[Format, Exported]) -> None:
    child = [sys.executable, "-W", "ignore", "-c", EXPORT_IN_A_CHILD, str(Path(__file__).parent)]
    done = subprocess.run(child, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    there = dict(line.split() for line in done.stdout.splitlines())
    for target, exported in detector_files.items():
        file = exported.artifact.model + exported.artifact.weights
        assert hashlib.sha256(file).hexdigest() == there[target], target


def test_the_same_process_writes_the_same_bytes_again(detector_files: dict[Format, Exported]) -> None:
    """OpenVINO numbers operators through the process; the numbers must not get into the file."""
    assert as_openvino(detector_files["onnx"]) == detector_files["openvino"]


@every_format
def test_a_file_tells_nothing_of_the_program_that_made_it(
    target: Format, classifier_files: dict[Format, Exported]
) -> None:
    artifact = classifier_files[target].artifact
    for secret in (b"TinyClassifier", b"conftest", b"site-packages", str(Path.home()).encode() + b"/"):
        assert secret not in artifact.model + artifact.weights


def test_tflite_has_no_transpose_left(classifier_files: dict[Format, Exported]) -> None:
    from ai_edge_litert.tools import flatbuffer_utils

    tree = flatbuffer_utils.read_model_from_bytearray(classifier_files["tflite"].artifact.model)
    assert not [name for name, _ in operator_names(tree) if name.startswith("TRANSPOSE")]


def test_exporting_is_silent(spec: InputSpec, capfd: pytest.CaptureFixture[str]) -> None:
    for export in (to_openvino, to_tflite):
        export(nn.Conv2d(3, 8, 3).eval(), spec)
    said = capfd.readouterr()
    assert said.out + said.err == ""


class Gives(nn.Module):
    """Answers with whatever it was made with."""

    def __init__(self, answer: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> object:
        return self.answer(x)


@every_target
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: {"scores": x}, "must return tensors; got dict"),
        (lambda x: (), "must return tensors; got tuple"),
        (lambda x: x / 0 * 0, "output 0 holds NaN or infinity"),
        (lambda x: x if x.sum() > 0 else -x, "cannot "),
    ],
    ids=["a dict", "nothing", "nan", "a branch on the picture"],
)
def test_a_module_that_cannot_be_exported_is_refused_in_one_line(
    export: Export, answer: Callable[[Tensor], object], words: str, spec: InputSpec
) -> None:
    with pytest.raises(ConversionError, match=words) as refused:
        export(Gives(answer).eval(), spec)
    assert "\n" not in str(refused.value)


@every_target
def test_wrong_arguments_are_value_errors(export: Export, spec: InputSpec) -> None:
    with pytest.raises(ValueError, match=r"call module\.eval"):
        export(nn.Conv2d(3, 3, 1).train(), spec)
    with pytest.raises(ValueError, match="float32 NCHW; got uint8 NHWC"):
        export(nn.Conv2d(3, 3, 1).eval(), spec.raw("uint8", "NHWC"))


def test_only_onnx_becomes_ir(classifier_files: dict[Format, Exported]) -> None:
    with pytest.raises(ValueError, match="as_openvino takes ONNX; got tflite"):
        as_openvino(classifier_files["tflite"])


REPORT = """
import os, sys
from pathlib import Path
from torch import nn
from edgekit.contract import InputSpec
from edgekit.converters.export.to_openvino import to_openvino
from edgekit.converters.quantize.coverage import coverage_of
coverage_of(to_openvino(nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), InputSpec(16, 16)).artifact)
print([name for name in sys.modules if name.startswith("openvino_telemetry")], os.listdir(Path.home()))
"""


def test_exporting_to_openvino_reports_to_nobody(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path)}
    child = subprocess.run([sys.executable, "-c", REPORT], env=environment, capture_output=True, check=True, text=True)
    loaded, _, home = child.stdout.strip().partition("] ")
    assert loaded == "["
    assert "intel" not in home
