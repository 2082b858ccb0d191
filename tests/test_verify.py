"""Verification on the device: digests, golden vectors, and models that cannot be run here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny import IMAGE, SPEC, golden_bundle

from edgekit.bundle import Bundle, Variant
from edgekit.contract import InputSpec
from edgekit.doctor import tiny_model
from edgekit.engines import open_session
from edgekit.errors import BundleError
from edgekit.plan import EnginePlan
from edgekit.preprocess import fit, to_tensor
from edgekit.profile import DeviceProfile
from edgekit.verify import allowed_error, relative_error, verify_bundle

GENERIC = DeviceProfile.load("generic")
MODELS = ("onnx-float", "tflite-float")


def results(path, **changes):
    with Bundle.open(path) as bundle:
        return {check.variant: check for check in verify_bundle(bundle, GENERIC, **changes)}


def of_models(checks):
    return [checks[name] for name in MODELS]


def test_a_sound_bundle_is_ok_on_every_engine(tmp_path):
    checks = results(golden_bundle(tmp_path / "tiny.ekb"))
    assert {name: check.result for name, check in checks.items()} == dict.fromkeys([*MODELS, "pixels"], "ok")
    assert all(check.error < 1e-4 for check in checks.values())


def test_weights_that_are_not_the_ones_that_were_judged_differ(tmp_path):
    path = golden_bundle(tmp_path / "tiny.ekb", outputs=lambda output: output + 0.1)
    assert {check.result for check in of_models(results(path))} == {"differs"}


@pytest.mark.parametrize(("level", "result"), [(1, "ok"), (2, "differs")])
def test_a_resize_that_is_a_level_off_is_told_and_no_engine_is_blamed_for_it(tmp_path, level, result):
    """What OpenCV's kernels for Arm do to a third of the values."""
    there = fit(IMAGE, SPEC)
    there[::3] += np.where(there[::3] < 128, level, -level).astype(np.uint8)
    with open_session(tiny_model("onnxruntime")[0], EnginePlan("onnxruntime")) as session:
        answers = iter(session.run(to_tensor(there, SPEC)))
    checks = results(golden_bundle(tmp_path / "tiny.ekb", outputs=lambda _: next(answers), fitted=there))

    assert {check.result for check in of_models(checks)} == {"ok"}
    assert (checks["pixels"].result, checks["pixels"].error) == (result, level)
    assert "% of the values" in checks["pixels"].reason


def test_a_frame_that_was_fitted_to_another_size_is_a_damaged_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"fitted\.png' is not of the input's size, 16x16"):
        results(golden_bundle(tmp_path / "tiny.ekb", fitted=IMAGE))


def test_a_file_that_is_no_model_fails_and_the_others_are_still_checked(tmp_path):
    path = golden_bundle(tmp_path / "tiny.ekb", onnx=lambda model: model[: len(model) // 2])
    checks = results(path)
    assert checks["onnx-float"].result == "failed"
    assert checks["onnx-float"].reason
    assert checks["tflite-float"].result == "ok"


def test_a_variant_without_its_engine_is_not_run_and_says_so(tmp_path):
    checks = results(golden_bundle(tmp_path / "tiny.ekb"), engine="tflite-runtime")
    assert {check.result for check in of_models(checks)} == {"not run"}
    assert "tflite-runtime" in checks["tflite-float"].reason


@pytest.mark.parametrize(
    ("outputs", "error"),
    [
        ([np.ones(4)], 0.0),
        ([np.full(4, 1.5)], 0.5),
        ([np.full(4, np.nan)], float("inf")),
        ([np.ones(3)], float("inf")),
        ([np.ones(4), np.ones(4)], float("inf")),
    ],
)
def test_the_error_is_relative_and_nonsense_is_infinitely_wrong(outputs, error):
    assert relative_error([np.ones(4)], outputs) == error


def test_nan_is_found_in_whichever_output_it_is():
    right, broken = np.ones(4), np.full(4, np.nan)
    for outputs in ([right, broken], [broken, right]):
        assert relative_error([right, right], outputs) == float("inf")


def test_a_bundle_without_golden_frames_is_not_called_good(tmp_path):
    checks = results(golden_bundle(tmp_path / "tiny.ekb", golden=0))
    assert {check.result for check in checks.values()} == {"not run"}


def test_int8_may_be_further_off_than_float_and_neither_by_much():
    variant = Variant("onnx-float", "onnx", "float", InputSpec(1, 1), "m")
    assert allowed_error(variant, 0.0) < allowed_error(dataclasses.replace(variant, precision="int8"), 0.0) < 0.05
