"""The web child: hears statuses and events from the supervisor, serves the pages, and says which cameras are watched.

`python -m edgekit.web.child <channel> <fds of the rings of pictures...>`. It is told once what to do,

    {"kind": "serve", "address": "127.0.0.1:8080", "token": null, "views": {"aisle 3": 9}}

where views are rings that the inference child writes JPEGs into, and answers {"kind": "listening", "address": url} or
{"kind": "failed", "reason": ...}. Then it is told {"kind": "status", "status": {...}} and {"kind": "events",
"events": [...]}, and tells {"kind": "watching", "cameras": [...]} when that changes: what nobody looks at is not drawn.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.supervisor.channel import Channel, Gone
from edgekit.supervisor.child import begin
from edgekit.supervisor.ring import Ring
from edgekit.web.board import Board
from edgekit.web.serve import listen, make_server, url_of

if TYPE_CHECKING:
    import uvicorn

_WATCHING_S = 0.2  # how soon the supervisor hears that somebody looks
_OLD_S = 3.0  # a picture older than that is of no frame that anybody wants to see now


def main(channel_fd: int, *_: int) -> None:
    """Serve until the supervisor's end of the channel closes."""
    begin("web")
    channel = Channel.open(channel_fd)
    try:
        order = channel.receive(None)
        assert order is not None
        try:
            _serve(order, channel)
        except (EdgekitError, ValueError) as error:
            channel.send({"kind": "failed", "reason": str(error)}, wait=True)
    except Gone:
        return


def _serve(order: Mapping[str, Any], channel: Channel) -> None:
    views = Views({camera: Ring(fd) for camera, fd in order["views"].items()})
    board = Board(views.newest)
    with listen(order["address"], order["token"]) as listener:
        server = make_server(board, order["token"])
        channel.send({"kind": "listening", "address": url_of(listener)}, wait=True)
        threading.Thread(target=follow, args=(channel, board, server), name="follow", daemon=True).start()
        server.run(sockets=[listener])


class Views:
    """The newest picture of each camera, as long as it is fresh. clock: the one that the pictures' times are of."""

    def __init__(self, rings: Mapping[str, Ring], clock: Callable[[], float] = time.monotonic) -> None:
        self._rings = rings
        self._clock = clock

    def newest(self, camera: str) -> bytes | None:
        """Its JPEG; None where there is none, or none of the last seconds."""
        ring = self._rings.get(camera)
        stored = ring.newest() if ring is not None else None
        return stored.data if stored is not None and self._clock() - stored.taken_at <= _OLD_S else None


def follow(channel: Channel, board: Board, server: uvicorn.Server) -> None:
    """Put on the board what the supervisor says and tell it who is watched, until it is gone; then end the server."""
    told: tuple[str, ...] = ()
    try:
        while True:
            message = channel.receive(_WATCHING_S)
            if message is not None and message["kind"] == "status":
                board.show(message["status"])
            elif message is not None and message["kind"] == "events":
                board.add(message["events"])
            watching = board.watching()
            if watching != told and channel.send({"kind": "watching", "cameras": list(watching)}):
                told = watching
    except Gone:
        return
    finally:
        server.should_exit = True


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
