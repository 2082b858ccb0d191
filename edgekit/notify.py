"""What a service tells systemd: that it is ready, how it is, that it still makes progress, that it stops.

The protocol is sd_notify(3): lines of `NAME=value` in one datagram to the socket that NOTIFY_SOCKET names.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Speaks to the service manager; to nobody where `address` is None, as in a terminal.

    address: a socket's path, or an abstract socket's name with '@' before it. watchdog_s: `watchdog()` has to be called
    more often than this, best twice as often, or systemd kills the service; None where it does not watch.

    A message never blocks and never raises: each method returns whether the message was handed over. A manager whose
    socket is full or gone is logged, once until it listens again, and the service goes on.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        if address is not None and address[:1] not in ("/", "@"):
            raise ValueError(f"a notify socket is a path or an abstract name after '@'; got '{address}'")
        self.watchdog_s = watchdog_s
        self._address = address
        self._deaf = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """As systemd set it up for this very process: a watchdog that is meant for another one is not ours."""
        return cls(environ.get("NOTIFY_SOCKET") or None, _watchdog_s(environ))

    def ready(self) -> bool:
        """The service does its work; before this systemd calls it 'activating'."""
        return self._send("READY=1")

    def status(self, text: str) -> bool:
        """One line for `systemctl status`; the caller has taken out what is secret."""
        return self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> bool:
        """Still making progress. Call it where progress was seen, never from a timer of its own."""
        return self._send("WATCHDOG=1")

    def stopping(self) -> bool:
        """The service ends in good order."""
        return self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        if self._address is None:
            return False
        try:
            # a socket for each message: systemd may be restarted under a service that runs for years
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
                link.setblocking(False)
                link.sendto(message.encode(), _path(self._address))
        except OSError as error:
            if not self._deaf:
                log.warning("the service manager does not listen: %s", error.strerror or error)
            self._deaf = True
            return False
        self._deaf = False
        return True


def _path(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """The interval of sd_watchdog_enabled(3)."""
    microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not microseconds.isdecimal() or int(microseconds) == 0 or pid not in ("", str(os.getpid())):
        return None
    return int(microseconds) / 1e6
