"""The web child, kept going: told the status and the events, and asked which cameras somebody is looking at."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgekit.backoff import Backoff
from edgekit.events import Event
from edgekit.supervisor.children import Process
from edgekit.supervisor.status import shown

log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 1.0, 60.0


class Page:
    """Drive it with `step`. start: gives a new child that has its orders. url: where it serves, once it does.

    A page that cannot be served, its port taken say, is tried again for ever and disturbs nothing else.
    """

    def __init__(self, start: Callable[[], Process], now: float) -> None:
        self.watching: tuple[str, ...] = ()
        self.url = ""
        self._start = start
        self._child: Process | None = None
        self._backoff = Backoff(_FIRST_S, _LONGEST_S, random.Random())
        self._restart_at = now
        self._new = False

    def step(self, now: float) -> bool:
        """Hear the child, start it where there is none; whether other cameras are watched than before."""
        if self._child is None:
            if now >= self._restart_at:
                self._begin(now)
            return False
        before = self.watching
        try:
            for message in self._child.receive():
                self._heard(message)
            why = self._child.ended()
        except (KeyError, TypeError, ValueError):
            why = "its process talks nonsense"
        if why is not None:
            self._ended(why, now)
        return self.watching != before

    def tell(self, status: Mapping[str, Any], events: Iterable[Event], recent: Iterable[Event]) -> None:
        """Show this. events: those since the last time; recent: those that a new child is shown instead."""
        if self._child is None:
            return
        self._child.send({"kind": "status", "status": status})
        for event in recent if self._new else events:
            self._child.send({"kind": "events", "events": [shown(event)]})
        self._new = False

    def close(self) -> None:
        """End the child; may be called twice."""
        if self._child is not None:
            self._child.kill()
        self._child = None
        self.watching = ()

    def _begin(self, now: float) -> None:
        try:
            self._child, self._new = self._start(), True
        except OSError as error:
            self._ended(f"its process cannot be started: {error.strerror}", now)

    def _heard(self, message: Mapping[str, Any]) -> None:
        if message["kind"] == "watching":
            self.watching = tuple(message["cameras"])
        elif message["kind"] == "listening":
            self.url = str(message["address"])
            self._backoff.reset()
            log.info("the page is at %s", self.url)
        elif message["kind"] == "failed":
            log.error("the page cannot be served: %s", message["reason"])

    def _ended(self, why: str, now: float) -> None:
        self.close()
        self.url = ""
        wait_s = self._backoff.next()
        self._restart_at = now + wait_s
        log.error("the page: %s; it is served again in %.0f s", why, wait_s)
