"""An engine that computes nothing: the same outputs for every picture, at a cost known beforehand.

It is what tests of a camera loop run on, and what a benchmark is held against: a session of 5 ms must measure as 5 ms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from edgekit.engines.session import Outputs, Session, Tensor, TensorInfo, check_tensor, closed
from edgekit.plan import EnginePlan


class NullSession(Session):
    """`outputs` for whatever tensor fits `input`; each run spends `spent_ms` by calling `spend` with its seconds.

    `spend` is `time.sleep`, `burn` for a run that keeps a core busy, or a fake clock's own sleep.
    """

    def __init__(
        self,
        input: TensorInfo,  # noqa: A002  named as in every session
        outputs: Sequence[Tensor],
        spent_ms: float = 0.0,
        spend: Callable[[float], None] = time.sleep,
    ) -> None:
        self.engine = "null"
        self.plan = EnginePlan("null")
        self.precision = "f32"
        self.threads = 1
        self.input = input
        self.outputs = tuple(
            TensorInfo(f"output_{index}", each.dtype.name, each.shape) for index, each in enumerate(outputs)
        )
        self.runs = 0
        self._answers: Outputs | None = tuple(outputs)
        self._spent_s = spent_ms / 1e3
        self._spend = spend

    def run(self, tensor: Tensor) -> Outputs:
        if self._answers is None:
            raise closed()
        check_tensor(tensor, self.input)
        if self._spent_s:
            self._spend(self._spent_s)
        self.runs += 1
        return tuple(each.copy() for each in self._answers)

    def close(self) -> None:
        self._answers = None


def burn(seconds: float) -> None:
    """Keep one core busy for so long."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
