"""What a disk may hold after the power is cut: what was synced, and of the rest any part that one cares to imagine.

As in "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014): writes that were not synced reach the disk
in any order, whole, in part or not at all; only a sector, 512 bytes, is written whole or not. Names too are durable
only when their folder was synced, each in the order of what happened to it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from edgekit.benchmarks.reliability.sqlite_disk import Operation

Image: TypeAlias = Mapping[str, bytes]
SECTOR = 512


@dataclass
class _Content:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Operation] = field(default_factory=list)

    def sync(self) -> None:
        for operation in self.pending:
            _apply(self.durable, operation)
        self.pending.clear()


class Platter:
    """A folder on a disk; `apply` what happens to it, then ask for `images` of what a cut may leave."""

    def __init__(self, image: Image) -> None:
        self._durable = {name: _Content(bytearray(data)) for name, data in image.items()}
        self._now = dict(self._durable)
        self._renamed: list[tuple[str, _Content | None]] = []  # what a name stands for, since the folder was synced

    @property
    def settled(self) -> bool:
        """Nothing is under way: every image is the same."""
        return not self._renamed and not any(content.pending for content in self._now.values())

    def apply(self, operation: Operation) -> None:
        kind, name = operation.kind, operation.name
        if kind == "create" and name not in self._now:
            self._name(name, _Content())
        elif kind == "delete":
            self._name(name, None)
        elif kind == "sync folder":
            self._durable = dict(self._now)
            self._renamed.clear()
        elif kind == "sync":
            self._now[name].sync()
        elif kind in ("write", "truncate"):
            self._now[name].pending.append(operation)

    def images(self, draw: random.Random, count: int) -> Iterator[Image]:
        """`count` of them; the first two are the extremes, all of it and none of it."""
        ways: tuple[_Way, ...] = (_all, _none, _torn, _some_writes, _some_sectors)
        for number in range(count):
            yield self._image(draw, ways[number] if number < len(ways) else draw.choice(ways[2:]))

    def _name(self, name: str, content: _Content | None) -> None:
        self._renamed.append((name, content))
        if content is None:
            del self._now[name]
        else:
            self._now[name] = content

    def _image(self, draw: random.Random, way: _Way) -> Image:
        names: dict[str, _Content | None] = dict(self._durable)
        for name in sorted({name for name, _ in self._renamed}):
            changes = [content for renamed, content in self._renamed if renamed == name]
            kept = len(changes) if way is _all else 0 if way is _none else draw.randint(0, len(changes))
            if kept:
                names[name] = changes[kept - 1]
        image = {}
        for name, content in names.items():
            if content is not None:
                data = bytearray(content.durable)
                for operation in way(content.pending, draw):
                    _apply(data, operation)
                image[name] = bytes(data)
        return image


_Way: TypeAlias = Callable[[list[Operation], random.Random], list[Operation]]


def _all(pending: list[Operation], draw: random.Random) -> list[Operation]:
    return pending


def _none(pending: list[Operation], draw: random.Random) -> list[Operation]:
    return []


def _torn(pending: list[Operation], draw: random.Random) -> list[Operation]:
    """The first few, and of the next its beginning."""
    if not pending:
        return []
    whole = draw.randrange(len(pending))
    sectors = _sectors(pending[whole])
    return [*pending[:whole], *sectors[: draw.randint(0, len(sectors))]]


def _some_writes(pending: list[Operation], draw: random.Random) -> list[Operation]:
    return [operation for operation in pending if draw.random() < 0.5]


def _some_sectors(pending: list[Operation], draw: random.Random) -> list[Operation]:
    share = draw.choice((0.1, 0.5, 0.9))
    return [sector for operation in pending for sector in _sectors(operation) if draw.random() < share]


def _sectors(operation: Operation) -> list[Operation]:
    """The write, cut where the disk's sectors meet."""
    if operation.kind != "write":
        return [operation]
    start, end = operation.offset, operation.offset + len(operation.data)
    cuts = [start, *range((start // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return [
        Operation("write", operation.name, a, operation.data[a - start : b - start])
        for a, b in itertools.pairwise(cuts)
    ]


def _apply(data: bytearray, operation: Operation) -> None:
    size = operation.offset + len(operation.data) if operation.kind == "write" else operation.offset
    if len(data) < size:
        data.extend(bytes(size - len(data)))  # what lies between was never written and reads as zeros
    if operation.kind == "write":
        data[operation.offset : size] = operation.data
    else:
        del data[size:]
