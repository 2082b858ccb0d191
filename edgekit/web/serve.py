"""Serves the pages: on loopback for anybody who is on the box, on another address for who has the token."""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit.secret import Secret
from edgekit.web.board import Board

if TYPE_CHECKING:
    import uvicorn

LOOPBACK = "127.0.0.1:8080"
_NEEDED = ("starlette", "uvicorn", "prometheus_client")
_STUCK_S = 20  # then a reader that takes nothing, a phone that went to sleep, is cut off, and who asks for nothing too
_PROBES = (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))  # seconds, seconds, and how many
_MOST_CONNECTIONS = 64


def serve(
    address: str,
    board: Board,
    token: Secret | str | None = None,
    *,
    most_streams: int = 8,
    live_fps: float = 5.0,
    listening: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve until SIGINT or SIGTERM. listening: told the URL once connections are taken. Raises as `listen` does."""
    with listen(address, token) as listener:
        server = make_server(board, token, most_streams=most_streams, live_fps=live_fps)
        listening(url_of(listener))
        server.run(sockets=[listener])


def make_server(
    board: Board, token: Secret | str | None = None, *, most_streams: int = 8, live_fps: float = 5.0
) -> uvicorn.Server:
    """To `run(sockets=[listener])`; it ends when `should_exit` is set. `EdgekitError` where edgekit[web] is absent.

    No access log: it is of no use in a box that polls itself, and a log that is not written holds no secret.
    """
    check_installed()
    import uvicorn

    from edgekit.web.app import make_app

    app = make_app(board, token, most_streams=most_streams, live_fps=live_fps)
    silent = _Silent()
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=1,
            timeout_notify=1,
            callback_notify=lambda: silent.close(server.server_state.connections, time.monotonic()),
        )
    )
    app.state.ending = lambda: server.should_exit
    return server


class _Silent:
    """Closes connections on which nothing was asked for `_STUCK_S`: uvicorn waits for ever for a first request, and
    each of them is one of `_MOST_CONNECTIONS`."""

    def __init__(self) -> None:
        self._since: dict[Any, tuple[Any, float]] = {}  # by connection: the last request, which is done, and since when

    async def close(self, connections: Iterable[Any], now: float) -> None:
        silent = [each for each in connections if each.cycle is None or each.cycle.response_complete]
        before = self._since
        self._since = {each: (each.cycle, now) for each in silent}
        for each in silent:
            cycle, since = before.get(each, (None, now))
            if cycle is each.cycle:
                self._since[each] = cycle, since
                if now - since >= _STUCK_S:
                    each.transport.close()


def listen(address: str, token: Secret | str | None = None) -> socket.socket:
    """A socket that listens at `host:port`; port 0 takes any that is free. Close it, or use it in a `with` block.

    `ValueError` where the address is none, or is open to others and there is no token; `EdgekitError` where the system
    does not give it.
    """
    family, where = _resolve(address)
    if token is None and not ipaddress.ip_address(where[0]).is_loopback:
        raise ValueError(
            f"{address} can be reached by others, so it needs a token: set `token` in [web], for example to "
            f"'env:EDGEKIT_WEB_TOKEN'; or serve on {LOOPBACK}, for this host alone"
        )
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it, see tcp(7)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_S * 1000)
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1
        )  # inherited too: a peer that is gone says nothing
        for name, value in _PROBES:
            if hasattr(socket, name):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        listener.bind(where)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise EdgekitError(f"{address}: {os.strerror(error.errno or 0).lower()}; give another address") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """`http://127.0.0.1:8080`: where the listener is, as a browser takes it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_installed() -> None:
    """`EdgekitError` says what to install."""
    for module in _NEEDED:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise EdgekitError(f"the local page needs {error.name}: pip install 'edgekit[web]'") from error


def _resolve(address: str) -> tuple[int, tuple[str, int]]:
    """What the name stands for is looked at, not the name: a hosts file can give 'localhost' any address."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise ValueError(f"an address is host:port, as {LOOPBACK}; got '{address}'")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise EdgekitError(f"{address}: {host} is no address of this host: {error.strerror}") from error
    family, _, _, _, where = found[0]
    return family, (str(where[0]), int(where[1]))
