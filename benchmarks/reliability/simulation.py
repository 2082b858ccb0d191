"""Device-hours of the real supervisor in simulated time: cameras, engine, disk, broker and clocks fail by a seed.

Only the ports are not real. The world knows what is true, so it can say at each step what must hold: which frames were
worth looking at, how long a fault went unseen, whose fault hurt whom, and where each event ended. A seed that fails
replays to the same step.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sqlite3
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edgekit.backoff import Backoff
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.outbox import Limits, Outbox, Row
from edgekit.outbox_file import connect
from edgekit.relay import Relay
from edgekit.runtime.settings import ModelSettings
from edgekit.sinks import SinkDown
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.supervisor.camera import HealthSettings
from edgekit.supervisor.children import Message
from edgekit.supervisor.ladder import Ladder, LadderSettings, Rung, default_rungs
from edgekit.supervisor.loop import Ports, Supervisor
from edgekit.supervisor.sensors import Reading
from edgekit.supervisor.settings import CameraSettings, EventSettings, SinkSettings, Unattended

PROMISE = (
    "no look at a frame that is fake, stale or repeated; no observation of a camera that is not LIVE; faults seen "
    "within 5 s and forgiven within 2 s; no camera disturbs another; every event delivered or counted as dropped"
)

CameraFault: TypeAlias = Literal[
    "refuse", "reset", "freeze", "repeat", "black", "backwards", "late", "hang", "crash", "resize", "flood", "mute open"
]
EngineFault: TypeAlias = Literal["hang", "crash", "nonsense", "slow", "does not load", "load hangs"]

# Faults after which a camera must not be LIVE for longer than this, while they last.
_SEEN_WITHIN_S = 5.0
_BACK_WITHIN_S = 2.0
_HARMLESS = ("resize", "flood")
_FPS = 1.0
_HEALTH = HealthSettings(stale_s=2.2, lost_s=4.5, hung_s=9.0, frozen_s=2.5, back=2)
_VARIANTS = ("int8", "float", "other float")
_ENGINE_SEEN_S = 3.0


class Broken(AssertionError):
    """What did not hold, when, and the seed that shows it again."""


@dataclass
class World:
    """The simulated time, its dice, and what is true at this moment."""

    seed: int
    fault_every_s: float
    now: float = 1000.0
    wall_offset: float = 1.7e9
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.wall_offset

    def gap_s(self) -> float:
        """Until the next fault of its kind."""
        return self.random.expovariate(1 / self.fault_every_s)


@dataclass
class CameraWorld:
    """One camera and what is wrong with it. clean_since: since when nothing has been."""

    name: str
    world: World
    fault: CameraFault | None = None
    until: float = 0.0
    since: float = 0.0
    next_fault_at: float = 0.0
    picture: int = 0
    stamp: float = 0.0
    fake: set[int] = field(default_factory=set)
    numbers: int = 0
    seen: bool = False

    def __post_init__(self) -> None:
        self.since = self.world.now
        self.next_fault_at = self.world.now + 20 + self.world.gap_s()

    def change(self) -> None:
        """Begin or end a fault when its time has come."""
        world = self.world
        if self.fault is not None and world.now >= self.until:
            self.fault, self.since = None, world.now
            self.next_fault_at = world.now + 8 + world.gap_s()
        elif self.fault is None and world.now >= self.next_fault_at:
            self.fault = world.random.choice(CameraFault.__args__)  # type: ignore[attr-defined]
            self.since, self.seen = world.now, False
            self.until = world.now + world.random.choice((0.5, 3.0, 8.0, 20.0, 90.0))
            world.counts["camera faults"] += 1

    @property
    def next_at(self) -> float:
        return self.until if self.fault is not None else self.next_fault_at


class SimulatedCapture:
    """A capture child: frames of its camera as facts, with the camera's faults and its own."""

    def __init__(self, camera: CameraWorld) -> None:
        self._camera = camera
        self._world = camera.world
        self._open_at: float | None = None
        self._frame_at: float | None = None
        self._hangs = False
        self._dead: str | None = None
        self._reset_by: float | None = None
        self._arrived = 0

    @property
    def next_at(self) -> float:
        times = [at for at in (self._open_at, self._frame_at) if at is not None]
        return min(times, default=float("inf"))

    def send(self, message: Mapping[str, Any]) -> bool:
        if self._dead is not None or self._hangs:
            return False
        self._open_at = self._world.now + self._world.random.uniform(0.05, 0.3)
        self._frame_at = None
        return True

    def receive(self) -> list[Message]:
        camera, now = self._camera, self._world.now
        if self._dead is not None:
            return []
        if camera.fault == "crash":
            self._dead = "its process was killed by SIGSEGV"
            return []
        if camera.fault == "hang":
            self._hangs = True  # in a driver, for good: only a new process helps
        if self._hangs:
            self._open_at = self._frame_at = None
            return []
        if self._open_at is not None and now >= self._open_at:
            return self._opened()
        if self._frame_at is None:
            return []
        if camera.fault in ("reset", "refuse"):
            self._frame_at = None
            return [{"kind": "failed", "reason": "connection reset"}]
        return list(self._frames())

    def ended(self) -> str | None:
        return self._dead

    def kill(self) -> None:
        self._dead = "its process was killed by SIGKILL"
        self._open_at = self._frame_at = None

    def _opened(self) -> list[Message]:
        self._open_at = None
        if self._camera.fault in ("refuse", "reset"):
            return [{"kind": "failed", "reason": "connection refused"}]
        self._frame_at = self._world.now + 0.1
        self._arrived = 0
        return [{"kind": "opened", "fps": 1 / _FPS}]

    def _frames(self) -> Iterator[Message]:
        camera, world = self._camera, self._world
        while self._frame_at is not None and world.now >= self._frame_at:
            fault = camera.fault
            self._frame_at += 1 / _FPS * world.random.uniform(0.9, 1.1)
            if fault in ("freeze", "mute open"):
                continue
            self._arrived += 100 if fault == "flood" else 1
            yield {"kind": "frame", **self._facts(fault)}

    def _facts(self, fault: CameraFault | None) -> dict[str, Any]:
        camera, world = self._camera, self._world
        camera.numbers += 1
        before = camera.picture
        if fault != "repeat":
            camera.picture += 1
        camera.stamp += -0.5 if fault == "backwards" else 1.0
        late_s = 5.0 if fault == "late" else 0.01
        fake = fault in ("black", "backwards", "late") or (camera.picture == before)
        if fake:
            camera.fake.add(camera.numbers)
        width, height = (640, 480) if fault == "resize" else (1280, 720)
        return {
            "number": camera.numbers,
            "taken_at": world.now - late_s,
            "width": width,
            "height": height,
            "digest": camera.picture,
            "mean": 2.0 if fault == "black" else 110.0,
            "stamp": camera.stamp,
            "arrived": self._arrived,
            "damaged": 0,
        }


class SimulatedInference:
    """An inference child: answers after a while, unless something is wrong with it."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._world = box.world
        self._ready_at: float | None = box.world.now + box.world.random.uniform(0.5, 3.0)
        self._answer: tuple[float, Message] | None = None
        self._dead: str | None = None
        if box.engine_fault == "does not load":
            self._dead, self._ready_at = "its process ended with exit status 1", None
        elif box.engine_fault == "load hangs":
            self._ready_at = None

    @property
    def next_at(self) -> float:
        times = [self._ready_at, self._answer and self._answer[0]]
        return min((at for at in times if at is not None), default=float("inf"))

    def send(self, message: Mapping[str, Any]) -> bool:
        if self._dead is not None:
            return False
        if message["kind"] == "look":
            self._box.looked(message["camera"], message["number"])
            self._answer = self._world.now + self._spent_s(), self._what_was_seen(message)
        return True

    def receive(self) -> list[Message]:
        now, fault = self._world.now, self._box.engine_fault
        if self._dead is None and fault == "crash":
            self._dead = "its process was killed by SIGSEGV"
        if self._dead is not None:
            return []
        if self._ready_at is not None and now >= self._ready_at:
            self._ready_at = None
            return [{"kind": "ready", "engine": "simulated", "precision": "f32"}]
        if self._answer is None or now < self._answer[0] or fault == "hang":
            return []
        message, self._answer = self._answer[1], None
        if fault == "nonsense":
            return [{"kind": "nonsense", "camera": message["camera"], "reason": "scores that are not finite"}]
        return [message]

    def ended(self) -> str | None:
        return self._dead

    def kill(self) -> None:
        self._dead = "its process was killed by SIGKILL"
        self._ready_at = self._answer = None

    def _spent_s(self) -> float:
        usual = self._world.random.uniform(0.03, 0.05)
        return 100 * usual if self._box.engine_fault == "slow" else usual

    def _what_was_seen(self, look: Mapping[str, Any]) -> Message:
        things = self._world.random.randrange(3)
        detections = [{"label": "bottle", "score": 0.9, "box": [0.0, 0.0, 9.0, 9.0], "id": n} for n in range(things)]
        observation = {"frame": look["number"], "stages_ms": {"detect": 40.0}, "detections": detections}
        return {"kind": "seen", "camera": look["camera"], "number": look["number"], "observation": observation}


class SimulatedBroker:
    """A sink that goes away and comes back, acknowledges late, and sometimes forgets to."""

    name = "broker"
    reason = ""

    def __init__(self, world: World) -> None:
        self.up = True
        self.received: Counter[str] = Counter()
        self._world = world
        self._acks: deque[tuple[float, int]] = deque()

    def send(self, row: Row) -> None:
        if not self.up:
            raise SinkDown("connection refused")
        self.received[row.id] += 1
        if self._world.random.random() > 0.01:
            self._acks.append((self._world.now + 0.05, row.seq))

    def acked(self) -> list[int]:
        arrived = []
        while self._acks and self._world.now >= self._acks[0][0]:
            arrived.append(self._acks.popleft()[1])
        return arrived

    def refused(self) -> list[int]:
        return []

    def close(self) -> None:
        return


class Box:
    """A device: the real supervisor, outbox and relay, among simulated children, disk, broker and clocks.

    wrong: what the control does wrong, see `control`."""

    def __init__(self, world: World, folder: Path, cameras: int, wrong: bool = False) -> None:
        self.world = world
        self.engine_fault: EngineFault | None = None
        self.engine_since = world.now
        self._engine_until = 0.0
        self._next_engine_at = world.now + 60 + world.gap_s()
        self._next_disk_at = world.now + 60 + world.gap_s()
        self._next_broker_at = world.now + 60 + world.gap_s()
        self._next_jump_at = world.now + 60 + world.gap_s()
        self._disk_ill = False
        self._asked_in_fault: tuple[float, int] | None = None  # when, and how often the engine had been restarted
        self.cameras = {f"camera {n}": CameraWorld(f"camera {n}", world) for n in range(cameras)}
        self.captures: dict[str, SimulatedCapture] = {}
        self.engine: SimulatedInference | None = None
        self.heat_c = 50.0
        self.broker = SimulatedBroker(world)
        self.outbox = Outbox(
            folder / "outbox.db", ["broker"], Limits(max_bytes=1 << 20), world.clock, connect=self._connect
        )
        self.relay = Relay(self.outbox, self.broker, world.clock, Backoff(0.5, 10.0, world.random))
        health = HealthSettings(stale_s=1e6, lost_s=1e7, hung_s=1e8, frozen_s=0, dark=-1.0) if wrong else _HEALTH
        settings = Unattended(
            cameras=tuple(CameraSettings(name, "simulated", _FPS, health=health) for name in self.cameras),
            detector=ModelSettings(Path("simulated.ekb")),
            sinks=SinkSettings(jsonl=JsonlSettings("-")),
            device="simulated",
            events=EventSettings(settle=1),
        )
        ports = Ports(
            clock=world.clock,
            wall=world.wall,
            random=world.random,
            capture=self._capture,
            inference=self._inference,
            outbox=self.outbox,
            sense=lambda: Reading(heat_c=self.heat_c, memory_available_mb=1000.0),
            tell=None,
            relays=(self.relay,),
        )
        self.supervisor = Supervisor(settings, ports, _VARIANTS, 0.1, Ladder(LadderSettings(), default_rungs()))
        self._relay_at = world.now
        self._rung_since = world.now
        self._states = dict.fromkeys(self.cameras, "LOST")

    def _capture(self, camera: CameraSettings) -> SimulatedCapture:
        self.captures[camera.name] = SimulatedCapture(self.cameras[camera.name])
        return self.captures[camera.name]

    def _inference(self, variant: str, rung: Rung) -> SimulatedInference:
        self.engine = SimulatedInference(self)
        self.world.counts["engine starts"] += 1
        return self.engine

    def _connect(self, path: Path) -> sqlite3.Connection:
        if self._disk_ill:
            raise sqlite3.OperationalError("disk I/O error")
        return _IllDisk(connect(path), lambda: self._disk_ill)  # type: ignore[return-value]

    def looked(self, camera: str, number: int) -> None:
        """The supervisor asks for a look: it must be worth it."""
        self.world.counts["looks"] += 1
        if self.engine_fault in ("hang", "slow") and self._asked_in_fault is None:
            self._asked_in_fault = self.world.now, self.supervisor.engine.restarts
        if number in self.cameras[camera].fake:
            self._broken(f"a look at frame {number} of {camera}, which is {self.cameras[camera].fault}")

    def live(self, hours: float) -> None:
        """Let simulated time pass."""
        due_at = self.world.now
        until = due_at + hours * 3600
        while self.world.now < until:
            if self.world.now >= due_at:
                due_at = self._step()
            self._serve_relay()  # a thread of its own: that it moves is no reason for the supervisor to
            self.world.now = min(due_at, self._relay_at)

    def _step(self) -> float:
        """One step of the supervisor; when the next is due, by its own word or since something happens."""
        self._change()
        wait_s = self.supervisor.step()
        if not 0 <= wait_s <= 5.0 + 1e-6:  # the sensors' period, and what floats add to it
            self._broken(f"the supervisor wants to be called in {wait_s} s")
        self._check()
        self.world.counts["steps"] += 1
        return min(self.world.now + max(wait_s, 1e-3), self._next_at())

    def drain(self) -> None:
        """All is well again: what waits arrives."""
        self._disk_ill, self.broker.up = False, True
        for _ in range(10_000):
            self._relay_at = self.world.now
            self._serve_relay()
            self.world.now += 0.1
            if self.outbox.depth() == 0:
                return
        self._broken(f"{self.outbox.depth()} events do not leave the outbox")

    def account(self) -> None:
        """Every event was delivered, or its drop was counted."""
        made = self.supervisor.author.event("edgekit.boot", "", {}).sequence - 1
        dropped = sum(self.outbox.counts["dropped"].values())
        self.world.counts["events"] += made
        self.world.counts["dropped, counted"] += dropped
        self.world.counts["delivered"] += len(self.broker.received)
        self.world.counts["delivered again"] += sum(self.broker.received.values()) - len(self.broker.received)
        # A commit that failed may have come through all the same: such an event is counted as dropped, and arrives.
        if len(self.broker.received) + dropped < made:
            self._broken(f"{made} events, of them {len(self.broker.received)} delivered and {dropped} dropped")

    def _next_at(self) -> float:
        """When something happens next; what is past belongs to a child that hangs."""
        times = [each.next_at for each in self.cameras.values()]
        times += [each.next_at for each in self.captures.values()]
        times += [self.engine.next_at] if self.engine is not None else []
        return min(at for at in (*times, self.world.now + 5) if at > self.world.now)

    def _serve_relay(self) -> None:
        if self.world.now >= self._relay_at:
            wait_s = self.relay.step()
            self._relay_at = self.world.now + (5.0 if wait_s is None else max(wait_s, 0.05))

    def _change(self) -> None:
        """Begin and end faults whose time has come."""
        world = self.world
        for camera in self.cameras.values():
            camera.change()
        if self.engine_fault is not None and world.now >= self._engine_until:
            self.engine_fault, self.engine_since, self._asked_in_fault = None, world.now, None
            self._next_engine_at = world.now + 30 + world.gap_s()
        elif self.engine_fault is None and world.now >= self._next_engine_at:
            self.engine_fault = world.random.choice(EngineFault.__args__)  # type: ignore[attr-defined]
            self.engine_since = world.now
            self._engine_until = world.now + world.random.choice((1.0, 5.0, 30.0))
            world.counts["engine faults"] += 1
        if world.now >= self._next_disk_at:
            self._disk_ill = not self._disk_ill
            world.counts["disk faults"] += self._disk_ill
            self._next_disk_at = world.now + (20.0 if self._disk_ill else world.gap_s())
        if world.now >= self._next_broker_at:
            self.broker.up = not self.broker.up
            world.counts["broker faults"] += not self.broker.up
            self._next_broker_at = world.now + (world.gap_s() if self.broker.up else 30.0)
        if world.now >= self._next_jump_at:
            world.wall_offset += world.random.choice((-86400.0, -3600.0, -1.0, 1.0, 3600.0, 86400.0))
            world.counts["clock jumps"] += 1
            self.heat_c = world.random.choice((50.0, 50.0, 78.0, 90.0))
            self._next_jump_at = world.now + world.gap_s()

    def _check(self) -> None:
        """What must hold after each step."""
        for event in self.supervisor.take_events():
            self._check_event(event.type, event.subject, event.data)
        now = self.world.now
        for camera in self.cameras.values():
            state = self.supervisor.cameras[camera.name].health.state
            lasted_s = now - camera.since
            if camera.fault is None:
                if lasted_s > _BACK_WITHIN_S + 2 / _FPS and state != "LIVE" and not self._is_coming(camera):
                    self._broken(f"{camera.name} is {state} {lasted_s:.1f} s after its fault ended")
            elif camera.fault not in _HARMLESS:
                if state != "LIVE" and not camera.seen:
                    camera.seen = True
                    self.world.counts["camera faults seen"] += 1
                if lasted_s > _SEEN_WITHIN_S and state == "LIVE":
                    self._broken(f"{camera.name} is LIVE {lasted_s:.1f} s into '{camera.fault}'")
        self._check_engine(now)
        self._check_looks(now)

    def _check_looks(self, now: float) -> None:
        """A camera that is well is looked at, whatever ails the others."""
        supervisor = self.supervisor
        if self.engine_fault is not None or now - self.engine_since < 160:
            return
        for camera in self.cameras.values():
            state = supervisor.cameras[camera.name]
            period_s = 1 / (_FPS * supervisor.rung.rate)
            waits_s = now - max(state.looked_at, camera.since, state.health.since, self._rung_since)
            if camera.fault is None and state.health.state == "LIVE" and waits_s > 4 * period_s:
                self._broken(f"{camera.name} is LIVE and was not looked at for {waits_s:.1f} s")

    def _is_coming(self, camera: CameraWorld) -> bool:
        """A fault that ended while its process hangs or is being started is forgiven when that process is."""
        health = self.supervisor.cameras[camera.name].health
        return self.world.now - camera.since < _BACK_WITHIN_S + health.settings.hung_s + 4 / _FPS

    def _check_engine(self, now: float) -> None:
        engine = self.supervisor.engine
        lasted_s = now - self.engine_since
        asked_at, restarts = self._asked_in_fault or (now, -1)
        if now - asked_at > _ENGINE_SEEN_S + 0.1 and engine.restarts == restarts:
            self._broken(f"'{self.engine_fault}' is not seen {now - asked_at:.1f} s after a look")
        if self.engine_fault is None and lasted_s > 160 and engine.state not in ("ok", "degraded"):
            self._broken(f"the engine is {engine.state} {lasted_s:.0f} s after its fault ended")

    def _anything_live(self) -> bool:
        return any(each.health.state == "LIVE" for each in self.supervisor.cameras.values())

    def _check_event(self, kind: str, subject: str, data: Mapping[str, Any]) -> None:
        if kind == "edgekit.camera.state":
            if data["held_s"] < 0:
                self._broken(f"{subject} held a state for {data['held_s']} s")
            self._states[subject] = data["state"]
        elif kind == "edgekit.degrade":
            self._rung_since = self.world.now
            self.world.counts["ladder steps"] += 1
        elif kind == "edgekit.observation" and self._states[subject] != "LIVE":
            self._broken(f"an observation of {subject}, which is {self._states[subject]}")

    def _broken(self, what: str) -> None:
        raise Broken(f"seed {self.world.seed}, at {self.world.now:.4f} s: {what}")


class _IllDisk:
    """A connection on which everything fails while the disk is ill."""

    def __init__(self, connection: sqlite3.Connection, is_ill: Callable[[], bool]) -> None:
        self._connection = connection
        self._is_ill = is_ill

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        if self._is_ill():
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory, where there is such a folder: the simulated disk does the failing."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


def one_device(seed: int, hours: float, fault_every_s: float = 120.0, wrong: bool = False) -> Counter[str]:
    """`hours` of one device; what was counted. `Broken` where something did not hold."""
    with _folder() as folder:
        world = World(seed, fault_every_s)
        box = Box(world, folder, cameras=1 + seed % 3, wrong=wrong)
        box.live(hours)
        box.drain()
        box.account()
        box.supervisor.close()
        box.outbox.close()
        return world.counts


def run(
    times: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
    hours_each: float = 1.0,
    fault_every_s: float = 120.0,
) -> Figures:
    """`times` device-hours, each device living for `hours_each`, as many at once as there are cores.

    fault_every_s: the usual gap between two faults of a kind.
    """
    started = time.monotonic()
    counts: Counter[str] = Counter()
    broken: list[str] = []
    seeds = range(seed, seed + max(1, round(times / hours_each)))
    live = partial(_live, hours=hours_each, fault_every_s=fault_every_s)
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), logging.disable, (logging.CRITICAL,)) as pool:
        for done, (counted, what) in enumerate(pool.map(live, seeds), start=1):
            counts += counted
            broken += [what] if what else []
            progress(round(done * hours_each))
    counts["broken"] = len(broken)
    control = control_counts(seed)
    return Figures(
        rig="simulation",
        times=times,
        seed=seed,
        promise=PROMISE,
        kept=not broken,
        counts={"devices": len(seeds), **counts},
        seconds=time.monotonic() - started,
        control=control,
        caught=control["broken"] > 0,
        notes=tuple(broken[:5]),
    )


def _live(seed: int, hours: float, fault_every_s: float) -> tuple[Counter[str], str]:
    """What was counted in one device, and what was broken."""
    try:
        return one_device(seed, hours, fault_every_s), ""
    except Broken as found:
        return Counter(), str(found)


def control_counts(seed: int, devices: int = 5) -> dict[str, float]:
    """A supervisor that believes every camera must break the promise in every device."""
    broken = 0
    for device in range(devices):
        try:
            one_device(seed + device, 0.5, wrong=True)
        except Broken:
            broken += 1
    return {"devices": devices, "broken": broken}


if __name__ == "__main__":
    import sys

    print(json.dumps(one_device(int(sys.argv[1]), float(sys.argv[2])), indent=1))
