"""The tiny model that edgekit ships, in every form that an engine opens, with torch's answer to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgekit.contract import Artifact
from edgekit.engines import installed

TINY = Path(__file__).parents[2] / "edgekit" / "engines" / "tiny"


@pytest.fixture(scope="session")
def tiny_folder() -> Path:
    return TINY


@pytest.fixture(scope="session")
def image() -> npt.NDArray[np.float32]:
    return np.load(TINY / "expected.npz")["image"]


@pytest.fixture(scope="session")
def expected() -> tuple[npt.NDArray[np.float32], ...]:
    known = np.load(TINY / "expected.npz")
    return known["output_0"], known["output_1"]


@pytest.fixture(scope="session")
def tiny_onnx() -> Artifact:
    return Artifact.read(TINY / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_tflite() -> Artifact:
    return Artifact.read(TINY / "tiny.tflite")


@pytest.fixture(scope="session")
def tiny_ir(tiny_onnx: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    if installed()["openvino"] is None:
        pytest.skip("openvino is not installed")
    from edgekit.engines.ov import import_openvino

    ov = import_openvino()
    path = tmp_path_factory.mktemp("ir") / "tiny.xml"
    ov.save_model(ov.Core().read_model(tiny_onnx.model, b""), path, compress_to_fp16=False)
    return Artifact.read(path)
