"""A disk under the outbox's real SQLite that can be watched and broken: a VFS, which sees each write, sync and delete.

apsw carries its own SQLite, newer than Python's; the rigs write with the one and read with the other.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from edgekit.errors import EdgekitError
from edgekit.outbox_file import make_file

try:
    import apsw
except ModuleNotFoundError as error:
    raise EdgekitError("this rig watches SQLite's disk through apsw: pip install apsw") from error


Failure: TypeAlias = Literal["full", "input/output", "read-only", "cannot open"]
_FAILURES: Mapping[Failure, tuple[type[apsw.Error], str]] = {  # https://sqlite.org/rescode.html
    "full": (apsw.FullError, "database or disk is full"),
    "input/output": (apsw.IOError, "disk I/O error"),
    "read-only": (apsw.ReadOnlyError, "attempt to write a readonly database"),
    "cannot open": (apsw.CantOpenError, "unable to open database file"),
}


def failure(says: Failure) -> Exception:
    """What `watch` raises so that SQLite meets this failure of the disk."""
    kind, text = _FAILURES[says]
    return kind(text)


class Operation(NamedTuple):
    """What is about to happen to the disk: `name` of the file, `offset` of a write or the size of a truncation."""

    kind: Literal["open", "create", "read", "write", "truncate", "sync", "delete", "sync folder"]
    name: str
    offset: int = 0
    data: bytes = b""


class WatchedDisk:
    """Opens the outbox on a disk that tells `watch` of each operation before it happens; what `watch` raises happens.

    connect: the outbox's port. connection: the last one it gave. The log is written back to the file when it has grown
    to `log_pages`, by a hook like SQLite's own, which thinks nothing of a write-back that fails.
    """

    _numbers = itertools.count(1)

    def __init__(self, watch: Callable[[Operation], None], log_pages: int = 1000) -> None:
        self.connection: apsw.Connection | None = None
        self._watch = watch
        self._log_pages = log_pages
        self._vfs = _Vfs(f"watched-{next(self._numbers)}", watch)

    def connect(self, path: Path) -> _AsSqlite3:
        new = not path.exists()
        if new:
            self._watch(Operation("create", path.name))
        make_file(path)
        if new:
            self._watch(Operation("sync folder", ""))
        try:
            self.connection = apsw.Connection(str(path), vfs=self._vfs.name)
        except apsw.Error as error:
            raise _translated(error) from error
        self.connection.set_wal_hook(self._write_back)
        return _AsSqlite3(self.connection)

    def _write_back(self, connection: apsw.Connection, _: str, pages: int) -> int:
        if pages >= self._log_pages:
            with suppress(apsw.Error):
                connection.wal_checkpoint()
        return apsw.SQLITE_OK


class _AsSqlite3:
    """apsw's connection with the exceptions of `sqlite3`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> list[Any]:
        try:
            return self._connection.execute(sql, tuple(parameters)).fetchall()
        except apsw.Error as error:
            raise _translated(error) from error

    def close(self) -> None:
        try:
            self._connection.close()
        except apsw.Error as error:
            raise _translated(error) from error


def _translated(error: apsw.Error) -> sqlite3.Error:
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return sqlite3.DatabaseError(str(error))
    return sqlite3.OperationalError(str(error))


class _Vfs(apsw.VFS):
    def __init__(self, name: str, watch: Callable[[Operation], None]) -> None:
        super().__init__(name, "")
        self.name = name
        self._watch = watch

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802 - apsw's name
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        self._watch(Operation("open", path.name))
        if flags[0] & apsw.SQLITE_OPEN_CREATE and not path.exists():
            self._watch(Operation("create", path.name))
        return _File(name, flags, path.name, self._watch)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._watch(Operation("delete", os.path.basename(filename)))
        super().xDelete(filename, syncdir)
        if syncdir:
            self._watch(Operation("sync folder", ""))


class _File(apsw.VFSFile):
    def __init__(
        self, path: str | apsw.URIFilename | None, flags: list[int], name: str, watch: Callable[[Operation], None]
    ) -> None:
        super().__init__("", path, flags)
        self._name = name
        self._watch = watch
        self._in_folder = name.endswith(".db")  # SQLite syncs the folder with the first sync of a journal or log

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._watch(Operation("read", self._name))
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._watch(Operation("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._watch(Operation("truncate", self._name, newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._watch(Operation("sync", self._name))
        super().xSync(flags)
        if not self._in_folder:
            self._watch(Operation("sync folder", ""))
            self._in_folder = True
