"""What holds for a session in any engine: right answers, checked input, outputs that stay, errors that help."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from edgekit.contract import Artifact
from edgekit.engines import NullSession, Session, TensorInfo, installed, open_session
from edgekit.engines.session import import_engine
from edgekit.errors import ContractError, EngineError, EngineMissing
from edgekit.plan import EnginePlan

WAYS = [
    ("tiny_onnx", "onnxruntime"),
    ("tiny_onnx", "openvino"),
    ("tiny_ir", "openvino"),
    ("tiny_tflite", "litert"),
    ("tiny_tflite", "tflite-runtime"),
]


@pytest.fixture(params=WAYS, ids=[f"{model}-{engine}" for model, engine in WAYS])
def way(request: pytest.FixtureRequest) -> tuple[Artifact, EnginePlan]:
    model, engine = request.param
    if installed()[engine] is None or (engine == "tflite-runtime" and np.__version__ >= "2"):
        pytest.skip(f"{engine} is not installed, or not beside this numpy")
    return request.getfixturevalue(model), EnginePlan(engine, threads=2)


@pytest.fixture
def session(way):
    with open_session(*way) as session:
        yield session


def test_every_engine_gives_torchs_answer_in_the_models_order(session: Session, image, expected):
    outputs = session.run(image)
    assert [each.shape for each in outputs] == [(1, 4, 64), (1, 5, 64)]
    for got, want in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_session_says_what_runs(session: Session, way):
    plan = way[1]
    assert session.engine == f"{plan.engine} {installed()[plan.engine]}"
    assert (session.plan, session.precision, session.threads) == (plan, "f32", 2)
    assert session.input.shape == (1, 3, 16, 16)
    assert session.input.dtype == "float32"
    assert [each.shape for each in session.outputs] == [(1, 4, 64), (1, 5, 64)]


def test_outputs_belong_to_the_caller(session: Session, image):
    first = session.run(image)
    kept = [each.copy() for each in first]
    session.run(np.zeros_like(image))
    for got, want in zip(first, kept, strict=True):
        np.testing.assert_array_equal(got, want)
        got += 1  # and may be written to


def test_a_tensor_that_lies_in_strides_runs_as_if_it_were_whole(session: Session, image, expected):
    twice = np.repeat(image, 2, axis=3)
    np.testing.assert_allclose(session.run(twice[..., ::2])[0], expected[0], atol=1e-5)


@pytest.mark.parametrize(
    "tensor",
    [np.zeros((1, 3, 16, 16), np.float64), np.zeros((1, 16, 16, 3), np.float32), np.zeros((3, 16, 16), np.float32)],
    ids=["dtype", "layout", "rank"],
)
def test_a_wrong_tensor_is_named_beside_the_right_one(session: Session, tensor):
    with pytest.raises(ContractError) as caught:
        session.run(tensor)
    assert "takes float32 (1, 3, 16, 16)" in str(caught.value)
    assert f"got {tensor.dtype} {tensor.shape}" in str(caught.value)


def test_a_closed_session_says_so(way, image):
    session = open_session(*way)
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(image)


@pytest.mark.parametrize("damage", ["garbage", "half of it", "nothing"])
def test_a_damaged_file_is_one_line_of_engine_error(way, damage):
    artifact, plan = way
    if plan.engine == "tflite-runtime" and damage == "half of it":
        pytest.skip("tflite-runtime dies of it: that is for the guard")
    model = {"garbage": b"garbage", "half of it": artifact.model[: len(artifact.model) // 2], "nothing": b""}[damage]
    with pytest.raises(EngineError, match="does not load this") as caught:
        open_session(Artifact(artifact.format, model, artifact.weights), plan)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_an_engine_refuses_a_file_of_another_family(tiny_onnx, tiny_tflite):
    with pytest.raises(EngineError, match="litert does not open onnx files; onnxruntime and openvino can"):
        open_session(tiny_onnx, EnginePlan("litert"))
    with pytest.raises(EngineError, match="onnxruntime does not open tflite files; litert and tflite-runtime can"):
        open_session(tiny_tflite, EnginePlan("onnxruntime"))


@pytest.mark.parametrize(
    ("engine", "module", "extra"),
    [
        ("onnxruntime", "onnxruntime", "onnx"),
        ("openvino", "openvino", "openvino"),
        ("litert", "ai_edge_litert.interpreter", "tflite"),
        ("tflite-runtime", "tflite_runtime.interpreter", "tflite-legacy"),
    ],
)
def test_a_missing_engine_says_what_to_install(monkeypatch, engine, module, extra):
    monkeypatch.setitem(sys.modules, module.partition(".")[0], None)
    monkeypatch.delitem(sys.modules, module, raising=False) if "." in module else None
    with pytest.raises(EngineMissing) as caught:
        import_engine(engine, module)
    assert str(caught.value) == f"{engine} is not installed: pip install 'edgekit[{extra}]'"


def test_a_library_that_an_engine_lacks_is_named():
    def load(name: str):
        raise ModuleNotFoundError("No module named 'flatbuffers'", name="flatbuffers")

    with pytest.raises(EngineMissing, match="litert is installed but needs 'flatbuffers'"):
        import_engine("litert", "ai_edge_litert.interpreter", load)


def test_a_ctrl_c_while_an_engine_loads_is_a_ctrl_c():
    def load(name: str):
        raise ImportError("initialization failed") from KeyboardInterrupt()

    with pytest.raises(KeyboardInterrupt):
        import_engine("openvino", "openvino", load)


def test_what_edgekit_itself_lacks_is_not_blamed_on_an_engine():
    def load(name: str):
        raise ModuleNotFoundError("No module named 'edgekit.lost'", name="edgekit.lost")

    with pytest.raises(ModuleNotFoundError, match=r"edgekit\.lost"):
        import_engine("litert", "ai_edge_litert.interpreter", load)


MODULES = {"onnxruntime", "openvino", "ai_edge_litert", "tflite_runtime", "cv2", "torch", "onnx"}
OPEN_ONE = """
import json, sys
from edgekit.engines import EnginePlan, open_session
from edgekit.contract import Artifact
open_session(Artifact.read(sys.argv[1]), EnginePlan(sys.argv[2])).close()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize(
    ("engine", "module", "file"),
    [
        ("onnxruntime", "onnxruntime", "tiny.onnx"),
        ("openvino", "openvino", "tiny.onnx"),
        ("litert", "ai_edge_litert", "tiny.tflite"),
    ],
)
def test_opening_one_engine_imports_no_other(tiny_folder, engine, module, file):
    if installed()[engine] is None:
        pytest.skip(f"{engine} is not installed")
    command = [sys.executable, "-c", OPEN_ONE, str(tiny_folder / file), engine]
    child = subprocess.run(command, capture_output=True, check=True, text=True)
    assert set(json.loads(child.stdout)) & MODULES == {module}


def test_looking_for_engines_imports_none():
    code = "import sys, edgekit.engines as e; e.installed(); print(*{name.partition('.')[0] for name in sys.modules})"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not set(child.stdout.split()) & {*MODULES, "pydantic"}


def test_the_null_engine_spends_what_it_was_told_and_answers_the_same():
    spent: list[float] = []
    answer = np.arange(5, dtype=np.float32)[None]
    session = NullSession(TensorInfo("image", "uint8", (1, 3, 4, 4)), [answer], spent_ms=7.5, spend=spent.append)
    tensor = np.zeros((1, 3, 4, 4), np.uint8)
    session.run(tensor)[0][:] = 9
    np.testing.assert_array_equal(session.run(tensor)[0], answer)
    assert (spent, session.runs, session.outputs[0].shape) == ([0.0075, 0.0075], 2, (1, 5))
    with pytest.raises(ContractError, match=r"takes uint8 \(1, 3, 4, 4\); got float32 \(1,\)"):
        session.run(np.zeros(1, np.float32))
    session.close()
    with pytest.raises(ValueError, match="closed"):
        session.run(tensor)


def test_an_output_whose_size_only_the_run_tells_belongs_to_the_caller_too():
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    taken = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, (1, 8))
    given = onnx.helper.make_tensor_value_info("where", onnx.TensorProto.INT64, (2, None))
    node = onnx.helper.make_node("NonZero", ["image"], ["where"])
    graph = onnx.helper.make_graph([node], "sparse", [taken], [given])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    few, many = np.eye(1, 8, 3, dtype=np.float32), np.ones((1, 8), np.float32)
    with open_session(Artifact("onnx", model.SerializeToString()), EnginePlan("openvino")) as session:
        (first,) = session.run(few)
        (second,) = session.run(many)
    assert first.tolist() == [[0], [3]]
    assert second.tolist() == [[0] * 8, list(range(8))]
