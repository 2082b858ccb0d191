"""A store file for a loop that runs unattended: cameras, models, where events go, and when to give up on what.

    device = "cart-0417"
    profile = "raspberry-pi-5"
    state = "/var/lib/edgekit"

    [[cameras]]
    name = "basket"
    address = "/dev/v4l/by-id/usb-046d_C920-video-index0"
    fps = 10

    [detector]
    bundle = "cart.ekb"

    [sinks.mqtt]
    host = "broker.shop.lan"

A file with `[source]` instead of `[[cameras]]` is one for a single look, see edgekit/runtime/store.py. Paths are
relative to the file's own folder.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from edgekit.outbox import Limits
from edgekit.profile import profile_within
from edgekit.runtime.settings import CameraMode, ClassifyPolicy, ModelSettings, TrackSettings, address_within
from edgekit.schema import STRICT, parse, read_toml
from edgekit.secret import Secret
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.sinks.mqtt import MqttSettings
from edgekit.sinks.webhook import WebhookSettings
from edgekit.supervisor.camera import HealthSettings
from edgekit.supervisor.engine import EngineSettings
from edgekit.supervisor.ladder import LadderSettings


@dataclass(frozen=True)
class CameraSettings:
    """One camera. name: in events, logs and pages, where its address never is. fps: frames a second to look at; a
    faster camera's others are left out where they arrive. A file is played at its own rate, and begins again.

    timeout_s: for opening it, and for the next frame, where the source knows such a limit. quiet_s: an RTSP camera that
    was quick is opened anew after so long without a picture, and is LOST then, however patient `health` is; one whose
    network stalls now and then needs more than the usual second. mode: what to ask a camera for. health: when it is
    not believed.
    """

    __pydantic_config__ = STRICT

    name: str
    address: str | int
    fps: float = 10.0
    timeout_s: float = 3.0
    quiet_s: float = 1.0
    mode: CameraMode | None = None
    health: HealthSettings = field(default_factory=HealthSettings)

    def __post_init__(self) -> None:
        if not 0 < len(self.name.encode()) <= 64 or any(letter in self.name for letter in "/\n\r\t\0"):
            raise ValueError(f"a camera's name has 1 to 64 letters and none of '/' or line ends; got {self.name!r}")
        if not 0 < self.fps <= 1000 or min(self.timeout_s, self.quiet_s) <= 0:
            raise ValueError(
                "fps must be above 0 and at most 1000, timeout_s and quiet_s above 0; "
                f"got {self.fps}, {self.timeout_s} and {self.quiet_s}"
            )
        if 1.5 / self.fps >= self.health.stale_s:
            raise ValueError(
                f"at {self.fps:g} frames/s one is late only after {1.5 / self.fps:g} s: health.stale_s must be more; "
                f"got {self.health.stale_s:g}"
            )


@dataclass(frozen=True)
class EventSettings:
    """Which observations become events: 'changes' in what a camera's view holds, 'all' of them, or 'none'.

    settle: looks in a row that must agree before a change is believed; one errant frame is no event. max_mb, max_days,
    when_full: of the outbox, in which events wait on the disk until every sink has them.
    """

    __pydantic_config__ = STRICT

    observations: Literal["changes", "all", "none"] = "changes"
    settle: int = 3
    max_mb: float = 64.0
    max_days: float = 7.0
    when_full: Literal["drop oldest", "drop newest"] = "drop oldest"

    def __post_init__(self) -> None:
        if self.settle < 1 or self.max_mb < 1 or self.max_days <= 0:
            raise ValueError(
                "settle and max_mb must be at least 1, max_days above 0; "
                f"got {self.settle}, {self.max_mb} and {self.max_days}"
            )

    @property
    def limits(self) -> Limits:
        return Limits(max_bytes=int(self.max_mb * 2**20), max_age_s=self.max_days * 86400, when_full=self.when_full)


@dataclass(frozen=True)
class SinkSettings:
    """Where events go; one of them or more."""

    __pydantic_config__ = STRICT

    jsonl: JsonlSettings | None = None
    mqtt: MqttSettings | None = None
    webhook: WebhookSettings | None = None

    def __post_init__(self) -> None:
        if not (self.jsonl or self.mqtt or self.webhook):
            raise ValueError("events must go somewhere: add [sinks.jsonl], [sinks.mqtt] or [sinks.webhook]")

    def within(self, folder: Path) -> SinkSettings:
        """With paths relative to `folder` made whole."""
        return SinkSettings(
            self.jsonl and self.jsonl.within(folder),
            self.mqtt and self.mqtt.within(folder),
            self.webhook and self.webhook.within(folder),
        )


@dataclass(frozen=True)
class WebSettings:
    """The local page. token: 'env:NAME' or 'file:PATH'; needed for any address but loopback."""

    __pydantic_config__ = STRICT

    address: str = "127.0.0.1:8080"
    token: Secret | None = None


@dataclass(frozen=True)
class Unattended:
    """Everything that a store's box needs to know. state: the folder for what must outlive a restart; systemd's
    STATE_DIRECTORY, or 'state' beside the file, if it is not said. ladder: when to do less; unless it says
    another, at the temperature at which the profile's board slows down.

    smaller: the detector's variant for a board that cannot keep up; the ladder goes without where there is none.
    largest_frame: width and height that the shared memory is laid out for; memory is taken only by what is used.
    """

    __pydantic_config__ = STRICT

    cameras: tuple[CameraSettings, ...]
    detector: ModelSettings
    sinks: SinkSettings
    classifier: ModelSettings | None = None
    device: str = field(default_factory=socket.gethostname)
    profile: str | None = None
    state: Path | None = None
    track: TrackSettings | Literal[False] = field(default_factory=TrackSettings)
    classify: ClassifyPolicy = field(default_factory=ClassifyPolicy)
    engine: EngineSettings = field(default_factory=EngineSettings)
    ladder: LadderSettings | None = None
    events: EventSettings = field(default_factory=EventSettings)
    web: WebSettings | None = None
    smaller: str | None = None
    largest_frame: tuple[int, int] = (1920, 1080)

    def __post_init__(self) -> None:
        names = [camera.name for camera in self.cameras]
        if not names:
            raise ValueError("at least one camera")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"every camera needs a name of its own; twice: {', '.join(twice)}")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", self.device):
            raise ValueError(
                f"device is part of ids and topics: letters from A to Z, digits, '.', '_', '-'; got '{self.device}'"
            )
        if not all(0 < side <= 16384 for side in self.largest_frame):
            raise ValueError(f"largest_frame is a width and a height of 1 to 16384; got {self.largest_frame}")
        if self.classifier is not None and self.classifier.score is not None:
            raise ValueError("a classifier has no score threshold; classify.margin says when it is sure")

    @classmethod
    def read(cls, path: Path | str) -> Unattended:
        """The store file at `path`; `SettingsError` names every fault in it."""
        return parse(cls, read_toml(path), str(path)).within(Path(path).resolve().parent)

    def within(self, folder: Path) -> Unattended:
        """With paths relative to `folder` made whole."""
        return replace(
            self,
            profile=profile_within(self.profile, folder),
            cameras=tuple(replace(each, address=address_within(each.address, folder)) for each in self.cameras),
            detector=replace(self.detector, bundle=folder / self.detector.bundle),
            classifier=self.classifier and replace(self.classifier, bundle=folder / self.classifier.bundle),
            state=folder / (self.state or os.environ.get("STATE_DIRECTORY", "state")),
            sinks=self.sinks.within(folder),
        )

    def secrets(self) -> list[Secret]:
        """What must appear in no log: passwords, tokens and keys."""
        mqtt, webhook = self.sinks.mqtt, self.sinks.webhook
        kept = [self.web and self.web.token, mqtt and mqtt.password, *(webhook.headers.values() if webhook else ())]
        return [secret for secret in kept if secret is not None]

    def secret_variables(self) -> frozenset[str]:
        """The environment's variables that hold one of them: no child needs to see those."""
        places = (secret.place.partition(":") for secret in self.secrets())
        return frozenset(name for kind, _, name in places if kind == "env")

    @property
    def slot_bytes(self) -> int:
        """Of a camera's ring: one largest frame."""
        width, height = self.largest_frame
        return width * height * 3
