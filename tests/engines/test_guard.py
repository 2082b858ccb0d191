"""A model that kills, stalls or starves its engine takes only a child process with it."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.contract import Artifact
from edgekit.engines import check_loads, installed
from edgekit.errors import ContractError, EngineError, EngineMissing
from edgekit.plan import EnginePlan

ORT = EnginePlan("onnxruntime", threads=2)
needs_ort = pytest.mark.skipif(installed()["onnxruntime"] is None, reason="onnxruntime is not installed")
needs_legacy = pytest.mark.skipif(
    installed()["tflite-runtime"] is None or np.__version__ >= "2", reason="tflite-runtime is not installed"
)


@needs_ort
def test_a_good_model_comes_back_with_what_ran_and_what_it_said(tiny_onnx, image, expected):
    proof = check_loads(tiny_onnx, ORT, image)
    assert (proof.engine, proof.precision, proof.threads) == (
        f"onnxruntime {installed()['onnxruntime']}",
        "f32",
        2,
    )
    for got, want in zip(proof.outputs, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


@needs_ort
def test_what_the_engine_refuses_is_the_same_error_as_without_a_child(tiny_onnx):
    with pytest.raises(EngineError, match=r"does not load this model: .*INVALID_PROTOBUF"):
        check_loads(Artifact("onnx", b"garbage"), ORT)
    with pytest.raises(ContractError, match="takes float32"):
        check_loads(tiny_onnx, ORT, np.zeros(3, np.float32))


@needs_ort
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGILL"])
def test_a_crash_is_named_by_its_signal(tiny_onnx, tmp_path, monkeypatch, name):
    """An engine stands in here that really dies of the signal as it is imported."""
    (tmp_path / "onnxruntime.py").write_text(
        f"import os, signal, sys; print('bad opcode', file=sys.stderr, flush=True); os.kill(os.getpid(), signal.{name})"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(EngineError, match=f"killed onnxruntime with {name} .*its last words: bad opcode"):
        check_loads(tiny_onnx, ORT)


@needs_legacy
def test_a_file_that_kills_a_real_engine_kills_only_the_child(tiny_tflite):
    """tflite-runtime does not look whether a file is whole before it reads it.

    What it finds behind the end is not always deadly, so a few places are tried.
    """

    def kills(share: float) -> bool:
        cut = Artifact("tflite", tiny_tflite.model[: int(len(tiny_tflite.model) * share)])
        with pytest.raises(EngineError) as caught:
            check_loads(cut, EnginePlan("tflite-runtime"))
        return "this model killed tflite-runtime with SIGSEGV" in str(caught.value)

    assert any(map(kills, (0.667, 0.66, 0.6, 0.7, 0.5, 0.75)))


NOISE = """
import os, sys
sys.addaudithook(lambda event, args: event == "import" and args[0] == "onnxruntime" and os.write(1, b"loading..."))
"""


@needs_ort
def test_an_engine_that_prints_does_not_garble_the_answer(tiny_onnx, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(NOISE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert check_loads(tiny_onnx, ORT).outputs[0].shape == (1, 4, 64)


def endless() -> Artifact:
    """A loop that counts to 2^62."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["held", "x"], ["held_on"]),
        ],
        "body",
        [value("i", kind.INT64, []), value("go", kind.BOOL, []), value("held", kind.FLOAT, [1])],
        [value("go_on", kind.BOOL, []), value("held_on", kind.FLOAT, [1])],
    )
    constants = [helper.make_tensor("n", kind.INT64, [], [2**62]), helper.make_tensor("yes", kind.BOOL, [], [True])]
    loop = helper.make_node("Loop", ["n", "yes", "x"], ["y"], body=body)
    graph = helper.make_graph(
        [loop], "endless", [value("x", kind.FLOAT, [1])], [value("y", kind.FLOAT, [1])], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Artifact("onnx", model.SerializeToString())


@needs_ort
def test_a_model_that_never_ends_is_ended():
    with pytest.raises(EngineError, match="onnxruntime did not load and run this model within 3 s"):
        check_loads(endless(), ORT, timeout_s=3)


def hungry(gigabytes: int) -> Artifact:
    """Four bytes that expand into so many gigabytes."""
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    side = gigabytes * 2**18
    graph = helper.make_graph(
        [helper.make_node("Expand", ["x", "shape"], ["big"]), helper.make_node("ReduceMax", ["big"], ["y"])],
        "hungry",
        [helper.make_tensor_value_info("x", kind.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", kind.FLOAT, [1, 1])],
        [helper.make_tensor("shape", kind.INT64, [2], [1024, side])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return Artifact("onnx", model.SerializeToString())


@needs_ort
def test_a_model_that_wants_more_memory_than_it_may_have_fails_alone():
    with pytest.raises(EngineError, match=r"allocate|alloc|MB"):
        check_loads(hungry(4), ORT, memory_mb=1024)


@needs_ort
def test_an_open_size_needs_a_tensor():
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "open",
        [helper.make_tensor_value_info("x", kind.FLOAT, ["n"])],
        [helper.make_tensor_value_info("y", kind.FLOAT, ["n"])],
    )
    opset = [helper.make_opsetid("", 17)]
    model = Artifact("onnx", helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())
    with pytest.raises(ContractError, match=r"takes float32 \(any\): its size is open, so give a tensor"):
        check_loads(model, ORT)
    assert check_loads(model, ORT, -np.ones(5, np.float32)).outputs[0].tolist() == [0.0] * 5


def test_a_missing_engine_is_told_from_the_child(tiny_tflite):
    if installed()["tflite-runtime"] is not None:
        pytest.skip("tflite-runtime is installed")
    with pytest.raises(EngineMissing, match="pip install 'edgekit\\[tflite-legacy\\]'"):
        check_loads(tiny_tflite, EnginePlan("tflite-runtime"))
