"""Cuts the power of a simulated disk under the real SQLite, at every moment of an outbox's life; reads what is left.

An outbox lives and its disk operations are recorded. Before each of them the power fails: `Platter` says what the disk
may then hold, and Python's own SQLite opens it. The next life begins on one of these disks. The control is the same
outbox with synchronous=NORMAL.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from edgekit.benchmarks.reliability.figures import Figures
from edgekit.benchmarks.reliability.platter import Image, Platter
from edgekit.benchmarks.reliability.sqlite_disk import Operation, WatchedDisk
from edgekit.events import OBSERVATION, Author
from edgekit.outbox import Outbox

PROMISE = "every event that was stored before the power was cut is there after it, whole, and so is the outbox"
SINKS = ("broker", "file")
LIVES = 5  # one after the other on the same disk, the first on an empty one
_FAULTS = ("lost", "cuts_that_lost", "damaged", "garbled", "came_back")
IMAGES = 5  # of each moment at which something was not yet on the disk


class Mark(NamedTuple):
    """The outbox has said so of these (sink, id): 'stored', 'delivering' before `acked` and 'delivered' after it."""

    said: str
    deliveries: frozenset[tuple[str, str]]


@dataclass
class Book:
    """What must be in the outbox and what must not be."""

    texts: dict[str, str] = field(default_factory=dict)
    must: set[tuple[str, str]] = field(default_factory=set)
    gone: set[tuple[str, str]] = field(default_factory=set)

    def note(self, mark: Mark) -> None:
        if mark.said == "stored":
            self.must |= mark.deliveries
        elif mark.said == "delivering":
            self.must -= mark.deliveries
        else:
            self.gone |= mark.deliveries


def run(times: int, seed: int, progress: Callable[[int, int], None] | None = None) -> Figures:
    """`times` cuts, and a twentieth of that for the control, 2,000 at least: a life is some 1,500 cuts long."""
    began = time.perf_counter()
    counts = _cuts(times, seed, "FULL", progress)
    wrong = control(max(2000, times // 20), seed)
    kept = counts["stored"] > 0 and not any(counts[fault] for fault in _FAULTS)
    return Figures(
        "power_cut", times, seed, PROMISE, kept, counts, time.perf_counter() - began, wrong, wrong["lost"] > 0
    )


def control(times: int, seed: int) -> dict[str, float]:
    """An outbox that syncs at checkpoints only."""
    return _cuts(times, seed, "NORMAL", None)


def _cuts(times: int, seed: int, synchronous: str, progress: Callable[[int, int], None] | None) -> dict[str, float]:
    draw = random.Random(seed)
    counts = Counter(dict.fromkeys(("cuts", "disks", "lives", "stored", *_FAULTS), 0))
    seen: set[int] = set()
    with _scratch() as folder:
        while counts["cuts"] < times:
            book, image = Book(), dict[str, bytes]()
            for _ in range(LIVES):
                tape = _live(folder, image, book, draw, synchronous)
                counts["lives"] += 1
                image = _cut_everywhere(folder, image, tape, book, draw, counts, seen, times)
                if progress:
                    progress(counts["cuts"], times)
                if counts["cuts"] >= times:
                    break
    return {**counts, "disks": len(seen)}


def _live(folder: Path, image: Image, book: Book, draw: random.Random, synchronous: str) -> list[Operation | Mark]:
    """One life of an outbox that begins with this disk: all that happened to the disk, and what the outbox said."""
    tape: list[Operation | Mark] = []
    path = _lay_out(folder, image)
    disk = WatchedDisk(tape.append, log_pages=draw.randint(3, 40))
    author = Author("cart-17", f"{draw.getrandbits(48):012x}")
    outbox = Outbox(path, SINKS, clock=lambda: 0.0, connect=disk.connect)
    if disk.connection is None:
        raise RuntimeError(f"the outbox did not open: {outbox.trouble}")
    if synchronous != "FULL":
        disk.connection.execute(f"PRAGMA synchronous = {synchronous}")
    for _ in range(draw.randint(5, 25)):
        if draw.random() < 0.7:
            _put(outbox, author, book, draw, tape)
        else:
            _acknowledge(outbox, draw, tape)
    if draw.random() < 0.5:  # half of them end in good order, and may be cut while they do
        outbox.close()
        return tape
    whole = list(tape)
    outbox.close()
    return whole


def _put(outbox: Outbox, author: Author, book: Book, draw: random.Random, tape: list[Operation | Mark]) -> None:
    size = draw.choice((20, 300, 300, 9000))
    events = [
        author.event(OBSERVATION, "front", {"seen": draw.randbytes(size).hex()}) for _ in range(draw.choice((1, 1, 3)))
    ]
    book.texts.update({event.id: event.to_json() for event in events})
    if outbox.put(*events):
        tape.append(Mark("stored", frozenset((sink, event.id) for sink in SINKS for event in events)))


def _acknowledge(outbox: Outbox, draw: random.Random, tape: list[Operation | Mark]) -> None:
    sink = draw.choice(SINKS)
    rows = [row for row in outbox.pending(sink) if draw.random() < 0.7]
    deliveries = frozenset((sink, row.id) for row in rows)
    tape.append(Mark("delivering", deliveries))
    outbox.acked(sink, [row.seq for row in rows])
    tape.append(Mark("delivered", deliveries))


def _cut_everywhere(
    folder: Path,
    image: Image,
    tape: list[Operation | Mark],
    book: Book,
    draw: random.Random,
    counts: Counter[str],
    seen: set[int],
    times: int,
) -> dict[str, bytes]:
    """Cut before each operation and after the last; one of the disks for the next life, with `book` as it was then."""
    platter = Platter(image)
    next_life = draw.randrange(len(tape))
    chosen: tuple[Image, set[tuple[str, str]], set[tuple[str, str]]] = image, set(), set()
    for index, entry in enumerate([*tape, None]):
        for left in platter.images(draw, 1 if platter.settled else IMAGES):
            if counts["cuts"] >= times:
                break
            found = _read(folder, left, book, counts)
            seen.add(hash(frozenset(left.items())))
            if index == next_life:
                chosen = left, found, set(book.gone)
        if isinstance(entry, Mark):
            book.note(entry)
            counts["stored"] += len(entry.deliveries) // len(SINKS) if entry.said == "stored" else 0
        elif entry is not None:
            platter.apply(entry)
    kept, book.must, book.gone = chosen  # what was read from a disk is on it; what came after the cut has not happened
    book.gone -= book.must
    return dict(kept)


def _read(folder: Path, image: Image, book: Book, counts: Counter[str]) -> set[tuple[str, str]]:
    """Open what is left, hold it against the book; the deliveries that are there."""
    with Outbox(_lay_out(folder, image), SINKS, clock=lambda: 0.0) as outbox:
        rows = [(sink, row) for sink in SINKS for row in outbox.pending(sink, limit=10_000)]
        whole = outbox.trouble is None and not outbox.counts["dropped"]
    found = {(sink, row.id) for sink, row in rows}
    counts["cuts"] += 1
    counts["damaged"] += not whole
    counts["lost"] += len(book.must - found)
    counts["cuts_that_lost"] += not book.must <= found
    counts["came_back"] += len(book.gone & found)
    counts["garbled"] += sum(book.texts.get(row.id) != row.json for _, row in rows)
    return found


def _lay_out(folder: Path, image: Image) -> Path:
    for old in folder.iterdir():
        old.unlink()
    for name, data in image.items():
        (folder / name).write_bytes(data)
    return folder / "outbox.db"


@contextmanager
def _scratch() -> Iterator[Path]:
    """In memory where the system has such a folder: the disks are simulated, no real one should wait for them."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="edgekit-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
