"""torchvision's ssdlite through all three targets: what it finds in a photograph is what torchvision finds there."""

from __future__ import annotations

import cv2
import pytest
from safetensors.torch import save_file
from torch import nn
from untrained import confident, own_spec

from edgekit.contract import Ssd
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_openvino import as_openvino
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.framework import ModuleSession
from edgekit.converters.load import LoadedModel, ModelSpec, load_model
from edgekit.converters.parity import check_parity
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.engines import open_session
from edgekit.plan import EnginePlan
from edgekit.preprocess import preprocess

PICTURES = ("cat.bmp", "hot_dog.jpg", "parrot.jpg")


@pytest.fixture(scope="module")
def ssd() -> nn.Module:
    return confident(import_torchvision().models.detection.ssdlite320_mobilenet_v3_large)


@pytest.fixture(scope="module")
def loaded(ssd, tmp_path_factory) -> LoadedModel:
    """By its name, as a recipe says it; the head's anchors are left to the model."""
    folder = tmp_path_factory.mktemp("ssdlite")
    save_file(ssd.state_dict(), folder / "w.safetensors")
    spec = ModelSpec(torchvision="ssdlite320_mobilenet_v3_large", weights="w.safetensors", arguments={"num_classes": 2})
    return load_model(spec, folder, own_spec(ssd), Ssd(score=0.6))


@pytest.fixture(scope="module")
def answers(loaded, ssd, data):
    """The pictures and the framework's outputs for them."""
    pictures = [cv2.imread(str(data / "stills" / name)) for name in PICTURES]
    session = ModuleSession(loaded.module, own_spec(ssd))
    return pictures, [session.run(preprocess(picture, own_spec(ssd))[0]) for picture in pictures]


@pytest.mark.parametrize(
    ("engine", "export"),
    [
        ("onnxruntime", to_onnx),
        ("openvino", lambda module, spec: as_openvino(to_onnx(module, spec))),
        ("litert", to_tflite),
    ],
)
def test_every_target_answers_as_torchvision_does(loaded, ssd, answers, engine, export):
    pictures, wanted = answers
    exported = export(loaded.module, own_spec(ssd))
    with open_session(exported.artifact, EnginePlan(engine)) as session:
        got = [session.run(preprocess(picture, exported.input)[0]) for picture in pictures]
    parity = check_parity(wanted, got, loaded.head, own_spec(ssd), 1, "float")
    assert parity.decoded.compared > 20  # it did find things
    assert parity.verdict.outcome == "PASS", parity.verdict.reasons
