"""What the runtime has to tell, each as one CloudEvent that can be told apart from every other of every device.

The JSON is the structured form of CloudEvents 1.0 (https://github.com/cloudevents/spec, v1.0.2) with three extension
attributes: `sequence` (that extension's zero-padded form, so that text sorts as numbers do), `boot` and `monotonic`.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from edgekit.errors import EdgekitError

BOOT = "edgekit.boot"
CAMERA_STATE = "edgekit.camera.state"
CAMERA_NOTICE = "edgekit.camera.notice"
ENGINE_STATE = "edgekit.engine.state"
DEGRADE = "edgekit.degrade"
OBSERVATION = "edgekit.observation"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_ID = re.compile(rf"({_NAME.pattern})/({_NAME.pattern})/([1-9][0-9]*)")


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    id: 'device/boot/seq', never given twice. subject: what it is about, a camera's name say; '' for the device as a
    whole. time: wall clock, seconds since 1970, to label it with. monotonic_s: the device's monotonic clock, to compute
    durations with. data: what JSON can hold, NaN not among it.
    """

    id: str
    type: str
    source: str
    subject: str
    time: float
    monotonic_s: float
    data: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(f"an event's id is 'device/boot/seq' with seq from 1; got '{self.id}'")
        if not self.type or not self.source:
            raise ValueError(f"an event needs a type and a source; got '{self.type}' and '{self.source}'")
        if not math.isfinite(self.time) or not math.isfinite(self.monotonic_s):
            raise ValueError(f"an event's times must be finite; got {self.time} and {self.monotonic_s}")

    @property
    def boot(self) -> str:
        return self.id.split("/")[1]

    @property
    def sequence(self) -> int:
        """Counts from 1 within a boot: a consumer that misses one knows that an event was dropped."""
        return int(self.id.split("/")[2])

    def to_json(self) -> str:
        """One line of ASCII, keys always in the same order. `ValueError` where `data` is not JSON."""
        attributes: dict[str, Any] = {"specversion": "1.0", "id": self.id, "source": self.source, "type": self.type}
        if self.subject:  # the specification forbids an empty one
            attributes["subject"] = self.subject
        attributes |= {
            "time": _rfc3339(self.time),
            "datacontenttype": "application/json",
            "boot": self.boot,
            "sequence": f"{self.sequence:010d}",
            "monotonic": f"{self.monotonic_s:.6f}",  # text: CloudEvents' only number is an integer of 32 bits
            "data": dict(self.data),
        }
        try:
            return json.dumps(attributes, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"event '{self.id}' holds what JSON cannot: {error}") from error

    @classmethod
    def from_json(cls, text: str | bytes) -> Event:
        """The event as `to_json` wrote it. `EdgekitError` says what is missing or wrong in anything else."""
        try:
            found = json.loads(text)
            if found["specversion"] != "1.0":
                raise ValueError(f"specversion '{found['specversion']}', this reads 1.0")
            return cls(
                id=found["id"],
                type=found["type"],
                source=found["source"],
                subject=found.get("subject", ""),
                time=_seconds(found["time"]),
                monotonic_s=float(found["monotonic"]),
                data=dict(found["data"]),
            )
        except KeyError as error:
            raise EdgekitError(f"not an edgekit event: {error} is missing") from error
        except (AttributeError, TypeError, ValueError) as error:
            raise EdgekitError(f"not an edgekit event: {error}") from error


class Author:
    """Writes the events of one device between one start of the program and the next.

        author = Author("cart-17")
        author.event(CAMERA_STATE, "front", {"state": "LOST", "reason": "refused"})   # id 'cart-17/9f0c…/1'

    boot: names this start; random, so that no id is given twice even by a device that lost its disk or its clock.
    clock, wall: monotonic and wall time in seconds. Any thread may call `event`.
    """

    def __init__(
        self,
        device: str,
        boot: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.device = device
        self.boot = secrets.token_hex(6) if boot is None else boot
        for what, name in (("device", self.device), ("boot", self.boot)):
            if not _NAME.fullmatch(name):
                raise ValueError(f"a {what}'s name is of letters, digits and '.', '_', '-'; got '{name}'")
        self._clock = clock
        self._wall = wall
        self._sequence = itertools.count(1)  # its next() is atomic

    def event(self, type: str, subject: str, data: Mapping[str, Any]) -> Event:  # noqa: A002 - CloudEvents' own word
        """The next event, labelled with both clocks as they stand now."""
        return Event(
            id=f"{self.device}/{self.boot}/{next(self._sequence)}",
            type=type,
            source=f"edgekit/{self.device}",
            subject=subject,
            time=round(self._wall(), 3),  # as much as the JSON holds, so that an event equals itself read back
            monotonic_s=round(self._clock(), 6),
            data=data,
        )


def _rfc3339(seconds: float) -> str:
    moment = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))  # Python 3.10 reads no 'Z'
    if moment.tzinfo is None:
        raise ValueError(f"time '{text}' has no zone")
    return (moment - _EPOCH).total_seconds()
