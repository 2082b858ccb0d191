"""The outbox's SQLite file: how it is made, checked and put aside, and the statements that are run on it.

`events` holds each event once, `deliveries` a row for each sink that still has to get it. The write-ahead log is synced
before a commit returns (WAL with synchronous=FULL; NORMAL syncs at checkpoints only and so loses what was acknowledged,
https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from edgekit.files import flush

log = logging.getLogger(__name__)

VERSION = 1
# As narrow as an index can be: counting events without it reads every page of their JSON, 35 ms of 61 MiB
_COUNTED = "CREATE INDEX IF NOT EXISTS waiting ON events (at)"
_SCHEMA = (
    # AUTOINCREMENT: a number is never given again, so that a late acknowledgement cannot remove a younger event
    "CREATE TABLE events"
    " (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, at REAL NOT NULL, json TEXT NOT NULL)",
    "CREATE TABLE deliveries (sink TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (sink, seq)) WITHOUT ROWID",
    _COUNTED,
    "INSERT INTO sqlite_sequence (name, seq) VALUES ('events', 0)",
    f"PRAGMA user_version = {VERSION}",
)
_WAL_BYTES = 4 * 1024 * 1024  # what SQLite's default, a checkpoint each 1,000 pages, needs; more is cut off again


class Connection(Protocol):
    """What the outbox needs of SQLite: statements that commit by themselves outside of BEGIN, failing as `sqlite3`'s do
    (a plain `DatabaseError` where the file is damaged, an `OperationalError` where the disk fails)."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Iterable[Any]: ...

    def close(self) -> None: ...


class Unusable(Exception):
    """The file is damaged, or not an outbox of this version."""


def connect(path: Path) -> sqlite3.Connection:
    """The SQLite file at `path`; a new one can be read by its owner alone, and so can the log and index beside it."""
    make_file(path)
    return sqlite3.connect(path, timeout=0.2, isolation_level=None, check_same_thread=False)


def make_file(path: Path) -> None:
    """An empty file that a power cut does not take away again, where there is none yet. The folder must exist."""
    # One that is there is not even opened: closing it would end the locks that this process has on it
    # (https://sqlite.org/howtocorrupt.html, 2.2).
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        flush(path.parent)


def put_aside(path: Path) -> Path:
    """Rename the file, and SQLite's log and index beside it, to the first free 'NAME.damaged-N'; the new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("", "-wal", "-shm", "-journal"):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{ending}", f"{aside}{ending}")
    flush(path.parent)
    return aside


def prepare(db: Connection, check: bool) -> None:
    """Make a new file an outbox, or see that it is one and, with `check`, a sound one. `Unusable` says why not."""
    try:
        _prepare(db, check)
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise Unusable(str(error)) from error
        raise


def _prepare(db: Connection, check: bool) -> None:
    version = one(db, "PRAGMA user_version")
    new = version == 0 and one(db, "SELECT count(*) FROM sqlite_master") == 0
    if not new and version != VERSION:
        raise Unusable(f"not an outbox of version {VERSION}, the file says {version}")
    if check and (fault := one(db, "PRAGMA quick_check(1)")) != "ok":
        raise Unusable(fault)
    db.execute("PRAGMA synchronous = FULL")
    mode = one(db, "PRAGMA journal_mode = WAL")
    if mode != "wal":
        log.warning("SQLite refuses a write-ahead log here and takes '%s': slower, as durable", mode)
    one(db, f"PRAGMA journal_size_limit = {_WAL_BYTES}")
    if new:
        _create(db)
    with suppress(sqlite3.OperationalError):  # a full disk: a file made without it can be read all the same
        db.execute(_COUNTED)


def _create(db: Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA:
        db.execute(statement)
    db.execute("COMMIT")
    one(db, "PRAGMA wal_checkpoint(TRUNCATE)")  # so the file is an outbox by itself, without its log


def is_damage(error: Exception) -> bool:
    # SQLITE_CORRUPT and SQLITE_NOTADB are of the plain class, what a disk does is an OperationalError; Python 3.10 has
    # no code to ask for.
    return type(error) is sqlite3.DatabaseError


def last_number(db: Connection) -> int:
    """The highest number that was ever given."""
    return int(one(db, "SELECT seq FROM sqlite_sequence"))


def number_from(db: Connection, last: int) -> None:
    db.execute("UPDATE sqlite_sequence SET seq = ?", (last,))


def insert(db: Connection, texts: Iterable[tuple[str, str]], sinks: Sequence[str], at: float) -> int:
    """Store these (id, json); the number of the last."""
    seq = 0
    for id_, text in texts:
        db.execute("INSERT INTO events (id, at, json) VALUES (?, ?, ?)", (id_, at, text))
        seq = one(db, "SELECT last_insert_rowid()")
        for sink in sinks:
            db.execute("INSERT INTO deliveries (sink, seq) VALUES (?, ?)", (sink, seq))
    return seq


def deliver(db: Connection, sink: str, seq: int, sinks: Sequence[str]) -> int:
    """1 if there was such a delivery, else 0; an event that no sink waits for any more goes with its last one."""
    waiting = f"SELECT 1 FROM deliveries WHERE sink IN ({_marks(sinks)}) AND seq = ?"
    db.execute("DELETE FROM deliveries WHERE sink = ? AND seq = ?", (sink, seq))
    delivered: int = one(db, "SELECT changes()")
    db.execute(f"DELETE FROM events WHERE seq = ? AND NOT EXISTS ({waiting})", (seq, *sinks, seq))
    return delivered


def remove(db: Connection, seq: int, sinks: Sequence[str]) -> None:
    db.execute(f"DELETE FROM deliveries WHERE sink IN ({_marks(sinks)}) AND seq = ?", (*sinks, seq))
    db.execute("DELETE FROM events WHERE seq = ?", (seq,))


def remove_strangers(db: Connection, sinks: Sequence[str]) -> int:
    """Take out the deliveries to all other sinks; how many there were."""
    marks = _marks(sinks)
    if not list(db.execute(f"SELECT 1 FROM deliveries WHERE sink NOT IN ({marks}) LIMIT 1", sinks)):
        return 0
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"DELETE FROM deliveries WHERE sink NOT IN ({marks})", sinks)
    removed = one(db, "SELECT changes()")
    db.execute("DELETE FROM events WHERE seq NOT IN (SELECT seq FROM deliveries)")
    db.execute("COMMIT")
    return int(removed)


def oldest(db: Connection) -> tuple[int, float] | None:
    """Its number, and when it was stored."""
    found = list(db.execute("SELECT seq, at FROM events ORDER BY seq LIMIT 1"))
    return found[0] if found else None


def newest_at(db: Connection) -> float:
    found = list(db.execute("SELECT at FROM events ORDER BY seq DESC LIMIT 1"))
    return float(found[0][0]) if found else 0.0


def used_bytes(db: Connection) -> int:
    """Pages less those that removed rows have freed; these are written again before the file grows."""
    pages, free, size = (one(db, f"PRAGMA {name}") for name in ("page_count", "freelist_count", "page_size"))
    return int((pages - free) * size)


def one(db: Connection, question: str, parameters: Sequence[Any] = ()) -> Any:
    """The first value of the answer, which is read to its end: one left open would hold up checkpoints."""
    return list(db.execute(question, parameters))[0][0]  # noqa: RUF015


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
