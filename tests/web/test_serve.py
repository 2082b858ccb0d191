"""Where the pages are served, and where not."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import httpx2
import pytest

from edgekit.errors import EdgekitError
from edgekit.web.serve import LOOPBACK, check_installed, listen, url_of

TOKEN = "bF3kQ9-wmZ7_xY2p"


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "0:0"])
def test_an_address_that_others_reach_needs_a_token(address) -> None:
    with pytest.raises(ValueError, match=f"can be reached by others.* set `token` in .* or serve on {LOOPBACK}"):
        listen(address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "127.0.0.5:0"])
def test_loopback_needs_none(address) -> None:
    with listen(address) as listener:
        assert url_of(listener).startswith("http://127.0.0.") or url_of(listener).startswith("http://[::1]:")


def test_with_a_token_any_address_will_do() -> None:
    with listen("0.0.0.0:0", TOKEN) as listener:
        assert url_of(listener).startswith("http://0.0.0.0:")


def test_a_name_counts_as_what_it_stands_for(monkeypatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 8080))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(ValueError, match="localhost:8080 can be reached by others"):
        listen("localhost:8080")


@pytest.mark.parametrize(
    "address", ["", "8080", ":8080", "localhost", "localhost:", "localhost:x", "http://a:80/b", "a:99999"]
)
def test_what_is_no_address_is_refused(address) -> None:
    with pytest.raises(ValueError, match=r"an address is host:port, as 127\.0\.0\.1:8080; got"):
        listen(address)


def test_a_port_that_is_taken_is_said_to_be() -> None:
    with listen("127.0.0.1:0") as listener:
        taken = url_of(listener).removeprefix("http://")
        with pytest.raises(EdgekitError, match=f"{taken}: address already in use; give another address"):
            listen(taken)


def test_no_log_holds_the_token_or_what_was_asked_for(serving, board, status, caplog) -> None:
    board.show(status)
    with caplog.at_level(logging.INFO), serving(board, TOKEN) as url:
        httpx2.get(f"{url}/api/status?token={TOKEN}", headers={"Authorization": f"Bearer {TOKEN}"})
        httpx2.post(f"{url}/login", data={"token": TOKEN})
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert not any(TOKEN in line or "/api/status" in line for line in ours)


def test_the_answers_do_not_say_what_serves_them(serving, board) -> None:
    with serving(board) as url:
        assert "server" not in httpx2.get(f"{url}/healthz").headers


@pytest.mark.parametrize("module", ["starlette", "uvicorn", "prometheus_client"])
def test_what_is_not_installed_is_named_with_the_extra_that_brings_it(monkeypatch, module) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EdgekitError, match=rf"the local page needs {module}: pip install 'edgekit\[web\]'"):
        check_installed()


def test_the_board_and_the_door_s_address_cost_no_framework() -> None:
    heavy = "{'starlette', 'uvicorn', 'prometheus_client', 'cv2', 'paho'}"
    program = f"import sys, edgekit.web.serve, edgekit.web.board; print(sorted({heavy} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_connections_that_ask_for_nothing_do_not_keep_others_out(serving, board, status, monkeypatch) -> None:
    monkeypatch.setattr("edgekit.web.serve._STUCK_S", 1)
    board.show(status)
    with serving(board) as url, ExitStack() as opened:
        host, port = url.removeprefix("http://").split(":")
        follower = opened.enter_context(httpx2.stream("GET", f"{url}/api/events", timeout=20))
        silent = [opened.enter_context(socket.create_connection((host, int(port)))) for _ in range(64)]
        for each in silent[::2]:
            each.sendall(b"GET /healthz HT")  # and never the rest
        assert httpx2.get(f"{url}/healthz").status_code == 503
        deadline = time.monotonic() + 10
        while httpx2.get(f"{url}/healthz").status_code == 503 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert httpx2.get(f"{url}/healthz").status_code == 200
        board.show({**status, "state": "degraded"})
        lines = follower.iter_lines()
        assert any('"degraded"' in line for line in lines), "who follows was not cut off"


def test_a_connection_whose_peer_is_gone_is_found_out() -> None:
    with listen("127.0.0.1:0") as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
