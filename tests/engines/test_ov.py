"""OpenVINO: its precision is pinned, its devices are never swapped, and it does not phone home."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from edgekit.contract import Artifact
from edgekit.engines import installed, open_session
from edgekit.errors import AcceleratorMissing, EngineError
from edgekit.plan import EnginePlan

pytestmark = pytest.mark.skipif(installed()["openvino"] is None, reason="openvino is not installed")

REPORT = """
import json, os, sys, threading
from edgekit.engines.ov import import_openvino
import_openvino().Core()
print(json.dumps({
    "home": os.listdir(os.environ["HOME"]),
    "threads": [each.name for each in threading.enumerate()],
    "loaded": [name for name in sys.modules if name.startswith(("openvino_telemetry", "openvino.tools"))],
    "importable": __import__("importlib.util").util.find_spec("openvino.tools.ovc") is not None,
}))
"""


def test_importing_openvino_reports_to_nobody(tmp_path):
    """By itself it loads a model converter that leaves a client id in the home and sends an event from a thread."""
    environment = {**os.environ, "HOME": str(tmp_path)}
    child = subprocess.run([sys.executable, "-c", REPORT], env=environment, capture_output=True, check=True, text=True)
    seen = json.loads(child.stdout)
    assert (seen["home"], seen["threads"]) == ([], ["MainThread"])
    assert "openvino.tools.ovc" not in seen["loaded"]
    assert not any(name.startswith("openvino_telemetry") for name in seen["loaded"])
    assert seen["importable"]


def abilities() -> list[str]:
    from edgekit.engines.ov import import_openvino

    return list(import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


@pytest.mark.parametrize(("precision", "ability"), [("bf16", "BF16"), ("f16", "FP16")])
def test_a_precision_is_kept_where_the_cpu_has_it_and_refused_where_not(tiny_onnx, image, expected, precision, ability):
    plan = EnginePlan("openvino", precision=precision)
    if ability in abilities():
        with open_session(tiny_onnx, plan) as session:
            assert session.precision == precision
            np.testing.assert_allclose(session.run(image)[0], expected[0], atol=2e-2)
    else:
        with pytest.raises(EngineError, match=f"asks openvino for {precision} and it would compute in "):
            open_session(tiny_onnx, plan)


@pytest.mark.parametrize(("device", "precision"), [("gpu", "f32"), ("npu", "f16")])
def test_an_absent_device_is_named_with_its_driver(tiny_onnx, device, precision):
    from edgekit.engines.ov import import_openvino

    if any(name.startswith(device.upper()) for name in import_openvino().Core().available_devices):
        pytest.skip(f"this machine has a {device}")
    with pytest.raises(AcceleratorMissing, match=f"finds no {device.upper()} here, only CPU: install"):
        open_session(tiny_onnx, EnginePlan("openvino", device=device, precision=precision))


PLUGINS = """
from pathlib import Path
from edgekit.doctor import tiny_model
from edgekit.engines import open_session
from edgekit.plan import EnginePlan
open_session(tiny_model("openvino")[0], EnginePlan("openvino"))
libraries = {line.split("/")[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
print(*sorted(each for each in libraries if "_plugin" in each))
"""


def test_a_session_on_the_cpu_loads_no_other_device_s_plugin():
    """The GPU's and the NPU's were 20 MB, and time at each start."""
    done = subprocess.run([sys.executable, "-c", PLUGINS], capture_output=True, check=True, text=True)
    assert [each for each in done.stdout.split() if "intel" in each] == ["libopenvino_intel_cpu_plugin.so"]


def test_weights_that_are_cut_short_are_an_engine_error(tiny_ir):
    with pytest.raises(EngineError, match="Incorrect weights"):
        open_session(Artifact("openvino", tiny_ir.model, tiny_ir.weights[:-4]), EnginePlan("openvino"))


def test_compiled_models_are_kept_where_the_plan_says(tiny_ir, tmp_path):
    open_session(tiny_ir, EnginePlan("openvino", cache_dir=str(tmp_path))).close()
    assert list(tmp_path.iterdir())


def test_float_model_in_float32_beside_a_cpu_that_has_bfloat16(tiny_onnx, image, expected):
    with open_session(tiny_onnx, EnginePlan("openvino")) as session:
        assert session.precision == "f32"
        np.testing.assert_allclose(session.run(image)[1], expected[1], atol=1e-6)
