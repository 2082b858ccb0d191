"""A function of one's own as a sink: what it takes, and what becomes of what it cannot take."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from edgekit.events import Event
from edgekit.sinks import Refused, Row, SinkDown
from edgekit.sinks.callback import CallbackSink

Rows = Callable[[int], list[Row]]
Wait = Callable[[Callable[[], object]], None]


@contextmanager
def sink_of(function: Callable[[Event], object], **settings: float) -> Iterator[CallbackSink]:
    sink = CallbackSink(function, retry_s=0.01, retry_cap_s=0.02, **settings)  # type: ignore[arg-type]
    try:
        yield sink
    finally:
        sink.close()


def send(sink: CallbackSink, rows: Sequence[Row]) -> None:
    for row in rows:
        sink.send(row)


def test_the_function_gets_events_in_order_and_they_have_arrived_when_it_returns(rows: Rows, until: Wait) -> None:
    seen: list[Event] = []
    arrived: list[int] = []
    with sink_of(seen.append) as sink:
        sent = rows(10)
        send(sink, sent)
        until(lambda: arrived.extend(sink.acked()) or len(arrived) == 10)
    assert [event.id for event in seen] == [row.id for row in sent]
    assert arrived == [row.seq for row in sent]


def test_a_function_that_takes_its_time_holds_up_nobody(rows: Rows, until: Wait) -> None:
    free = threading.Event()
    with sink_of(lambda event: free.wait()) as sink:
        send(sink, rows(5))
        assert sink.acked() == []
        free.set()
        arrived: list[int] = []
        until(lambda: arrived.extend(sink.acked()) or len(arrived) == 5)


def test_a_function_that_fails_is_called_again_and_then_the_event_is_passed_over(
    rows: Rows, until: Wait, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = rows(2)
    called: list[str] = []

    def picky(event: Event) -> None:
        called.append(event.id)
        if event.id == first.id:
            raise KeyError("shelf")

    arrived: list[int] = []
    with sink_of(picky, tries=3) as sink:
        send(sink, [first, second])
        until(lambda: arrived.extend(sink.acked()) or arrived == [second.seq])
        assert (sink.refused(), sink.up) == ([first.seq], True)
    assert called == [first.id] * 3 + [second.id]
    assert f"event {first.id} is passed over, it was refused: the function raised KeyError 3 times" in caplog.text


def test_a_function_may_say_that_its_place_is_away_for_as_long_as_it_likes(rows: Rows, until: Wait) -> None:
    called = []

    def away(event: Event) -> None:
        called.append(event.id)
        if len(called) < 8:
            raise SinkDown("the till is off")

    arrived: list[int] = []
    with sink_of(away, tries=2) as sink:
        send(sink, rows(1))
        until(lambda: sink.reason == "the till is off" or len(called) >= 8)
        until(lambda: arrived.extend(sink.acked()) or len(arrived) == 1)
        assert sink.refused() == []
    assert len(called) == 8


def test_a_function_may_refuse(rows: Rows, until: Wait) -> None:
    def never(event: Event) -> None:
        raise Refused("no such shelf")

    refused: list[int] = []
    with sink_of(never) as sink:
        send(sink, rows(2))
        until(lambda: refused.extend(sink.refused()) or len(refused) == 2)
        assert sink.acked() == []


def test_a_function_that_calls_sys_exit_has_failed_like_any_other(rows: Rows, until: Wait) -> None:
    called: list[str] = []

    def leave(event: Event) -> None:
        called.append(event.id)
        if len(called) == 1:
            sys.exit()

    arrived: list[int] = []
    with sink_of(leave) as sink:
        [row] = rows(1)
        sink.send(row)
        until(lambda: arrived.extend(sink.acked()) or arrived == [row.seq])
    assert called == [row.id] * 2


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_said_and_started_anew_with_what_it_held(rows: Rows, until: Wait) -> None:
    class Odd(BaseException):
        """What nobody expects."""

    called: list[str] = []

    def oddly(event: Event) -> None:
        called.append(event.id)
        if len(called) == 1:
            raise Odd

    arrived: list[int] = []
    with sink_of(oddly) as sink:
        first, second = rows(2)
        sink.send(first)
        until(lambda: called and not sink._thread.is_alive())
        with pytest.raises(SinkDown, match="its thread has ended"):
            sink.send(second)
        until(lambda: arrived.extend(sink.acked()) or arrived == [first.seq])
        assert sink.up
        sink.send(second)
        until(lambda: arrived.extend(sink.acked()) or arrived == [first.seq, second.seq])
