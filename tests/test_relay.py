"""What a relay does, moment by moment, on a clock that the test turns."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgekit.backoff import Backoff
from edgekit.events import OBSERVATION, Author
from edgekit.outbox import Outbox
from edgekit.relay import Relay, run_relays
from edgekit.sinks import Row, SinkDown


@dataclass
class Desk:
    """A sink that lies open: what was handed over is in `got`, and arrives when the test says so."""

    name: str = "desk"
    reason: str = ""
    got: list[int] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    passed_over: list[int] = field(default_factory=list)
    tried: int = 0

    @property
    def up(self) -> bool:
        return not self.reason

    def send(self, row: Row) -> None:
        self.tried += 1
        if self.reason:
            raise SinkDown(self.reason)
        self.got.append(row.seq)

    def acked(self) -> list[int]:
        arrived, self.arrived = self.arrived, []
        return arrived

    def refused(self) -> list[int]:
        passed_over, self.passed_over = self.passed_over, []
        return passed_over

    def close(self) -> None:
        pass


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    with Outbox(tmp_path / "outbox.db", ["desk"]) as outbox:
        yield outbox


def fill(outbox: Outbox, count: int) -> list[int]:
    author = Author("cart-17")
    assert outbox.put(*(author.event(OBSERVATION, "front", {"n": n}) for n in range(count)))
    return [row.seq for row in outbox.pending("desk", 10_000)]


def relay_of(outbox: Outbox, desk: Desk, **settings: float) -> Relay:
    # Without jitter, so that the moments are known.
    backoff = Backoff(1.0, 4.0, random.Random(0), jitter=0.0)
    return Relay(outbox, desk, lambda: 0.0, backoff, **settings)  # type: ignore[arg-type]


def test_an_event_that_is_refused_leaves_the_outbox_and_is_counted_apart(outbox: Outbox) -> None:
    desk, seqs = Desk(), fill(outbox, 3)
    relay = relay_of(outbox, desk)
    relay.step(0.0)
    desk.arrived, desk.passed_over = seqs[:2], seqs[2:]
    relay.step(1.0)
    assert outbox.depth() == 0
    assert (relay.acked, relay.refused) == (2, 1)
    assert (relay.status()["acked"], relay.status()["refused"]) == (2, 1)
    assert (outbox.counts["acked"], outbox.counts["refused"]) == ({"desk": 2}, {"desk": 1})


def test_events_leave_the_outbox_when_they_have_arrived_and_not_before(outbox: Outbox) -> None:
    desk, seqs = Desk(), fill(outbox, 3)
    relay = relay_of(outbox, desk)
    relay.step(0.0)
    assert desk.got == seqs
    assert relay.waiting == 3
    desk.arrived = [seqs[0], seqs[2]]
    relay.step(0.1)
    assert [row.seq for row in outbox.pending("desk")] == [seqs[1]]
    assert (relay.acked, relay.progress_at) == (2, 0.1)


def test_no_more_than_the_window_is_on_its_way_and_order_is_kept(outbox: Outbox) -> None:
    desk, seqs = Desk(), fill(outbox, 7)
    relay = relay_of(outbox, desk, window=3)
    for now in range(20):
        relay.step(now)
        assert len(desk.got) - relay.acked <= 3
        desk.arrived = desk.got[relay.acked :][:2]
    assert desk.got == seqs
    assert relay.waiting == 0


def test_what_is_not_acknowledged_in_time_is_handed_over_again_and_only_that(outbox: Outbox) -> None:
    desk, seqs = Desk(), fill(outbox, 3)
    relay = relay_of(outbox, desk, ack_timeout_s=10)
    relay.step(0.0)
    desk.arrived = [seqs[1]]
    relay.step(9.9)
    assert desk.got == seqs
    relay.step(10.0)
    assert desk.got == [*seqs, seqs[0], seqs[2]]
    assert relay.resent == 2
    relay.step(19.9)
    assert len(desk.got) == 5


def test_what_nobody_acknowledges_is_handed_over_ever_more_rarely_up_to_once_an_hour(outbox: Outbox) -> None:
    desk = Desk()
    [seq, late] = fill(outbox, 2)
    relay = relay_of(outbox, desk, ack_timeout_s=30, window=1)
    handed_over_at = []
    for now in range(0, 24 * 3600, 10):
        before = len(desk.got)
        relay.step(float(now))
        handed_over_at += [now] * (len(desk.got) - before)
    assert handed_over_at[:5] == [0, 30, 90, 210, 450]
    assert len(handed_over_at) < 40
    desk.arrived = [seq]
    relay.step(24 * 3600.0)
    assert desk.got[-1] == late


def test_once_something_arrives_or_the_sink_comes_back_the_wait_is_short_again(outbox: Outbox) -> None:
    desk, seqs = Desk(), fill(outbox, 2)
    relay = relay_of(outbox, desk, ack_timeout_s=10)
    for now in (0.0, 10.0, 30.0):  # the next would be at 70
        relay.step(now)
    assert desk.got == seqs * 3
    desk.arrived = [seqs[0]]
    relay.step(41.0)
    assert desk.got == [*seqs * 3, seqs[1]]
    relay.step(61.0)
    relay.step(62.0)
    assert desk.got[6:] == [seqs[1]] * 2
    desk.reason = "gone"
    relay.step(63.0)
    desk.reason = ""
    relay.step(72.0)
    assert desk.got[6:] == [seqs[1]] * 3


def test_a_sink_that_takes_events_of_which_none_will_arrive_is_not_shown_as_up(outbox: Outbox) -> None:
    class Forbidden(Desk):
        up = True

        def send(self, row: Row) -> None:
            self.got.append(row.seq)

    desk, [seq] = Forbidden(reason="forbidden"), fill(outbox, 1)
    relay = relay_of(outbox, desk)
    relay.step(0.0)
    assert desk.got == [seq]
    assert (relay.status()["up"], relay.status()["reason"]) == (False, "forbidden")


def test_a_sink_that_is_down_is_tried_at_growing_intervals_up_to_the_cap(outbox: Outbox) -> None:
    desk = Desk(reason="nobody there")
    fill(outbox, 2)
    relay = relay_of(outbox, desk)
    tried_at = []
    for now in range(20):
        before = desk.tried
        relay.step(float(now))
        if desk.tried > before:
            tried_at.append(now)
    assert tried_at == [0, 1, 3, 7, 11, 15, 19]
    assert relay.waiting == 2


def test_a_sink_that_comes_up_is_used_at_once(outbox: Outbox) -> None:
    desk, seqs = Desk(reason="nobody there"), fill(outbox, 2)
    relay = relay_of(outbox, desk)
    for now in (0.0, 1.0, 3.0):
        relay.step(now)
    desk.reason = ""
    relay.step(3.1)
    assert desk.got == seqs


def test_a_sink_that_is_up_and_takes_no_more_is_left_alone_for_a_while(outbox: Outbox) -> None:
    class Full(Desk):
        def send(self, row: Row) -> None:
            self.tried += 1
            raise SinkDown("full")

    desk = Full()
    fill(outbox, 2)
    relay = relay_of(outbox, desk)
    for now in (0.0, 0.2, 0.4, 0.6, 0.8):
        relay.step(now)
    assert desk.tried == 1


def test_a_sink_that_asks_for_a_later_time_gets_it(outbox: Outbox) -> None:
    class Busy(Desk):
        def send(self, row: Row) -> None:
            self.tried += 1
            raise SinkDown("busy", retry_after_s=60.0)

    desk = Busy()
    fill(outbox, 1)
    relay = relay_of(outbox, desk)
    for now in range(60):
        relay.step(float(now))
    assert desk.tried == 1
    relay.step(60.0)
    assert desk.tried == 2


def test_acknowledgements_are_noted_while_the_sink_is_down(outbox: Outbox) -> None:
    desk, seqs = Desk(), fill(outbox, 2)
    relay = relay_of(outbox, desk, window=1)
    relay.step(0.0)
    desk.reason, desk.arrived = "gone", [seqs[0]]
    relay.step(0.1)
    assert [row.seq for row in outbox.pending("desk")] == seqs[1:]
    desk.arrived = [seqs[1]]
    relay.step(0.2)
    assert relay.waiting == 0


def test_the_time_to_the_next_step_says_how_urgent_it_is(outbox: Outbox) -> None:
    desk = Desk()
    relay = relay_of(outbox, desk, window=2, poll_s=0.05)
    assert relay.step(0.0) is None  # nothing waits
    seqs = fill(outbox, 3)
    assert relay.step(1.0) == 0.05  # an answer is awaited
    desk.arrived = seqs[:2]
    assert relay.step(1.1) == 0.0  # it goes well, there is more
    desk.arrived = seqs[2:]
    assert relay.step(1.2) is None


def test_what_was_on_its_way_when_the_program_ended_is_handed_over_by_the_next(outbox: Outbox) -> None:
    seqs = fill(outbox, 2)
    relay_of(outbox, Desk()).step(0.0)
    desk = Desk()
    relay_of(outbox, desk).step(0.0)
    assert desk.got == seqs


def test_one_relay_that_is_down_does_not_hold_up_another(tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox.db", ["desk", "shelf"]) as outbox:
        fill(outbox, 5)
        away, there = Desk(reason="nobody there"), Desk(name="shelf")
        relays = [relay_of(outbox, away), relay_of(outbox, there)]
        stop = threading.Event()
        thread = threading.Thread(target=run_relays, args=(relays, stop))
        thread.start()
        try:
            for _ in range(200):
                if len(there.got) == 5:
                    break
                stop.wait(0.01)
        finally:
            stop.set()
            thread.join()
        assert len(there.got) == 5
        assert relays[0].status() == {
            "up": False,
            "reason": "nobody there",
            "waiting": 5,
            "acked": 0,
            "resent": 0,
            "refused": 0,
        }


@pytest.mark.parametrize("wrong", [{"window": 0}, {"ack_timeout_s": 0}, {"poll_s": 0}])
def test_settings_that_make_no_sense_are_refused(outbox: Outbox, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="window >= 1"):
        relay_of(outbox, Desk(), **wrong)
