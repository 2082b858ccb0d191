"""What happens in a scene: at which frames a hand comes, what it takes or puts, and what is there at each moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgekit.runtime.scene.stage import MARGIN, ROWS, Room

_REACH_S = 2.2  # from the hand's appearance until it is gone again


@dataclass(frozen=True)
class Act:
    """One reach of a hand into the scene: at `middle` the slot gives its product away or gets it back.

    shoulder: where the arm comes from, in units of the stage, outside the frame.
    """

    first: int
    last: int
    slot: int
    takes: bool
    shoulder: tuple[float, float]

    @property
    def middle(self) -> int:
        return (self.first + self.last) // 2

    def reach(self, index: int) -> float:
        """How far the hand is on its way to the slot: 0 outside the frame, 1 at the product, where it rests."""
        part = (index - self.first) / max(self.last - self.first, 1)
        along = min(1.0, 2.3 * min(part, 1 - part))
        return along * along * (3 - 2 * along)

    def carries(self, index: int) -> bool:
        """Whether the hand holds the product now: before it puts, after it takes."""
        return (index >= self.middle) == self.takes


def write_script(rng: np.random.Generator, room: Room, frames: int, fps: float) -> list[Act]:
    """Acts one after another until `frames` are full, with a pause before each."""
    acts: list[Act] = []
    stocked, first = set(room.stocked), round(fps * float(rng.uniform(0.6, 1.4)))
    while first < frames:
        takes = _wants_to_take(rng, len(stocked), len(room.slots))
        choices = sorted(stocked if takes else set(range(len(room.slots))) - stocked)
        slot = int(rng.choice(choices))
        shoulder = _shoulder(rng, room, slot)
        acts.append(Act(first, first + round(_REACH_S * fps), slot, takes, shoulder))
        stocked ^= {slot}
        first = acts[-1].last + 1 + round(fps * float(rng.uniform(1.0, 2.8)))
    return acts


def stocked_at(room: Room, acts: list[Act], index: int) -> frozenset[int]:
    """The slots that hold something at a frame; a product in a hand lies in none."""
    stocked = set(room.stocked)
    for act in acts:
        if act.middle <= index:
            stocked ^= {act.slot}
    return frozenset(stocked)


def _wants_to_take(rng: np.random.Generator, stocked: int, slots: int) -> bool:
    """More often from a full room than from a bare one; never from an empty one or into one without a free slot."""
    if stocked in (0, slots):
        return stocked == slots
    return bool(rng.random() < 0.3 + 0.4 * stocked / slots)


def _shoulder(rng: np.random.Generator, room: Room, slot: int) -> tuple[float, float]:
    """Below the frame; over a cart, where somebody may stand on the other side, also above it."""
    aside = room.slots[slot].x + float(rng.uniform(-150, 150))
    if room.seen_from_above and rng.random() < 0.5:
        return aside, MARGIN - 240.0
    return aside, MARGIN + ROWS + 240.0
