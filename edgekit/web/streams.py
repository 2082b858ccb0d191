"""Answers that do not end: the status and events as server-sent events, and a camera's pictures as multipart JPEG."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from edgekit.web.board import Board

TICK_S = 0.25  # twice as often as statuses come
IDLE_S = 10.0  # then a line without content, so that nothing in between believes the stream dead
_EDGE = b"--picture\r\n"


class Held(StreamingResponse):
    """A stream that keeps `held` entered from before its first byte until its reader is gone."""

    def __init__(self, parts: AsyncIterator[bytes], held: AbstractContextManager[None], media_type: str) -> None:
        super().__init__(parts, media_type=media_type, headers={"X-Accel-Buffering": "no"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


def events_response(board: Board, request: Request) -> Held:
    """`event: status`, `event: events` and, where the supervisor is silent, `event: silence`.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    return Held(_events(board, request), board.follow(), "text/event-stream")


def live_response(board: Board, camera: str, fps: float, request: Request) -> Held:
    """Every new picture of the camera, at most `fps` a second."""
    pictures = _pictures(board, camera, 1 / fps, request)
    return Held(pictures, board.watch(camera), "multipart/x-mixed-replace; boundary=picture")


async def _events(board: Board, request: Request) -> AsyncIterator[bytes]:
    version, number, idle_s = -1, 0, 0.0
    yield b"retry: 2000\n\n"
    while not await _over(request):
        said = b""
        if board.status is not None and board.version != version:
            version = board.version
            said += message("status", without_events(board.status))
        number, events = board.events_after(number)
        if events:
            said += message("events", events)
        if (silence := board.silence()) is not None:
            said += message("silence", {"reason": silence})
        idle_s = 0.0 if said else idle_s + TICK_S
        if idle_s >= IDLE_S:
            said, idle_s = b": still here\n\n", 0.0
        if said:
            yield said
        await asyncio.sleep(TICK_S)


async def _pictures(board: Board, camera: str, period_s: float, request: Request) -> AsyncIterator[bytes]:
    last: bytes | None = None
    yield _EDGE
    while not await _over(request):
        picture = board.picture(camera)
        if picture is not None and picture != last:
            # The next edge goes along: Chromium shows a part when it sees where the part ends.
            yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n%b" % (len(picture), picture, _EDGE)
            last = picture
        await asyncio.sleep(period_s)


async def _over(request: Request) -> bool:
    """Whether the reader is gone, or the server is about to be."""
    return request.app.state.ending() or await request.is_disconnected()


def message(kind: str, content: Any) -> bytes:
    """One server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(content, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def without_events(status: Any) -> dict[str, Any]:
    """The status without its events, which go by themselves and once."""
    return {key: value for key, value in status.items() if key != "recent_events"}
