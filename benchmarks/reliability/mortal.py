"""A process that a rig starts and kills, as often as it likes."""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import TypeVar

Self = TypeVar("Self", bound="Mortal")


class Mortal:
    """At most one process at a time, `_process`; killed when the `with` block is left."""

    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """kill -9. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
