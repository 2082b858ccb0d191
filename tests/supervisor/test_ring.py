"""Pictures in shared memory: whoever reads gets a whole one or none, whatever the writer is about."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import SettingsError
from edgekit.frames import Frame
from edgekit.supervisor.ring import SLOTS, DoesNotFit, Ring, check_memory

# Each picture is one value in all of its bytes: a torn one holds two.
WRITER = """
import sys
from edgekit.supervisor.ring import Ring
ring = Ring(int(sys.argv[1]))
sizes = [int(text) for text in sys.argv[2].split(",")]
while True:
    number = ring._number + 1
    size = sizes[number % len(sizes)]
    ring.write(memoryview(bytes([number % 251]) * size), 1, size, float(number))
"""


@pytest.fixture
def ring():
    with_slots = Ring.create("test", 300)
    yield with_slots
    with_slots.close()


def frame(value: int, height: int = 4, width: int = 5, stamp: float | None = None) -> Frame:
    return Frame(np.full((height, width, 3), value, np.uint8), taken_at=value / 10, stamp=stamp)


def test_a_frame_comes_back_as_it_was_written(ring):
    picture = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    number = ring.write_frame(Frame(picture, taken_at=12.5, stamp=0.04))
    back = ring.read(number).frame("door")

    assert (back.image == picture).all()
    assert (back.index, back.taken_at, back.source, back.stamp) == (number, 12.5, "door", 0.04)


def test_a_frame_without_a_timestamp_of_its_own_has_none_afterwards(ring):
    assert ring.read(ring.write_frame(frame(1))).stamp is None


def test_a_picture_that_is_a_view_of_a_larger_one_is_written_as_it_looks(ring):
    whole = np.arange(8 * 10 * 3, dtype=np.uint8).reshape(8, 10, 3)
    number = ring.write_frame(Frame(whole[::2, ::2]))

    assert (ring.read(number).frame("door").image == whole[::2, ::2]).all()


def test_an_empty_ring_has_no_newest_and_no_picture_of_any_number(ring):
    assert ring.newest() is None
    assert [ring.read(number) for number in range(10)] == [None] * 10


def test_a_picture_that_was_overwritten_is_gone(ring):
    numbers = [ring.write_frame(frame(value)) for value in range(SLOTS + 1)]

    assert ring.read(numbers[0]) is None
    assert [ring.read(number).data[0] for number in numbers[1:]] == [1, 2, 3, 4]
    assert ring.newest().number == numbers[-1]
    assert ring.read(numbers[-1] + 1) is None


def test_pictures_of_other_sizes_follow_each_other(ring):
    for size in ((4, 5), (10, 10), (1, 1)):
        found = ring.read(ring.write_frame(frame(7, *size)))
        assert (found.height, found.width, len(found.data)) == (*size, size[0] * size[1] * 3)


def test_a_picture_that_is_too_large_is_refused_and_nothing_is_lost(ring):
    before = ring.write_frame(frame(1))
    with pytest.raises(DoesNotFit, match="11x10 is larger than the largest_frame, 300 bytes"):
        ring.write_frame(frame(2, 10, 11))

    assert ring.newest().number == before


def test_a_writer_that_was_started_anew_goes_on_with_the_numbers(ring):
    last = [ring.write_frame(frame(value)) for value in range(7)][-1]
    successor = Ring(os.dup(ring.fd))

    assert successor.write_frame(frame(9)) == last + 1
    assert ring.read(last + 1).data[0] == 9
    successor.close()


def test_a_slot_whose_writer_died_in_it_is_not_read_and_the_next_writer_goes_beyond_it(ring):
    ring.write_frame(frame(1))
    start = ring._start(2 % SLOTS)
    ring._memory[start : start + 8] = (2).to_bytes(8, sys.byteorder)  # it began number 2, and got no further

    assert ring.read(2) is None
    assert ring.newest().number == 1
    successor = Ring(os.dup(ring.fd))
    assert successor.write_frame(frame(3)) == 3
    successor.close()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 40_000), min_size=1, max_size=6))
def test_a_reader_never_gets_a_torn_picture_from_a_writer_at_full_speed(sizes):
    ring = Ring.create("torn", max(sizes))
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(ring.fd), ",".join(map(str, sizes))], pass_fds=[ring.fd]
    )
    try:
        got = read_for(ring, sizes, seconds=0.25)
        os.kill(writer.pid, signal.SIGKILL)  # in the middle of a picture, as likely as not
        writer.wait()
        check(ring.newest(), sizes)
        assert got > 10
    finally:
        writer.kill()
        writer.wait()
        ring.close()


def read_for(ring: Ring, sizes: list[int], seconds: float) -> int:
    """How many whole pictures were read: the newest and, harder, those that are about to be overwritten."""
    until = time.monotonic() + 30
    while ring.newest() is None:
        assert time.monotonic() < until, "the writer does not begin"
    got, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        newest = max(ring._numbers(slot)[1] for slot in range(ring.slots))
        for number in (newest, newest - SLOTS + 1, newest - SLOTS + 2):
            stored = ring.read(number)
            if stored is not None:
                assert stored.number == number
                check(stored, sizes)
                got += 1
    return got


def check(stored, sizes: list[int]) -> None:
    assert stored.taken_at == stored.number
    assert stored.data == bytes([stored.number % 251]) * sizes[stored.number % len(sizes)]


def test_memory_is_taken_only_by_what_was_written():
    ring = Ring.create("large", 16 << 20)
    ring.write_frame(frame(1))
    taken = os.fstat(ring.fd).st_blocks * 512
    ring.close()

    assert taken <= 64 << 10


def test_a_ring_may_be_closed_twice_and_lives_on_for_who_else_holds_it(ring):
    other = Ring(os.dup(ring.fd))
    number = ring.write_frame(frame(5))
    ring.close()
    ring.close()

    assert other.read(number).data[0] == 5
    other.close()


def test_rings_that_would_take_too_much_of_the_hosts_memory_are_refused_before_they_are_made():
    host = SimpleNamespace(memory_mb=1000)
    check_memory(250 << 20, host)
    with pytest.raises(SettingsError, match=r"need 251 MB of shared memory, more than a quarter of the 1000 MB"):
        check_memory(251 << 20, host)
    check_memory(1 << 50, SimpleNamespace(memory_mb=None))
