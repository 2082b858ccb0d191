"""A status as the supervisor tells it, a board to show it on, and the pages served for real."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.events import CAMERA_STATE, Author
from edgekit.web.board import Board
from edgekit.web.serve import listen, make_server, url_of

Serving = Callable[..., Any]

STATUS: dict[str, Any] = {
    "device": "cart-7",
    "boot": "3fa91c0d22ab",
    "version": "0.1.0",
    "state": "ok",
    "reasons": [],
    "uptime_s": 7200.5,
    "time": "2026-11-21T09:30:00.125Z",
    "cameras": {
        "shelf 3": {
            "state": "LIVE",
            "reason": "",
            "since_s": 3600.0,
            "fps": 9.9,
            "size": [640, 360],
            "frames": 72_000,
            "looked": 71_000,
            "dropped": {"overtaken": 990, "repeated": 10},
            "age_ms": 48.5,
            "opens": 1,
            "notices": {"size changed": 2},
        },
        "door": {
            "state": "LIVE",
            "reason": "",
            "since_s": 12.0,
            "fps": 5.0,
            "size": [640, 360],
            "frames": 60,
            "looked": 60,
            "dropped": {},
            "age_ms": None,
            "opens": 3,
            "notices": {},
        },
    },
    "engine": {
        "state": "ok",
        "variant": "onnx-int8",
        "engine": "onnxruntime 1.31.1",
        "reason": "",
        "restarts": 1,
        "stages_ms": {"wait": 40.0, "preprocess": 1.5, "detect": 18.0, "classify": 4.5},
        "frame_ms": 25.0,
    },
    "ladder": {"step": 0, "name": "full", "reason": ""},
    "heat_c": 61.5,
    "memory_available_mb": 1024.0,
    "outbox": {
        "waiting": 3,
        "oldest_s": 1.5,
        "stored": 500,
        "dropped": {},
        "bytes": 65_536,
        "sinks": {
            "jsonl": {"up": True, "reason": "", "waiting": 0, "acked": 500, "refused": 0},
            "mqtt": {"up": False, "reason": "connection refused", "waiting": 3, "acked": 497, "refused": 0},
        },
    },
    "recent_events": [],
}


@dataclass
class Ticking:
    """A clock that stands still until it is told."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Pictures:
    """The port for pictures: what `held` has."""

    held: dict[str, bytes] = field(default_factory=dict)

    def __call__(self, camera: str) -> bytes | None:
        return self.held.get(camera)


@pytest.fixture
def status() -> dict[str, Any]:
    return deepcopy(STATUS)


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


@pytest.fixture
def board(pictures: Pictures, clock: Ticking) -> Board:
    return Board(pictures, clock)


@pytest.fixture
def paint() -> Callable[[int], bytes]:
    """A real JPEG, another one for each shade."""

    def painted(shade: int) -> bytes:
        return cv2.imencode(".jpg", np.full((36, 64, 3), shade, np.uint8))[1].tobytes()

    return painted


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """Events as JSON has them, numbered."""
    author = Author("cart-7", "3fa91c0d22ab", clock=lambda: 1.0, wall=lambda: 1_795_250_000.0)

    def written(subject: str = "door", kind: str = CAMERA_STATE, **data: Any) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(author.event(kind, subject, data).to_json())
        return made

    return written


@pytest.fixture
def serving() -> Serving:
    """Serve a board on a free port of loopback for the length of a `with` block, and give the URL."""

    @contextmanager
    def served(board: Board, token: str | None = None, **settings: Any) -> Iterator[str]:
        with listen("127.0.0.1:0", token) as listener:
            server = make_server(board, token, **settings)
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            try:
                yield url_of(listener)
            finally:
                server.should_exit = True
                thread.join(10)
                assert not thread.is_alive()

    return served
