"""TFLite: the model's own order of outputs, quantized outputs as floats, and the two packages' traps."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.contract import Artifact
from edgekit.engines import installed, open_session
from edgekit.errors import AcceleratorMissing, EngineError, EngineMissing
from edgekit.plan import EnginePlan

LITERT = EnginePlan("litert")
needs_litert = pytest.mark.skipif(installed()["litert"] is None, reason="litert is not installed")


def rewritten(artifact: Artifact, change) -> Artifact:
    """The file with `change` done to its flatbuffer."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(artifact.model, 0)
    change(model)
    builder = flatbuffers.Builder(len(artifact.model))
    builder.Finish(model.Pack(builder), b"TFL3")
    return Artifact("tflite", bytes(builder.Output()))


def reverse_outputs(model) -> None:
    model.subgraphs[0].outputs = model.subgraphs[0].outputs[::-1]


def name_outputs(*names: bytes):
    def change(model) -> None:
        for output, name in zip(model.signatureDefs[0].outputs, names, strict=True):
            output.name = name

    return change


@needs_litert
@pytest.mark.parametrize("names", [(b"output_0", b"output_1"), (b"output_2", b"output_10")])
def test_outputs_come_in_the_models_order_whatever_the_files_is(tiny_tflite, image, expected, names):
    def change(model) -> None:
        reverse_outputs(model)
        name_outputs(*names)(model)

    with open_session(rewritten(tiny_tflite, change), LITERT) as session:
        assert [each.shape for each in session.outputs] == [(1, 4, 64), (1, 5, 64)]
        for got, want in zip(session.run(image), expected, strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)


@needs_litert
def test_outputs_without_numbers_keep_the_files_order(tiny_tflite, image, expected):
    def change(model) -> None:
        reverse_outputs(model)
        name_outputs(b"boxes", b"scores")(model)

    with open_session(rewritten(tiny_tflite, change), LITERT) as session:
        scores, boxes = session.run(image)
        np.testing.assert_allclose(boxes, expected[0], atol=1e-5)
        np.testing.assert_allclose(scores, expected[1], atol=1e-5)


@needs_litert
def test_quantized_outputs_leave_as_floats_of_the_files_scale(data):
    model = Artifact.read(data / "models" / "mobilenet_v1_0.25_224_uint8.tflite")
    with open_session(model, LITERT) as session:
        assert session.input.dtype == "uint8"
        (scores,) = session.run(np.full((1, 224, 224, 3), 90, np.uint8))
    assert scores.dtype == np.float32
    assert 0 < scores.max() <= 255 / 256
    np.testing.assert_allclose(scores * 256, np.round(scores * 256), atol=1e-4)


@needs_litert
def test_a_detector_with_its_own_nms_gives_four_outputs(data):
    model = Artifact.read(data / "models" / "ssd_mobilenet_v1_coco_uint8.tflite")
    with open_session(model, LITERT) as session:
        boxes, labels, scores, count = session.run(np.zeros((1, 300, 300, 3), np.uint8))
    assert boxes.shape[2] == 4
    assert labels.shape == scores.shape == boxes.shape[:2]
    assert count.shape == (1,)


@needs_litert
def test_an_edge_tpu_is_not_asked_to_run_a_file_for_the_cpu(tiny_tflite):
    plan = EnginePlan("litert", device="edgetpu")
    with pytest.raises(EngineError, match="not compiled for the Edge TPU: run edgetpu_compiler"):
        open_session(tiny_tflite, plan)


@needs_litert
def test_an_absent_edge_tpu_says_what_to_install(tiny_tflite):
    compiled = Artifact("tflite", tiny_tflite.model + b"edgetpu-custom-op")
    with pytest.raises(AcceleratorMissing, match=r"no libedgetpu.so.1 .*: apt install libedgetpu1-std"):
        open_session(compiled, EnginePlan("litert", device="edgetpu"))


def test_tflite_runtime_beside_numpy_2_is_refused_before_it_crashes(monkeypatch, tiny_tflite):
    """The real package is tried in an environment of its own; here only the guard before it."""
    monkeypatch.setitem(sys.modules, "tflite_runtime", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", SimpleNamespace())
    monkeypatch.setattr("edgekit.engines.lite.metadata.version", lambda name: "2.14.0")
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(EngineMissing, match=r"needs numpy 1 and numpy 2.4.6 is installed: .*tflite-legacy"):
        open_session(tiny_tflite, EnginePlan("tflite-runtime"))
