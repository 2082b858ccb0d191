"""The supervisor: what is looked at when, what is believed, what becomes an event, and who is started anew.

It holds all policy and no pixels. Cameras and models live in children; the supervisor hears of a frame by its facts,
tells the inference child to look at it, and hears what was seen. It is driven by `step`, and everything that it touches
beside itself is a port: the clock, the children, the disk under its outbox, the sensors. So the same code runs a shop,
and a simulated year of one in a test.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from edgekit import __version__
from edgekit.events import (
    BOOT,
    CAMERA_NOTICE,
    CAMERA_STATE,
    DEGRADE,
    ENGINE_STATE,
    OBSERVATION,
    Author,
    Event,
)
from edgekit.outbox import Outbox
from edgekit.sinks import Sink
from edgekit.supervisor.changes import Changes
from edgekit.supervisor.children import Child
from edgekit.supervisor.engine import EngineHealth
from edgekit.supervisor.ladder import Ladder, Rung
from edgekit.supervisor.pace import Pace, Turns
from edgekit.supervisor.sensors import Reading
from edgekit.supervisor.settings import CameraSettings, Unattended
from edgekit.supervisor.status import engine_facts, snapshot
from edgekit.supervisor.watched import WatchedCamera
from edgekit.supervisor.worker import Heard, Seen, Unanswered, Worker

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], float]

_SENSE_S = 5.0
_STATUS_S = 0.5
_STUCK_S = 30.0  # or three turns of the slowest camera, if those take longer
_RECENT_EVENTS = 50


class Delivery(Protocol):
    """What the supervisor wants to know of a sink's relay: when it last moved, and what a page shows of it."""

    @property
    def sink(self) -> Sink: ...

    @property
    def stepped_at(self) -> float: ...

    def status(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Ports:
    """Everything that the supervisor touches beside itself.

    clock: monotonic seconds. wall: seconds since 1970, to label events with. capture, inference: start a child, for a
    camera or for a variant. outbox: where events are kept. sense: the sensors. tell: takes the status, some twice a
    second, and the events since the last one. remember: keeps a variant as the last known good one. relays: one for
    each sink.
    """

    clock: Clock
    wall: Clock
    random: random.Random
    capture: Callable[[CameraSettings], Child]
    inference: Callable[[str, Rung], Child]
    outbox: Outbox
    sense: Callable[[], Reading]
    tell: Callable[[Mapping[str, Any], Sequence[Event]], None] | None = None
    remember: Callable[[str], None] = lambda variant: None
    relays: Sequence[Delivery] = ()


class Supervisor:
    """Drive it with `step`; `close` ends the children.

    variants: the detector's, those that can run here, the preferred one first. good: the last known good one. ladder:
    what to do less of when the board cannot keep up. budget_s: what a frame may take.
    """

    def __init__(
        self,
        settings: Unattended,
        ports: Ports,
        variants: tuple[str, ...],
        budget_s: float,
        ladder: Ladder,
        good: str | None = None,
    ) -> None:
        now = ports.clock()
        self.settings = settings
        self.ports = ports
        self.started_at = now
        self.author = Author(settings.device, clock=ports.clock, wall=ports.wall)
        self.turns = Turns()
        self.cameras = {
            each.name: WatchedCamera(each, ports.capture, ports.random, self.turns, now) for each in settings.cameras
        }
        self.engine = EngineHealth(settings.engine, variants, now, budget_s, good)
        self.worker = Worker(self.engine, ports.inference, ports.random, now)
        self.ladder = ladder
        self.rung = self.ladder.rung
        self.reading = Reading()
        self.recent: deque[Event] = deque(maxlen=_RECENT_EVENTS)
        self._changes = {name: Changes(settings.events.settle) for name in self.cameras}
        self._new: list[Event] = []
        self._untold: deque[Event] = deque(maxlen=_RECENT_EVENTS)
        self._answered_at = self._sense_at = self._status_at = now
        self._emit(BOOT, "", {"version": __version__, "cameras": sorted(self.cameras), "variants": variants})

    def step(self) -> float:
        """Hear everybody, do what is due, and say how many seconds may pass until the next step."""
        now = self.ports.clock()
        for camera in self.cameras.values():
            self._watch(camera, now)
        self._hear(self.worker.step(now, self.rung), now)
        self._look(now)
        self._sense(now)
        self._keep()
        self._tell(now)
        return self._next_step()

    def close(self) -> None:
        """End the children; may be called twice. Events that wait are on the disk and stay there."""
        self.worker.close()
        for camera in self.cameras.values():
            camera.close()

    def _watch(self, camera: WatchedCamera, now: float) -> None:
        name = camera.settings.name
        for change in camera.step(now):
            level = logging.INFO if change.after == "LIVE" else logging.WARNING
            # The states are part of the template: a log that sums up repetitions must not take one for the other.
            said = f"camera %s: {change.before} -> {change.after}%s"
            log.log(level, said, name, f": {change.reason}" if change.reason else "", extra={"subject": name})
            if change.before == "LIVE":
                self._changes[name].forget()
                self.worker.tell({"kind": "forget", "camera": name})
            states = {"state": change.after, "before": change.before, "reason": change.reason}
            self._emit(CAMERA_STATE, name, {**states, "held_s": round(change.held_s, 3)})
        for notice in camera.health.take_notices():
            noticed = {"notice": notice, "count": camera.health.notices[notice], "size": camera.health.size}
            self._emit(CAMERA_NOTICE, name, noticed)

    def _look(self, now: float) -> None:
        """Ask for the newest frame of the camera that is due and has waited longest."""
        due = [camera for camera in self.cameras.values() if camera.due]
        if not due or not self.worker.idle:
            return
        camera = min(due, key=lambda each: each.looked_at)
        self.turns.note(now, missed=False)
        self._hear(self.worker.ask(camera.settings.name, camera.take(now), now), now)

    def _hear(self, heard: Sequence[Heard], now: float) -> None:
        for each in heard:
            if isinstance(each, Seen):
                self._seen(each, now)
            elif isinstance(each, Unanswered):
                self.cameras[each.camera].dropped[each.reason] += 1
            else:
                self.turns.clear()  # frames that were missed because the engine was away say nothing of the board
                self._emit(ENGINE_STATE, "", engine_facts(self))

    def _seen(self, seen: Seen, now: float) -> None:
        camera = self.cameras[seen.camera]
        camera.looked += 1
        camera.age_ms = (now - seen.facts.taken_at) * 1e3
        self._answered_at = now
        if self.engine.good is not None:
            self.ports.remember(self.engine.good)
        if camera.health.state != "LIVE":
            camera.dropped["no longer LIVE"] += 1
            return
        changed = self._changes[seen.camera].update(seen.counts)
        which = self.settings.events.observations
        if which == "all" or (which == "changes" and changed is not None):
            self._emit(OBSERVATION, seen.camera, {"counts": seen.counts, **seen.observation})

    def _sense(self, now: float) -> None:
        if now < self._sense_at:
            return
        self._sense_at = now + _SENSE_S
        self.reading = self.ports.sense()
        works = self.engine.state in ("ok", "degraded")
        step = self.ladder.update(now, self.reading, self.turns.missed(now) if works else None)
        if step is None:
            return
        log.warning("%s the ladder: %s (%s)", step.direction, step.name, step.reason)
        rung = {"step": step.rung, "name": step.name, "reason": step.reason, "direction": step.direction}
        self._emit(DEGRADE, "", rung)
        before, self.rung = self.rung, self.ladder.rung
        self.turns.clear()
        for camera in self.cameras.values():
            camera.pace = Pace(camera.settings.fps * self.rung.rate)
        self._hear(self.worker.change(before, self.rung, now), now)

    def _emit(self, type_: str, subject: str, data: Mapping[str, Any]) -> None:
        self._new.append(self.author.event(type_, subject, data))

    def _keep(self) -> None:
        """What happened in this step goes to the disk in one go, and before anybody hears of it."""
        if self._new:
            self.ports.outbox.put(*self._new)
            self._untold.extend(self._new)
            self.recent.extend(self._new)
            self._new.clear()

    def _tell(self, now: float) -> None:
        if now < self._status_at:
            return
        self._status_at = now + _STATUS_S
        if self.ports.tell is not None:
            self.ports.tell(snapshot(self), self.take_events())

    def take_events(self) -> tuple[Event, ...]:
        """The last events that nobody was told of yet, at most fifty; all are in the outbox."""
        events = tuple(self._untold)
        self._untold.clear()
        return events

    def stuck(self) -> str | None:
        """Why the whole must be started anew, if it must: nothing else would get it going again.

        A camera that is LIVE while no frame is answered, although the engine is ready; an inference process that does
        not die, beside which no other is started; or a relay that no longer moves. One whose broker is away does move,
        and a new start would not bring the broker back.
        """
        now = self.ports.clock()
        slowest = min(camera.settings.fps for camera in self.cameras.values()) * self.rung.rate
        stuck_s = max(_STUCK_S, 3 / slowest)
        live = [each.health.since for each in self.cameras.values() if each.health.state == "LIVE"]
        if live and now - max(min(live), self._answered_at) > stuck_s and self.engine.idle:
            return f"frames come, the engine is ready, and none was answered for {stuck_s:g} s"
        undying_since = self.worker.undying_since
        if undying_since is not None and now - undying_since > _STUCK_S:
            return f"the engine's process has been killed and has not died for {_STUCK_S:g} s"
        for relay in self.ports.relays:
            if now - relay.stepped_at > _STUCK_S:
                return f"the relay to {relay.sink.name} has not moved for {_STUCK_S:g} s"
        return None

    def _next_step(self) -> float:
        times = [self._sense_at, self.worker.next_step()]
        times += [camera.next_step() for camera in self.cameras.values()]
        if self.ports.tell is not None:
            times.append(self._status_at)
        return max(0.0, min(times) - self.ports.clock())
