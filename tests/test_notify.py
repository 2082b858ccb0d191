"""What a service tells systemd, heard on a real socket."""

from __future__ import annotations

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """The service manager's end, and the address it puts into NOTIFY_SOCKET."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@edgekit-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        listening.settimeout(5)
        yield listening, address


def test_systemd_hears_the_life_of_a_service(manager):
    listening, address = manager
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    said = [notifier.ready(), notifier.status("2 cameras LIVE"), notifier.watchdog(), notifier.stopping()]
    heard = [listening.recv(4096) for _ in said]
    assert heard == [b"READY=1", b"STATUS=2 cameras LIVE", b"WATCHDOG=1", b"STOPPING=1"]
    assert all(said)


def test_a_status_of_many_lines_cannot_say_anything_else(manager):
    listening, address = manager
    Notifier(address).status("degraded:\n heat\nSTOPPING=1")
    assert listening.recv(4096) == b"STATUS=degraded: heat STOPPING=1"


def test_in_a_terminal_there_is_nobody_to_tell():
    notifier = Notifier.from_environment({})
    assert not notifier.ready()
    assert notifier.watchdog_s is None


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),  # meant for another process
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_as_systemd_said(environ, watchdog_s):
    assert Notifier.from_environment(environ).watchdog_s == watchdog_s


def test_a_manager_that_went_away_is_logged_once_and_heard_again_when_it_is_back(tmp_path, caplog):
    address = tmp_path / "notify"
    notifier = Notifier(str(address))
    assert [notifier.watchdog() for _ in range(3)] == [False] * 3
    assert len(caplog.records) == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as back:
        back.bind(str(address))
        assert notifier.watchdog()
        assert back.recv(64) == b"WATCHDOG=1"
    assert not notifier.watchdog()
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


def test_a_manager_that_does_not_read_never_blocks_the_service(tmp_path):
    """The socket's queue fills (net.unix.max_dgram_qlen) and the next message is refused instead of waiting."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stuck:
        stuck.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        handed = [notifier.watchdog() for _ in range(5000)]
    assert handed[0]
    assert not handed[-1]


def test_an_address_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="got 'vsock:2:1'"):
        Notifier("vsock:2:1")
