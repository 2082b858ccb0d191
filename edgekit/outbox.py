"""Events wait here, on the disk, until every sink has them: kill -9 and a power cut lose none that was stored."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, TypeVar

from edgekit import outbox_file as sql
from edgekit.events import Event
from edgekit.outbox_file import Connection, connect

T = TypeVar("T")

log = logging.getLogger(__name__)

_LEAST_BYTES = 64 * 1024  # the empty tables take 20 KiB
_AT_ONCE = 1000  # events that one transaction removes for their age, so that none takes long
_PASSING = ("database or disk is full", "database is locked")  # the connection is as good as before


@dataclass(frozen=True)
class Limits:
    """How much may wait: pages in use, in bytes, and seconds; and which event gives way where it is too much."""

    max_bytes: int = 64 * 1024 * 1024
    max_age_s: float = 7 * 24 * 3600.0
    when_full: Literal["drop oldest", "drop newest"] = "drop oldest"

    def __post_init__(self) -> None:
        if self.max_bytes < _LEAST_BYTES or not self.max_age_s > 0:
            raise ValueError(f"need max_bytes >= {_LEAST_BYTES}, max_age_s > 0; got {self.max_bytes}, {self.max_age_s}")
        if self.when_full not in ("drop oldest", "drop newest"):
            raise ValueError(f"no policy '{self.when_full}'; there are: 'drop oldest', 'drop newest'")


class Row(NamedTuple):
    """An event on its way to a sink: this outbox's own number for it, its id, and what `Event.to_json` wrote."""

    seq: int
    id: str
    json: str


class Outbox:
    """Stores events durably and hands them to each sink until it has acknowledged them.

        with Outbox(folder / "outbox.db", ["broker"]) as outbox:
            outbox.put(author.event(BOOT, "", {}))          # True: it is on the disk
            rows = outbox.pending("broker")
            outbox.acked("broker", [row.seq for row in rows])

    Nothing here raises for what a disk does. While it is full, read-only or failing, `put` returns False and counts the
    event as dropped, `pending` gives what can still be read, `acked` remembers until it can be written (a process that
    ends before sends those again), and `trouble` says what is wrong. Each call tries anew. False means that an event is
    not known to be durable: one whose sync failed may be found later all the same.

    A file that is damaged, or not an outbox of this version, is renamed to 'outbox.db.damaged-N', never deleted, and a
    new one begun. Age is the time that the outbox was open since an event was stored: a board without a battery does
    not know how long it was off, and its wall clock may jump by fifty years.

    path: in a folder that exists. sinks: names, at least one; one that is no longer named loses its deliveries, a new
    one gets new events. clock: seconds that only go on. connect: opens the file. Any thread may call anything.
    """

    def __init__(
        self,
        path: Path | str,
        sinks: Sequence[str],
        limits: Limits = Limits(),
        clock: Callable[[], float] = time.monotonic,
        connect: Callable[[Path], Connection] = connect,
    ) -> None:
        if isinstance(sinks, str) or not sinks or len(set(sinks)) < len(sinks):
            raise ValueError(f"sinks must be names, at least one, none of them twice; got {sinks!r}")
        self.path = Path(path)
        self.sinks = tuple(sinks)
        self.limits = limits
        self.trouble: str | None = None
        self._clock = clock
        self._read_at = clock()
        self._age_s = 0.0
        self._lock = threading.Lock()
        self._connect = connect
        self._db: Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._checked = self._begun_anew = self._suspect = self._closed = False
        self._last_seq = 0
        # what is done with and not written down yet, by sink and number, with the count that it belongs to
        self._unsaved: dict[str, dict[int, Counter[str]]] = {sink: {} for sink in self.sinks}
        self._stored = 0
        self._dropped: Counter[str] = Counter()
        self._acked: Counter[str] = Counter(dict.fromkeys(self.sinks, 0))
        self._refused: Counter[str] = Counter(dict.fromkeys(self.sinks, 0))
        self._last_read: dict[str, int] = {}
        self._read(lambda db: None, None)

    def __enter__(self) -> Outbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, *events: Event) -> bool:
        """Store all of them or none. True: they are durable. False: dropped and counted, as full or for the disk."""
        texts = [(event.id, event.to_json()) for event in events]
        with self._lock:
            try:
                with self._transaction() as db:
                    dropped = {"too old": self._drop_old(db)}
                    last = sql.insert(db, texts, self.sinks, self._now())
                    dropped["full"] = self._make_room(db, first_new=last - len(texts) + 1)
            except _Full:
                self._dropped["full"] += len(texts)
                return False
            except (sqlite3.Error, OSError) as error:
                self._dropped[self._troubled(error)] += len(texts)
                return False
            self._last_seq = max(self._last_seq, last)
            self._stored += len(texts)
            self._dropped.update(dropped)
            return True

    def pending(self, sink: str, limit: int = 100) -> list[Row]:
        """The oldest events that `sink` has not acknowledged, in order. Empty where the disk cannot be read."""
        self._known(sink)
        question = "SELECT seq, id, json FROM deliveries JOIN events USING (seq) WHERE sink = ? ORDER BY seq LIMIT ?"
        with self._lock:
            self._write_down()
            acked = self._unsaved[sink]
            rows: list[Any] = self._read(lambda db: list(db.execute(question, (sink, limit + len(acked)))), [])
            return [Row(*row) for row in rows if row[0] not in acked][:limit]

    def acked(self, sink: str, seqs: Iterable[int]) -> None:
        """`sink` has these; an event that every sink has is removed. Unknown numbers are passed over."""
        self._done(sink, seqs, self._acked)

    def refused(self, sink: str, seqs: Iterable[int]) -> None:
        """`sink` will never take these: as `acked`, and counted apart."""
        self._done(sink, seqs, self._refused)

    def depth(self, sink: str | None = None) -> int:
        """How many events wait for this sink, or for any. As last seen, where the disk cannot be read."""
        if sink is None:
            return self._figure("events", lambda db: sql.one(db, "SELECT count(*) FROM events"))
        self._known(sink)
        question = "SELECT count(*) FROM deliveries WHERE sink = ?"
        return self._figure(f"to {sink}", lambda db: sql.one(db, question, (sink,)))

    def oldest_age_s(self) -> float | None:
        """Seconds, as this class counts age, that the oldest event has waited; None where none waits."""
        with self._lock:
            oldest = self._read(sql.oldest, None)
            return self._now() - oldest[1] if oldest else None

    def size_bytes(self) -> int:
        """What `max_bytes` limits: the pages in use; as last seen, where the disk cannot be read. The file itself never
        shrinks, and the log beside it takes up to about 4 MiB."""
        return self._figure("bytes", sql.used_bytes)

    @property
    def counts(self) -> dict[str, Any]:
        """Since this object was made: events `stored`, events `dropped` by reason, deliveries `acked` and `refused` by
        sink.

        Reasons: 'full', 'too old', 'disk: ...'; of 'damaged' the files are counted, of 'sink removed' the deliveries.
        """
        with self._lock:
            dropped = {reason: count for reason, count in sorted(self._dropped.items()) if count}
            return {
                "stored": self._stored,
                "dropped": dropped,
                "acked": dict(self._acked),
                "refused": dict(self._refused),
            }

    def close(self) -> None:
        """May be called twice. Nothing depends on it: what was stored is stored."""
        with self._lock:
            self._closed = True
            self._shut()

    def _done(self, sink: str, seqs: Iterable[int], count: Counter[str]) -> None:
        self._known(sink)
        with self._lock:
            self._unsaved[sink].update((seq, count) for seq in seqs if 0 < seq <= self._last_seq)
            self._write_down()

    def _known(self, sink: str) -> None:
        if sink not in self._unsaved:
            raise ValueError(f"no sink '{sink}'; there are: {', '.join(self.sinks)}")

    def _now(self) -> float:
        """Seconds that the outbox has been open, in this process and in those that wrote what waits in it."""
        reading = self._clock()
        self._age_s += max(0.0, reading - self._read_at)
        self._read_at = reading
        return self._age_s

    def _read(self, ask: Callable[[Connection], T], otherwise: T) -> T:
        try:
            return ask(self._open())
        except (sqlite3.Error, OSError) as error:
            self._troubled(error)
            return otherwise

    def _figure(self, name: str, ask: Callable[[Connection], int]) -> int:
        with self._lock:
            self._last_read[name] = self._read(ask, self._last_read.get(name, 0))
            return self._last_read[name]

    def _write_down(self) -> None:
        """What sinks have acknowledged and what has become too old, in one transaction, if there is anything."""
        oldest = self._read(sql.oldest, None)
        if not any(self._unsaved.values()) and (oldest is None or self._now() - oldest[1] <= self.limits.max_age_s):
            return
        try:
            with self._transaction() as db:
                done = [
                    (sink, count, sql.deliver(db, sink, seq, self.sinks))
                    for sink, counts in self._unsaved.items()
                    for seq, count in counts.items()
                ]
                too_old = self._drop_old(db)
        except (sqlite3.Error, OSError) as error:
            self._troubled(error)
            return
        for sink, count, delivered in done:
            count[sink] += delivered
        self._dropped["too old"] += too_old
        self._unsaved = {sink: {} for sink in self.sinks}

    def _drop_old(self, db: Connection) -> int:
        now = self._now()
        dropped = 0
        while dropped < _AT_ONCE and (oldest := sql.oldest(db)) and now - oldest[1] > self.limits.max_age_s:
            sql.remove(db, oldest[0], self.sinks)
            dropped += 1
        return dropped

    def _make_room(self, db: Connection, first_new: int) -> int:
        dropped = 0
        while sql.used_bytes(db) > self.limits.max_bytes:
            oldest = sql.oldest(db)
            if self.limits.when_full == "drop newest" or oldest is None or oldest[0] >= first_new:
                raise _Full
            sql.remove(db, oldest[0], self.sinks)
            dropped += 1
        return dropped

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._suspect:  # what was opened for reading while the disk was read-only stays so
            self._shut()
        db = self._open()
        db.execute("BEGIN IMMEDIATE")
        try:
            yield db
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # a COMMIT that failed may have rolled back by itself
                db.execute("ROLLBACK")
            raise
        self._begun_anew = self._suspect = False
        if self.trouble:
            log.warning("%s: can be written again", self.path)
            self.trouble = None

    def _troubled(self, error: sqlite3.Error | OSError) -> str:
        """The reason, said once when trouble begins; what needs the file next opens it again."""
        text = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        if self.trouble is None:
            log.warning("%s: %s; events are dropped until it can be written again", self.path, text)
        self.trouble = f"disk: {text}"
        if isinstance(error, sqlite3.Error) and sql.is_damage(error):
            self._put_aside(text)
        if text not in _PASSING:
            self._suspect = True
            self._shut()
        return self.trouble

    def _open(self) -> Connection:
        if self._closed:
            raise ValueError(f"{self.path}: this outbox is closed")
        if self._db is not None and _inode(self.path) != self._inode:
            log.warning("%s: was removed or replaced while it was in use; goes on with what is there now", self.path)
            self._shut()
        if self._db is None:
            self._db = self._opened()
            self._inode = _inode(self.path)
        return self._db

    def _opened(self) -> Connection:
        with suppress(sql.Unusable):  # is put aside then
            return self._prepared()
        try:
            return self._prepared()
        except sql.Unusable as again:
            raise sqlite3.OperationalError(f"cannot be used: {again}") from again

    def _put_aside(self, why: str) -> None:
        """While SQLite still has it open: closing would write the log into the damaged file and delete it."""
        self._checked = False
        if self._begun_anew:  # the disk does not give back what it was given; no heap of new files
            return
        try:
            aside = sql.put_aside(self.path)
        except OSError as error:
            log.warning("%s: %s; cannot be put aside: %s", self.path, why, error.strerror or error)
            return
        log.warning("%s: %s; put aside as '%s', a new one begins", self.path, why, aside.name)
        self._dropped["damaged"] += 1
        self._begun_anew = True

    def _prepared(self) -> Connection:
        db = self._connect(self.path)
        try:
            sql.prepare(db, check=not self._checked)
            self._dropped["sink removed"] += sql.remove_strangers(db, self.sinks)
            self._age_s = max(self._now(), sql.newest_at(db))
            if (last := sql.last_number(db)) < self._last_seq:  # a new file: its numbers go on from the old one's
                sql.number_from(db, self._last_seq)
            self._last_seq = max(last, self._last_seq)
        except BaseException as error:
            if isinstance(error, sql.Unusable):
                self._put_aside(str(error))
            with suppress(sqlite3.Error):
                db.close()
            raise
        self._checked = True
        return db

    def _shut(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
            self._db = None


class _Full(Exception):
    """The new events do not fit; raised to undo the transaction."""


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
