"""A plan that no engine could keep is refused where it is written."""

from __future__ import annotations

import pytest

from edgekit.plan import EnginePlan


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": "onnxruntime", "threads": 4, "spinning": True},
        {"engine": "onnxruntime", "device": "tensorrt", "precision": "f16", "cache_dir": "/var/cache/trt"},
        {"engine": "openvino", "precision": "bf16", "cache_dir": "/var/cache/ov"},
        {"engine": "openvino", "device": "npu", "precision": "f16"},
        {"engine": "tflite-runtime", "device": "edgetpu"},
    ],
)
def test_what_an_engine_can_do_may_be_planned(settings):
    EnginePlan(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "litert", "device": "cuda"}, "litert runs on cpu, edgetpu; got device 'cuda'"),
        ({"engine": "onnxruntime", "precision": "bf16"}, "onnxruntime on cpu computes in f32; got precision 'bf16'"),
        ({"engine": "openvino", "device": "npu"}, "openvino on npu computes in f16; got precision 'f32'"),
        ({"engine": "litert", "threads": 0}, "threads must be at least 1; got 0"),
        ({"engine": "onnxruntime", "device": "cuda", "threads": 4}, "threads are for the CPU"),
        ({"engine": "litert", "spinning": True}, "only onnxruntime's threads spin"),
        ({"engine": "litert", "cache_dir": "/tmp"}, "only openvino and tensorrt keep a cache"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        EnginePlan(**settings)
