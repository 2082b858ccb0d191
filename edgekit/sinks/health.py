"""Whether a sink is up, and why not: each change is logged once, however often the sink tries in between."""

from __future__ import annotations

import logging
import threading


class Health:
    """Starts down, as 'not connected yet', and stays as it is once it is closed. Any thread may set it."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        self.reason = "not connected yet"
        self._name = name
        self._log = log
        self._lock = threading.Lock()
        self._closed = False

    @property
    def up(self) -> bool:
        return not self.reason

    def is_up(self) -> None:
        with self._lock:
            if self._closed:
                return
            if self.reason:
                self._log.info("%s: takes events", self._name)
            self.reason = ""

    def is_down(self, reason: str) -> None:
        """reason: not empty, without a secret."""
        with self._lock:
            if self._closed:
                return
            if self.reason != reason:
                self._log.warning("%s: %s; events wait in the outbox", self._name, reason)
            self.reason = reason

    def close(self) -> None:
        """Down for good, and nothing to log."""
        with self._lock:
            self.reason, self._closed = "closed", True


class Reporting:
    """What `Sink` asks of each of them, as their `_health` has it."""

    _health: Health

    @property
    def up(self) -> bool:
        return self._health.up

    @property
    def reason(self) -> str:
        return self._health.reason
