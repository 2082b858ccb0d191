"""Breaks the disk under an outbox that is in use: full, read-only, failing, gone; some by injection, some in earnest.

A fault lasts for a few calls, or for one disk operation in the middle of one. While it lasts `put` must say what it
stored and count what it did not; after it all must go on. The control is an outbox that takes no notice of errors.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

from edgekit.benchmarks.reliability.figures import Figures
from edgekit.benchmarks.reliability.sqlite_disk import Failure, Operation, WatchedDisk, failure
from edgekit.events import OBSERVATION, Author, Event
from edgekit.outbox import Outbox
from edgekit.outbox_file import Connection, connect

PROMISE = "a full, read-only or failing disk stops nobody: what put stored is there, what it dropped is counted"
SINKS = ("broker", "file")
FAULTS_PER_FILE = 50
_FAULTS = ("raised", "lost", "miscounted", "not_recovered", "damaged", "came_back")

# What the disk says, and of which operations
_INJECTED: Mapping[str, tuple[Failure, tuple[str, ...]]] = {
    "full": ("full", ("write",)),
    "write error": ("input/output", ("write", "truncate")),
    "sync error": ("input/output", ("sync",)),
    "read error": ("input/output", ("read",)),
    "read-only": ("read-only", ("write", "truncate", "delete")),
    "cannot open": ("cannot open", ("open", "read", "write")),
}
_IN_EARNEST = ("page limit", "file size limit", "opened read-only", "folder gone")


class Unheeding(Outbox):
    """The control: it stores as it can and says that it did."""

    def put(self, *events: Event) -> bool:
        super().put(*events)
        return True


def run(times: int, seed: int, progress: Callable[[int, int], None] | None = None) -> Figures:
    """`times` faults of all kinds in turn, and a tenth of that for the control."""
    began = time.perf_counter()
    counts = _faults(times, seed, Outbox, progress)
    wrong = control(max(20, times // 10), seed)
    kept = counts["dropped"] > 0 and not any(counts[fault] for fault in _FAULTS)
    caught = wrong["lost"] > 0 and wrong["miscounted"] > 0
    return Figures("disk_full", times, seed, PROMISE, kept, counts, time.perf_counter() - began, wrong, caught)


def control(times: int, seed: int) -> dict[str, float]:
    """An outbox that ignores the error."""
    return _faults(times, seed, Unheeding, None)


def _faults(times: int, seed: int, kind: type[Outbox], progress: Callable[[int, int], None] | None) -> dict[str, float]:
    draw = random.Random(seed)
    counts: Counter[str] = Counter(dict.fromkeys(("faults", "stored", "dropped", "acked", "unsure", *_FAULTS), 0))
    faults = (*_INJECTED, *_IN_EARNEST)
    counts.update(dict.fromkeys((f"refused: {fault}" for fault in faults), 0))
    slowest_s = 0.0
    while counts["faults"] < times:
        with _unsaid(), ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-")))
            injected, in_earnest = FailingDisk(draw), LimitedDisk(folder / "limited")
            users = {
                disk: User(opened.enter_context(kind(disk.place(folder), SINKS, connect=disk.connect)), draw, counts)
                for disk in (injected, in_earnest)
            }
            for _ in range(min(FAULTS_PER_FILE, times - counts["faults"])):
                fault = faults[counts["faults"] % len(faults)]
                disk: Disk = injected if fault in _INJECTED else in_earnest
                users[disk].work(draw.randint(0, 4))
                refused = users[disk].refused
                with disk.broken(fault):
                    users[disk].work(draw.randint(1, 6))
                counts[f"refused: {fault}"] += users[disk].refused - refused
                users[disk].must_work()
                counts["faults"] += 1
                if progress:
                    progress(counts["faults"], times)
            for user in users.values():
                user.settle()
                slowest_s = max(slowest_s, user.slowest_s)
    return {**counts, "slowest_put_ms": round(slowest_s * 1e3, 3)}


@contextmanager
def _unsaid() -> Iterator[None]:
    """The outbox says when trouble begins and ends; here that is thousands of lines."""
    outbox = logging.getLogger("edgekit.outbox")
    level = outbox.level
    outbox.setLevel(logging.ERROR)
    try:
        yield
    finally:
        outbox.setLevel(level)


class FailingDisk:
    """Fails by injection, below SQLite: all operations of some kinds, or one of them, for as long as it is broken."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._fault: str | None = None
        self._wait = 0
        self._left = 0
        self._disk = WatchedDisk(self._watch, log_pages=20)
        self.connect = self._disk.connect

    def place(self, folder: Path) -> Path:
        return folder / "outbox.db"

    @contextmanager
    def broken(self, fault: str) -> Iterator[None]:
        self._fault = fault
        self._wait = self._draw.choice((0, 0, 1, 2, 5, 9))
        self._left = self._draw.choice((1, 1_000_000))
        yield
        self._fault = None

    def _watch(self, operation: Operation) -> None:
        if self._fault is None:
            return
        says, kinds = _INJECTED[self._fault]
        if operation.kind not in kinds:
            return
        self._wait -= 1
        if self._wait < 0 < self._left:
            self._left -= 1
            raise failure(says)


class LimitedDisk:
    """Fails in earnest: SQLite's own limit of pages, the kernel's of a file's size, a read-only file, no folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read_only = False
        self._connection: sqlite3.Connection | None = None

    def place(self, folder: Path) -> Path:
        self._folder.mkdir()
        return self._folder / "outbox.db"

    def connect(self, path: Path) -> Connection:
        if self._read_only:
            uri = f"{path.as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        else:
            self._connection = connect(path)
        return self._connection

    @contextmanager
    def broken(self, fault: str) -> Iterator[None]:
        with {
            "page limit": self._page_limit,
            "file size limit": self._file_size_limit,
            "opened read-only": self._opened_read_only,
            "folder gone": self._folder_gone,
        }[fault]():
            yield

    @contextmanager
    def _page_limit(self) -> Iterator[None]:
        if self._connection is None:
            raise RuntimeError("the outbox has not opened its file")
        usual = self._connection.execute("PRAGMA max_page_count").fetchone()[0]
        self._connection.execute("PRAGMA max_page_count = 1").fetchall()  # SQLite makes it what the file has now
        yield
        self._connection.execute(f"PRAGMA max_page_count = {usual}").fetchall()

    @contextmanager
    def _file_size_limit(self) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        sizes = [path.stat().st_size for path in self._folder.iterdir() if not path.name.endswith("-shm")]
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(sizes), hard))  # Python ignores SIGXFSZ: the write fails
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    @contextmanager
    def _opened_read_only(self) -> Iterator[None]:
        if self._connection is None:
            raise RuntimeError("the outbox has not opened its file")
        self._connection.execute("PRAGMA query_only = ON")
        self._read_only = True  # and so are those opened from now on
        yield
        self._read_only = False

    @contextmanager
    def _folder_gone(self) -> Iterator[None]:
        elsewhere = self._folder.with_name("elsewhere")
        os.rename(self._folder, elsewhere)
        yield
        os.rename(elsewhere, self._folder)


Disk: TypeAlias = FailingDisk | LimitedDisk


class User:
    """Puts and acknowledges, and keeps a book of what the outbox has said."""

    def __init__(self, outbox: Outbox, draw: random.Random, counts: Counter[str]) -> None:
        self.slowest_s = 0.0
        self._outbox = outbox
        self._draw = draw
        self._counts = counts
        self._author = Author("cart-17")
        self._must: set[tuple[str, str]] = set()
        self._maybe: set[tuple[str, str]] = set()
        self.refused = 0  # events
        self._answered = 0

    def work(self, calls: int) -> None:
        for _ in range(calls):
            if self._draw.random() < 0.7:
                self._put(self._draw.choice((1, 1, 4)))
            else:
                self._acknowledge(self._draw.choice(SINKS))

    def must_work(self) -> None:
        """The first put after the fault."""
        self._counts["not_recovered"] += not self._put(1) or self._outbox.trouble is not None

    def settle(self) -> None:
        """Hold the book against the outbox, as it is in use and as another process would find it."""
        for _ in SINKS:
            self._acknowledge(self._draw.choice(SINKS))
        self._compare(self._outbox)
        dropped = self._outbox.counts["dropped"]
        self._counts["dropped"] += sum(dropped.values())
        self._counts["damaged"] += dropped.get("damaged", 0)
        self._counts["miscounted"] += abs(sum(dropped.values()) - self.refused)
        self._counts["miscounted"] += abs(self._outbox.counts["stored"] - self._answered)
        self._outbox.close()
        with Outbox(self._outbox.path, SINKS) as again:
            self._counts["unsure"] += self._compare(again)
            self._counts["damaged"] += again.counts["dropped"].get("damaged", 0)

    def _put(self, count: int) -> bool:
        size = self._draw.choice((20, 300, 6000))
        events = [self._author.event(OBSERVATION, "front", {"seen": "x" * size}) for _ in range(count)]
        began = time.perf_counter()
        try:
            stored = self._outbox.put(*events)
        except (OSError, sqlite3.Error):
            self._counts["raised"] += 1
            return False
        self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
        deliveries = {(sink, event.id) for sink in SINKS for event in events}
        if stored:
            self._must |= deliveries
            self._answered += count
            self._counts["stored"] += count
        else:
            self._maybe |= deliveries
            self.refused += count
        return stored

    def _acknowledge(self, sink: str) -> None:
        try:
            rows = [row for row in self._outbox.pending(sink) if self._draw.random() < 0.7]
            self._outbox.acked(sink, [row.seq for row in rows])
        except (OSError, sqlite3.Error):
            self._counts["raised"] += 1
            return
        delivered = {(sink, row.id) for row in rows}
        self._counts["acked"] += len(delivered)
        self._must -= delivered
        self._maybe -= delivered

    def _compare(self, outbox: Outbox) -> int:
        """How many are there that put had not been sure of."""
        found = {(sink, row.id) for sink in SINKS for row in outbox.pending(sink, limit=1_000_000)}
        self._counts["lost"] += len(self._must - found)
        self._counts["came_back"] += len(found - self._must - self._maybe)
        return len(found & self._maybe)
