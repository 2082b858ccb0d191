"""What running unattended costs: the supervised processes against the loop in one process, overload, and four cameras.

    python -m edgekit.benchmarks.speed.unattended out/yolox-nano-320.ekb out/yolox-nano-640.ekb

Unattended is `edgekit run` on a store file, as a shop runs it. A frame's age is the time from when it was taken to when
its answer is there for whoever uses it: in one process the observation's line of JSON (`one_process`), unattended the
event that the supervisor makes of the observation, which came as JSON from the inference child. What follows is counted
for neither: a line goes to its file, an event into the outbox and to the sinks. For the topology both sides play one
clip at its own rate, and a picture of a file is decoded before it is "taken", so decoding is in no age.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from edgekit.benchmarks.reliability.camera_server import Film, MjpegServer
from edgekit.benchmarks.speed.command import asked, tell
from edgekit.benchmarks.speed.promise import Promise, at_least, at_most
from edgekit.events import OBSERVATION

TOPOLOGY = 1.05  # of the age in one process
OVERLOAD = 1.6  # of one look and one period of the camera
RATE = 0.95  # of the rate that each camera gives
CAMERAS, FPS = 4, 15.0
FASTEST_FPS = 200.0

_UNATTENDED = [sys.executable, "-c", "from edgekit.cli import main; main()", "run"]
_ONE_PROCESS = [sys.executable, "-m", "edgekit.benchmarks.speed.one_process"]
_TICKS = os.sysconf("SC_CLK_TCK")
_STARTING_S = 60.0


@dataclass(frozen=True)
class Run:
    """What one run told in its window. ages_ms: of all answers; seen_ms: of the same frames where they were looked at,
    when the observation was there. looks: by camera. cpu_ms: of all its processes."""

    ages_ms: tuple[float, ...]
    seen_ms: tuple[float, ...]
    spent_ms: tuple[float, ...]
    looks: Mapping[str, int]
    seconds: float
    cpu_ms: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.ages_ms) / self.seconds

    @property
    def cpu_per_look_ms(self) -> float:
        return self.cpu_ms / max(1, len(self.ages_ms))


def watch(store: str, seconds: float, warm_up_s: float = 2.0) -> Run:
    """Run a store file that writes its answers to `seen.jsonl` for a while; what it told after the warm-up."""
    command = _ONE_PROCESS if "[source]" in store else _UNATTENDED
    with tempfile.TemporaryDirectory() as folder:
        path, lines = Path(folder) / "store.toml", Path(folder) / "seen.jsonl"
        path.write_text(store, encoding="utf-8")
        process = subprocess.Popen([*command, str(path)], stderr=subprocess.DEVNULL)
        try:
            _wait_for(lines, process)
            time.sleep(warm_up_s)
            before, started = len(_lines(lines)), time.monotonic()
            cpu = _cpu_ms(process.pid)
            time.sleep(seconds)
            cpu, took = _cpu_ms(process.pid) - cpu, time.monotonic() - started
            told = [json.loads(line) for line in _lines(lines)[before:]]
        finally:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):  # a Ctrl-C that falls into a destructor is lost, once in hundreds
                process.wait(30)
            process.kill()
    return read(told, took, cpu)


def read(told: Sequence[Mapping[str, Any]], seconds: float, cpu_ms: float) -> Run:
    """What the lines say, those of `one_process` or the events of an unattended run."""
    seen = [(each["data"], float(each["monotonic"])) for each in told if each.get("type", OBSERVATION) == OBSERVATION]
    ages = tuple((there_at - float(observation["taken_at"])) * 1e3 for observation, there_at in seen)
    names = [observation["source"] for observation, _ in seen]
    looks = {name: names.count(name) for name in sorted(set(names))}
    spent = tuple(float(observation["spent_ms"]) for observation, _ in seen)
    had = tuple(float(observation["age_ms"]) for observation, _ in seen)
    return Run(ages, had, spent, looks, seconds, cpu_ms)


def in_one_process(bundle: Path, address: str) -> str:
    pace = "" if "://" in address else 'pace = "camera"\n'  # what comes over a network is live by itself
    return (
        f'[source]\naddress = "{address}"\n{pace}name = "camera"\n'
        f'[detector]\nbundle = "{bundle}"\n[output]\njsonl = "seen.jsonl"\n'
    )


def unattended(bundle: Path, addresses: Sequence[str], fps: float) -> str:
    cameras = "".join(
        f'[[cameras]]\nname = "camera {number}"\naddress = "{address}"\nfps = {fps}\nhealth = {{ frozen_s = 0 }}\n'
        for number, address in enumerate(addresses)
    )
    return (
        f'{cameras}[detector]\nbundle = "{bundle}"\n[events]\nobservations = "all"\n'
        '[sinks.jsonl]\npath = "seen.jsonl"\nsync = false\n'
    )


def topology(bundle: Path, address: str, rounds: int = 5, seconds: float = 6.0) -> Promise:
    """The same camera and models, in one process and unattended, in turn."""
    pairs = _in_turn(bundle, address, rounds, seconds)
    ratios = sorted(median(many.ages_ms) / median(alone.ages_ms) for alone, many in pairs)
    return Promise(
        what=f"a frame's age when its answer is there, unattended against one process ({bundle.stem})",
        target=f"at most {TOPOLOGY:.2f}x",
        result=f"{median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        kept=at_most(TOPOLOGY, median(ratios)),
        how=f"{rounds} rounds of {seconds:g} s each, medians, one process and unattended: age "
        f"{_both(pairs, lambda run: median(run.ages_ms))} ms, of it the look "
        f"{_both(pairs, lambda run: median(run.spent_ms))} ms and after it "
        f"{_both(pairs, lambda run: median(run.ages_ms) - median(run.seen_ms))} ms; "
        f"CPU a look {_both(pairs, lambda run: run.cpu_per_look_ms)} ms",
    )


def saturated(bundle: Path, rounds: int = 3, seconds: float = 6.0) -> Promise:
    """A camera that is faster than the engine: answers a second, in one process and unattended, in turn."""
    with _camera(FASTEST_FPS) as address:
        pairs = _in_turn(bundle, address, rounds, seconds)
    ratios = sorted(many.rate / alone.rate for alone, many in pairs)
    return Promise(
        what=f"answers a second of a camera that is faster than the engine, unattended against one process "
        f"({bundle.stem})",
        target="none",
        result=f"{median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})",
        kept="not promised",
        how=f"a camera of {FASTEST_FPS:g} frames/s, {rounds} rounds of {seconds:g} s each, medians, one process and "
        f"unattended: {_both(pairs, lambda run: run.rate)} answers/s, "
        f"age {_both(pairs, lambda run: median(run.ages_ms))} ms, "
        f"CPU a look {_both(pairs, lambda run: run.cpu_per_look_ms)} ms",
    )


def _in_turn(bundle: Path, address: str, rounds: int, seconds: float) -> list[tuple[Run, Run]]:
    alone, many = in_one_process(bundle, address), unattended(bundle, [address], 1000.0)
    return in_turn(lambda: watch(alone, seconds), lambda: watch(many, seconds), rounds)


def in_turn(a: Callable[[], Run], b: Callable[[], Run], rounds: int) -> list[tuple[Run, Run]]:
    """One of each a round, in reversed order every other time (ABBA)."""
    pairs = []
    for turn in range(rounds):
        first, second = (a, b) if turn % 2 == 0 else (b, a)
        runs = first(), second()
        pairs.append(runs if turn % 2 == 0 else runs[::-1])
    return pairs


def _both(pairs: Sequence[tuple[Run, Run]], figure: Callable[[Run], float]) -> str:
    """The median over the rounds for each side."""
    alone, many = (median(map(figure, side)) for side in zip(*pairs, strict=True))
    return f"{alone:.2f} and {many:.2f}"


def overload(bundle: Path, seconds: float = 10.0, fps: float = 90.0) -> Promise:
    """A camera that is faster than the engine: answers must be of the newest frames."""
    with _camera(fps) as address:
        run = watch(unattended(bundle, [address], 1000.0), seconds)
    look_ms = median(run.spent_ms)
    limit_ms = OVERLOAD * (look_ms + 1000 / fps)
    p95 = float(np.percentile(run.ages_ms, 95))
    return Promise(
        what="age of 95 % of the frames under overload",
        target=f"at most {OVERLOAD:g} x (a look and a period)",
        result=f"{p95 / (look_ms + 1000 / fps):.2f} x",
        kept=at_most(limit_ms, p95),
        how=f"a camera of {fps:g} frames/s, {run.rate:.1f} looks/s of {look_ms:.1f} ms: p50 "
        f"{median(run.ages_ms):.1f} ms, p95 {p95:.1f} ms",
    )


def four_cameras(bundle: Path, address: str, seconds: float = 20.0) -> Promise:
    """Four cameras that play a file, each looked at as often as it gives frames."""
    run = watch(unattended(bundle, [address] * CAMERAS, FPS), seconds)
    rates = sorted(looks / run.seconds for looks in run.looks.values())
    return Promise(
        what=f"{CAMERAS} cameras of {FPS:g} frames/s on {os.cpu_count()} cores",
        target=f"at least {RATE * FPS:.2f} looks/s each",
        result=f"{rates[0]:.2f} to {rates[-1]:.2f}",
        kept=at_least(RATE * FPS, rates[0]) if len(rates) == CAMERAS else "not met",
        how=f"over {run.seconds:.0f} s; a look {median(run.spent_ms):.1f} ms, age p50 {median(run.ages_ms):.1f} ms, "
        f"CPU a look {run.cpu_per_look_ms:.1f} ms",
    )


def promises(bundle: Path, heavier: Path, address: str | None = None) -> Iterator[Promise]:
    """heavier: a detector that is too slow for a fast camera. address: a clip that the cameras play; a rendered shelf,
    written as one, if it is not said."""
    with _clip(address) as clip:
        yield topology(bundle.resolve(), clip)
        yield topology(heavier.resolve(), clip)
        yield saturated(bundle.resolve())
        yield overload(heavier.resolve())
        yield four_cameras(bundle.resolve(), clip)


@contextmanager
def _camera(fps: float) -> Iterator[str]:
    """A camera that serves small pictures of a shelf, whoever is too slow for them."""
    film = Film.read("scene:shelf?seed=3&frames=100", limit=100, width=320)
    with MjpegServer(film, fps=fps, login="none") as server:
        yield server.address


@contextmanager
def _clip(address: str | None) -> Iterator[str]:
    if address is not None:
        yield str(Path(address).resolve())
        return
    from edgekit.runtime.sources import open_source
    from edgekit.runtime.video import VideoFile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shelf.mp4"
        with open_source("scene:shelf?seed=3&frames=450") as scene, VideoFile(path, FPS) as video:
            for frame in scene:
                video.write(frame.image, frame.index)
        yield str(path)


def _wait_for(lines: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _STARTING_S
    while time.monotonic() < until:
        if any(b"detections" in line for line in _lines(lines)):
            return
        if process.poll() is not None:
            raise RuntimeError(f"it ended with exit status {process.returncode}, before its first answer")
        time.sleep(0.05)
    raise TimeoutError(f"no answer came within {_STARTING_S:g} s")


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _cpu_ms(pid: int) -> float:
    """User and system time of a process and of all below it that live."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        below = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) * 1e3 / _TICKS + sum(map(_cpu_ms, below))


def _children(task: Path) -> list[str]:
    return (task / "children").read_text().split()


if __name__ == "__main__":
    wanted = asked(
        __doc__,
        bundle={"type": Path, "help": "a detector (.ekb) that keeps up with its camera"},
        heavier={"type": Path, "help": "one that is too slow for a fast camera"},
        clip={"nargs": "?", "help": "a video that the cameras play; a rendered shelf if none is named"},
    )
    tell(promises(wanted.bundle, wanted.heavier, wanted.clip))
