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
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Protocol

import edgekit
from edgekit.redactor import Redactor
from edgekit.supervisor.channel import Channel, Gone
from edgekit.supervisor.child import PARENT

log = logging.getLogger(__name__)

Message = dict[str, Any]

_ENDING_S = 0.5  # between the end of its channel and its own, in which it may still say why
_MOST_MESSAGES = 256  # in one go: a child that floods must not keep the supervisor from the others
_MOST_WORDS, _LINES, _LINE = 1 << 16, 20, 500  # bytes, lines and bytes a line of what it prints, in one go
_LOOK_S = 0.2  # between looks at what is not urgent: each is a system call, on the way of a frame to its answer
_ADDRESS = re.compile(r"\w*://\S*")
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

    What it prints is logged without addresses, and its last line says why where it dies. hidden: variables of the
    environment that are none of its business. OSError where no process can be started.
    """

    def __init__(self, module: str, fds: Sequence[int] = (), hidden: Collection[str] = ()) -> None:
        self._module = module
        with ExitStack() as opened:
            self._channel, theirs = Channel.pair()
            opened.callback(self._channel.close)
            reading, writing = os.pipe2(os.O_CLOEXEC)
            opened.callback(os.close, reading)
            os.set_blocking(reading, False)
            passed = [theirs.fileno(), *fds]
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, *map(str, passed)],
                    stdin=subprocess.DEVNULL,
                    stdout=writing,  # engines print on it
                    stderr=writing,
                    pass_fds=passed,
                    start_new_session=True,  # a Ctrl-C in the terminal is for the supervisor alone
                    env=_environment(hidden),
                )
            finally:
                os.close(writing)
                theirs.close()
            opened.pop_all()
        self.stderr = reading
        self._words: deque[str] = deque(maxlen=5)
        self._rest = b""
        self._gone = self._killed = self._silent = self._asked_last = False
        self._gone_at: float | None = None
        self._heard_at = self._polled_at = float("-inf")

    @property
    def pid(self) -> int:
        return self._process.pid

    def filenos(self) -> Collection[int]:
        """What to wait on: there is something to receive when one of them can be read."""
        return () if self._gone else (self._channel.fileno(),)

    def waited(self, readable: Collection[int]) -> None:
        """What a wait for all children has found: one that said nothing need not be asked whether it did."""
        self._silent = not self._gone and self._channel.fileno() not in readable

    def send(self, message: Mapping[str, Any]) -> bool:
        if self._gone:
            return False
        try:
            return self._channel.send(message)
        except Gone:
            self._end()
            return False

    def receive(self) -> list[Message]:
        messages: list[Message] = []
        try:
            while not self._gone and not self._silent and len(messages) < _MOST_MESSAGES:
                message = self._channel.receive()
                if message is None:
                    break
                messages.append(message)
        except Gone:
            self._end()
        now = time.monotonic()
        if now - self._heard_at >= _LOOK_S:
            self._heard_at = now
            self._listen()
        return messages

    def ended(self) -> str | None:
        """Its end shows at once as the end of its channel, unless something that it has started holds that open.

        One that was killed has not ended before the system says so: beside one that is stuck in a driver no other is
        to be started.
        """
        now = time.monotonic()
        if not self._gone and now - self._polled_at < _LOOK_S:
            return None
        self._polled_at = now
        status = self._process.poll()
        if status is None:
            patient = self._killed or self._gone_at is None or now - self._gone_at < _ENDING_S
            return None if patient else "its process no longer listens"
        if self._silent and not self._gone and not self._asked_last:
            self._asked_last = True  # it may have said why after the wait was over: that is heard first
            self._silent = False
            return None
        self._listen()
        words = f": {self._words[-1]}" if self._words else ""
        if status < 0:
            return f"its process was killed by {_signal_name(-status)}{words}"
        return f"its process ended with exit status {status}{words}"

    def kill(self) -> None:
        """By SIGKILL, with all that it has started, and without waiting: a process that is stuck in a driver ends when
        the driver lets go of it."""
        self._killed = True
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._channel.close()
        if self.stderr >= 0:
            os.close(self.stderr)
            self.stderr = -1
        self._end()

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
            self._rest += os.read(self.stderr, _MOST_WORDS)
        except BlockingIOError:
            return
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest[-_LINE:]
        for line in (line[-_LINE:] for line in lines[-_LINES:]):
            words = _ADDRESS.sub("***", _without_secrets(line.decode(errors="replace").strip()))
            if words:
                self._words.append(words)
                log.info("%s: %s", self._module.rpartition(".")[2], words, extra={"subject": words})

    def _end(self) -> None:
        if not self._gone:
            self._gone, self._gone_at = True, time.monotonic()


# What a child starts with where the user's environment does not say otherwise. OpenBLAS's threads wait by spinning: on
# two cores they burnt 0.15 CPU-s at each start, and no product here is worth a second thread. glibc keeps an arena for
# each thread: one for all of them made 4 to 7 MB less with OpenVINO. And pydantic reads what every installed package
# says of itself to find plugins: 13 ms where 137 are installed.
LEAN = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1", "PYDANTIC_DISABLE_PLUGINS": "__all__"}

# FFmpeg and OpenCV print addresses, passwords included, and LiteRT a line at each start.
_QUIET = {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "ERROR", "OPENVINO_TELEMETRY_OPT_OUT": "1"}


def _environment(hidden: Collection[str]) -> dict[str, str]:
    """This process's, without what is hidden; the child finds edgekit where this process found it."""
    here = str(Path(edgekit.__file__).parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    seen = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**LEAN, **seen, **_QUIET, "PYTHONPATH": os.pathsep.join(paths), PARENT: str(os.getpid())}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most of the real-time signals
        return f"signal {number}"
