"""What a judge says, of a model's accuracy and of its speed: PASS and FAIL need proof, INCONCLUSIVE is what is left."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

Outcome: TypeAlias = Literal["PASS", "FAIL", "INCONCLUSIVE"]

EXIT_CODES: dict[Outcome, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}
_RANK: dict[Outcome, int] = {"PASS": 0, "INCONCLUSIVE": 1, "FAIL": 2}


def worst(found: Iterable[Outcome]) -> Outcome:
    """FAIL if any failed, PASS only if all passed; ValueError where there are none."""
    return max(found, key=_RANK.__getitem__)
