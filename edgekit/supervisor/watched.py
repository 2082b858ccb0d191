"""One camera that is kept going: its capture child is started, heard, and ended when it hangs.

What it may be believed is `camera.CameraHealth`'s to say.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from edgekit.backoff import Backoff
from edgekit.supervisor.camera import CameraHealth, Change, Facts
from edgekit.supervisor.children import Child, Message
from edgekit.supervisor.pace import Pace, Turns
from edgekit.supervisor.settings import CameraSettings

_LONGEST_DEATH_S = 10.0  # between the deaths of its process: starting one costs, and dying of each frame helps nobody
# A refused connection costs nothing, an unwatched shelf does: even after a night, a camera is tried every second.
_FIRST_S, _LONGEST_S = 0.2, 1.0


class WatchedCamera:
    """Drive it with `step`. start: gives a new capture child. turns: notes the frames that were due and overtaken.

    health: whether it is believed. newest: the last frame that may be looked at and was not. dropped: frames that were
    worth a look and had none, by reason. opens: how often it was told to open.
    """

    def __init__(
        self,
        settings: CameraSettings,
        start: Callable[[CameraSettings], Child],
        random: random.Random,
        turns: Turns,
        now: float,
    ) -> None:
        self.settings = settings
        self.health = CameraHealth(settings.health, now)
        self.pace = Pace(settings.fps)
        self.newest: Facts | None = None
        self.opens = 0
        self.looked = 0
        self.looked_at = float("-inf")
        self.age_ms: float | None = None
        self.dropped: Counter[str] = Counter()
        self._start = start
        self._turns = turns
        self._child: Child | None = None
        self._dying: Child | None = None
        self._backoff = Backoff(_FIRST_S, _LONGEST_S, random)
        self._deaths = Backoff(_FIRST_S, _LONGEST_DEATH_S, random)
        self._started_at = self._retry_at = now
        self._waited_s = 0.0
        self._opening_since: float | None = None

    def step(self, now: float) -> list[Change]:
        """Hear the child and do what is due; the changes of state that came of it, oldest first."""
        changes = [*self._hear(now), self._watch_over(now)]
        return [change for change in changes if change is not None]

    def take(self, now: float) -> Facts:
        """The newest frame, to be looked at now."""
        facts, self.newest = self.newest, None
        assert facts is not None
        self.pace.took(facts.taken_at)
        self.looked_at = now
        return facts

    @property
    def due(self) -> bool:
        """There is a frame to look at, and it is time for one."""
        return self.newest is not None and self.pace.due(self.newest.taken_at)

    def next_step(self) -> float:
        """When there will be something to do, if the child says nothing until then."""
        if self.health.open:
            return self.health.next_check()
        return self._retry_at if self._opening_since is None else self._opening_since + self._patience_s

    def close(self) -> None:
        """End the child; may be called twice."""
        if self._child is not None:
            self._child.kill()
            self._dying = self._child
        self._child = None
        self._opening_since = None

    @property
    def _patience_s(self) -> float:
        return self.settings.timeout_s + self.settings.health.hung_s

    def _hear(self, now: float) -> list[Change | None]:
        if self._child is None:
            return []
        try:
            changes = [self._heard(message, now) for message in self._child.receive()]
        except (KeyError, TypeError, ValueError):
            return [self._died("its process talks nonsense", now)]
        why = self._child.ended()
        return changes if why is None else [*changes, self._died(why, now)]

    def _heard(self, message: Message, now: float) -> Change | None:
        kind = message.pop("kind")
        if kind == "failed":
            return self._failed(str(message["reason"]), now)
        if kind == "opened":
            self._opening_since = None
            self.health.opened(now, message["fps"])
        elif self._opening_since is None:  # else it is of the connection before this one
            return self._frame(message, now)
        return None

    def _frame(self, facts: dict[str, Any], now: float) -> Change | None:
        frame = Facts(**facts)
        usable, change = self.health.arrived(frame, now)
        if usable:
            if self.newest is not None:
                self.dropped["overtaken"] += 1
                if self.due:
                    self._turns.note(now, missed=True)
            self.newest = frame
            self._backoff.reset()
            if now - self._started_at >= 2 * self._waited_s:
                self._deaths.reset()  # it has lived for longer than it was waited for
        elif self.health.state != "LIVE":
            self.newest = None
        return change

    def _failed(self, reason: str, now: float) -> Change | None:
        """An opening that has waited for long before it failed has waited already: counted from when it began."""
        began_at = now if self._opening_since is None else self._opening_since
        self._opening_since = None
        self.newest = None
        self._retry_at = max(now, began_at + self._backoff.next())
        return self.health.failed(now, reason)

    def _died(self, reason: str, now: float) -> Change | None:
        self.close()
        change = self._failed(reason, now)
        self._waited_s = self._deaths.next()
        self._retry_at = now + self._waited_s
        return change

    def _watch_over(self, now: float) -> Change | None:
        was_open = self.health.open
        change = self.health.tick(now)
        if change is not None:
            self.newest = None
        if self.newest is not None and now - self.newest.taken_at > self.settings.health.stale_s:
            self.newest = None  # nobody had time for it
            self.dropped["stale"] += 1
        if was_open and not self.health.open:
            self.close()  # it hangs, or its source does: a new process finds out which
            self._retry_at = now + self._backoff.next()
        elif self._opening_since is not None and now - self._opening_since >= self._patience_s:
            self.close()
            return self._failed(f"it does not open within {self._patience_s:g} s", now)
        elif not self.health.open and self._opening_since is None and now >= self._retry_at:
            return self._open(now)
        return change

    def _open(self, now: float) -> Change | None:
        """Tell the child to open the camera, a new child where there is none."""
        if self._dying is not None and self._dying.ended() is None:
            return self._failed("its process is stuck and does not die", now)
        self._dying = None
        if self._child is None:
            try:
                self._child, self._started_at = self._start(self.settings), now
            except OSError as error:
                return self._died(f"its process cannot be started: {error.strerror}", now)
        self.opens += 1
        self._opening_since = now
        return None if self._child.send({"kind": "open"}) else self._died("its process does not listen", now)
