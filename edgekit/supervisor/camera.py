"""What may be believed of a camera: LIVE, STALE, FROZEN, DARK or LOST, with the reason, from the facts of its frames.

A state machine without a clock, a process or a picture of its own: facts and the time go in, the state comes out. Only
a frame that is new, bright and in its turn, of a camera that is LIVE, may be looked at.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edgekit.schema import STRICT
from edgekit.supervisor.lasting import lasted, since

State: TypeAlias = Literal["LIVE", "STALE", "FROZEN", "DARK", "LOST"]

_RATE_WINDOW_S = 2.0
_REPLAYED = 32  # frames: an encoder that is stuck may play its last second again and again
_FASTEST_FPS = 90.0  # of a source that does not say how fast it is
_NOTICE_AGAIN_S = 600.0  # one bad cable damages a frame now and then for weeks


@dataclass(frozen=True)
class HealthSettings:
    """When a camera is no longer believed. Seconds, and brightness from 0 to 255.

    stale_s: without a frame for so long it is STALE; lost_s: for so long, LOST; hung_s: for so long its process, which
    should have noticed that by itself, is started anew.
    frozen_s: no picture but those seen before for so long. A sensor's noise makes every picture different, a stuck
    encoder's are equal to the byte; 0 turns it off, for a source that is a drawing. dark_s: darker than `dark` on
    average for so long. back: new frames in a row before it is LIVE again. reopen_s: one that is STALE or FROZEN for
    so long is opened anew.
    """

    __pydantic_config__ = STRICT

    stale_s: float = 1.5
    lost_s: float = 4.0
    hung_s: float = 8.0
    frozen_s: float = 3.0
    dark_s: float = 1.0
    dark: float = 10.0
    back: int = 2
    reopen_s: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.stale_s < self.lost_s < self.hung_s or self.frozen_s < 0 or self.dark_s < 0 or self.back < 1:
            raise ValueError(
                "need 0 < stale_s < lost_s < hung_s, frozen_s and dark_s at least 0, back at least 1; "
                f"got {self.stale_s}, {self.lost_s}, {self.hung_s}, {self.frozen_s}, {self.dark_s}, {self.back}"
            )


@dataclass(frozen=True)
class Facts:
    """One frame as its capture process describes it.

    number: its place in the ring. taken_at: monotonic seconds. digest: of its pixels; equal for equal pictures. mean:
    brightness, 0 to 255. stamp: the camera's own timestamp in seconds, where it has one. arrived, damaged: frames
    since the camera was opened, those that were skipped included, and those that could not be decoded. TypeError where
    one is no number.
    """

    number: int
    taken_at: float
    width: int
    height: int
    digest: int
    mean: float
    stamp: float | None = None
    arrived: int = 0
    damaged: int = 0

    def __post_init__(self) -> None:
        whole = (self.number, self.width, self.height, self.digest, self.arrived, self.damaged)
        other = (self.taken_at, self.mean, 0.0 if self.stamp is None else self.stamp)
        if any(type(each) is not int for each in whole) or any(type(each) not in (int, float) for each in other):
            raise TypeError(f"facts of a frame are numbers; got {self}")


@dataclass(frozen=True)
class Change:
    """A camera went from one state to another, or is LOST for another reason, numbers in it aside. held_s: how long the
    old one lasted."""

    before: State
    after: State
    reason: str
    held_s: float


class CameraHealth:
    """Feed it with `arrived`, `failed` and `tick`; each gives the change that it caused, or None.

    state, reason, since: now. open: whether its source is; when that turns False in a `tick`, the source is to be
    opened anew. notices: odd things that are no reason to stop, counted by kind, such as frames of another size.
    refused: frames that must not be looked at, by reason. fps: frames a second, over the last seconds.
    """

    def __init__(self, settings: HealthSettings, now: float) -> None:
        self.settings = settings
        self.state: State = "LOST"
        self.reason = "not opened yet"
        self.since = now
        self.open = False
        self.size: tuple[int, int] | None = None
        self.frames = 0
        self.notices: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._fastest_fps = _FASTEST_FPS
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=64)
        self._digests: deque[int] = deque(maxlen=_REPLAYED)
        self._noticed_at: dict[str, float] = {}
        self._told: set[str] = set()  # the reasons for being LOST, each of which is told once
        self._new_notices: list[str] = []
        self._forget(now)

    def _forget(self, now: float) -> None:
        """What was true of the last connection says nothing of the next one."""
        self._heard_at = now  # of any frame, good or not
        self._fresh_at = now  # of a frame in its turn
        self._last: Facts | None = None
        self._same_since: float | None = None
        self._dark_since: float | None = None
        self._backwards_since: float | None = None
        self._good = 0
        self._arrivals.clear()
        self._digests.clear()

    @property
    def fps(self) -> float:
        if len(self._arrivals) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._arrivals[0], self._arrivals[-1]
        return max(0.0, (last - first) / (last_at - first_at)) if last_at > first_at else 0.0

    def opened(self, now: float, fps: float | None = None) -> None:
        """The source is open, and says that it gives so many frames a second; it is LIVE when they have shown it."""
        self._forget(now)
        self._fastest_fps = 3 * fps if fps else _FASTEST_FPS
        self.open = True
        if self.state == "LOST":
            self.reason = "open, no frame yet"

    def failed(self, now: float, reason: str) -> Change | None:
        """The source cannot be opened, has ended, or its process has died."""
        self._forget(now)
        self.open = False
        return self._become("LOST", reason, now)

    def arrived(self, facts: Facts, now: float) -> tuple[bool, Change | None]:
        """Whether this frame may be looked at, and the change that it caused."""
        if not self.open:  # it was on its way when the source failed
            self.refused["not open"] += 1
            return False, None
        before, self._last = self._last, facts
        self._heard_at = now
        self.frames += 1
        self._count(before, facts, now)
        fault = self._fault(before, facts, now)
        if fault is not None:
            if fault != "repeated":  # a stream of 30 may hold 15 pictures a second, each of them twice
                self._good = 0
            self.refused[fault] += 1
            return False, None  # the next tick judges: after a stall, what comes in one go is of very different times
        self._fresh_at = now
        self._good += 1
        change = None
        if self.state != "LIVE" and self._good >= self.settings.back:
            change = self._become("LIVE", "", now)
        if self.state != "LIVE":
            self.refused["not LIVE yet"] += 1
        return self.state == "LIVE", change

    def tick(self, now: float) -> Change | None:
        """Nothing came; to be asked often enough for the limits to be seen in time."""
        return self._judge(now)

    def next_check(self) -> float:
        """When `tick` could first find something, if no frame comes until then."""
        if not self.open:
            return float("inf")
        limits = self.settings
        due = {"LOST": limits.hung_s, "STALE": limits.lost_s}.get(self.state, limits.stale_s)
        return self._heard_at + due

    def take_notices(self) -> list[str]:
        """The kinds of notices that began since the last time."""
        taken, self._new_notices = self._new_notices, []
        return taken

    def _fault(self, before: Facts | None, facts: Facts, now: float) -> str | None:
        """Why this frame must not be looked at. Also keeps since when each fault has lasted."""
        dark = facts.mean < self.settings.dark
        same = facts.digest in self._digests and self.settings.frozen_s > 0
        self._digests.append(facts.digest)
        backwards = (
            before is not None
            and facts.stamp is not None
            and before.stamp is not None
            and facts.stamp < before.stamp
            and not same
        )
        old = now - facts.taken_at > self.settings.stale_s
        self._dark_since = since(self._dark_since, now, dark)
        self._same_since = since(self._same_since, now, same)
        if backwards:
            self._notice("timestamps run backwards", now)
        self._backwards_since = since(self._backwards_since, now, backwards)
        if dark:
            return "dark"
        if same:
            return "repeated"
        if backwards:
            return "backwards"
        return "stale" if old else None

    def _judge(self, now: float) -> Change | None:
        limits = self.settings
        silent_s = now - self._heard_at
        if not self.open:
            return None
        if silent_s >= limits.hung_s:
            reason = f"no frame for {limits.hung_s:g} s"
            self._told.add(_kind_of(reason))  # it is LOST already, and nobody need be told again
            return self.failed(now, reason)
        if silent_s >= limits.lost_s:
            return self._become("LOST", f"no frame for {limits.lost_s:g} s", now)
        if self.state in ("STALE", "FROZEN") and now - self.since >= limits.reopen_s:
            return self.failed(now, f"opened anew after {limits.reopen_s:g} s of {self.state}: {self.reason}")
        if self._last is None:
            return None  # as long as nothing came, nothing is better than lost
        if silent_s >= limits.stale_s:
            return self._become("STALE", f"no frame for {limits.stale_s:g} s", now)
        if lasted(self._dark_since, now, limits.dark_s):
            return self._become("DARK", f"darker than {limits.dark:g} of 255", now)
        if lasted(self._same_since, now, limits.frozen_s):
            return self._become("FROZEN", f"no new picture for {limits.frozen_s:g} s", now)
        if lasted(self._backwards_since, now, limits.stale_s):
            return self._become("STALE", "its timestamps run backwards", now)
        if self._last is not None and now - self._fresh_at >= limits.lost_s:
            return self._become("STALE", f"no frame worth a look for {limits.lost_s:g} s", now)
        return None

    def _become(self, state: State, reason: str, now: float) -> Change | None:
        kind = _kind_of(reason)
        if state == self.state and (state != "LOST" or kind in self._told):
            self.reason = reason
            return None
        self._told = {*self._told, kind} if state == self.state == "LOST" else {kind}
        change = Change(self.state, state, reason, now - self.since)
        self.state, self.reason, self.since = state, reason, now
        self._good = 0
        return change

    def _count(self, before: Facts | None, facts: Facts, now: float) -> None:
        size = facts.width, facts.height
        if self.size is not None and size != self.size:
            self._notice("size changed", now)
        self.size = size
        if before is not None and facts.damaged > before.damaged:
            self._notice("damaged frames", now)
        self._arrivals.append((now, facts.arrived))
        while len(self._arrivals) > 2 and now - self._arrivals[0][0] > _RATE_WINDOW_S:
            self._arrivals.popleft()
        long_enough = now - self._arrivals[0][0] > _RATE_WINDOW_S / 2
        if long_enough and self.fps > self._fastest_fps:
            self._notice("too fast", now)

    def _notice(self, kind: str, now: float) -> None:
        """Counted each time, told once for as long as it lasts: anew where it was not so for `_NOTICE_AGAIN_S`."""
        last_at = self._noticed_at.get(kind, float("-inf"))
        self._noticed_at[kind] = now
        self.notices[kind] += 1
        if now - last_at >= _NOTICE_AGAIN_S:
            self._new_notices.append(kind)


def _kind_of(reason: str) -> str:
    """A reason that differs in its numbers alone is no new one."""
    return re.sub(r"\d+", "#", reason)
