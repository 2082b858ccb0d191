"""The status as Prometheus reads it: names with units that stay, and no text but names, states and kinds.

Written anew from the newest status at each scrape (https://prometheus.io/docs/instrumenting/writing_exporters/), so a
camera that is gone leaves no series behind. A status that is too old to be believed gives its age and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from edgekit.web.board import Board, Status

STATES = ("starting", "ok", "degraded", "stuck")
CAMERA_STATES = ("LIVE", "STALE", "FROZEN", "DARK", "LOST")
ENGINE_STATES = ("starting", "ok", "degraded", "restarting")

Rows = Iterable[tuple[tuple[str, ...], float | None]]


class StatusCollector(Collector):
    """What a scrape of `/metrics` gives."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def collect(self) -> Iterator[Metric]:
        status = self._board.status
        yield gauge("edgekit_up", "1 while the supervisor speaks.", float(self._board.silence() is None))
        yield gauge("edgekit_status_age_seconds", "Since the supervisor spoke.", self._board.age_s())
        yield gauge("edgekit_web_streams", "Live streams that are open.", self._board.streams)
        if status is not None and self._board.silence() is None:
            for part in (_device, _cameras, _engine, _outbox):
                yield from part(status)


def registry(board: Board) -> CollectorRegistry:
    """A registry with nothing in it but the board; the process's own is left to whoever imports edgekit."""
    collected = CollectorRegistry()
    collected.register(StatusCollector(board))
    return collected


def _device(status: Status) -> Iterator[Metric]:
    memory_mb = status["memory_available_mb"]
    yield InfoMetricFamily(
        "edgekit", "The device and its software.", {"device": status["device"], "version": status["version"]}
    )
    yield states("edgekit_state", "Of the whole loop.", STATES, {"": status["state"]})
    yield gauge("edgekit_uptime_seconds", "Since the supervisor began.", status["uptime_s"])
    yield gauge("edgekit_ladder_step", "Of the degrade ladder; 0 is full quality.", status["ladder"]["step"])
    yield gauge("edgekit_heat_celsius", "The hottest sensor; absent where there is none.", status["heat_c"])
    yield gauge(
        "edgekit_memory_available_bytes", "What the host has left.", None if memory_mb is None else memory_mb * 2**20
    )


def _cameras(status: Status) -> Iterator[Metric]:
    cameras: Mapping[str, Any] = status["cameras"]

    def each(key: str, scale: float = 1.0) -> Rows:
        return [((name,), None if one[key] is None else one[key] * scale) for name, one in cameras.items()]

    def split(key: str) -> Rows:
        return [((name, kind), n) for name, one in cameras.items() for kind, n in one[key].items()]

    named = ("camera",)
    yield states(
        "edgekit_camera_state",
        "Whether it is believed.",
        CAMERA_STATES,
        {n: one["state"] for n, one in cameras.items()},
    )
    yield gauges("edgekit_camera_state_age_seconds", "In its present state.", named, each("since_s"))
    yield gauges("edgekit_camera_rate_hertz", "Frames a second that arrive.", named, each("fps"))
    yield gauges("edgekit_camera_answer_age_seconds", "Of the frame at its answer.", named, each("age_ms", 1e-3))
    yield counters("edgekit_camera_frames", "That arrived.", named, each("frames"))
    yield counters("edgekit_camera_looked", "Frames that were looked at.", named, each("looked"))
    yield counters("edgekit_camera_opens", "Times it was opened.", named, each("opens"))
    yield counters("edgekit_camera_dropped", "Frames not looked at.", ("camera", "reason"), split("dropped"))
    yield counters("edgekit_camera_notices", "Odd things, by kind.", ("camera", "kind"), split("notices"))


def _engine(status: Status) -> Iterator[Metric]:
    engine: Mapping[str, Any] = status["engine"]
    stages = [((stage,), spent_ms / 1000) for stage, spent_ms in engine["stages_ms"].items()]
    frame_ms = engine["frame_ms"]
    yield states("edgekit_engine_state", "Of the inference process.", ENGINE_STATES, {"": engine["state"]})
    yield InfoMetricFamily(
        "edgekit_engine", "What runs.", {"variant": str(engine["variant"]), "engine": str(engine["engine"])}
    )
    yield counters("edgekit_engine_restarts", "Of the inference process.", (), [((), engine["restarts"])])
    yield gauges("edgekit_stage_seconds", "Median time of a stage of a frame.", ("stage",), stages)
    yield gauge("edgekit_frame_seconds", "Median time of a frame.", None if frame_ms is None else frame_ms / 1000)


def _outbox(status: Status) -> Iterator[Metric]:
    outbox: Mapping[str, Any] = status["outbox"]
    sinks: Mapping[str, Any] = outbox["sinks"]
    dropped: Counter[str] = Counter()
    for reason, n in outbox["dropped"].items():
        dropped[reason.partition(":")[0]] += n  # 'disk: <what the system said>' would make a series of every text
    yield gauge("edgekit_outbox_waiting_events", "Not yet acknowledged by every sink.", outbox["waiting"])
    yield gauge("edgekit_outbox_oldest_seconds", "Age of the oldest that waits.", outbox["oldest_s"])
    yield gauge("edgekit_outbox_size_bytes", "On the disk.", outbox["bytes"])
    yield counters("edgekit_outbox_stored_events", "Put on the disk.", (), [((), outbox["stored"])])
    yield counters(
        "edgekit_outbox_dropped_events", "Lost, by reason.", ("reason",), [((why,), n) for why, n in dropped.items()]
    )
    yield gauges("edgekit_sink_up", "1 while it is connected.", ("sink",), _each(sinks, lambda one: float(one["up"])))
    yield gauges("edgekit_sink_waiting_events", "For it alone.", ("sink",), _each(sinks, lambda one: one["waiting"]))
    yield counters("edgekit_sink_acked_events", "It has.", ("sink",), _each(sinks, lambda one: one["acked"]))
    yield counters(
        "edgekit_sink_refused_events", "It will never take.", ("sink",), _each(sinks, lambda one: one.get("refused", 0))
    )


def _each(sinks: Mapping[str, Any], value: Callable[[Any], float]) -> Rows:
    return [((name,), value(one)) for name, one in sinks.items()]


def gauge(name: str, about: str, value: float | None) -> Metric:
    """A gauge without labels; no sample where the value is not known."""
    return gauges(name, about, (), [((), value)])


def gauges(name: str, about: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """A gauge with a sample a row; rows without a value are left out, never 0."""
    return _filled(GaugeMetricFamily(name, about, labels=labels), rows)


def counters(name: str, about: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    """A counter, which Prometheus sees as `<name>_total`."""
    return _filled(CounterMetricFamily(name, about, labels=labels), rows)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    for values, value in rows:
        if value is not None:
            family.add_metric(values, value)
    return family


def states(name: str, about: str, known: tuple[str, ...], now: Mapping[str, str]) -> Metric:
    """A sample for each known state, 1 for that of now; `now` is by camera, or has one entry, ''."""
    labels = ("state",) if "" in now else ("camera", "state")
    rows = [((camera, each)[-len(labels) :], float(each == state)) for camera, state in now.items() for each in known]
    return gauges(name, about, labels, rows)
