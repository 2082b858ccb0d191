"""Whether a sink is up, and why not: each change is logged once, however often the sink tries in between."""

from __future__ import annotations

import logging
import threading


class Health:
    """Starts down, as 'not connected yet'. Any thread may set it."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        self.reason = "not connected yet"
        self._name = name
        self._log = log
        self._lock = threading.Lock()

    @property
    def up(self) -> bool:
        return not self.reason

    def is_up(self) -> None:
        with self._lock:
            if self.reason:
                self._log.info("%s: takes events", self._name)
            self.reason = ""

    def is_down(self, reason: str) -> None:
        """reason: not empty, without a secret."""
        with self._lock:
            if self.reason != reason:
                self._log.warning("%s: %s; events wait in the outbox", self._name, reason)
            self.reason = reason
