"""The web child as a process: what it is told, what it serves, what it says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx2
import pytest

from edgekit.supervisor.channel import Channel, Gone
from edgekit.supervisor.ring import Ring
from edgekit.web.child import Views


@contextmanager
def child(rings: dict[str, Ring], **order: Any) -> Iterator[tuple[Channel, subprocess.Popen[bytes]]]:
    ours, theirs = Channel.pair()
    views = {camera: ring.fd for camera, ring in rings.items()}
    passed = [theirs.fileno(), *views.values()]
    program = [sys.executable, "-m", "edgekit.web.child", *map(str, passed)]
    with subprocess.Popen(program, pass_fds=passed) as process, closing(ours):
        theirs.close()
        ours.send({"kind": "serve", "address": "127.0.0.1:0", "token": None, "views": views, **order})
        try:
            yield ours, process
        finally:
            process.kill()


def heard(channel: Channel, kind: str) -> dict[str, Any]:
    message = channel.receive(20)
    assert message is not None
    assert message["kind"] == kind, message
    return message


@pytest.fixture
def ring() -> Iterator[Ring]:
    with closing(Ring.create("view", 100_000)) as made:
        yield made


def draw(ring: Ring, jpeg: bytes) -> None:
    ring.write(memoryview(jpeg), 36, 64, time.monotonic())


def test_it_serves_what_it_is_told_and_says_who_is_watched(ring, paint, status, event) -> None:
    with child({"door": ring}) as (channel, process):
        url = heard(channel, "listening")["address"]
        assert httpx2.get(f"{url}/healthz").status_code == 503
        channel.send({"kind": "status", "status": status})
        channel.send({"kind": "events", "events": [event(state="LOST")]})
        while httpx2.get(f"{url}/healthz").status_code != 200:
            time.sleep(0.02)
        assert httpx2.get(f"{url}/camera/door.jpg").status_code == 204
        assert heard(channel, "watching")["cameras"] == ["door"]
        draw(ring, paint(120))
        assert httpx2.get(f"{url}/camera/door.jpg").content == paint(120)
        assert heard(channel, "watching")["cameras"] == [], "nobody asks any more"
        channel.close()
        assert process.wait(10) == 0


def test_it_says_why_it_cannot_serve(ring) -> None:
    with child({}, address="0.0.0.0:0") as (channel, process):
        assert "can be reached by others" in heard(channel, "failed")["reason"]
        assert process.wait(10) == 0
        with pytest.raises(Gone):
            channel.receive(5)


def test_a_token_that_is_too_short_is_said_without_telling_it(ring) -> None:
    with child({}, token="hunter2") as (channel, _):
        reason = heard(channel, "failed")["reason"]
    assert "a token has at least 16 letters" in reason
    assert "hunter2" not in reason


def test_a_picture_of_long_ago_is_not_shown_as_one_of_now(ring, paint) -> None:
    now = time.monotonic()
    views = Views({"door": ring}, clock=lambda: now)
    assert (views.newest("door"), views.newest("wall")) == (None, None)
    ring.write(memoryview(paint(5)), 36, 64, now - 1)
    assert views.newest("door") == paint(5)
    now += 60
    assert views.newest("door") is None
