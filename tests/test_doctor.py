"""The doctor runs every engine on a real model, and says which of them computes wrongly."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from boards import BOARDS, THROTTLED, cpufreq, pressure, write

from edgekit import doctor
from edgekit.doctor import EngineReport, examine, tiny_model, try_engine
from edgekit.engines import Proof, installed
from edgekit.host import Host
from edgekit.plan import EnginePlan
from edgekit.profile import DeviceProfile

ENGINES = [name for name, version in installed().items() if version is not None]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_installed_engine_computes_what_torch_computes(engine):
    report = try_engine(EnginePlan(engine, threads=2))
    assert report.trouble is None
    assert report.engine == f"{engine} {installed()[engine]}"
    assert (report.precision, report.threads) == ("f32", 2)
    assert report.error is not None
    assert report.error < 1e-5


@pytest.mark.skipif("openvino" not in ENGINES, reason="openvino is not installed")
def test_a_report_holds_the_board_and_every_engine_against_the_profile():
    report = examine(DeviceProfile.load("intel-n100"), Host("aarch64", cores=4))
    assert [each.what for each in report.differences][:2] == ["board", "architecture"]
    tried = [(each.plan.engine, each.plan.device) for each in report.engines]
    assert tried == [
        ("openvino", "cpu"),
        ("onnxruntime", "cpu"),
        ("litert", "cpu"),
        ("openvino", "gpu"),
        ("tflite-runtime", "cpu"),
    ]
    assert report.usable


def test_what_would_spoil_a_measurement_is_in_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "try_engine", EngineReport)  # the engines have tests of their own
    board = BOARDS["raspberry-pi-4"]
    spoiled = {THROTTLED["raspberry-pi-4"]: "50000\n", "proc/pressure/memory": pressure(20.0)}
    spoiled |= cpufreq([1_800_000] * 4, "ondemand")
    root = write(board.write(tmp_path), spoiled)
    report = examine(DeviceProfile.load("raspberry-pi-4"), Host.probe(root, arch=board.arch))
    assert report.differences == ()
    assert [each.split(":")[0] for each in report.unsteady] == [
        "under-voltage since boot",
        "throttled since boot",
        "the governor is ondemand",
        "memory pressure is 20 %",
    ]


def test_a_missing_engine_and_a_missing_accelerator_are_lines_of_the_report():
    for plan in (EnginePlan("onnxruntime", device="cuda"), EnginePlan("tflite-runtime")):
        report = try_engine(plan)
        if report.trouble is not None:  # it is None where this machine has them
            assert "install" in report.trouble
    assert "not tried" in (try_engine(EnginePlan("litert", device="edgetpu")).trouble or "")


@pytest.mark.parametrize("wrong", ["flipped", "nan"])
def test_an_engine_that_computes_wrongly_is_found_out(monkeypatch, wrong):
    """The deliberately wrong control: the right outputs, spoiled."""

    def spoiled(artifact, plan, tensor):
        scores, boxes = tiny_model(plan.engine)[2]
        return Proof("onnxruntime 0.0", "f32", 1, (scores, -boxes if wrong == "flipped" else boxes * np.nan))

    monkeypatch.setattr(doctor, "check_loads", spoiled)
    report = try_engine(EnginePlan("onnxruntime"))
    assert report.trouble is not None
    assert "computes wrongly" in report.trouble


def test_the_tiny_models_answers_are_torchs():
    torch = pytest.importorskip("torch")
    path = Path(__file__).parents[1] / "tools" / "make_tiny_models.py"
    spec = importlib.util.spec_from_file_location("make_tiny_models", path)
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    _, image, expected = tiny_model("onnxruntime")
    np.testing.assert_array_equal(image, maker.ramp().numpy())
    with torch.no_grad():
        for got, want in zip(maker.tiny()(maker.ramp()), expected, strict=True):
            np.testing.assert_allclose(got.numpy(), want, atol=1e-6)
