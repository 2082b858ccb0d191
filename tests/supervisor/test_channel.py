"""Small messages between the supervisor and its children: whole or not at all, and never a reason to wait."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.supervisor.channel import Channel, Gone


@pytest.fixture
def ends():
    ours, socket_of_theirs = Channel.pair()
    theirs = Channel(socket_of_theirs)
    yield ours, theirs
    ours.close()
    theirs.close()


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=10))
def test_what_is_sent_is_what_arrives_in_the_same_order(messages):
    ours, theirs = Channel.pair()
    other = Channel(theirs)
    try:
        assert all(ours.send(message) for message in messages)
        assert [other.receive() for _ in messages] == messages
        assert other.receive() is None
    finally:
        ours.close()
        other.close()


def test_a_message_longer_than_a_packet_arrives_whole(ends):
    ours, theirs = ends
    long = {"detections": ["ü" * 100] * 600}
    threading.Thread(target=lambda: theirs.send(long, wait=True)).start()

    assert ours.receive(5.0) == long


def test_half_a_long_message_is_no_message_yet(ends):
    ours, theirs = ends
    half = socket.socket(fileno=os.dup(theirs.fileno()))
    half.send(b'+{"kind":')
    assert ours.receive() is None
    half.send(b'."seen"}')
    assert ours.receive() == {"kind": "seen"}
    half.close()


def test_a_side_that_does_not_read_makes_send_say_no_and_not_wait(ends):
    ours, _ = ends
    sent = 0
    while ours.send({"kind": "look", "filler": "x" * 1000}):
        sent += 1
        assert sent < 100_000

    assert sent > 10


def test_what_was_refused_is_not_half_there_and_the_channel_goes_on(ends):
    ours, theirs = ends
    count = 0
    while ours.send({"number": count, "filler": "x" * 1000}):
        count += 1
    arrived = [theirs.receive()["number"] for _ in range(count)]
    assert arrived == list(range(count))
    assert theirs.receive() is None

    assert ours.send({"number": -1})
    assert theirs.receive() == {"number": -1}


def test_a_long_message_that_stops_half_way_ends_the_channel(ends):
    ours, _ = ends

    def flood() -> None:
        for _ in range(10_000):
            ours.send({"filler": "x" * 150_000})

    with pytest.raises(Gone, match="half-way"):
        flood()


def test_a_child_waits_for_room_until_its_supervisor_reads(ends):
    ours, theirs = ends
    total = 2_000
    writer = threading.Thread(target=lambda: [theirs.send({"number": n}, wait=True) for n in range(total)])
    writer.start()

    assert [ours.receive(5.0)["number"] for _ in range(total)] == list(range(total))
    writer.join()


def test_nothing_said_is_none_after_the_time_that_was_given(ends):
    assert ends[0].receive() is None
    assert ends[0].receive(0.01) is None


def test_what_was_said_before_the_end_is_heard_and_then_the_end(ends):
    ours, theirs = ends
    theirs.send({"kind": "failed"})
    theirs.close()

    assert ours.receive() == {"kind": "failed"}
    with pytest.raises(Gone):
        ours.receive()
    with pytest.raises(Gone):
        ours.send({"kind": "open"})


def test_numbers_that_are_not_json_are_refused_where_they_are_sent(ends):
    with pytest.raises(ValueError, match="JSON"):
        ends[0].send({"score": float("nan")})
