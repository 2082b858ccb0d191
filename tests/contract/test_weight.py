"""What `import edgekit` may load, and what the device side may never load, seen by a child interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LIST_MODULES = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"


def modules_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\n{LIST_MODULES}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_edgekit_loads_numpy_and_the_standard_library_only():
    bare = modules_after("import numpy")
    assert modules_after("import edgekit") - bare - set(sys.stdlib_module_names) == {"edgekit"}


@pytest.mark.parametrize(
    "module",
    [
        "bundle",
        "contract",
        "decode",
        "engines",
        "preprocess",
        "profile",
        "tasks",
        "runtime.pipeline",
        "runtime.store",
        "cli",
    ],
)
def test_the_device_side_never_loads_the_workstation(module):
    heavy = {
        "torch",
        "torchvision",
        "onnx",
        "scipy",
        "matplotlib",
        "onnxruntime",
        "openvino",
        "ai_edge_litert",
        "tflite_runtime",
    }
    assert not modules_after(f"import edgekit.{module}") & heavy


def test_a_public_name_is_loaded_when_it_is_asked_for():
    assert "cv2" in modules_after("import edgekit; edgekit.Pipeline")
    assert "cv2" not in modules_after("import edgekit; edgekit.Detections")


def test_a_name_that_does_not_exist_is_an_attribute_error():
    import edgekit

    with pytest.raises(AttributeError, match="has no attribute 'Pipelin'"):
        _ = edgekit.Pipelin
