"""Brings what waits in the outbox to a sink, and notes down what has arrived."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from edgekit.backoff import Backoff
from edgekit.outbox import Row
from edgekit.sinks import Sink, SinkDown

log = logging.getLogger(__name__)

_LONGEST_S = 3600.0  # between two times that an event is handed over, or `ack_timeout_s` if that is longer


class Waiting(Protocol):
    """What a relay needs of an outbox."""

    def pending(self, sink: str, limit: int = ...) -> list[Row]: ...

    def acked(self, sink: str, seqs: Sequence[int]) -> None: ...

    def refused(self, sink: str, seqs: Sequence[int]) -> None: ...

    def depth(self, sink: str | None = ...) -> int: ...


class _Sent(NamedTuple):
    """When an event was handed over last, and how long its arrival is waited for."""

    at: float
    wait_s: float


class Relay:
    """The way of one sink's events, in steps that wait for nothing, so that a test's clock can drive it as well.

        relay = Relay(outbox, MqttSettings("broker").open("cart-17"), time.monotonic, Backoff(0.5, 30, random.Random()))
        wait_s = relay.step()

    An event leaves the outbox when the sink says that it has arrived, or that it will never take it. Until then it is
    on its way; after `ack_timeout_s` it is handed over again, and while none arrives, after twice as long each time, up
    to an hour: what nobody acknowledges must not pile up at a broker. So each arrives at least once, the oldest first.
    While the sink is down it is tried again by `backoff`, and at once when it says that it is up again.

    window: how many may be on their way at a time. stepped_at, progress_at: readings of `clock` at the last step and at
    the last step in which an event arrived or none waited. resent: events handed over again.
    """

    def __init__(
        self,
        outbox: Waiting,
        sink: Sink,
        clock: Callable[[], float],
        backoff: Backoff,
        *,
        window: int = 100,
        ack_timeout_s: float = 30.0,
        poll_s: float = 0.05,
    ) -> None:
        if window < 1 or ack_timeout_s <= 0 or poll_s <= 0:
            raise ValueError(f"need window >= 1, times above 0; got {window}, {ack_timeout_s}, {poll_s}")
        self.sink = sink
        self.resent = 0
        self.acked = self.refused = 0
        self.stepped_at = self.progress_at = clock()
        self._outbox = outbox
        self._clock = clock
        self._backoff = backoff
        self._window = window
        self._ack_timeout_s = ack_timeout_s
        self._poll_s = poll_s
        self._sent: dict[int, _Sent] = {}
        self._retry_at = float("-inf")
        self._was_up = sink.up

    @property
    def waiting(self) -> int:
        """Events that have not arrived."""
        return self._outbox.depth(self.sink.name)

    def status(self) -> dict[str, Any]:
        """What a page shows of the sink."""
        return {
            "up": self.sink.up and not self.sink.reason,
            "reason": self.sink.reason,
            "waiting": self.waiting,
            "acked": self.acked,
            "resent": self.resent,
            "refused": self.refused,
        }

    def step(self, now: float | None = None) -> float | None:
        """Note down what arrived, hand over what waits; seconds until the next step is due, None where nothing waits.

        It never raises for what a sink or a disk does.
        """
        now = self._clock() if now is None else now
        self.stepped_at = now
        done = self._note_done(now)
        if self._is_to_wait(now):
            return min(self._poll_s, self._retry_at - now)
        rows = self._outbox.pending(self.sink.name, self._window)
        # Forgets rows that arrived, and those that the outbox dropped.
        self._sent = {row.seq: self._sent[row.seq] for row in rows if row.seq in self._sent}
        if not rows:
            self.progress_at = now
            return None
        self._hand_over(rows, now)
        return 0.0 if done and self._retry_at <= now else self._poll_s

    def _note_done(self, now: float) -> bool:
        arrived, refused = self.sink.acked(), self.sink.refused()
        if arrived:
            self._outbox.acked(self.sink.name, arrived)
        if refused:
            self._outbox.refused(self.sink.name, refused)
        if not arrived and not refused:
            return False
        for seq in (*arrived, *refused):
            self._sent.pop(seq, None)
        self.acked += len(arrived)
        self.refused += len(refused)
        self.progress_at = now
        self._backoff.reset()
        self._be_patient_no_more()
        return True

    def _be_patient_no_more(self) -> None:
        """It gets on: what was sent longer ago than `ack_timeout_s` is handed over again."""
        self._sent = {seq: sent._replace(wait_s=self._ack_timeout_s) for seq, sent in self._sent.items()}

    def _is_to_wait(self, now: float) -> bool:
        came_up = self.sink.up and not self._was_up
        self._was_up = self.sink.up
        if came_up:
            self._be_patient_no_more()
        return now < self._retry_at and not came_up

    def _hand_over(self, rows: Sequence[Row], now: float) -> None:
        try:
            for row in rows:
                before = self._sent.get(row.seq)
                if before is None:
                    self.sink.send(row)
                    self._sent[row.seq] = _Sent(now, self._ack_timeout_s)
                elif now - before.at >= before.wait_s:
                    self.sink.send(row)
                    self.resent += 1
                    self._sent[row.seq] = _Sent(now, max(self._ack_timeout_s, min(2 * before.wait_s, _LONGEST_S)))
        except SinkDown as error:
            wait_s = max(self._backoff.next(), error.retry_after_s or 0.0)
            self._retry_at = now + wait_s
            self._was_up = self.sink.up
            log.debug("%s: %s; tried again in %.1f s", self.sink.name, error, wait_s)


def run_relays(relays: Sequence[Relay], stop: threading.Event, idle_s: float = 0.1) -> None:
    """Step the relays, each when it is due, until `stop` is set: the body of a thread.

    idle_s: how long a new event waits, at most, before it is seen.
    """
    while not stop.is_set():
        due = [wait_s for relay in relays if (wait_s := relay.step()) is not None]
        stop.wait(min([idle_s, *due]))
