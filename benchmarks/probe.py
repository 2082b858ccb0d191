"""What one core of this host can do, found in ten seconds: dense arithmetic in float and in INT8, and memory.

    python -m edgekit.benchmarks.probe

An estimate for another host goes by these, and not by a datasheet: ResNet-50 uses 5 % of an AGX Orin's TOPS.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from edgekit import schema
from edgekit.engines.ov import import_openvino
from edgekit.errors import EngineError
from edgekit.schema import STRICT

_LEAST = 20  # runs, on a host that is slow
_SIDE, _CHANNELS, _LAYERS = 14, 256, 8  # of the INT8 net: its layers stay in the second cache of every board
_MATRIX = 512
_COPIED = 64 << 20  # bytes: more than any cache holds


@dataclass(frozen=True)
class Probe:
    """Of one thread, by CPU time, the quickest tenth. f32_gmac_s: a matrix product by NumPy. int8_gmac_s: dense 3x3
    convolutions by OpenVINO, None where that is absent or has no INT8 for this CPU. memcpy_gb_s: bytes copied in
    memory, as profiles have it."""

    __pydantic_config__ = STRICT

    f32_gmac_s: float
    int8_gmac_s: float | None
    memcpy_gb_s: float


def probe(seconds: float = 3.0) -> Probe:
    """Each of the three for so many seconds, in an interpreter of its own: NumPy's threads can be held to one only
    before it is imported. `EngineError` where that interpreter fails."""
    one = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    done = subprocess.run(
        [sys.executable, "-m", "edgekit.benchmarks.probe", str(seconds)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **one},
    )
    if done.returncode:
        raise EngineError(f"this host could not be probed: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return schema.parse_json(Probe, done.stdout.splitlines()[-1], "the probe", EngineError)


class DenseInt8:
    """A net of dense 3x3 convolutions in INT8 on one thread: about as fast as this host multiplies in INT8.

    On an AMD EPYC with AVX-512 VNNI it came to 224 GMAC/s where 1x1 convolutions came to 166 to 201. `EngineMissing`
    where OpenVINO is not installed, `EngineError` where it computes such a net in something else than INT8.
    """

    macs = _LAYERS * _SIDE**2 * 9 * _CHANNELS**2

    def __init__(self) -> None:
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1", "INFERENCE_PRECISION_HINT": "f32"}
        compiled = import_openvino().Core().compile_model(_dense_int8(), "CPU", settings)
        kernels = set(_kernels(compiled))
        if not kernels <= {"u8", "i8"}:
            raise EngineError(
                f"openvino runs INT8 convolutions in {', '.join(kernels)} on this CPU: no peak to measure"
            )
        self._request: Any = compiled.create_infer_request()

    def run(self) -> None:
        self._request.infer()


def _dense_int8() -> Any:
    ov = import_openvino()
    ops = ov.opset13
    rng = np.random.default_rng(0)
    image = ops.parameter([1, _CHANNELS, _SIDE, _SIDE], np.float32)
    values = _quantized(ops, image, 0.0, 2.55, 256)
    for _ in range(_LAYERS):
        drawn = rng.normal(0, 0.3 / (3 * _CHANNELS**0.5), (_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
        weights = _quantized(ops, ops.constant(drawn), -1.27, 1.27, 255)
        same = [1, 1]
        values = ops.relu(ops.convolution(values, weights, same, same, same, same))
        values = _quantized(ops, values, 0.0, 2.55, 256)
    return ov.Model([values], [image])


def _quantized(ops: Any, values: Any, low: float, high: float, levels: int) -> Any:
    low_, high_ = np.float32(low), np.float32(high)
    return ops.fake_quantize(values, low_, high_, low_, high_, levels)


def _kernels(compiled: Any) -> list[str]:
    """In which type each convolution really runs."""
    said = [each.get_rt_info() for each in compiled.get_runtime_model().get_ordered_ops()]
    return [each["runtimePrecision"].astype(str) for each in said if each["layerType"].astype(str) == "Convolution"]


def _measure(seconds: float) -> Probe:
    a = np.random.default_rng(0).random((_MATRIX, _MATRIX), np.float32)
    source, copy = np.ones(_COPIED, np.uint8), np.zeros(_COPIED, np.uint8)
    return Probe(
        f32_gmac_s=round(_MATRIX**3 / _quick_ns(lambda: a @ a, seconds), 2),
        int8_gmac_s=_int8_gmac_s(seconds),
        memcpy_gb_s=round(_COPIED / _quick_ns(lambda: np.copyto(copy, source), seconds), 2),
    )


def _int8_gmac_s(seconds: float) -> float | None:
    try:
        dense = DenseInt8()
    except EngineError as absent:
        print(f"INT8 is not probed: {absent}", file=sys.stderr)
        return None
    return round(dense.macs / _quick_ns(dense.run, seconds), 2)


def _quick_ns(run: Callable[[], object], seconds: float) -> int:
    """CPU time of the run that nine of ten took longer than: a neighbour has the caches and the memory in the others.

    With one on the other core copying came to 12 GB/s by the median and to 20 by the quickest tenth."""
    taken: list[int] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(taken) < _LEAST:
        before = time.process_time_ns()
        run()
        taken.append(time.process_time_ns() - before)
    return sorted(taken)[len(taken) // 10]


if __name__ == "__main__":
    print(json.dumps(asdict(_measure(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))))
