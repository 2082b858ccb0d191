"""Starting, hearing and ending the processes that the supervisor cannot do without and must not be blocked by."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import edgekit
from edgekit.redactor import Redactor
from edgekit.supervisor.channel import Channel, Gone

log = logging.getLogger(__name__)

Message = dict[str, Any]

_ENDING_S = 0.5  # between the end of its channel and its own, in which it may still say why
_MOST_MESSAGES = 256  # in one go: a child that floods must not keep the supervisor from the others
_ADDRESS = re.compile(r"\S*://\S*")
_without_secrets = Redactor()


class Child(Protocol):
    """A process, or in a simulation something that behaves like one."""

    def send(self, message: Mapping[str, Any]) -> bool:
        """False where it does not read, or has ended."""
        ...

    def receive(self) -> list[Message]:
        """What it has said since the last time; never waits."""
        ...

    def ended(self) -> str | None:
        """How it has ended, in words; None while it runs."""
        ...

    def kill(self) -> None:
        """End it at once; it need not be there any more."""
        ...


class Process:
    """A real child: `python -m module <channel> <fds...>`, in a session of its own, with our end of the channel.

    What it writes to stderr is logged without addresses, and its last line says why where it dies.
    """

    def __init__(self, module: str, fds: Sequence[int] = (), environment: Mapping[str, str] | None = None) -> None:
        self._module = module
        self._channel, theirs = Channel.pair()
        reading, writing = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading, False)
        self.stderr = reading
        passed = [theirs.fileno(), *fds]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, passed)],
            stdin=subprocess.DEVNULL,
            stderr=writing,
            pass_fds=passed,
            start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor alone
            env={**os.environ, **_QUIET, **_where_edgekit_is(), **(environment or {})},
        )
        os.close(writing)
        theirs.close()
        self._words: deque[str] = deque(maxlen=5)
        self._rest = b""
        self._gone = False
        self._gone_at: float | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def filenos(self) -> Collection[int]:
        """What to wait on: there is something to receive when one of them can be read."""
        return () if self._gone else (self._channel.fileno(),)

    def send(self, message: Mapping[str, Any]) -> bool:
        if self._gone:
            return False
        try:
            return self._channel.send(message)
        except Gone:
            return False

    def receive(self) -> list[Message]:
        self._listen()
        messages: list[Message] = []
        try:
            while not self._gone and len(messages) < _MOST_MESSAGES:
                message = self._channel.receive()
                if message is None:
                    break
                messages.append(message)
        except Gone:
            self._gone = True
            self._gone_at = time.monotonic()
        return messages

    def ended(self) -> str | None:
        status = self._process.poll()
        if status is None:
            patient = self._gone_at is None or time.monotonic() - self._gone_at < _ENDING_S
            return None if patient else "its process no longer listens"
        self._listen()
        words = f": {self._words[-1]}" if self._words else ""
        if status < 0:
            return f"its process was killed by {signal.Signals(-status).name}{words}"
        return f"its process ended with exit status {status}{words}"

    def kill(self) -> None:
        """By SIGKILL, and without waiting: a process that is stuck in a driver ends when the driver lets go of it."""
        if self._process.poll() is None:
            self._process.kill()
        self._channel.close()
        if self.stderr >= 0:
            os.close(self.stderr)
            self.stderr = -1
        self._gone = True

    def wait(self, timeout_s: float) -> None:
        """Until it has ended, at most so long."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("a child (%s) does not die", self._module)

    def _listen(self) -> None:
        if self.stderr < 0:
            return
        try:
            while chunk := os.read(self.stderr, 1 << 16):
                self._rest += chunk
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest[-(1 << 16) :].split(b"\n")
        for line in lines:
            words = _ADDRESS.sub("***", _without_secrets(line.decode(errors="replace").strip()))
            if words:
                self._words.append(words)
                log.info("%s: %s", self._module.rpartition(".")[2], words)


# FFmpeg and OpenCV print addresses, passwords included, and LiteRT a line at each start.
_QUIET = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "ERROR", "OPENVINO_TELEMETRY_OPT_OUT": "1"}


def _where_edgekit_is() -> dict[str, str]:
    """The child finds edgekit where this process found it."""
    here = str(Path(edgekit.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}
