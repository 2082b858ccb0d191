"""The same thing in the next frame gets the same number: ByteTrack in numpy, for whole frames at once.

Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022. Sure detections are
matched with all tracks first; weak ones, which others throw away, then keep alive the tracks that are left over, such
as a bottle half hidden by a hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.boxes import iou
from edgekit.frames import Detections, FloatArray, IntArray
from edgekit.runtime.assign import Costs, assign_below
from edgekit.runtime.motion import Motion
from edgekit.runtime.settings import TrackSettings

Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Tracks:
    """n tracks: how they move, and (5, n) facts: label, id (0 until confirmed), sightings, frames since the last one,
    and whether the update before missed it. One array of facts, so that picking tracks is one step."""

    motion: Motion
    facts: IntArray

    @classmethod
    def start(cls, found: Detections) -> _Tracks:
        facts = np.zeros((5, len(found)), np.int64)
        facts[0], facts[2] = found.labels, 1
        return cls(Motion.start(found.boxes), facts)

    @property
    def labels(self) -> IntArray:
        return np.asarray(self.facts[0])

    @property
    def ids(self) -> IntArray:
        return np.asarray(self.facts[1])

    @property
    def lost(self) -> Mask:
        return np.asarray(self.facts[4] > 0)

    def __len__(self) -> int:
        return len(self.motion)

    def __getitem__(self, which: Mask | IntArray) -> _Tracks:
        return _Tracks(self.motion[which], self.facts[:, which])

    def joined(self, other: _Tracks) -> _Tracks:
        return _Tracks(self.motion.joined(other.motion), np.concatenate([self.facts, other.facts], axis=1))

    def predicted(self, frames: int, keep: int) -> _Tracks:
        """That many frames on, without those that were out of sight for more than `keep` frames in between."""
        facts = self.facts.copy()
        facts[3] += frames
        tracks, stays = _Tracks(self.motion, facts), facts[3] <= keep + 1
        if not stays.all():
            tracks = tracks[stays]
        motion, lost = tracks.motion, tracks.lost
        if lost.any():
            motion = motion.of_steady_size(lost)
        for _ in range(frames if len(tracks) else 0):
            motion = motion.predicted()
        return _Tracks(motion, tracks.facts)

    def seen(self, boxes: FloatArray, labels: IntArray) -> _Tracks:
        """After track i was found in `boxes[i]`, as a thing of `labels[i]`."""
        facts = self.facts.copy()
        facts[0] = labels
        facts[2] += 1
        facts[3:] = 0
        return _Tracks(self.motion.corrected(boxes), facts)

    def missed(self, keep: int) -> _Tracks:
        """After nothing was found of any: confirmed ones are lost, the others were a mistake."""
        stays = self[(self.ids > 0) & (self.facts[3] <= keep)]
        facts = stays.facts.copy()
        facts[4] = 1
        return _Tracks(stays.motion, facts)

    def confirmed(self, after: int, first_id: int) -> _Tracks:
        """Those that were seen `after` times have ids from now on, from `first_id` on."""
        ready = (self.facts[1] == 0) & (self.facts[2] >= after)
        if not ready.any():
            return self
        facts = self.facts.copy()
        facts[1, ready] = np.arange(first_id, first_id + np.count_nonzero(ready))
        return _Tracks(self.motion, facts)


class Tracker:
    """Numbers what one camera sees, from 1, in the order of confirmation. Cameras do not share a tracker.

        tracker = Tracker(TrackSettings(keep=60))
        seen = tracker.update(detections)

    The same detections always give the same numbers.
    """

    def __init__(self, settings: TrackSettings | None = None) -> None:
        self.settings = settings or TrackSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything: another source, or a scene that has nothing to do with the last."""
        self._tracks = _Tracks.start(Detections.none())
        self._next_id = 1
        self._first_frame = True

    @property
    def alive(self) -> frozenset[int]:
        """The numbers of the confirmed tracks, seen or lost, that have not ended."""
        return frozenset(self._tracks.ids.tolist()) - {0}

    def update(self, found: Detections, frame_gap: int = 1) -> Detections:
        """The detections of confirmed tracks, by track id, with their boxes and scores as the detector gave them.

        frame_gap: frames since the last update, 1 where none was dropped; tracks move and age by as many.
        """
        if frame_gap < 1:
            raise ValueError(f"frame_gap counts frames and is at least 1; got {frame_gap}")
        settings = self.settings
        tracks = self._tracks.predicted(frame_gap, settings.keep)
        track_of = _associate(tracks, found, settings)
        matched = track_of >= 0
        (old,) = matched.nonzero()
        (new,) = (~matched & (found.scores >= settings.start)).nonzero()
        missed = np.ones(len(tracks), np.bool_)
        missed[track_of[old]] = False

        present = tracks[track_of[old]].seen(found.boxes[old], found.labels[old])
        if len(new):
            present = present.joined(_Tracks.start(found[new]))
        present = present.confirmed(1 if self._first_frame else settings.confirm, self._next_id)
        self._next_id = max(self._next_id, int(present.ids.max(initial=0)) + 1)
        self._tracks = present.joined(tracks[missed].missed(settings.keep)) if missed.any() else present
        self._first_frame = False
        return _reported(found, np.concatenate([old, new]), present.ids)


def _associate(tracks: _Tracks, found: Detections, settings: TrackSettings) -> IntArray:
    """For each detection the position of its track, or -1.

    Three rounds, each over what the one before has left: confirmed tracks with sure detections; those of them that
    were seen last time with weak ones; new tracks, not yet confirmed, with sure ones.
    """
    track_of = np.full(len(found), -1, np.int64)
    if not len(found) or not len(tracks):
        return track_of
    overlap = np.asarray(iou(tracks.motion.boxes, found.boxes), np.float64)
    if settings.class_aware:
        overlap *= tracks.labels[:, None] == found.labels
    costs = 1 - overlap * found.scores
    sure, confirmed = found.scores >= settings.high, tracks.ids > 0
    _pair(track_of, confirmed, sure, costs, settings.max_cost)
    if not sure.all():
        weak = ~sure & (found.scores >= settings.low)
        _pair(track_of, confirmed & ~tracks.lost, weak, 1 - overlap, 1 - settings.weak_overlap)
    if not confirmed.all():
        _pair(track_of, ~confirmed, sure, costs, settings.max_cost)
    return track_of


def _pair(track_of: IntArray, candidates: Mask, detections: Mask, costs: Costs, limit: float) -> None:
    """One round: write the tracks of those `detections` that are paired with `candidates`, of both what is still free.

    costs: (tracks, detections), in the shape of the two masks."""
    free = candidates.copy()
    free[track_of[track_of >= 0]] = False
    (rows,), (columns,) = free.nonzero(), (detections & (track_of < 0)).nonzero()
    if len(rows) and len(columns):
        i, j = assign_below(costs[rows[:, None], columns], limit)
        track_of[columns[j]] = rows[i]


def _reported(found: Detections, which: IntArray, ids: IntArray) -> Detections:
    """Of the detections at `which` those that have an id, by their ids."""
    order = ids.argsort(kind="stable")
    order = order[ids[order] > 0]
    which = which[order]
    return Detections(found.boxes[which], found.scores[which], found.labels[which], ids[order])
