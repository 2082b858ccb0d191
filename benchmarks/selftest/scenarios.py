"""The checks of the scenarios: a camera that does not wait, and a search that asks every camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from edgekit.benchmarks.scenario import Camera, Streams
from edgekit.benchmarks.scenarios.camera import run_camera
from edgekit.benchmarks.scenarios.cameras import BackToBack
from edgekit.benchmarks.scenarios.clock import FakeTime
from edgekit.benchmarks.scenarios.film import Film
from edgekit.benchmarks.scenarios.streams import Trial, search
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.benchmarks.scenarios.tape import answered
from edgekit.benchmarks.selftest.check import Check
from edgekit.contract import InputSpec, Softmax
from edgekit.engines import NullSession
from edgekit.engines.session import TensorInfo
from edgekit.tasks import Classifier

FPS = 30.0
STALL_S, STALL_EVERY = 0.5, 200
CAMERAS = 6


def omission() -> Check:
    """An engine of 10 ms stalls for half a second once in 200 frames; of the fifteen that come meanwhile it takes the
    newest."""
    time, film = FakeTime(), Film("black", (np.zeros((8, 8, 3), np.uint8),))
    (executed,) = run_camera(Camera(FPS, 600), [_stalling(time)], film, time.clock)
    passed_by = STALL_S * FPS - 1
    frames, true = executed.frames, passed_by / (STALL_EVERY + passed_by)
    found = frames.drop if frames else 0.0
    waited = BackToBack(film, 600, time.clock)
    answers = sum(1 for _ in answered(waited, [_stalling(time).answering()], time.clock))
    wrong = 1 - answers / waited.arrived[0]
    return Check(
        f"a stall of {STALL_S:g} s in 1 of {STALL_EVERY} frames at {FPS:g}/s",
        f"drops {true:.1%} of the frames",
        f"{found:.1%}",
        "PASS" if abs(found - true) < 0.002 else "FAIL",
        f"a camera that waits for the answer: {wrong:.1%}",
        abs(wrong - true) >= 0.002,
    )


def density(runs: int = 100) -> Check:
    """A device that is fast enough for twelve cameras and starves the last one of more than six; 10 % of noise."""
    found, wrong = ({_found(seed, rates) for seed in range(runs)} for rates in (_each, _on_average))
    return Check(
        f"the density of a device that serves {CAMERAS} cameras, with 10 % of noise",
        "is found to within one camera",
        " or ".join(map(str, sorted(found))),
        "PASS" if all(abs(each - CAMERAS) <= 1 for each in found) else "FAIL",
        f"by the mean over the cameras: {' or '.join(map(str, sorted(wrong)))}",
        any(abs(each - CAMERAS) > 1 for each in wrong),
    )


def _stalling(time: FakeTime) -> Subject:
    runs = iter(range(1, 1 << 30))

    def spend(seconds: float) -> None:
        time.sleep(STALL_S if next(runs) % STALL_EVERY == 0 else seconds)

    session = NullSession(TensorInfo("image", "float32", (1, 3, 8, 8)), [np.ones((1, 2))], 10.0, spend)
    return Subject("stalls", Classifier(session, InputSpec(8, 8), Softmax(), ("a", "b")))


def _found(seed: int, rates: Callable[[Trial], Trial]) -> int:
    return search(rates(partial(_window, np.random.default_rng(seed))), Streams(fps=FPS, most=24))[0]


def _window(chance: np.random.Generator, cameras: int) -> tuple[float, ...]:
    fps = min(FPS, FPS * 2 * CAMERAS * chance.uniform(0.9, 1.1) / cameras)
    return (fps,) * (cameras - 1) + (fps if cameras <= CAMERAS else 0.8 * fps,)


def _each(trial: Trial) -> Trial:
    return trial


def _on_average(trial: Trial) -> Trial:
    return lambda cameras: (float(np.mean(trial(cameras))),) * cameras
