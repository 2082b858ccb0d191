"""Runs the device side's tests on this host's other Pythons, each in its own environment (`make test-device`).

Raspberry Pi OS and Jetson bring their own interpreter: JetPack 6 is 3.10, where onnxruntime stops at 1.23.2. What is
not at hand is named and left out. The last environment holds tflite-runtime: numpy 1, and Python 3.11 or older.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "onnx,openvino,tflite,mqtt,web"
# onnx writes small models for the tests, httpx2 asks the page, nothing else
TESTING = ["pytest", "pytest-timeout", "hypothesis", "httpx2", "onnx"]
DEVICE_TESTS = [
    "tests/cli",
    "tests/contract/test_weight.py",
    "tests/engines",
    "tests/runtime",
    "tests/sinks",
    "tests/supervisor",
    "tests/web",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "tests").glob("test_*.py"))),
]


@dataclass(frozen=True)
class Environment:
    """An interpreter, the extras to install on it, and the tests to run there."""

    name: str
    python: str
    extras: str
    tests: tuple[str, ...]
    constrained: bool = True


def interpreter(version: str) -> str | None:
    """A Python of that version that starts: on the path, or among pyenv's."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}*/bin/python{version}"))
    for candidate in [shutil.which(f"python{version}"), *map(str, pyenv)]:
        if candidate and subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def run(environment: Environment) -> subprocess.CompletedProcess[str]:
    """Set the environment up if its requirements changed, and run its tests: what pytest said, and its exit code."""
    folder = ROOT / f".venv-device-{environment.name}"
    stamp, wanted = folder / ".ready", (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([environment.python, "-m", "venv", "--clear", folder], check=True)
        pins = ["-c", "constraints.txt"] if environment.constrained else []
        install = [folder / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", *pins]
        subprocess.run([*install, "-e", f".[{environment.extras}]", *TESTING], cwd=ROOT, check=True)
        stamp.write_text(wanted)
    # -rN: a skip for want of torch is this environment's point, not news
    return subprocess.run(
        [folder / "bin" / "pytest", "-q", "-rN", *environment.tests],
        cwd=ROOT,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def environments() -> list[Environment]:
    """Those that this host can offer, the missing ones named on stderr."""
    wanted = [Environment(version, version, EXTRAS, tuple(DEVICE_TESTS)) for version in ("3.10", "3.12", "3.13")]
    wanted.append(
        Environment(
            "tflite-legacy", "3.11", "tflite-legacy", ("tests/engines", "tests/test_doctor.py"), constrained=False
        )
    )
    found = []
    for each in wanted:
        python = interpreter(each.python)
        if python is None:
            print(f"no Python {each.python} on this host: {each.name} was not tested", file=sys.stderr)
        else:
            found.append(Environment(each.name, python, each.extras, each.tests, each.constrained))
    return found


def main() -> None:
    """Three environments at a time: half of what these tests do is wait."""
    there = environments()
    failed = []
    with ThreadPoolExecutor(3) as pool:
        for environment, ran in zip(there, pool.map(run, there), strict=True):
            print(f"device tests, {environment.name}:\n{ran.stdout}", flush=True)
            if ran.returncode != 0:
                failed.append(environment.name)
    if failed:
        sys.exit(f"the device side fails on: {', '.join(failed)}")


if __name__ == "__main__":
    main()
