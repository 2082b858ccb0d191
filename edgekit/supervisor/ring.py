"""Pictures in shared memory: one process writes them into a ring of slots, others read the newest or a numbered one.

The memory is a memfd: it has no name, takes only the pages that were written, and is gone when the last process that
holds it is, however that one died. A slot carries its number before and after the picture is written; a reader
that finds them different, or changed after it has copied the picture, was overtaken and gets nothing.

One reader need not copy: it holds a picture, and the writer leaves that slot alone. Each says what it is about to do
before it looks at what the other does, so at least one of them sees the other and steps back. A processor may delay a
store behind a load, by nanoseconds where the interpreter takes longer from one to the other; a reader that would rather
know than reckon asks afterwards whether the picture is `whole`.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass

import numpy as np

from edgekit.errors import EdgekitError, SettingsError
from edgekit.frames import Frame, Image
from edgekit.host import Host

SLOTS = 4  # one being written, one newest, one held, one to spare

_RING = struct.Struct("=QQQ")  # slots, bytes of a slot, the number of the picture that is held (0: none)
_SLOT = struct.Struct("=QQQIIdd")  # number, its copy, bytes, height, width, taken_at, stamp (NaN: none)
_NUMBER = struct.Struct("=Q")
_HELD = 16  # where it stands in _RING
_PAGE = 4096
_SHARE = 0.25  # of the memory: what rings may take before a shop's models get none


class DoesNotFit(EdgekitError):
    """A picture is larger than a slot of its ring."""


@dataclass(frozen=True)
class Stored:
    """What a slot held: number counts from 1; data is the reader's own copy."""

    number: int
    data: bytes
    height: int
    width: int
    taken_at: float
    stamp: float | None

    def frame(self, source: str) -> Frame:
        """The picture that was written as one; its index is the number."""
        return Frame(_image(self.data, self.height, self.width), self.number, self.taken_at, source, self.stamp)


class Ring:
    """Slots of at most `slot_bytes`; one writer, any number of readers. Close it, or let the process end."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, os.fstat(fd).st_size)
        self.slots, self.slot_bytes, _ = _RING.unpack_from(self._memory, 0)
        self._number, self._slot = max((self._numbers(slot)[0], slot) for slot in range(self.slots))

    @classmethod
    def create(cls, name: str, slot_bytes: int) -> Ring:
        """A new ring of empty slots; `name` shows in /proc for whoever debugs."""
        fd = os.memfd_create(f"edgekit {name}")
        os.ftruncate(fd, _PAGE + SLOTS * _stride(slot_bytes))
        os.pwrite(fd, _RING.pack(SLOTS, slot_bytes, 0), 0)
        return cls(fd)

    def write(self, data: memoryview, height: int, width: int, taken_at: float, stamp: float | None = None) -> int:
        """Put a picture's bytes into the next slot and return its number; `DoesNotFit` where it is too large."""
        if data.nbytes > self.slot_bytes:
            raise DoesNotFit(f"a picture of {width}x{height} is larger than the largest_frame, {self.slot_bytes} bytes")
        number = self._number + 1
        start = self._begin(number)
        at = taken_at, float("nan") if stamp is None else stamp
        _SLOT.pack_into(self._memory, start, number, 0, data.nbytes, height, width, *at)
        body = start + _SLOT.size
        self._memory[body : body + data.nbytes] = data
        _NUMBER.pack_into(self._memory, start + _NUMBER.size, number)
        self._number = number
        return number

    def write_frame(self, frame: Frame) -> int:
        """Put a frame's picture into the next slot and return its number."""
        image = np.ascontiguousarray(frame.image)
        return self.write(image.data.cast("B"), frame.height, frame.width, frame.taken_at, frame.stamp)

    def read(self, number: int) -> Stored | None:
        """A copy of what was written under that number; None where it has been overwritten, or is not there yet."""
        slot = self._find(number)
        if slot is None:
            return None
        data, height, width, taken_at, stamp = self._picture(slot)
        stored = Stored(number, bytes(data), height, width, taken_at, stamp)
        return stored if self._numbers(slot) == (number, number) else None

    def hold(self, number: int, source: str) -> Frame | None:
        """The frame that was written under that number, where it lies: it stays until the next is held. None as `read`.

        For one reader of a ring. One that has died holds its frame until its successor holds another.
        """
        _NUMBER.pack_into(self._memory, _HELD, max(0, number))
        slot = self._find(number)
        if slot is None:
            return None
        data, height, width, taken_at, stamp = self._picture(slot)
        return Frame(_image(data, height, width), number, taken_at, source, stamp)

    def whole(self, number: int) -> bool:
        """Whether the picture of that number is there, and nobody has begun to write over it."""
        return self._find(number) is not None

    def newest(self) -> Stored | None:
        """The last whole picture; None where there is none."""
        for number in sorted((self._numbers(slot)[1] for slot in range(self.slots)), reverse=True):
            if number and (found := self.read(number)) is not None:
                return found
        return None

    def close(self) -> None:
        """Give the memory back; may be called twice. BufferError where a held frame is still in use."""
        if self.fd >= 0:
            self._memory.close()
            os.close(self.fd)
            self.fd = -1

    def _begin(self, number: int) -> int:
        """Where the next picture goes, which now bears its number: the next slot, or the one after if that is held."""
        while True:
            self._slot = (self._slot + 1) % self.slots
            start = self._start(self._slot)
            _, whole = self._numbers(self._slot)
            _NUMBER.pack_into(self._memory, start, number)
            if whole == 0 or whole != self._held():
                return start
            _NUMBER.pack_into(self._memory, start, whole)

    def _find(self, number: int) -> int | None:
        """The slot with that whole picture."""
        whole = (number, number)
        return next((slot for slot in range(self.slots) if number > 0 and self._numbers(slot) == whole), None)

    def _picture(self, slot: int) -> tuple[memoryview, int, int, float, float | None]:
        """Bytes, height, width, taken_at and stamp, the bytes where they lie."""
        start = self._start(slot)
        _, _, size, height, width, taken_at, stamp = _SLOT.unpack_from(self._memory, start)
        body = start + _SLOT.size
        data = memoryview(self._memory)[body : body + size].toreadonly()
        return data, height, width, taken_at, None if stamp != stamp else stamp

    def _held(self) -> int:
        held: int = _NUMBER.unpack_from(self._memory, _HELD)[0]
        return held

    def _numbers(self, slot: int) -> tuple[int, int]:
        before, after = struct.unpack_from("=QQ", self._memory, self._start(slot))
        return before, after

    def _start(self, slot: int) -> int:
        return _PAGE + slot * _stride(self.slot_bytes)


def _image(data: bytes | memoryview, height: int, width: int) -> Image:
    image: Image = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    return image


def _stride(slot_bytes: int) -> int:
    return -(-(_SLOT.size + slot_bytes) // _PAGE) * _PAGE


def check_memory(ring_bytes: int, host: Host) -> None:
    """`SettingsError` where the rings, once full, would take more than a quarter of this host's memory."""
    if host.memory_mb is not None and ring_bytes > _SHARE * host.memory_mb * 2**20:
        raise SettingsError(
            f"the cameras' frames need {ring_bytes / 2**20:.0f} MB of shared memory, more than a quarter of the "
            f"{host.memory_mb} MB of this host: lower largest_frame, or take fewer cameras"
        )
