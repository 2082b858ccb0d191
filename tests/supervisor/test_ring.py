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
    ring.write(memoryview(bytes([number % 251]) * size), 1, size // 3, float(number))
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


def test_a_picture_that_is_held_stays_where_it_is_and_the_others_go_around_it(ring):
    for value in range(3):
        number = ring.write_frame(frame(value, stamp=0.04))
    held = ring.hold(number, "door")
    for value in range(3, 20):
        newest = ring.write_frame(frame(value))
        assert (ring.newest().number, ring.newest().data[0]) == (newest, value)
        assert (held.image == 2).all(), "the writer has been in it"

    assert (held.index, held.taken_at, held.source, held.stamp) == (number, 0.2, "door", 0.04)
    assert not held.image.flags.writeable


def test_a_picture_that_a_writer_has_got_into_is_no_longer_whole(ring):
    number = ring.write_frame(frame(1))
    ring.hold(number, "door")
    assert ring.whole(number)

    ring._memory[ring._start(ring._slot) : ring._start(ring._slot) + 8] = (number + 1).to_bytes(8, sys.byteorder)
    assert not ring.whole(number)


def test_holding_the_next_picture_lets_the_last_one_go(ring):
    first, second = (ring.write_frame(frame(value)) for value in (1, 2))
    ring.hold(first, "door")
    held = ring.hold(second, "door")
    for value in range(3, 3 + SLOTS):
        ring.write_frame(frame(value))

    assert ring.read(first) is None
    assert (held.image == 2).all()


def test_a_picture_that_was_overwritten_or_never_written_cannot_be_held(ring):
    numbers = [ring.write_frame(frame(value)) for value in range(SLOTS + 1)]

    assert ring.hold(numbers[0], "door") is None
    assert ring.hold(numbers[-1] + 1, "door") is None
    assert ring.write_frame(frame(9)) == numbers[-1] + 1, "and nobody is kept from writing it"


def test_what_a_dead_reader_held_is_free_once_its_successor_holds_another(ring):
    held = ring.write_frame(frame(1))
    dead = Ring(os.dup(ring.fd))
    dead.hold(held, "door")
    dead.close()
    for value in range(2, 10):
        last = ring.write_frame(frame(value))
    assert ring.read(held).data[0] == 1

    ring.hold(last, "door")
    for value in range(10, 10 + SLOTS):
        ring.write_frame(frame(value))
    assert ring.read(held) is None


@pytest.mark.parametrize("before", [True, False])
def test_a_reader_that_comes_while_the_writer_looks_for_a_free_slot_steps_back(ring, before):
    class Interrupted(Ring):
        def _held(self) -> int:
            """The reader comes just before the writer sees what is held, or just after."""
            seen = None if before else super()._held()
            got.append(ring.hold(oldest, "door") is not None)
            return super()._held() if seen is None else seen

    oldest, *_ = (ring.write_frame(frame(value)) for value in range(SLOTS))
    got: list[bool] = []
    writer = Interrupted(os.dup(ring.fd))
    writer.write_frame(frame(9))
    writer.close()

    assert got[0] is False
    assert (ring.read(oldest) is not None) == before, "it goes elsewhere if it saw the reader come"


def test_a_writer_that_died_on_its_way_around_a_held_frame_leaves_it_held(ring):
    number = ring.write_frame(frame(1))
    held = ring.hold(number, "door")
    start = ring._start(ring._slot)
    ring._memory[start : start + 8] = (2).to_bytes(8, sys.byteorder)  # it had not given the slot back yet
    successor = Ring(os.dup(ring.fd))
    for value in range(3, 10):
        successor.write_frame(frame(value))
    successor.close()

    assert (held.image == 1).all()
    assert ring.hold(number, "door") is not None


def test_a_held_frame_never_changes_under_a_writer_at_full_speed():
    size, times = 39_999, 0
    ring = Ring.create("held", size)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(ring.fd), str(size)], pass_fds=[ring.fd])
    until = time.monotonic() + 30
    try:
        while times < 300:
            assert time.monotonic() < until, f"only {times} pictures could be held"
            newest = max(ring._numbers(slot)[1] for slot in range(ring.slots))
            for number in (newest, newest - 1, newest - 2):  # the last is about to be overwritten
                held = ring.hold(number, "door")
                for _ in range(2 if held is not None else 0):
                    assert (held.image == number % 251).all()
                    time.sleep(1e-4)
                    times += 1
    finally:
        writer.kill()
        writer.wait()
    assert max(ring._numbers(slot)[1] for slot in range(ring.slots)) > times, "the writer had to wait"


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
