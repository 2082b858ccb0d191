"""Runs a store's box until it is told to stop: the supervisor on this host's clock, processes, disk and sensors."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import random
import select
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from edgekit.backoff import Backoff
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import EdgekitError, EngineMissing, SettingsError
from edgekit.events import Event
from edgekit.files import write_text
from edgekit.host import Host
from edgekit.hostplan import Plans
from edgekit.notify import Notifier
from edgekit.outbox import Outbox
from edgekit.profile import DeviceProfile, named_or_detected
from edgekit.relay import Relay, run_relays
from edgekit.runtime.settings import ModelSettings
from edgekit.schema import dump
from edgekit.secret import KeepOut, no_log
from edgekit.sinks import Sink
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.sinks.mqtt import MqttSink
from edgekit.supervisor.children import Child, Process
from edgekit.supervisor.ladder import Ladder, LadderSettings, Rung, default_rungs
from edgekit.supervisor.loop import Ports, Supervisor
from edgekit.supervisor.page import Page
from edgekit.supervisor.ring import SLOTS, Ring, check_memory
from edgekit.supervisor.sensors import Reading, read_sensors
from edgekit.supervisor.settings import CameraSettings, SinkSettings, Unattended

log = logging.getLogger(__name__)

VIEW_BYTES = 512 * 1024  # a JPEG of the page's size, with room to spare
_DEATH_S = 2.0
_FLUSH_S = 2.0
_PING_S = 30.0
_REMEMBER_AGAIN_S = 60.0
_GOOD = "good.json"


def run_unattended(
    settings: Unattended,
    *,
    stop: threading.Event | None = None,
    on_status: Callable[[Mapping[str, Any]], None] | None = None,
    keep_out: KeepOut = no_log,
) -> None:
    """Watch the cameras of `settings` until `stop` is set, or SIGTERM or Ctrl-C come; the main thread's work.

    on_status: is shown the status twice a second. keep_out: told every secret that a sink reads. `EdgekitError` where
    it cannot begin: no such bundle, no engine for it, too little memory for frames, a state folder that cannot be
    written to. Once begun it does not end by itself.
    """
    stop = stop or threading.Event()
    with _stopped_by_signals(stop), _Box(settings, on_status, keep_out) as box:
        box.serve(stop)


class _Box:
    """The real ports, and the loop that drives the supervisor over them."""

    def __init__(
        self, settings: Unattended, on_status: Callable[[Mapping[str, Any]], None] | None, keep_out: KeepOut
    ) -> None:
        host = Host.probe()
        self.settings = settings
        self.profile = named_or_detected(settings.profile, host)
        self.variants = runnable_variants(settings, self.profile)
        self.state = settings.state or Path("state")
        self.digest = _digest(settings.detector)
        if settings.classifier is not None:
            _digest(settings.classifier)  # one that is damaged is said now, not by an engine that never starts
        check_memory(len(settings.cameras) * settings.slot_bytes * SLOTS, host)
        self._token = None if settings.web is None or settings.web.token is None else settings.web.token.read()
        self._on_status = on_status
        self._keep_out = keep_out
        self._opened = ExitStack()
        self._children: list[Process] = []
        self._notifier = Notifier.from_environment()
        self._hidden = settings.secret_variables()
        self._ping_at = float("-inf")
        self._remembered: str | None = None
        self._remember_at = float("-inf")
        self._page: Page | None = None

    def __enter__(self) -> _Box:
        settings = self.settings
        with ExitStack() as opened:
            opened.enter_context(_alone_in(self.state))
            self.rings = {each.name: _ring(each.name, settings.slot_bytes, opened) for each in settings.cameras}
            self.views = {each.name: _ring(f"view {each.name}", VIEW_BYTES, opened) for each in settings.cameras}
            self.sinks = open_sinks(settings.sinks, settings.device, opened, self._keep_out)
            names = [sink.name for sink in self.sinks]
            outbox = opened.enter_context(Outbox(self.state / "outbox.db", names, settings.events.limits))
            self.relays = [open_relay(outbox, sink) for sink in self.sinks]
            self.supervisor = Supervisor(
                settings, self._ports(outbox), self.variants, self._budget_s(), self._ladder(), self._last_good()
            )
            opened.callback(self._end_children)
            opened.callback(self.supervisor.close)
            if settings.web is not None:
                self._page = Page(self._start_page, time.monotonic())
                opened.callback(self._page.close)
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._opened.close()

    def serve(self, stop: threading.Event) -> None:
        """Until `stop`. The sinks are served by a thread of their own: a slow broker must not delay a camera."""
        relaying = threading.Event()
        relay = threading.Thread(target=run_relays, args=(self.relays, relaying), name="relay", daemon=True)
        relay.start()
        self._notifier.ready()
        try:
            while not stop.is_set():
                wait_s = self.supervisor.step()
                if not relay.is_alive():
                    raise EdgekitError("the relay to the sinks has ended")  # and the log says why
                self._serve_page()
                self._watchdog()
                self._wait(wait_s)
        finally:
            self._notifier.stopping()
            self._flush()
            relaying.set()
            relay.join(_FLUSH_S)

    def _ports(self, outbox: Outbox) -> Ports:
        return Ports(
            clock=time.monotonic,
            wall=time.time,
            random=random.Random(),
            capture=self._start_capture,
            inference=self._start_inference,
            outbox=outbox,
            sense=self._sense,
            tell=self._tell,
            remember=self._remember,
            relays=self.relays,
        )

    def _start_capture(self, camera: CameraSettings) -> Child:
        return self._mind(start_capture(camera, self.rings[camera.name], self._hidden))

    def _start_inference(self, variant: str, rung: Rung) -> Child:
        fds = {name: ring.fd for name, ring in self.rings.items()}
        views = {name: ring.fd for name, ring in self.views.items()}
        child = Process("edgekit.supervisor.inference", [*fds.values(), *views.values()], self._hidden)
        order = {
            "kind": "load",
            "settings": dump(_for_inference(self.settings, self.profile)),
            "variant": variant,
            "memory_mb": self.settings.engine.memory_mb,
            "detector_only": rung.detector_only,
            "rings": fds,
            "views": views,
            "watching": self._page.watching if self._page is not None else (),
        }
        child.send(order)
        return self._mind(child)

    def _start_page(self) -> Process:
        web = self.settings.web
        assert web is not None
        views = {name: ring.fd for name, ring in self.views.items()}
        child = Process("edgekit.web.child", list(views.values()), self._hidden)
        child.send({"kind": "serve", "address": web.address, "token": self._token, "views": views})
        return self._mind(child)

    def _serve_page(self) -> None:
        """What nobody looks at is not drawn."""
        if self._page is not None and self._page.step(time.monotonic()):
            self.supervisor.worker.tell({"kind": "watching", "cameras": self._page.watching})

    def _mind(self, child: Process) -> Process:
        self._children = [*(each for each in self._children if each.ended() is None), child]
        return child

    def _wait(self, wait_s: float) -> None:
        """Until a child has said something, at most so long."""
        poll = select.poll()
        for child in self._children:
            for fd in child.filenos():
                poll.register(fd, select.POLLIN)
        readable = [fd for fd, _ in poll.poll(max(0.0, wait_s) * 1e3)]
        for child in self._children:
            child.waited(readable)

    def _sense(self) -> Reading:
        return read_sensors(zone=self.profile.thermal.zone)

    def _tell(self, status: Mapping[str, Any], events: Sequence[Event]) -> None:
        self._notifier.status(f"{status['state']}: {'; '.join(status['reasons']) or 'all cameras live'}")
        if self._on_status is not None:
            self._on_status(status)
        if self._page is not None:
            self._page.tell(status, events, self.supervisor.recent)
        for sink in self.sinks:
            if isinstance(sink, MqttSink):
                sink.publish_status(status)

    def _watchdog(self) -> None:
        """systemd hears from us only while frames and outbox get on."""
        now = time.monotonic()
        if now >= self._ping_at and self.supervisor.stuck() is None:
            self._ping_at = now + (self._notifier.watchdog_s or _PING_S) / 4
            self._notifier.watchdog()

    def _flush(self) -> None:
        """Give what waits a moment to reach its sinks; what does not is on the disk."""
        until = time.monotonic() + _FLUSH_S
        while time.monotonic() < until and any(relay.waiting and relay.sink.up for relay in self.relays):
            time.sleep(0.02)

    def _end_children(self) -> None:
        for child in self._children:
            child.kill()
            child.wait(_DEATH_S)

    def _budget_s(self) -> float:
        return self.profile.frame_budget_ms.value / 1e3

    def _rungs(self) -> tuple[Rung, ...]:
        smaller = self.settings.smaller
        if smaller is not None and smaller not in self.variants:
            raise SettingsError(f"smaller = '{smaller}' cannot run here; there are: {', '.join(self.variants)}")
        return default_rungs(smaller, classifier=self.settings.classifier is not None)

    def _ladder(self) -> Ladder:
        soft = self.profile.thermal.soft_c
        settings = self.settings.ladder or LadderSettings()
        try:
            return Ladder(settings, self._rungs(), None if soft is None else soft.value)
        except ValueError as error:
            raise SettingsError(f"[ladder]: {error}") from error

    def _last_good(self) -> str | None:
        """What ran well the last time this bundle was used here; nothing known is no fault."""
        try:
            kept = json.loads((self.state / _GOOD).read_text(encoding="utf-8"))
            good = kept["variant"] if kept["bundle"] == self.digest else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return good if good in self.variants else None

    def _remember(self, variant: str) -> None:
        now = time.monotonic()
        if variant == self._remembered or now < self._remember_at:
            return
        self._remember_at = now + _REMEMBER_AGAIN_S
        try:
            write_text(self.state / _GOOD, json.dumps({"bundle": self.digest, "variant": variant}) + "\n")
        except EdgekitError as error:  # a full disk stops no camera
            log.warning("the last good variant is not kept: %s", error)
        else:
            self._remembered = variant


def _digest(model: ModelSettings) -> str:
    with Bundle.open(model.bundle) as bundle:
        return bundle.digest


@contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """The state folder, made if need be; `EdgekitError` where another edgekit works in it: it would deliver this one's
    events, and this one would drop those of its sinks."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EdgekitError(f"state folder {state}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise EdgekitError(f"another edgekit runs in {state}: give each store file a state folder of its own") from None
    finally:
        os.close(lock)


def start_capture(camera: CameraSettings, ring: Ring, hidden: Collection[str] = ()) -> Process:
    """A capture child that writes that camera's frames into `ring`, once it is told to open it."""
    child = Process("edgekit.supervisor.capture", [ring.fd], hidden)
    child.send({"kind": "camera", "camera": dump(camera)})
    return child


def runnable_variants(settings: Unattended, profile: DeviceProfile) -> tuple[str, ...]:
    """The detector's variants that can run here: the store's own choice, or the one that `edgekit plan` has found best
    on this host, then as the profile prefers them.

    `EngineMissing` where the engine of the chosen one is not installed, or that of every one; `BundleError` where there
    is no such variant.
    """
    there = installed()
    chosen = settings.detector.variant
    planned = None
    with Bundle.open(settings.detector.bundle) as bundle:
        held = {each.name: each for each in bundle.manifest.variants}
        if chosen is not None:
            profile.plan_for(bundle.variant(chosen).format, there)
        plan = Plans.usual(settings.state).find(bundle.digest)
        planned = None if plan is None else plan.stage(chosen)
        if planned is not None:
            log.info("%s: %s, as planned on this host", bundle.manifest.name, planned)
    able = [] if planned is None else [planned.variant]
    for name in dict.fromkeys([*([chosen] if chosen else []), *profile.variants.value]):
        try:
            if name in held and name not in able:
                profile.plan_for(held[name].format, there)
                able.append(name)
        except EngineMissing as missing:
            log.info("%s cannot run here: %s", name, missing)
    if not able:
        raise EngineMissing(
            f"{settings.detector.bundle} holds {', '.join(held)}; {profile.name} can run none of them here: "
            "try 'edgekit doctor'"
        )
    return tuple(able)


def open_sinks(settings: SinkSettings, device: str, opened: ExitStack, keep_out: KeepOut = no_log) -> list[Sink]:
    """The sinks of a store file, closed with `opened`. keep_out: told every secret that they read."""
    sinks: list[Sink] = []
    if settings.jsonl is not None:
        sinks.append(settings.jsonl.open())
    if settings.mqtt is not None:
        sinks.append(settings.mqtt.open(device, keep_out))
    if settings.webhook is not None:
        sinks.append(settings.webhook.open(keep_out))
    for sink in sinks:
        opened.callback(sink.close)
    return sinks


def open_relay(outbox: Outbox, sink: Sink) -> Relay:
    """A sink's relay, which waits for arrivals as long as the sink's settings say, where they say it."""
    backoff = Backoff(0.5, 30.0, random.Random())
    if isinstance(sink, MqttSink):
        return Relay(outbox, sink, time.monotonic, backoff, ack_timeout_s=sink.ack_timeout_s)
    return Relay(outbox, sink, time.monotonic, backoff)


def _for_inference(settings: Unattended, profile: DeviceProfile) -> Unattended:
    """What the inference child needs to know, and nothing that it need not: no address, no password."""
    cameras = tuple(replace(each, address="") for each in settings.cameras)
    sinks = SinkSettings(jsonl=JsonlSettings("-"))  # one must be there
    return replace(settings, profile=settings.profile or profile.name, cameras=cameras, sinks=sinks, web=None)


def _ring(name: str, slot_bytes: int, opened: ExitStack) -> Ring:
    ring = Ring.create(name, slot_bytes)
    opened.callback(ring.close)
    return ring


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the loop after the step that it is in; a second one does what it always did."""

    def on_signal(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])

    before = {int(number): signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
