"""Results that were never measured, for tests of what is said of them."""

from __future__ import annotations

import numpy as np

from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.result import Executed, Frames, Result
from edgekit.benchmarks.scenario import SingleStream
from edgekit.measure import Samples

BOARD = Environment(
    arch="aarch64",
    cpu="Raspberry Pi 5 Model B Rev 1.0",
    cores=4,
    cores_allowed=4,
    isa=("asimddp", "asimdhp"),
    memory_mb=8000,
    governor="performance",
    mhz=(2400.0,),
    temperatures_c={"cpu-thermal": 55.0},
    load=0.1,
    system="Linux",
    versions={"python": "3.11.2", "numpy": "2.4.6", "opencv": "5.0.0"},
)


def samples(wall, cpu=None, block=10):
    wall = tuple(map(float, wall))
    return Samples(wall, wall if cpu is None else tuple(map(float, cpu)), (), block)


def noise(median=10.0, spread=0.02, count=200, seed=0):
    return (median * np.random.default_rng(seed).lognormal(0, spread, count)).tolist()


def frames(frame_ms, fps=15.0, dropped=()):
    """Frames of a camera at `fps`; dropped: the numbers of those that nobody took, among all that came."""
    numbers = [n for n in range(len(frame_ms) + len(dropped)) if n not in set(dropped)]
    at_s = tuple(n / fps + ms / 1000 for n, ms in zip(numbers, frame_ms, strict=True))
    times = tuple(map(float, frame_ms))
    return Frames(at_s, times, times, times, {}, len(frame_ms) + len(dropped), len(dropped))


def executed(variant="onnx-int8", threads=1, **measured):
    return Executed(variant, "onnxruntime 1.31.1", "cpu", "f32", threads, False, **measured)


def result(*variants, scenario=None, environment=BOARD, **more):
    scenario = scenario or SingleStream()
    settings = {"bundle": "cart", "digest": "a" * 64, "profile": "raspberry-pi-5", "taken": "2026-11-26T01:00:00+00:00"}
    return Result(**settings | more, scenario=scenario, environment=environment, variants=variants)
