"""Lines of JSON in a file or on stdout, and the sink that writes events so."""

from __future__ import annotations

import errno
import logging
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from edgekit.errors import EdgekitError
from edgekit.files import flush
from edgekit.schema import STRICT
from edgekit.sinks import Row, SinkDown
from edgekit.sinks.health import Health, Reporting

log = logging.getLogger(__name__)


class JsonLines:
    """Appends lines to a file, or to stdout for '-'. Each is handed to the system whole before `write` returns.

    So whoever reads along sees whole lines, and a killed process loses none it has written; a power cut may lose what
    came after the last `sync`. What a cut has left of a last line is removed when the file is opened again, with a
    warning. Where the file was removed or renamed meanwhile, it is synced, and a new one of the same name goes on.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._stdout = str(path) == "-"
        self._in_folder = False
        try:
            self._file = -1 if self._stdout else _open_for_lines(self.path)
        except OSError as error:
            raise EdgekitError(f"{path}: {error.strerror or error}") from error

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, line: str) -> None:
        """One line, without its end. BrokenPipeError where stdout's reader has gone."""
        if self._stdout:
            try:
                _print(line)
            except BrokenPipeError:
                raise
            except OSError as error:
                raise EdgekitError(f"stdout: {error.strerror or error}") from error
            return
        content = (line + "\n").encode()
        try:
            self._follow()
            while content:
                content = content[os.write(self._file, content) :]
        except OSError as error:
            with suppress(OSError):  # /dev/full, say, cannot be cut
                os.ftruncate(self._file, _end_of_last_line(self._file, os.fstat(self._file).st_size))
            raise EdgekitError(f"{self.path}: {error.strerror or error}") from error

    def _follow(self) -> None:
        """An open file takes lines after its name is gone, and nobody ever finds them."""
        if _identity(os.fstat(self._file)) == _identity_of(self.path):
            return
        log.warning("%s: was removed or replaced; goes on in what is there now", self.path)
        self.sync()  # or a renamed file's last lines would never be, though the next `sync` promises it of all
        opened = _open_for_lines(self.path)
        os.close(self._file)
        self._file, self._in_folder = opened, False

    def sync(self) -> None:
        """Return when all that was written is on the disk. Of stdout, which may be a pipe, nobody can know that."""
        if self._stdout:
            return
        try:
            os.fsync(self._file)
            if not self._in_folder:
                flush(self.path.parent)  # or a power cut takes a new file's name away
                self._in_folder = True
        except OSError as error:
            if error.errno != errno.EINVAL:  # a pipe or a terminal
                raise EdgekitError(f"{self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """May be called twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _print(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # Or Python's own flush at exit would complain of the same pipe; https://docs.python.org/3/library/signal.html
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        return _identity(os.stat(path))
    except FileNotFoundError:
        return None


def _open_for_lines(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        size = os.fstat(file).st_size
        whole = _end_of_last_line(file, size)
        if whole < size:
            log.warning("%s: removed %d bytes of a line that was cut off", path, size - whole)
            os.ftruncate(file, whole)
    except OSError:
        os.close(file)  # a sink tries again for as long as it takes
        raise
    return file


def _end_of_last_line(file: int, size: int, block: int = 1 << 16) -> int:
    end = size
    while end > 0:
        start = max(0, end - block)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@dataclass(frozen=True)
class JsonlSettings:
    """path: the file that events are appended to, '-' for stdout. sync: an event has arrived when it is on the disk,
    not when the system has it; a power cut then loses none."""

    __pydantic_config__ = STRICT

    path: str
    sync: bool = True

    def within(self, folder: Path) -> JsonlSettings:
        """With a relative path taken from `folder`."""
        return self if self.path == "-" else replace(self, path=str(folder / self.path))

    def open(self) -> JsonlSink:
        return JsonlSink(self)


class JsonlSink(Reporting):
    """Appends events to a file, one on a line; a round of them shares one flush to the disk.

    A file that cannot be opened or written (a stick that was pulled, a full disk) is tried again for as long as it
    takes. A program that is killed between writing and noting it down writes the last events again when it is back.
    To rotate the file, rename it, or copy and truncate it.
    """

    def __init__(self, settings: JsonlSettings, name: str = "jsonl") -> None:
        self.name = name
        self._settings = settings
        self._health = Health(name, log)
        self._health.is_up()  # until the first write fails
        self._lines: JsonLines | None = None
        self._written: list[int] = []
        self._reader_gone = False

    def send(self, row: Row) -> None:
        if self._reader_gone:
            raise SinkDown(self.reason)
        try:
            self._lines = self._lines or JsonLines(self._settings.path)
            self._lines.write(row.json)
        except BrokenPipeError as error:
            self._reader_gone = True  # what is written to stdout from now on, nobody reads
            self._failed("the reader of stdout has gone")
            raise SinkDown(self.reason) from error
        except EdgekitError as error:
            self._failed(str(error))
            raise SinkDown(self.reason) from error
        self._written.append(row.seq)

    def acked(self) -> list[int]:
        if not self._written or self._lines is None:
            return []
        if self._settings.sync:
            try:
                self._lines.sync()
            except EdgekitError as error:
                self._failed(str(error))
                return []
        arrived, self._written = self._written, []
        self._health.is_up()
        return arrived

    def refused(self) -> list[int]:
        return []

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _failed(self, reason: str) -> None:
        self._health.is_down(reason)
        self._written.clear()  # the relay gives them again
        self.close()
