"""Where events go. A sink takes the outbox's rows one by one and tells, sooner or later, which of them have arrived.

Whoever writes one keeps to `Sink`; `edgekit.relay` does the rest: what waits, what is sent again, when to try anew.
Every sink here delivers at least once, in order as long as nothing fails. A consumer tells a repeated event by its id.
"""

from __future__ import annotations

from typing import Protocol

from edgekit.errors import EdgekitError
from edgekit.outbox import Row

__all__ = ["Refused", "Row", "Sink", "SinkDown"]


class SinkDown(EdgekitError):
    """The sink takes nothing for now. The reason holds no secret. retry_after_s: when it asked to be tried again."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Refused(EdgekitError):
    """The sink is there and will never take this event: sending it again would hold up all others for ever."""


class Sink(Protocol):
    """One place that events go to. All but `up` and `reason` is called by one thread, the relay's; nothing waits for a
    network.

    name: what the outbox knows it by. up: whether events can be handed over, as far as it knows. reason: why not, or
    why none of those that were handed over will arrive, in words that hold no secret; '' while all is well.
    """

    name: str

    @property
    def up(self) -> bool: ...

    @property
    def reason(self) -> str: ...

    def send(self, row: Row) -> None:
        """Hand an event over. A row that is still on its way may be given again. `SinkDown` where it takes none."""

    def acked(self) -> list[int]:
        """The `seq` of the rows that arrived since the last call."""

    def refused(self) -> list[int]:
        """The `seq` of the rows since the last call that never will be taken; the outbox is done with them too."""

    def close(self) -> None:
        """Give connections and threads back; may be called twice. What has not arrived stays in the outbox."""
