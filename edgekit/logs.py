"""Logs of a device that nobody watches: a JSON object a line, no secret in any of them, nothing repeated for ever.

On a terminal the same records are plain text. They come from `logging`, as everywhere; what is passed as `extra`
becomes fields of the line, and a `subject` tells apart what a repeated message is about:

    log.warning("lost: %s", reason, extra={"subject": "aisle 3"})
    {"time": "2026-11-03T08:15:02.417Z", "level": "WARNING", "logger": "edgekit.supervisor", "message": "lost: no frame
    for 5 s", "subject": "aisle 3"}
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from edgekit.redactor import Redactor

if TYPE_CHECKING:
    _Stream = logging.StreamHandler[TextIO]
else:
    _Stream = logging.StreamHandler  # takes no type before Python 3.11

log = logging.getLogger(__name__)

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "template"}
_OWN = frozenset({"time", "level", "logger", "message", "exception"})
_MOST_MESSAGES = 1000  # that are remembered at once: a message with a changing number in its template is never the same


def log_to(
    stream: TextIO | None = None,
    *,
    as_json: bool | None = None,
    level: int = logging.INFO,
    redactor: Redactor | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> LogHandler:
    """Send the records of the whole process to `stream`, and nowhere else.

    stream: stderr if not said. as_json: lines of JSON; if not said, wherever the stream is no terminal. redactor: knows
    the literal secrets of this process. Python's warnings and exceptions that nobody caught become records too.
    """
    stream = sys.stderr if stream is None else stream
    as_json = not stream.isatty() if as_json is None else as_json
    handler = LogHandler(stream, redactor or Redactor(), clock=clock)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    return handler


class LogHandler(_Stream):
    """Writes records without secrets, and of those that repeat the first and one summary each `every_s` seconds."""

    def __init__(
        self,
        stream: TextIO,
        redactor: Redactor,
        every_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self.addFilter(Redacting(redactor))
        self._repeats = Repeats(every_s)
        self._clock = clock

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self._repeats.admit(record, self._clock()))

    def write_due(self) -> None:
        """Sum up what has stopped repeating, as the next record would do; to be called now and then."""
        self.acquire()
        try:
            self._write(self._repeats.due(self._clock()))
        finally:
            self.release()

    def close(self) -> None:
        self._write(self._repeats.rest())
        super().close()

    def _write(self, records: list[logging.LogRecord]) -> None:
        for record in records:
            super().emit(record)


class Redacting(logging.Filter):
    """Takes the secrets out of every record that passes: out of its message with its arguments, its fields, its
    exception and its stack. The record itself is changed, so that no handler after this one sees them either."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redact = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.setdefault("template", self._redact(str(record.msg)))
        record.msg, record.args = self._redact(_message(record)), None
        record.name = self._redact(record.name)
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None  # the exception itself still holds what its text no longer does
        record.exc_text = record.exc_text and self._redact(record.exc_text)
        record.stack_info = record.stack_info and self._redact(record.stack_info)
        record.__dict__.update({name: self._redact.field(name, value) for name, value in _fields(record).items()})
        return True


class JsonFormatter(logging.Formatter):
    """One line of JSON a record: time, level, logger, message, the fields, and the exception where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, timezone.utc)
        line: dict[str, Any] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {f"{name}_" if name in _OWN else name: value for name, value in _fields(record).items()}
        exception = "\n".join(filter(None, (record.exc_text, record.stack_info)))
        return json.dumps(line | ({"exception": exception} if exception else {}), ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """For a terminal: `WARNING edgekit.supervisor: lost: no frame for 5 s (subject=aisle 3)`."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = ", ".join(f"{name}={value}" for name, value in _fields(record).items())
        return f"{record.levelname} {record.name}: {record.message}" + (f" ({fields})" if fields else "")


@dataclass
class _Seen:
    """One message that is being repeated: since when it is counted, how often, and the last of it."""

    since: float
    times: int = 0
    last: logging.LogRecord | None = None


class Repeats:
    """Which records to write: of those with the same logger, level, template and `subject` the first, and then each
    `every_s` seconds a copy of the last that says how often it came. Pure: `now` is given."""

    def __init__(self, every_s: float = 60.0) -> None:
        if every_s <= 0:
            raise ValueError(f"every_s must be above 0; got {every_s}")
        self._every_s = every_s
        self._seen: dict[Hashable, _Seen] = {}  # the one that is due first comes first

    def admit(self, record: logging.LogRecord, now: float) -> list[logging.LogRecord]:
        """The records to write now that this one has come, in order."""
        out = self.due(now)
        key = _key(record)
        seen = self._seen.get(key)
        if seen is not None:
            seen.times, seen.last = seen.times + 1, record
            return out
        if len(self._seen) >= _MOST_MESSAGES:
            out += _summary(self._seen.pop(next(iter(self._seen))), now)
        self._seen[key] = _Seen(now)
        return [*out, record]

    def due(self, now: float) -> list[logging.LogRecord]:
        """The summaries of what has been counted for long enough; what did not come again is forgotten."""
        out: list[logging.LogRecord] = []
        while self._seen:
            key, seen = next(iter(self._seen.items()))
            if now - seen.since < self._every_s:
                break
            del self._seen[key]
            if seen.times:
                out += _summary(seen, now)
                self._seen[key] = _Seen(now)
        return out

    def rest(self) -> list[logging.LogRecord]:
        """The summaries of all that was not written yet, at the end."""
        seen, self._seen = list(self._seen.values()), {}
        return [summary for each in seen for summary in _summary(each, None)]


def _key(record: logging.LogRecord) -> Hashable:
    template = getattr(record, "template", str(record.msg))
    return record.name, record.levelno, template, str(getattr(record, "subject", ""))


def _summary(seen: _Seen, now: float | None) -> list[logging.LogRecord]:
    if seen.last is None:
        return []
    summary = copy.copy(seen.last)
    times = "once more" if seen.times == 1 else f"repeated {seen.times} times"
    spell = "" if now is None else f" in {now - seen.since:.0f} s"
    summary.msg, summary.args = f"{times}{spell}: {seen.last.getMessage()}", None
    summary.exc_info = summary.exc_text = summary.stack_info = None
    return [summary]


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError, IndexError) as error:
        # logging itself would print the arguments, and with them what they hold
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    log.critical("nobody caught this", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    name = "" if args.thread is None else args.thread.name
    error = args.exc_value or args.exc_type()
    log.critical("a thread died", exc_info=(args.exc_type, error, args.exc_traceback), extra={"thread_name": name})
