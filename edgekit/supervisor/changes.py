"""When what a camera sees has changed: the counts of things by name, believed once they have settled.

One errant frame is no event: a count that was wrong in a single frame is what makes shops switch counting off.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any


class Changes:
    """Of one camera. `update` gives the new counts when they have held for `settle` looks, else None."""

    def __init__(self, settle: int) -> None:
        self.told: dict[str, int] | None = None
        self._settle = settle
        self._candidate: dict[str, int] | None = None
        self._held = 0

    def update(self, seen: dict[str, int]) -> dict[str, int] | None:
        """seen: the `counts` of one look. The first are told too, empty ones included."""
        self._held = self._held + 1 if seen == self._candidate else 1
        self._candidate = seen
        if self._held < self._settle or seen == self.told:
            return None
        self.told = seen
        return seen

    def forget(self) -> None:
        """The view was lost: what is seen next is told whether or not it is what was seen last."""
        self.told = self._candidate = None
        self._held = 0


def counts(observation: Mapping[str, Any]) -> dict[str, int]:
    """How many there are of each product, or of each label where no product is known, by name.

    observation: as `Observation.to_dict` gives it. KeyError or TypeError where it is none.
    """
    names = [thing["product"]["label"] if "product" in thing else thing["label"] for thing in observation["detections"]]
    if any(not isinstance(name, str) for name in names):
        raise TypeError(f"a label is text; got {names}")
    return dict(sorted(Counter(names).items()))
