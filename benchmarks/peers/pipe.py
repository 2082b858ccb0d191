"""Peers in turn: each a process of its own that runs a block of frames when it is told to, all on one core.

So a peer is compared with others within seconds, in the same state of the machine, and none of them shares an
interpreter, a library or a thread with another.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from edgekit.benchmarks.peers.environments import PeerError
from edgekit.measure import Progress, Rounds, Samples

LOOPS = Path(__file__).with_name("loops")
# One thread each, nothing fetched and nothing reported to anybody.
QUIET = {
    "OMP_NUM_THREADS": "1",
    "OPENVINO_TELEMETRY_OPT_OUT": "1",
    "YOLO_AUTOINSTALL": "0",
    "YOLO_OFFLINE": "1",
    "YOLO_VERBOSE": "0",
}


@dataclass(frozen=True)
class Peer:
    """Who runs: a script of loops/ in that interpreter, and what is asked of it."""

    name: str
    python: Path
    script: str
    asked: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """What it took a fresh process to its first answer: CPU seconds of all its threads, and the most memory it had."""

    cpu_s: float
    peak_mb: float


@dataclass(frozen=True)
class Measured:
    """A peer's frames and starts, in order. found: things in a frame, the fewest and the most. facts: versions, what
    its floats were computed in and the like, as it told them."""

    samples: Samples
    starts: tuple[Start, ...]
    found: tuple[int, int]
    facts: Mapping[str, str]


class Running:
    """A peer's process; use it in a `with` block."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        # not a pipe: one that nobody reads fills up and stops the peer
        self._said = TemporaryFile()  # noqa: SIM115 (closed by `close`)
        command = [str(peer.python), str(LOOPS / peer.script), json.dumps(peer.asked)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**_own(), **peer.variables},
        )
        try:
            first = self._heard()
        except BaseException:
            self.close()
            raise
        self.start, self.facts = Start(first["cpu_s"], first["peak_mb"]), first["facts"]

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def block(self, frames: int) -> list[tuple[float, float, int]]:
        """Wall and CPU milliseconds and the things found, of each of so many frames."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has left; why is what `_heard` tells
            print(frames, file=self._process.stdin, flush=True)
        return [tuple(each) for each in self._heard()]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._said.seek(0)
            last = [each for each in self._said.read().decode(errors="replace").splitlines() if each.strip()][-1:]
            raise PeerError(f"{self.peer.name} broke off: {last[0].strip() if last else 'without a word'}")
        return json.loads(line)


def in_turn(
    peers: Sequence[Peer], rounds: Rounds, starts: int = 3, progress: Progress | None = None
) -> dict[str, Measured]:
    """Start each peer `starts` times, the last of them to stay, and run `rounds` with them in shuffled order."""
    begun: dict[str, list[Start]] = {peer.name: [] for peer in peers}
    for _ in range(starts - 1):
        for peer in peers:
            begun[peer.name].append(_one_start(peer))
    with ExitStack() as stack:
        running = [stack.enter_context(Running(peer)) for peer in peers]
        warm = {each.peer.name: each.block(rounds.warm_up) for each in running}
        taken: dict[str, list[tuple[float, float, int]]] = {peer.name: [] for peer in peers}
        chance = random.Random(rounds.seed)
        for done in range(rounds.rounds):
            for each in chance.sample(running, len(running)):
                taken[each.peer.name] += each.block(rounds.block)
            if progress:
                progress(done + 1, rounds.rounds)
        return {
            (name := each.peer.name): _measured(each, begun[name], warm[name], taken[name], rounds.block)
            for each in running
        }


def _own() -> dict[str, str]:
    """This process's variables, without the path by which a peer would find this one's packages."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | QUIET


def _one_start(peer: Peer) -> Start:
    with Running(peer) as running:
        return running.start


def _measured(
    running: Running,
    starts: Sequence[Start],
    warm: Sequence[tuple[float, float, int]],
    taken: Sequence[tuple[float, float, int]],
    block: int,
) -> Measured:
    wall, cpu, found = zip(*taken, strict=True)
    samples = Samples(wall, cpu, tuple(each[0] for each in warm), block)
    return Measured(samples, (*starts, running.start), (min(found), max(found)), running.facts)
