"""Messages between the supervisor and a child: small JSON objects over a pair of Unix sockets.

The sockets are of SOCK_SEQPACKET: a packet comes whole or not at all, so a child that is stopped in the middle of a
message cannot block who listens, and the end of the child shows as the end of the stream, however it died.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from edgekit.errors import EdgekitError

_PACKET = 60_000  # bytes; the kernel's default allows some 200,000 a packet
_MOST_PACKETS = 64  # of one message, some 4 MB
_MORE, _LAST = b"+", b"."

_as_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_from_text = json.JSONDecoder().decode


class Gone(EdgekitError):
    """The other side of a channel has ended."""


class Channel:
    """One end of the pair."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = end
        self._parts: list[bytes] = []
        self._arrived: deque[dict[str, Any]] = deque()

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """The supervisor's end, and the socket for the child to make a `Channel` of."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(ours), theirs

    @classmethod
    def open(cls, fd: int) -> Channel:
        """The child's end, from the number of the descriptor that it was given."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Mapping[str, Any], wait: bool = False) -> bool:
        """Whether the other side's queue took it. `Gone` where there is no other side any more.

        wait: for room in the queue; a child may wait for its supervisor, never the reverse. Without it a full queue,
        that of a child which no longer reads, gives False and the message is not sent; a long one that stops half-way
        ends the channel, since its rest could never be told from the next.
        """
        content = _as_text(message).encode()
        parts = [content[at : at + _PACKET] for at in range(0, len(content), _PACKET)]
        for number, part in enumerate(parts):
            packet = (_LAST if number == len(parts) - 1 else _MORE) + part
            if not self._send_packet(packet, wait):
                if number:
                    self.close()
                    raise Gone("a long message stopped half-way: the other side does not read")
                return False
        return True

    def receive(self, timeout_s: float | None = 0.0) -> dict[str, Any] | None:
        """The next message; None where none came within `timeout_s` (None: wait for ever). `Gone` at the end."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._arrived:
            if self._read_packet():
                continue
            if timeout_s == 0:
                return None
            left_s = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._socket], [], [], left_s)[0]:
                return None
        return self._arrived.popleft()

    def close(self) -> None:
        """May be called twice."""
        self._socket.close()

    def _send_packet(self, packet: bytes, wait: bool) -> bool:
        while True:
            try:
                self._socket.send(packet)
            except BlockingIOError:
                if not wait:
                    return False
                select.select([], [self._socket], [])
            except OSError as error:
                raise Gone(error.strerror or str(error)) from error
            else:
                return True

    def _read_packet(self) -> bool:
        try:
            packet = self._socket.recv(_PACKET + 1)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Gone(error.strerror or str(error)) from error
        if not packet:
            raise Gone("the other side has ended")
        self._parts.append(packet[1:])
        if len(self._parts) > _MOST_PACKETS:
            raise Gone("a message without an end")
        if packet[:1] == _LAST:
            self._arrived.append(_message(b"".join(self._parts)))
            self._parts.clear()
        return True


def _message(content: bytes) -> dict[str, Any]:
    """Children read what strangers send; one that was taken over must not take its supervisor along."""
    try:
        message = _from_text(content.decode())
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Gone("nonsense on the channel")
    return message
