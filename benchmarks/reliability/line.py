"""A server's side of one TCP connection, which can be reset from outside at any moment."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable

LOOK_S = 0.05  # how often a connection that waits looks whether it is to be reset


class Reset(Exception):
    """Raised within a connection's thread: the connection is to be reset, not closed."""


class Line:
    """One connection to a client. `up` says whether it may live on; every wait looks, and raises `Reset` if not."""

    def __init__(self, line: socket.socket, up: Callable[[], bool]) -> None:
        line.setblocking(False)
        self._line = line
        self._up = up

    def look(self) -> None:
        if not self._up():
            raise Reset

    def send(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            self.look()
            if select.select([], [self._line], [], LOOK_S)[1]:
                left = left[self._line.send(left) :]

    def receive(self, wait_s: float = LOOK_S) -> bytes | None:
        """What has come; None where nothing did, b"" where the client has hung up."""
        self.look()
        return self._line.recv(65536) if select.select([self._line], [], [], wait_s)[0] else None

    def request(self) -> str:
        """The client's next request, without a body; "" where it has hung up."""
        text = b""
        while not text.endswith(b"\r\n\r\n"):
            more = self.receive()
            if more == b"" or len(text) > 65536:
                return ""
            text += more or b""
        return text.decode("latin-1")

    def reset(self) -> None:
        """End it with RST: what was sent and not yet read is lost to the client, as when a camera loses its power."""
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._line.close()

    def close(self) -> None:
        self._line.close()
