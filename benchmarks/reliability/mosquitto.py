"""A real broker, Debian's mosquitto, that can be frozen, killed, and come back with what it had written down."""

from __future__ import annotations

import getpass
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from edgekit.benchmarks.reliability.mortal import Mortal
from edgekit.errors import EdgekitError

# Written down at every change, or a kill -9 takes all since the last half hour.
_SETTINGS = """
listener {port} 127.0.0.1
user {user}
persistence true
persistence_location {folder}/
autosave_on_changes true
autosave_interval 1
max_queued_messages 0
log_dest file {folder}/mosquitto.log
log_type all
"""


def find_mosquitto() -> str | None:
    """The program's path; Debian puts it where only root looks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Mosquitto(Mortal):
    """A broker on a free port of 127.0.0.1, kept in `folder`. Not started until `start`.

        with Mosquitto(folder) as broker:
            broker.start()

    more: further lines of mosquitto.conf. `EdgekitError` where mosquitto is not installed, or does not start.
    """

    def __init__(self, folder: Path, more: str = "allow_anonymous true") -> None:
        program = find_mosquitto()
        if program is None:
            raise EdgekitError("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port()
        self.log = folder / "mosquitto.log"
        self._program = program
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(_SETTINGS.format(port=self.port, user=getpass.getuser(), folder=folder) + more + "\n")

    def start(self) -> None:
        """Returns when it takes connections."""
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while not _is_open(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise EdgekitError(
                    f"mosquitto did not start: {self.log.read_text()[-500:] if self.log.exists() else ''}"
                )
            time.sleep(0.01)

    def freeze(self) -> None:
        """It takes what the network brings, and does nothing."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def _is_open(port: int) -> bool:
    with socket.socket() as asked:
        asked.settimeout(0.5)
        return asked.connect_ex(("127.0.0.1", port)) == 0
