"""Loads a model and runs it once in a child process, so that a file that kills its engine kills only the child.

A damaged or hostile model file can crash an engine's C++ in ways that no `except` sees (tflite-runtime 2.14 dies of
SIGSEGV on a .tflite cut in half), and an engine built for a newer CPU ends in SIGILL. The child also has a ceiling for
memory and for time.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
import edgekit.errors as errors
from edgekit.contract import Artifact
from edgekit.engines.session import Outputs, Session, Tensor
from edgekit.errors import ContractError, EdgekitError, EngineError
from edgekit.plan import EnginePlan

_CHILD = "from edgekit.engines.guard import child; child()"

# Building a TensorRT engine at the first load takes minutes and gigabytes on a Jetson.
_PATIENCE_S = {"tensorrt": 1800.0}
_MEMORY_MB = {"cpu": 2048, "edgetpu": 2048}


@dataclass(frozen=True)
class Proof:
    """A model that was loaded and run once: by which engine, in what precision, with how many threads, with what
    outputs."""

    engine: str
    precision: str
    threads: int
    outputs: Outputs


def check_loads(
    artifact: Artifact,
    plan: EnginePlan,
    tensor: Tensor | None = None,
    memory_mb: int | None = None,
    timeout_s: float | None = None,
) -> Proof:
    """Run `artifact` once on `tensor` (zeros unless given) in a child of at most `memory_mb` and `timeout_s`.

    Unless given, the limits are 2 GB on a CPU and 16 beside an accelerator, a minute, and half an hour for TensorRT.
    `EngineError` says how the child died; what the engine itself refused comes back as if it had been opened here.
    """
    limit_s = timeout_s or _PATIENCE_S.get(plan.device, 60.0)
    memory_mb = memory_mb or _MEMORY_MB.get(plan.device, 16384)
    job = _pack({"plan": asdict(plan), "format": artifact.format, "memory_mb": memory_mb}, _tensors(artifact, tensor))
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _CHILD], input=job, capture_output=True, timeout=limit_s, env=_environment()
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{plan.engine} did not load and run this model within {limit_s:g} s") from error
    if ended.returncode != 0:
        limits = f"limits: {memory_mb} MB, {limit_s:g} s"
        raise EngineError(f"this model {_death(plan, ended.returncode)} ({limits}){_last_words(ended.stderr)}")
    answer, arrays = _unpack(ended.stdout)
    if "error" in answer:
        raise getattr(errors, answer["error"])(answer["message"])
    return Proof(answer["engine"], answer["precision"], answer["threads"], tuple(arrays.values()))


def child() -> None:
    """The other side of `check_loads`: a job on stdin, the answer on stdout."""
    answer_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # engines print on stdout; that must not get between the answer's bytes
    job, arrays = _unpack(sys.stdin.buffer.read())
    limit_memory(job["memory_mb"])
    artifact = Artifact(job["format"], arrays["model"].tobytes(), arrays["weights"].tobytes())
    try:
        answer = _run_once(artifact, EnginePlan(**job["plan"]), arrays.get("tensor"))
    except EdgekitError as error:
        answer = _pack({"error": type(error).__name__, "message": str(error)}, {})
    except MemoryError:
        message = f"{job['plan']['engine']} needs more than {job['memory_mb']} MB for this model"
        answer = _pack({"error": "EngineError", "message": message}, {})
    answer_to.write(answer)
    answer_to.close()


def _run_once(artifact: Artifact, plan: EnginePlan, tensor: Tensor | None) -> bytes:
    from edgekit.engines import open_session

    with open_session(artifact, plan) as session:
        outputs = session.run(_zeros(session) if tensor is None else tensor)
        facts = {"engine": session.engine, "precision": session.precision, "threads": session.threads}
        return _pack(facts, {f"output_{index:03}": each for index, each in enumerate(outputs)})


def _zeros(session: Session) -> Tensor:
    shape = session.input.shape
    sides = [side for side in shape if side is not None]
    if len(sides) < len(shape):
        raise ContractError(f"input '{session.input.name}' takes {session.input}: its size is open, so give a tensor")
    return np.zeros(sides, session.input.dtype)


def limit_memory(memory_mb: int) -> None:
    """Bound what the child can write to. RLIMIT_AS would count address space that is only reserved, and CUDA reserves
    far more than there is memory."""
    import resource

    limit = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _environment() -> dict[str, str]:
    """The child finds edgekit where this process found it."""
    here = str(Path(edgekit.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _death(plan: EnginePlan, returncode: int) -> str:
    if returncode < 0:
        return f"killed {plan.engine} with {signal.Signals(-returncode).name}"
    return f"ended {plan.engine} with exit status {returncode}"


def _last_words(stderr: bytes) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    return f"; its last words: {lines[-1].strip()}" if lines else ""


def _tensors(artifact: Artifact, tensor: Tensor | None) -> dict[str, Tensor]:
    arrays = {
        "model": np.frombuffer(artifact.model, np.uint8),
        "weights": np.frombuffer(artifact.weights, np.uint8),
    }
    return arrays if tensor is None else {**arrays, "tensor": tensor}


def _pack(facts: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **dict(arrays))  # type: ignore[arg-type]
    return buffer.getvalue()


def _unpack(data: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with np.load(io.BytesIO(data), allow_pickle=False) as packed:
        arrays = {name: packed[name] for name in packed.files}
    return json.loads(arrays.pop("facts").tobytes()), arrays
