"""INT8 that is repaired until the gate passes it, or that says why it does not.

    found = quantize_until(start, "onnx", tensors, Int8Settings(), judge)
    print("\\n".join(map(str, found.attempts)))

In this order: as asked; with corrected biases; with other calibrators; with the most sensitive operators in float, 1,
2, 4, ... of them. YOLOX-nano on 240 pictures of fruit: AP 0.402 in float, 0.219 wholly in INT8, 0.412 with the two
convolutions in float that this finds. Every attempt is kept with what came of it. Where none passes, training with
simulated INT8 is next (`aware.py`), and that is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from edgekit.contract import Format
from edgekit.converters.export import Exported
from edgekit.converters.quantize import Calibrator, Int8Settings, check_patterns
from edgekit.converters.quantize.for_onnx import OnnxNet
from edgekit.converters.quantize.for_openvino import openvino_int8
from edgekit.converters.quantize.for_tflite import TfliteNet
from edgekit.converters.quantize.net import FloatNet
from edgekit.converters.quantize.sensitivity import LayerSensitivity, sensitivity
from edgekit.converters.quantize.static import Seen, look, quantize_by
from edgekit.converters.steps import Progress
from edgekit.outcome import Outcome
from edgekit.schema import STRICT

RepairKind: TypeAlias = Literal["bias", "percentile", "entropy", "mixed"]
_RANK: dict[Outcome, int] = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
_CALIBRATORS: tuple[Calibrator, ...] = ("percentile", "entropy")


@dataclass(frozen=True)
class Repair:
    """What may be done to INT8 that the gate refuses.

    repairs: which of them, always in this order: 'bias' (corrected biases), 'percentile' and 'entropy' (calibrators),
    'mixed' (the most sensitive operators go back to float).
    most_float: the share of all multiplications that 'mixed' may bring back to float, 0 to 1; a block that does not fit
    is passed over.
    attempts: how often INT8 may be made and judged, the first time included. Not seconds: the same recipe must give the
    same bundle on a slower machine.
    """

    __pydantic_config__ = STRICT

    repairs: tuple[RepairKind, ...] = ("bias", "percentile", "entropy", "mixed")
    most_float: float = 0.25
    attempts: int = 12

    def __post_init__(self) -> None:
        if not 0 < self.most_float <= 1:
            raise ValueError(f"most_float is a share of all multiplications, above 0 to 1; got {self.most_float}")
        if self.attempts < 1:
            raise ValueError(f"attempts counts from 1; got {self.attempts}")


@dataclass(frozen=True)
class Grade:
    """The gate's word on one artifact. accuracy: AP, top-1 or what else is the more the better; it chooses among those
    that fail."""

    outcome: Outcome
    accuracy: float


@dataclass(frozen=True)
class Attempt:
    """One try. what: in words. in_float: the share of all multiplications that its `keep_float` keeps in float."""

    what: str
    settings: Int8Settings
    grade: Grade
    in_float: float = 0.0

    def __str__(self) -> str:
        return f"{self.what}: {self.grade.outcome}, {self.grade.accuracy:.4f}"


@dataclass(frozen=True, eq=False)
class Escalation:
    """What was tried, in order, and the best of it: the one that passed, or the most accurate where none did.

    settings: with these alone `quantize_onnx` or `quantize_tflite` makes `best` again.
    sensitive: the ranking that 'mixed' went by; empty where it did not come to that.
    """

    attempts: tuple[Attempt, ...]
    best: Exported
    chosen: Attempt
    sensitive: tuple[LayerSensitivity, ...] = ()

    @property
    def settings(self) -> Int8Settings:
        return self.chosen.settings


def open_net(exported: Exported) -> FloatNet:
    """A float file of `to_onnx` or `to_tflite` to look into; ValueError for OpenVINO's, which is made of ONNX's."""
    if exported.artifact.format == "openvino":
        raise ValueError("OpenVINO's INT8 is made of the ONNX file: give that, and target 'openvino'")
    return OnnxNet(exported) if exported.artifact.format == "onnx" else TfliteNet(exported)


def quantize_until(
    start: Exported,
    target: Format,
    calibration: Sequence[np.ndarray],
    settings: Int8Settings,
    judge: Callable[[Exported], Grade],
    repair: Repair = Repair(),
    progress: Progress | None = None,
    seen: dict[Calibrator, Seen] | None = None,
) -> Escalation:
    """INT8 as `settings` ask, then repaired until `judge` no longer says FAIL or nothing is left to try.

    `start`: the float file, ONNX for target 'openvino' too. `judge` is given the artifact of `target`. `seen`: what
    calibration saw of `start` so far; filled here, so that two targets of one file look at the pictures once. Raises as
    `quantize_onnx` does.
    """
    net = open_net(start)
    if (start.artifact.format == "tflite") != (target == "tflite"):
        raise ValueError(f"INT8 for {target} is not made of a {start.artifact.format} file")
    check_patterns(settings, (operator.name for operator in net.operators))
    return _Workshop(net, target, calibration, judge, repair, progress or _untold, {} if seen is None else seen).run(
        settings
    )


class _Workshop:
    """One escalation under way: what calibration saw is kept for each calibrator, the attempts are counted."""

    def __init__(
        self,
        net: FloatNet,
        target: Format,
        calibration: Sequence[np.ndarray],
        judge: Callable[[Exported], Grade],
        repair: Repair,
        tell: Progress,
        seen: dict[Calibrator, Seen],
    ) -> None:
        self.net, self.target, self.calibration = net, target, calibration
        self.judge, self.repair, self.tell = judge, repair, tell
        self.attempts: list[tuple[Attempt, Exported]] = []
        self.sensitive: tuple[LayerSensitivity, ...] = ()
        self._macs = {operator.name: operator.macs for operator in net.operators}
        self._seen = seen

    def run(self, settings: Int8Settings) -> Escalation:
        self._try("as asked", settings)
        for what, changed in self._repairs():
            if self._over():
                break
            self._try(what, changed)
        chosen, best = self._best()
        return Escalation(tuple(attempt for attempt, _ in self.attempts), best, chosen, self.sensitive)

    def _repairs(self) -> Iterator[tuple[str, Int8Settings]]:
        """What to try next, each built on the best so far."""
        allowed, asked = self.repair.repairs, self.attempts[0][0].settings
        if "bias" in allowed and not asked.correct_bias:
            yield "biases corrected", replace(asked, correct_bias=True)
        for calibrator in _CALIBRATORS:
            if calibrator in allowed and calibrator != asked.calibration:
                yield f"{calibrator} calibration", replace(self._best()[0].settings, calibration=calibrator)
        if "mixed" in allowed:
            yield from self._mixed(self._best()[0].settings)

    def _mixed(self, settings: Int8Settings) -> Iterator[tuple[str, Int8Settings]]:
        if self._over():
            return
        seen = self._look(settings)
        self.sensitive = sensitivity(self.net, seen, self.calibration, settings, self.tell)
        affordable = self._affordable()
        if not affordable:
            self._note(f"no block goes to float, each is more than {self.repair.most_float:g} of all multiplications")
        for count in _doubling(len(affordable)):
            worst = affordable[:count]
            kept = tuple(name for each in worst for name in each.operators)
            dearer = [each for each in self.sensitive[: self.sensitive.index(worst[-1])] if each not in worst]
            told = f"{count} in float ({_names(worst)})"
            if dearer:
                told += f", but not {_names(dearer)}: more than {self.repair.most_float:g} of all multiplications"
            yield told, replace(settings, keep_float=(*settings.keep_float, *kept))

    def _note(self, what: str) -> None:
        """Adds to what is told of the last attempt."""
        attempt, artifact = self.attempts[-1]
        self.attempts[-1] = replace(attempt, what=f"{attempt.what} ({what})"), artifact

    def _affordable(self) -> list[LayerSensitivity]:
        """Those of the most sensitive blocks that fit in the budget, from the worst on; one that does not is left."""
        left, found = self.repair.most_float * sum(self._macs.values()), []
        for each in self.sensitive:
            if each.macs <= left:
                left -= each.macs
                found.append(each)
        return found

    def _try(self, what: str, settings: Int8Settings) -> None:
        int8 = quantize_by(self.net, self._look(settings), settings)
        artifact = openvino_int8(int8, self.net.exported) if self.target == "openvino" else int8
        self.attempts.append((Attempt(what, settings, self.judge(artifact), self._in_float(settings)), artifact))

    def _in_float(self, settings: Int8Settings) -> float:
        kept = sum(macs for name, macs in self._macs.items() if settings.keeps(name))
        return round(kept / max(1, sum(self._macs.values())), 6)

    def _look(self, settings: Int8Settings) -> Seen:
        way = settings.calibration
        if way not in self._seen:
            stage = f"calibrating {self.net.exported.artifact.format} ({way})"
            self._seen[way] = look(
                self.net, self.calibration, settings, lambda done, total: self.tell(stage, done, total)
            )
        return self._seen[way]

    def _over(self) -> bool:
        """INCONCLUSIVE ends it too: what is missing then is pictures, and no repair brings those."""
        return self._best()[0].grade.outcome != "FAIL" or len(self.attempts) >= self.repair.attempts

    def _best(self) -> tuple[Attempt, Exported]:
        """Of equals the first: what was changed least."""
        return max(self.attempts, key=lambda pair: (_RANK[pair[0].grade.outcome], pair[0].grade.accuracy))


def _names(blocks: Sequence[LayerSensitivity]) -> str:
    return ", ".join(each.operator for each in blocks[:4]) + (", ..." if len(blocks) > 4 else "")


def _doubling(most: int) -> Iterator[int]:
    """1, 2, 4, ... and last of all `most`."""
    count = 1
    while count < most:
        yield count
        count *= 2
    if most:
        yield most


def _untold(stage: str, done: int, total: int) -> None:
    pass
