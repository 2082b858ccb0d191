"""The supervisor's state in one JSON object, for the local page, the broker's retained status and whoever asks."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from edgekit import __version__
from edgekit.events import Event

if TYPE_CHECKING:
    from edgekit.supervisor.loop import Supervisor
    from edgekit.supervisor.watched import WatchedCamera

_LONGEST = 4_000  # letters of an event that is shown whole


def snapshot(supervisor: Supervisor) -> dict[str, Any]:
    """What there is to know at this moment. No address is in it, of no camera and no broker."""
    ports, engine = supervisor.ports, supervisor.engine
    now = ports.clock()
    stuck = supervisor.stuck()
    reasons = [*([stuck] if stuck else []), *_complaints(supervisor)]
    moment = datetime.fromtimestamp(ports.wall(), timezone.utc)
    state = "stuck" if stuck else "starting" if engine.state == "starting" else "degraded" if reasons else "ok"
    return {
        "device": supervisor.settings.device,
        "boot": supervisor.author.boot,
        "version": __version__,
        "state": state,
        "reasons": reasons,
        "uptime_s": round(now - supervisor.started_at, 3),
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "cameras": {name: _camera(each, now) for name, each in supervisor.cameras.items()},
        "engine": _engine(supervisor),
        "ladder": {
            "step": supervisor.ladder.index,
            "name": supervisor.rung.name,
            "reason": supervisor.ladder.reason,
        },
        "heat_c": supervisor.reading.heat_c,
        "throttled": supervisor.reading.throttled,
        "memory_available_mb": supervisor.reading.memory_available_mb,
        "outbox": _outbox(supervisor),
    }


def _complaints(supervisor: Supervisor) -> list[str]:
    bad = [
        f"camera {name} is {each.health.state}: {each.health.reason}"
        for name, each in supervisor.cameras.items()
        if each.health.state != "LIVE"
    ]
    engine, ladder = supervisor.engine, supervisor.ladder
    if engine.state != "ok":
        bad.append(f"engine is {engine.state}: {engine.degraded or engine.reason}".rstrip(": "))
    if ladder.index:
        bad.append(f"works less: {supervisor.rung.name}, {ladder.reason}")
    if supervisor.ports.outbox.trouble:
        bad.append(f"events cannot be kept: {supervisor.ports.outbox.trouble}")
    return bad


def _camera(camera: WatchedCamera, now: float) -> dict[str, Any]:
    health = camera.health
    return {
        "state": health.state,
        "reason": health.reason,
        "since_s": round(now - health.since, 3),
        "fps": round(health.fps, 2),
        "size": None if health.size is None else list(health.size),
        "frames": health.frames,
        "looked": camera.looked,
        "dropped": dict(camera.dropped + health.refused),
        "age_ms": None if camera.age_ms is None else round(camera.age_ms, 2),
        "opens": camera.opens,
        "notices": dict(health.notices),
    }


def engine_facts(supervisor: Supervisor) -> dict[str, Any]:
    """What an event of the engine's state says, and the status too."""
    engine = supervisor.engine
    return {
        "state": engine.state,
        "variant": engine.running,
        "engine": supervisor.worker.running_as,
        "reason": engine.degraded if engine.state == "degraded" else engine.reason,
        "restarts": engine.restarts,
    }


def _engine(supervisor: Supervisor) -> dict[str, Any]:
    usual = supervisor.engine.frame_s
    return {
        **engine_facts(supervisor),
        "stages_ms": supervisor.worker.stages_ms,
        "frame_ms": None if usual is None else round(usual * 1e3, 3),
    }


def _outbox(supervisor: Supervisor) -> dict[str, Any]:
    outbox = supervisor.ports.outbox
    counts = outbox.counts
    return {
        "waiting": outbox.depth(),
        "oldest_s": outbox.oldest_age_s(),
        "stored": counts["stored"],
        "dropped": counts["dropped"],
        "bytes": outbox.size_bytes(),
        "sinks": {relay.sink.name: relay.status() for relay in supervisor.ports.relays},
    }


def shown(event: Event) -> dict[str, Any]:
    """An event as a page shows it: one that is long goes without its detections."""
    text = event.to_json()
    whole: dict[str, Any] = json.loads(text)
    if len(text) > _LONGEST:
        whole["data"] = {key: value for key, value in whole["data"].items() if key != "detections"}
    return whole
