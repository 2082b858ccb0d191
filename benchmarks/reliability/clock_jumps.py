"""The wall clock jumps, by milliseconds, hours and decades, under the real supervisor, outbox and relay.

A board without a battery wakes up in 1970, a time server corrects it by years, a receiver's week counter rolls over;
nothing may be computed from that clock. Cameras and engine are well all the while but for an eclipse now and then, and
the broker comes and goes, so that events wait while the clock jumps; these children and the monotonic clock are
simulated. The control is a supervisor that is given the wall clock for its monotonic one.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from edgekit.backoff import Backoff
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.events import CAMERA_STATE, Event
from edgekit.outbox import Limits, Outbox, Row
from edgekit.relay import Relay
from edgekit.runtime.settings import ModelSettings
from edgekit.sinks import SinkDown
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.supervisor.children import Message
from edgekit.supervisor.ladder import Ladder, LadderSettings, default_rungs
from edgekit.supervisor.loop import Ports, Supervisor
from edgekit.supervisor.sensors import Reading
from edgekit.supervisor.settings import CameraSettings, EventSettings, SinkSettings, Unattended

PROMISE = (
    "whatever the wall clock does: nothing is started anew, no duration is negative or longer than it was, no event "
    "is lost for its age, ids are unique, the monotonic attribute rises"
)

_FPS = 4.0
_TICK_S = 0.05
_BETWEEN_S = 3.0  # jumps, on average
_ECLIPSE_EVERY_S, _ECLIPSE_S = 60.0, 6.0
_BROKER_S = 200.0  # it is up for so long, then away for as long
_ANSWER_S = 0.15
_DAY_S = 86400.0
_LATEST = 4_294_967_295.0  # 2106, where 32 bits end
_JUMPS_S = (1e-3, 1.0, 3600.0, _DAY_S, 1024 * 7 * _DAY_S)  # the last is a satellite receiver's roll over
_CAMERAS = ("door", "shelf")
_BROKEN = ("restarts", "wrong_durations", "lost", "repeated_ids", "monotonic_fell", "states_too_many")


class World:
    """Both clocks. now: the monotonic one, which only `pass_time` moves; wall: the one that jumps."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self._offset = 1.8e9

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self._offset

    def pass_time(self) -> None:
        self.now += _TICK_S

    def jump(self) -> None:
        """By one of the usual leaps, or to any day between 1970 and 2106."""
        leap = self.random.choice(_JUMPS_S) * self.random.choice((-1, 1))
        target = self.random.choice((self.wall() + leap, self.random.uniform(0, _LATEST)))
        self._offset = min(max(target, 0.0), _LATEST) - self.now

    @property
    def eclipse(self) -> bool:
        return self.now % _ECLIPSE_EVERY_S < _ECLIPSE_S

    @property
    def broker_is_up(self) -> bool:
        return self.now % (2 * _BROKER_S) < _BROKER_S


class SteadyCamera:
    """A capture child whose frames come on time. clock: as the capture child reads it, as the supervisor does."""

    def __init__(self, world: World, clock: Callable[[], float]) -> None:
        self._world = world
        self._clock = clock
        self._said: list[Message] = []
        self._number = 0
        self._next_at: float | None = None
        self._dead: str | None = None

    def send(self, message: Mapping[str, Any]) -> bool:
        self._said.append({"kind": "opened", "fps": _FPS})
        self._next_at = self._world.now
        return True

    def receive(self) -> list[Message]:
        said, self._said = self._said, []
        if self._next_at is not None and self._world.now >= self._next_at:
            self._next_at += 1 / _FPS
            self._number += 1
            said.append({"kind": "frame", **self._facts()})
        return said

    def ended(self) -> str | None:
        return self._dead

    def kill(self) -> None:
        self._dead, self._next_at = "its process was killed by SIGKILL", None

    def _facts(self) -> dict[str, Any]:
        size = {"width": 640, "height": 480}
        mean = 1.0 if self._world.eclipse else 100.0
        taken = {"taken_at": self._clock(), "digest": self._number, "mean": mean}
        return {"number": self._number, **size, **taken, "arrived": self._number, "damaged": 0}


class SteadyEngine:
    """An inference child that answers each look after the same while."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._due: deque[tuple[float, Message]] = deque()
        self._dead: str | None = None
        ready = {"kind": "ready", "engine": "steady", "precision": "f32"}
        self._due.append((world.now + 1.0, ready))

    def send(self, message: Mapping[str, Any]) -> bool:
        if message["kind"] == "look":
            label = self._world.random.choice(("bottle", "can"))
            seen = {"stages_ms": {"detect": 150.0}, "detections": [{"label": label, "score": 0.9, "box": [0, 0, 9, 9]}]}
            answer = {"kind": "seen", "camera": message["camera"], "number": message["number"], "observation": seen}
            self._due.append((self._world.now + _ANSWER_S, answer))
        return True

    def receive(self) -> list[Message]:
        return [self._due.popleft()[1]] if self._due and self._world.now >= self._due[0][0] else []

    def ended(self) -> str | None:
        return self._dead

    def kill(self) -> None:
        self._dead = "its process was killed by SIGKILL"
        self._due.clear()


class Broker:
    """A sink that keeps what it is given, and is away every other while."""

    name = "broker"
    reason = ""

    def __init__(self, world: World) -> None:
        self.texts: list[str] = []
        self._world = world
        self._arrived: list[int] = []

    @property
    def up(self) -> bool:
        return self._world.broker_is_up

    def send(self, row: Row) -> None:
        if not self.up:
            raise SinkDown("connection refused")
        self.texts.append(row.json)
        self._arrived.append(row.seq)

    def acked(self) -> list[int]:
        arrived, self._arrived = self._arrived, []
        return arrived

    def refused(self) -> list[int]:
        return []

    def close(self) -> None:
        return


class Device:
    """The supervisor on the world's clocks; `clock` is the one that it computes with."""

    def __init__(self, world: World, folder: Path, clock: Callable[[], float]) -> None:
        self.world = world
        self.counts: Counter[str] = Counter(dict.fromkeys(("events", "states", *_BROKEN), 0))
        self.broker = Broker(world)
        # Three days: less than most of the jumps and far more than passes.
        self.outbox = Outbox(folder / "outbox.db", [self.broker.name], Limits(max_age_s=3 * _DAY_S), clock)
        self.relay = Relay(self.outbox, self.broker, clock, Backoff(0.5, 10.0, world.random))
        settings = Unattended(
            cameras=tuple(CameraSettings(name, "steady", _FPS) for name in _CAMERAS),
            detector=ModelSettings(Path("steady.ekb")),
            sinks=SinkSettings(jsonl=JsonlSettings("-")),  # the relay below is its broker
            device="rig",
            events=EventSettings(settle=1),
        )
        ports = Ports(
            clock=clock,
            wall=world.wall,
            random=world.random,
            capture=lambda camera: SteadyCamera(world, clock),
            inference=lambda variant, rung: SteadyEngine(world),
            outbox=self.outbox,
            sense=lambda: Reading(heat_c=50.0, memory_available_mb=1000.0),
            tell=self._told,
            relays=(self.relay,),
        )
        self._began = world.now
        ladder = Ladder(LadderSettings(missed_high=1.1), default_rungs())
        self.supervisor = Supervisor(settings, ports, ("float",), 0.25, ladder)

    def live(self, seconds: float) -> None:
        """Let time pass on the monotonic clock."""
        until = self.world.now + seconds
        while self.world.now < until:
            self.supervisor.step()
            self.relay.step()
            self.world.pass_time()

    def drain(self) -> None:
        """Until the broker is up and all that waits has arrived."""
        while not self.world.broker_is_up or self.outbox.depth():
            self.relay.step()
            self.world.pass_time()
        self.supervisor.close()

    def account(self) -> dict[str, float]:
        """Hold what arrived, and what was started, against what must be."""
        events = [Event.from_json(text) for text in self.broker.texts]
        made = self.supervisor.author.event("end", "", {}).sequence - 1
        ids = {event.id for event in events}
        in_order = sorted(events, key=lambda event: event.sequence)
        opens = sum(camera.opens - 1 for camera in self.supervisor.cameras.values())
        self.counts["events"] = made
        self.counts["lost"] = made - len(ids) - self.outbox.depth()
        self.counts["repeated_ids"] = len(events) - len(ids)
        self.counts["restarts"] = opens + self.supervisor.engine.restarts
        self.counts["monotonic_fell"] = sum(
            after.monotonic_s < before.monotonic_s for before, after in pairwise(in_order)
        )
        self._judge_states([event for event in in_order if event.type == CAMERA_STATE])
        return dict(self.counts)

    def _judge_states(self, changes: Sequence[Event]) -> None:
        """Each camera goes dark and comes back with each eclipse, once it is LIVE, and has no other reason to."""
        eclipses = 1 + int((self.world.now - self._began) / _ECLIPSE_EVERY_S)
        self.counts["states"] = len(changes)
        self.counts["states_too_many"] = max(0, len(changes) - len(_CAMERAS) * (2 * eclipses + 2))
        longest = {"DARK": _ECLIPSE_S + 1, "LIVE": _ECLIPSE_EVERY_S}
        held = [(change.data["before"], change.data["held_s"]) for change in changes]
        self.counts["wrong_durations"] += sum(not 0 <= each <= longest.get(state, 60) for state, each in held)

    def _told(self, status: Mapping[str, Any], events: Sequence[Event]) -> None:
        """No duration in the status is negative, or longer than all the time that has passed."""
        passed = self.world.now - self._began + 1e-3
        self.counts["wrong_durations"] += sum(not 0 <= each <= passed for each in _durations_s(status))


def _durations_s(status: Mapping[str, Any]) -> Iterator[float]:
    yield status["uptime_s"]
    for camera in status["cameras"].values():
        yield camera["since_s"]
        yield (camera["age_ms"] or 0.0) / 1e3
    yield (status["engine"]["frame_ms"] or 0.0) / 1e3
    yield status["outbox"]["oldest_s"] or 0.0


def run(times: int, seed: int, progress: Callable[[int, int], None] | None = None) -> Figures:
    """`times` jumps, and a tenth of that, at least 20, for the control."""
    began = time.perf_counter()
    counts = _jumps(times, seed, False, progress)
    wrong = control(max(20, times // 10), seed)
    caught = any(wrong[name] for name in _BROKEN)
    kept = counts["states"] > 0 and not any(counts[name] for name in _BROKEN)
    return Figures("clock_jumps", times, seed, PROMISE, kept, counts, time.perf_counter() - began, wrong, caught)


def control(times: int, seed: int) -> dict[str, float]:
    """A supervisor whose health reads the wall clock."""
    return _jumps(times, seed, True, None)


def _jumps(times: int, seed: int, wrong: bool, progress: Callable[[int, int], None] | None) -> dict[str, float]:
    world = World(seed)
    memory = Path("/dev/shm")  # the outbox syncs each event: no real disk should wait for that
    with tempfile.TemporaryDirectory(prefix="edgekit-", dir=memory if memory.is_dir() else None) as folder:
        device = Device(world, Path(folder), world.wall if wrong else world.clock)
        with device.outbox:
            for jump in range(times):
                device.live(world.random.uniform(0, 2 * _BETWEEN_S))
                world.jump()
                if progress and jump % 10 == 9:
                    progress(jump + 1, times)
            device.live(_BETWEEN_S)
            if not wrong:
                device.drain()
            return {"jumps": times, "hours": round((world.now - 1000) / 3600, 3), **device.account()}
