"""ONNX Runtime: what it is told, and that it never takes another device than the plan's."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgekit.contract import Artifact
from edgekit.engines import open_session
from edgekit.engines.ort import OrtSession, provider_options, session_options
from edgekit.errors import AcceleratorMissing, ContractError, EngineError
from edgekit.plan import EnginePlan

ort = pytest.importorskip("onnxruntime")

CPU = EnginePlan("onnxruntime", threads=3)


@pytest.mark.parametrize(("spinning", "entry"), [(False, "0"), (True, "1")])
def test_threads_spin_only_when_the_plan_says_so(spinning, entry):
    options = session_options(ort, replace(CPU, spinning=spinning))
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == entry
    assert options.get_session_config_entry("session.inter_op.allow_spinning") == entry
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL


def test_off_the_cpu_no_operator_may_fall_back_to_it():
    options = session_options(ort, EnginePlan("onnxruntime", device="cuda"))
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"


def test_tensorrt_keeps_its_engines_and_computes_in_the_plans_precision(tiny_onnx):
    plan = EnginePlan("onnxruntime", device="tensorrt", precision="f16", cache_dir="/var/cache/edgekit")
    options = provider_options(tiny_onnx, plan)
    assert options["trt_fp16_enable"] is True
    assert options["trt_engine_cache_enable"] is True
    assert options["trt_engine_cache_path"] == "/var/cache/edgekit"
    assert options["trt_int8_enable"] is False
    quantized = Artifact("onnx", tiny_onnx.model + b"QuantizeLinear")
    assert provider_options(quantized, replace(plan, precision="f32"))["trt_int8_enable"] is True
    assert provider_options(tiny_onnx, replace(plan, precision="f32"))["trt_fp16_enable"] is False


def test_float32_on_cuda_is_not_tf32(tiny_onnx):
    assert provider_options(tiny_onnx, EnginePlan("onnxruntime", device="cuda"))["use_tf32"] == 0


@pytest.mark.parametrize(
    ("device", "provider"), [("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_an_absent_provider_is_named_with_what_to_install(tiny_onnx, device, provider):
    if provider in ort.get_available_providers():
        pytest.skip(f"this onnxruntime has {provider}")
    with pytest.raises(AcceleratorMissing, match=rf"no {provider}, only .*CPUExecutionProvider: install"):
        open_session(tiny_onnx, EnginePlan("onnxruntime", device=device))


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_is_listed_but_does_not_start_is_not_replaced_by_the_cpu(monkeypatch, tiny_onnx):
    """As on a board whose onnxruntime-gpu finds no CUDA: it lists the provider and runs on the CPU with a warning."""
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    boastful = SimpleNamespace(**vars(ort))
    boastful.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setitem(sys.modules, "onnxruntime", boastful)
    with pytest.raises(AcceleratorMissing, match=r"CUDAExecutionProvider did not start .* chose CPUExecutionProvider"):
        OrtSession(tiny_onnx, EnginePlan("onnxruntime", device="cuda"))


def model_of(nodes, inputs, outputs) -> Artifact:
    onnx = pytest.importorskip("onnx")
    described = [
        [onnx.helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in side]
        for side in (inputs, outputs)
    ]
    graph = onnx.helper.make_graph([onnx.helper.make_node(*node) for node in nodes], "test", *described)
    opset = [onnx.helper.make_opsetid("", 17)]
    return Artifact("onnx", onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString())


FLOAT = 1  # onnx.TensorProto.FLOAT


def test_a_side_that_the_file_leaves_open_takes_any_length():
    model = model_of([("Relu", ["x"], ["y"])], [("x", FLOAT, ["batch", 4])], [("y", FLOAT, ["batch", 4])])
    with open_session(model, CPU) as session:
        assert session.input.shape == (None, 4)
        for batch in (1, 3):
            assert session.run(-np.ones((batch, 4), np.float32))[0].tolist() == [[0.0] * 4] * batch
        with pytest.raises(ContractError, match=r"takes float32 \(any, 4\); got float32 \(1, 5\)"):
            session.run(np.ones((1, 5), np.float32))


def test_a_model_of_two_inputs_is_refused_with_both_names():
    model = model_of(
        [("Add", ["left", "right"], ["y"])], [("left", FLOAT, [1]), ("right", FLOAT, [1])], [("y", FLOAT, [1])]
    )
    with pytest.raises(ContractError, match=r"takes 2: 'left' .*, 'right'"):
        open_session(model, CPU)


def test_an_engine_that_fails_on_a_run_is_an_engine_error_with_its_cause():
    """Reshape finds out about the picture's size only when it runs."""
    onnx = pytest.importorskip("onnx")
    shape = onnx.numpy_helper.from_array(np.array([2, 2]), "shape")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "test",
        [onnx.helper.make_tensor_value_info("x", FLOAT, ["n"])],
        [onnx.helper.make_tensor_value_info("y", FLOAT, [2, 2])],
        [shape],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    with open_session(Artifact("onnx", model), CPU) as session:
        assert session.run(np.ones(4, np.float32))[0].shape == (2, 2)
        with pytest.raises(EngineError, match="failed on a run") as caught:
            session.run(np.ones(5, np.float32))
        assert caught.value.__cause__ is not None
