"""Events for a Python function of one's own."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence

from edgekit.backoff import Backoff
from edgekit.events import Event
from edgekit.sinks import Refused, Row, SinkDown
from edgekit.sinks.courier import Courier

log = logging.getLogger(__name__)


class CallbackSink(Courier):
    """Calls `function(event)` in a thread of its own, one event after another; when it returns, the event has arrived.

        with Outbox("outbox.db", ["callback"]) as outbox:
            relay = Relay(outbox, CallbackSink(basket.add), ...)

    Where it raises, the event is tried again `tries` times in all with growing waits, then counted in `refused`, logged
    and passed over, so that one event that the function cannot take does not hold up all others. It may itself raise
    `SinkDown` for a place that is away, which is tried for ever, or `Refused`, to be asked no second time.
    """

    def __init__(
        self,
        function: Callable[[Event], object],
        name: str = "callback",
        tries: int = 5,
        retry_s: float = 0.5,
        retry_cap_s: float = 30.0,
    ) -> None:
        if tries < 1:
            raise ValueError(f"tries is at least 1; got {tries}")
        self._function = function
        self._tries = tries
        self._failed = 0
        super().__init__(name, self._call, Backoff(retry_s, retry_cap_s, random.Random()), log)

    def _call(self, rows: Sequence[Row]) -> None:
        try:
            self._function(Event.from_json(rows[0].json))
        except (SinkDown, Refused):
            raise
        except (Exception, SystemExit) as error:  # a function that calls sys.exit ends no device
            self._failed += 1
            log.exception("%s: failed on event %s, for the %d. time", self.name, rows[0].id, self._failed)
            if self._failed < self._tries:
                raise SinkDown(f"the function raised {type(error).__name__}") from error
            self._failed = 0
            raise Refused(f"the function raised {type(error).__name__} {self._tries} times") from error
        self._failed = 0
