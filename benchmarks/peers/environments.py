"""The peers' own Pythons: a virtual environment each, made only where the caller says so, and never imported by us."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError

ROOT = Path(__file__).resolve().parents[2]


class PeerError(EdgekitError):
    """A peer that is not installed, does not start, or breaks off."""


@dataclass(frozen=True)
class Environment:
    """What a peer needs, in the order in which pip gets it."""

    name: str
    packages: tuple[str, ...]

    def commands(self, place: Path) -> tuple[list[str], ...]:
        """What is run to make it under `place`, the versions being those of constraints.txt."""
        folder = place / self.name
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        pins = ["-c", str(ROOT / "constraints.txt")]
        return [sys.executable, "-m", "venv", str(folder)], [*pip, *pins, *self.packages]


PLAIN = Environment("plain", ("numpy", "opencv-python-headless", "onnxruntime"))
MODEL_API = Environment("model-api", ("openvino", "openvino-model-api"))
ULTRALYTICS = Environment(
    "ultralytics",
    ("torch", "torchvision", "ultralytics", "onnx", "onnxruntime", "openvino", "litert-torch", "ai-edge-litert"),
)


def python_of(environment: Environment, place: Path, install: bool = False) -> Path:
    """Its interpreter. `PeerError` with the commands that make it, where it is not there and may not be installed."""
    ready = place / environment.name / ".ready"
    if not ready.exists():
        commands = environment.commands(place)
        said = "\n".join("    " + " ".join(command) for command in commands)
        if not install:
            raise PeerError(f"{environment.name} is not installed in {place}; --install runs:\n{said}")
        print(f"installing {environment.name}:\n{said}", file=sys.stderr, flush=True)
        for command in commands:
            subprocess.run(command, check=True)
        ready.touch()
    return ready.parent / "bin" / "python"
