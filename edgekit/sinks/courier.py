"""Carries rows to a place that can only be asked and waited for, in a thread of its own, so that nobody else waits."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from edgekit.backoff import Backoff
from edgekit.sinks import Refused, Row, SinkDown
from edgekit.sinks.health import Health, Reporting


class Courier(Reporting):
    """A sink around one blocking function: `deliver(rows)` returns when they have arrived.

    It raises `SinkDown` where nothing arrives now: the same rows are tried again, after `backoff` or at the moment that
    the error names, for as long as it takes. It raises `Refused` where an event never will be taken: one of several is
    looked for one by one, then logged and told as refused. Rows keep their order.

    batch: rows in one delivery, at most. queue: rows held; what is held already is not taken twice.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Sequence[Row]], None],
        backoff: Backoff,
        log: logging.Logger,
        batch: int = 1,
        queue: int = 256,
    ) -> None:
        self.name = name
        self._deliver = deliver
        self._backoff = backoff
        self._log = log
        self._batch = batch
        self._queue = queue
        self._health = Health(name, log)
        self._health.is_up()  # until the first delivery fails
        self._held: dict[int, Row] = {}  # in order: dicts are
        self._arrived: deque[int] = deque()
        self._refused: deque[int] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._thread = self._started()

    def send(self, row: Row) -> None:
        with self._changed:
            if not self._thread.is_alive():
                self._revive()
            if row.seq in self._held:
                return
            if not self.up:
                raise SinkDown(self.reason)
            if len(self._held) >= self._queue:
                raise SinkDown(f"{self._queue} events are on their way already")
            self._held[row.seq] = row
            self._changed.notify()

    def acked(self) -> list[int]:
        return self._take(self._arrived)

    def refused(self) -> list[int]:
        return self._take(self._refused)

    def close(self) -> None:
        """Waits two seconds at most for a delivery that is going on."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=2.0)

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._carry, name=f"courier-{self.name}", daemon=True)
        thread.start()
        return thread

    def _revive(self) -> None:
        """Start the thread anew where it has ended, as it does at what `deliver` should not have raised; its next
        delivery shows whether it is up again."""
        self._health.is_down("its thread has ended")
        if not self._closing.is_set():
            self._thread = self._started()

    def _take(self, told: deque[int]) -> list[int]:
        with self._changed:
            taken = list(told)
            told.clear()
        return taken

    def _carry(self) -> None:
        while rows := self._next():
            self._carry_until_taken(rows)

    def _next(self) -> list[Row]:
        with self._changed:
            self._changed.wait_for(lambda: self._held or self._closing.is_set())
            return [] if self._closing.is_set() else list(self._held.values())[: self._batch]

    def _carry_until_taken(self, rows: Sequence[Row]) -> None:
        while not self._closing.is_set():
            try:
                self._deliver(rows)
            except SinkDown as error:
                self._health.is_down(str(error))
                wait_s = self._backoff.next()
                self._closing.wait(wait_s if error.retry_after_s is None else max(wait_s, error.retry_after_s))
            except Refused as error:
                self._works()
                if len(rows) == 1:
                    self._refuse(rows[0], error)
                else:
                    for row in rows:
                        self._carry_until_taken([row])
                return
            else:
                self._works()
                self._done(rows, self._arrived)
                return

    def _works(self) -> None:
        self._backoff.reset()
        self._health.is_up()

    def _refuse(self, row: Row, error: Refused) -> None:
        self._log.error("%s: event %s is passed over, it was refused: %s", self.name, row.id, error)
        self._done([row], self._refused)

    def _done(self, rows: Sequence[Row], told: deque[int]) -> None:
        with self._changed:
            for row in rows:
                del self._held[row.seq]
                told.append(row.seq)
