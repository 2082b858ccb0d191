"""The model that all peers run: a YOLO of Ultralytics with seeded weights, and edgekit's bundle of the same ONNX file.

Seeded weights find nothing; they cost what trained ones cost. So the bundle is built for its speed alone and holds no
promise of accuracy; its gate judges a net that knows nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgekit.benchmarks.peers.environments import ROOT, PeerError
from edgekit.benchmarks.peers.pipe import LOOPS, QUIET

Size = Literal[320, 640]

RECIPE = """# Written by benchmarks/peers: a net with seeded weights, built to be timed.
name = "{name}-{size}"
labels = "{data}/models/coco.names"

[model]
onnx = "{name}-{size}.onnx"

[input]
width = {size}
height = {size}
fit = "letterbox"
scale = {scale!r}

[head]
kind = "yolo"

[calibration]
format = "coco"
path = "{data}/beverage/train.json"
images = 100
ignore = ["can"]

[evaluation]
format = "coco"
path = "{data}/fruit_det/train.json"
images = 16

[[steps]]
kind = "quantize"
repair = {{ repairs = [] }}
"""

# The command `edgekit build` writes no bundle that its gate fails, and the gate fails a net that knows nothing: its
# answers are within rounding of one another.
SEAL = """
import sys
from edgekit.converters.build import build
from edgekit.converters.recipe import read_recipe
build(read_recipe(sys.argv[1])).allowing("seeded weights, for timing only").write(sys.argv[2])
"""


@dataclass(frozen=True)
class Model:
    """Where one model lies, in each peer's form."""

    name: str
    size: Size
    folder: Path

    @property
    def onnx(self) -> Path:
        return self.folder / f"{self.name}-{self.size}.onnx"

    @property
    def openvino(self) -> Path:
        """The folder that Ultralytics makes of it, with OpenVINO's two files and its own metadata."""
        return self.folder / f"{self.name}-{self.size}_openvino_model"

    @property
    def ir(self) -> Path:
        """OpenVINO's own file in that folder; its weights lie beside it."""
        return self.openvino / f"{self.name}.xml"

    @property
    def tflite(self) -> Path:
        """As litert-torch makes it for Ultralytics, which leaves it in PyTorch's order of axes."""
        return self.folder / f"{self.name}-{self.size}.tflite"

    @property
    def bundle(self) -> Path:
        return self.folder / f"{self.name}-{self.size}.ekb"


def export(model: Model, ultralytics: Path) -> None:
    """The files of all three engines, by Ultralytics itself, where they are not there yet."""
    if model.onnx.exists() and model.openvino.exists() and model.tflite.exists():
        return
    model.folder.mkdir(parents=True, exist_ok=True)
    script, pictures = LOOPS / "export.py", _data() / "fruit_det"
    command = [ultralytics, script, model.name, model.size, model.folder, pictures]
    # it leaves what it writes in the folder in which it runs
    _run(command, f"export of {model.onnx.name}", cwd=model.folder, YOLO_CONFIG_DIR=str(model.folder))


def build(model: Model) -> None:
    """edgekit's bundle, as `edgekit build` makes it, where it is not there yet."""
    if model.bundle.exists():
        return
    recipe = model.onnx.with_suffix(".toml")
    recipe.write_text(RECIPE.format(name=model.name, size=model.size, data=_data(), scale=1 / 255))
    _run([sys.executable, "-c", SEAL, recipe, model.bundle], f"bundle of {model.onnx.name}")


def _data() -> Path:
    data = Path(os.environ.get("EDGEKIT_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not data.is_dir():
        raise PeerError(f"the model is made for real pictures, and there is no folder {data}; set EDGEKIT_DATA")
    return data


def _run(command: Sequence[object], what: str, cwd: Path | None = None, **variables: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **QUIET, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()][-1:]
        raise PeerError(f"{what} failed: {' '.join(last)}")
