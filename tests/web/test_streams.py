"""What does not end: server-sent events and live pictures, over real connections."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from edgekit.web.board import Board


def messages(answer: httpx2.Response) -> Iterator[tuple[str, Any]]:
    kind = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


def pictures_of(answer: httpx2.Response) -> Iterator[bytes]:
    """By the lengths that the parts say they have, as a strict reader does it."""
    assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=picture"
    got, chunks = b"", answer.iter_raw()
    while True:
        while b"\r\n\r\n" not in got:
            got += next(chunks)
        head, _, got = got.partition(b"\r\n\r\n")
        edge, kind, length = head.split(b"\r\n")
        assert (edge, kind) == (b"--picture", b"Content-Type: image/jpeg")
        size = int(length.removeprefix(b"Content-Length: "))
        while len(got) < size + 2:
            got += next(chunks)
        yield got[:size]
        assert got[size : size + 2] == b"\r\n"
        got = got[size + 2 :]


def until(true: Callable[[], bool], patience_s: float = 5.0) -> bool:
    end = time.monotonic() + patience_s
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    return true()


def test_a_page_hears_the_status_without_its_events_and_each_event_once(serving, board, status, event) -> None:
    first, second = event(state="LOST"), event(state="LIVE")
    board.show({**status, "recent_events": [first]})
    with serving(board) as url, httpx2.stream("GET", f"{url}/api/events", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        heard = messages(answer)
        assert next(heard) == ("status", {key: value for key, value in status.items() if key != "recent_events"})
        assert next(heard) == ("events", [first])
        board.show({**status, "state": "degraded", "recent_events": [first, second]})
        kind, told = next(heard)
        assert (kind, told["state"]) == ("status", "degraded")
        assert next(heard) == ("events", [second])
        assert board.followers == 1
    assert until(lambda: board.followers == 0)


def test_a_page_is_told_of_silence(serving, board, clock, status) -> None:
    board.show(status)
    with serving(board) as url, httpx2.stream("GET", f"{url}/api/events", timeout=10) as answer:
        heard = messages(answer)
        assert next(heard)[0] == "status"
        clock.now += 7
        assert next(heard) == ("silence", {"reason": "no status from the supervisor for 7.0 s"})


def test_a_live_stream_gives_each_new_picture_once(serving, board, pictures, paint, status) -> None:
    board.show(status)
    pictures.held["door"] = paint(10)
    with serving(board, live_fps=30) as url, httpx2.stream("GET", f"{url}/camera/door/live", timeout=10) as answer:
        seen = pictures_of(answer)
        for shade in (10, 90, 170):
            pictures.held["door"] = paint(shade)
            assert next(seen) == paint(shade)
        assert board.watching() == ("door",)
    assert until(lambda: board.streams == 0), "a reader that goes away leaves nothing behind"


def test_a_live_stream_is_no_faster_than_it_may_be(serving, status, paint) -> None:
    shades = iter(range(10_000))
    board = Board(lambda camera: paint(next(shades) % 250))
    board.show(status)
    with serving(board, live_fps=10) as url, httpx2.stream("GET", f"{url}/camera/door/live", timeout=10) as answer:
        seen = pictures_of(answer)
        began = time.monotonic()
        for _ in range(6):
            next(seen)
        assert time.monotonic() - began >= 0.45


def test_no_more_live_streams_than_may_be(serving, board, pictures, paint, status) -> None:
    board.show(status)
    pictures.held["door"] = paint(10)
    with serving(board, most_streams=2) as url:
        with (
            httpx2.stream("GET", f"{url}/camera/door/live") as first,
            httpx2.stream("GET", f"{url}/camera/shelf%203/live") as second,
        ):
            assert (first.status_code, second.status_code) == (200, 200)
            refused = httpx2.get(f"{url}/camera/door/live")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
            assert refused.json() == {"error": "2 live streams are open already, which is the most"}
            assert httpx2.get(f"{url}/camera/door.jpg").status_code == 200
        assert until(lambda: board.streams == 0)
        with httpx2.stream("GET", f"{url}/camera/door/live") as again:
            assert again.status_code == 200


def test_no_more_pages_follow_than_may(serving, board, status, monkeypatch) -> None:
    monkeypatch.setattr("edgekit.web.app.MOST_FOLLOWERS", 1)
    board.show(status)
    with serving(board) as url, httpx2.stream("GET", f"{url}/api/events"):
        assert httpx2.get(f"{url}/api/events").json() == {"error": "1 pages follow already, which is the most"}


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no TCP_USER_TIMEOUT")
def test_a_reader_that_takes_nothing_is_cut_off(serving, status, monkeypatch) -> None:
    monkeypatch.setattr("edgekit.web.serve._STUCK_S", 1)
    noise = [bytes([n]) * 2_000_000 for n in range(20)]
    board = Board(lambda camera: noise[int(time.monotonic() * 30) % len(noise)])
    board.show(status)
    with serving(board, live_fps=30) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as phone:
            phone.sendall(b"GET /camera/door/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert until(lambda: board.streams == 1)
            assert until(lambda: board.streams == 0, 15)
