"""A store's box as a process of its own, watched and hurt from outside: what a rig does to it, anybody could.

The box is `run_unattended` and nothing else. It says its status on stdout, and writes its events to a file; its
children are found in /proc.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, TypeAlias, TypeVar

from edgekit.benchmarks.reliability.small_shop import SmallShop
from edgekit.errors import EdgekitError
from edgekit.events import Event
from edgekit.schema import dump, parse
from edgekit.supervisor.run import run_unattended
from edgekit.supervisor.settings import Unattended

Role: TypeAlias = Literal["capture", "inference"]
T = TypeVar("T")
Observer: TypeAlias = Callable[[Mapping[str, Any]], None]

_POLL_S = 0.02
_END_S = 15.0


class BoxDied(EdgekitError):
    """The supervisor's process has ended although nobody told it to."""


class Box:
    """A running box; ends with the `with` block.

    leaking: it is given an observer of its status that keeps what it is shown. status: the last one. ended_well: of a
    box that was told to end, whether it did, by itself and with exit status 0.
    """

    def __init__(self, shop: SmallShop, leaking: bool = False) -> None:
        self.shop = shop
        self.status: dict[str, Any] = {}
        self.ended_well: bool | None = None
        self._leaking = leaking
        self._read_to = 0

    def __enter__(self) -> Box:
        order = self.shop.folder / "settings.json"
        order.write_text(json.dumps(dump(self.shop.settings)), encoding="utf-8")
        command = [sys.executable, "-m", "edgekit.benchmarks.reliability.box", str(order), str(int(self._leaking))]
        with open(self.shop.folder / "box.log", "wb") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self.ended_well = self._process.wait(_END_S) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self.ended_well = False
        self._listener.join()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def child(self, role: Role, within_s: float = 30.0) -> int:
        """The process id of the inference child, or of the first camera's."""
        return self.wait(lambda: _child(self.pid, f"edgekit.supervisor.{role}".encode()), within_s, f"a {role} child")

    def new_events(self) -> list[Event]:
        """What was written to the events' file since the last time."""
        if not self.shop.events.exists():
            return []
        with open(self.shop.events, "rb") as file:
            file.seek(self._read_to)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read_to += len(whole)
        return [Event.from_json(line) for line in whole.splitlines()]

    def wait(self, look: Callable[[], T | None], within_s: float, what: str) -> T:
        """The first thing that `look` finds; `TimeoutError` where there is none in time, `BoxDied` where it died."""
        until = time.monotonic() + within_s
        while not (found := look()):
            if not self.runs:
                raise BoxDied(f"the supervisor ended with exit status {self._process.returncode}: {self.last_words()}")
            if time.monotonic() >= until:
                complaints = "; ".join(self.status.get("reasons", ()))
                raise TimeoutError(f"{what} did not come within {within_s:g} s{complaints and ': '}{complaints}")
            time.sleep(_POLL_S)
        return found

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        lines = (self.shop.folder / "box.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def _listen(self, stdout: IO[bytes]) -> None:
        with stdout:
            for line in stdout:
                self.status = json.loads(line)


def _child(parent: int, module: bytes) -> int | None:
    """Any thread of the parent may have started it; where several came one after the other, the last."""
    found = None
    try:
        for thread in Path(f"/proc/{parent}/task").iterdir():
            for pid in (thread / "children").read_text(encoding="ascii").split():
                if module in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    found = int(pid) if found is None else max(found, int(pid))
    except (FileNotFoundError, ProcessLookupError):
        return None  # one of them has just ended: look again
    return found


def main(order: str, leaking: str) -> None:
    """The box itself."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # its children will be killed in ways that leave a core file
    settings = parse(Unattended, json.loads(Path(order).read_text(encoding="utf-8")), order)
    observe = _leak() if int(leaking) else _say
    run_unattended(settings, on_status=observe)


def _say(status: Mapping[str, Any]) -> None:
    print(json.dumps({**status, "recent_events": []}), flush=True)


def _leak() -> Observer:
    """What a careless observer does: it keeps a megabyte for each status, and opens a file that it never closes."""
    kept: list[tuple[str, int]] = []

    def observe(status: Mapping[str, Any]) -> None:
        text = json.dumps(status)
        kept.append((text * (2**20 // len(text)), os.open(os.devnull, os.O_RDONLY)))
        _say(status)

    return observe


if __name__ == "__main__":
    main(*sys.argv[1:])
