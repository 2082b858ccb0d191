"""The same thing keeps its number: when it moves, hides, crosses another, and when frames are missing."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from edgekit.frames import Detections
from edgekit.runtime.settings import TrackSettings
from edgekit.runtime.track import Tracker


def things(*rows: tuple[float, float, float] | tuple[float, float, float, int]) -> Detections:
    """Things of 40 x 40 at (x, y) with a score and, if it is not 0, a label."""
    table = np.array([(x, y, x + 40, y + 40) for x, y, *_ in rows], np.float32).reshape(-1, 4)
    labels = [row[3] if len(row) == 4 else 0 for row in rows]
    return Detections(table, np.array([row[2] for row in rows]), np.array(labels))


def ids(found: Detections) -> list[int]:
    assert found.track_ids is not None
    return [int(each) for each in found.track_ids]


def test_things_that_stay_or_move_keep_their_numbers() -> None:
    tracker = Tracker()
    for i in range(30):
        seen = tracker.update(things((10 + 3 * i, 10, 0.9), (300 - 4 * i, 120, 0.8)))
        assert ids(seen) == [1, 2]
        assert seen.boxes[:, 0].tolist() == [10 + 3 * i, 300 - 4 * i]


def test_boxes_and_scores_are_the_detectors_own_and_come_by_number() -> None:
    tracker = Tracker()
    tracker.update(things((10, 10, 0.9), (200, 10, 0.8)))
    seen = tracker.update(things((203, 12, 0.95), (11, 10, 0.7)))
    assert ids(seen) == [1, 2]
    assert seen.boxes[:, 0].tolist() == [11, 203]
    assert seen.scores.tolist() == pytest.approx([0.7, 0.95])


def test_what_is_there_at_the_start_counts_at_once_and_what_flashes_up_later_never() -> None:
    tracker = Tracker()
    assert ids(tracker.update(things((10, 10, 0.9)))) == [1]
    assert ids(tracker.update(things((10, 10, 0.9), (200, 10, 0.9)))) == [1]
    assert ids(tracker.update(things((10, 10, 0.9)))) == [1]
    assert ids(tracker.update(things((10, 10, 0.9), (200, 10, 0.9)))) == [1]
    assert ids(tracker.update(things((10, 10, 0.9), (200, 10, 0.9)))) == [1, 2]


def test_a_weak_detection_keeps_a_track_alive_and_begins_none() -> None:
    tracker = Tracker()
    tracker.update(things((10, 10, 0.9)))
    seen = tracker.update(things((10, 12, 0.2), (200, 10, 0.2)))
    assert ids(seen) == [1]
    assert seen.scores.tolist() == pytest.approx([0.2])


def test_below_low_nothing_counts() -> None:
    tracker = Tracker()
    tracker.update(things((10, 10, 0.9)))
    assert len(tracker.update(things((10, 10, 0.05)))) == 0


def test_what_was_hidden_comes_back_with_its_number_where_it_was_going() -> None:
    tracker = Tracker(TrackSettings(keep=15))
    for i in range(20):
        tracker.update(things((10 + 5 * i, 10, 0.9)))
    for _ in range(10):
        assert len(tracker.update(Detections.none())) == 0
        assert tracker.alive == {1}
    assert ids(tracker.update(things((10 + 5 * 30, 10, 0.9)))) == [1]


def test_what_was_away_for_longer_than_keep_is_somebody_else() -> None:
    tracker = Tracker(TrackSettings(keep=3, confirm=1))
    tracker.update(things((10, 10, 0.9)))
    for _ in range(4):
        tracker.update(Detections.none())
    assert tracker.alive == set()
    assert ids(tracker.update(things((10, 10, 0.9)))) == [2]


def test_two_that_cross_keep_their_numbers() -> None:
    tracker = Tracker()
    for i in range(41):
        seen = tracker.update(things((5 * i, 10, 0.9), (200 - 5 * i, 30, 0.85)))
    assert seen.boxes[:, 0].tolist() == [200, 0]
    assert ids(seen) == [1, 2]


def test_labels_do_not_change_within_a_track_unless_that_is_allowed() -> None:
    for class_aware, expected in ((True, []), (False, [1])):
        tracker = Tracker(TrackSettings(class_aware=class_aware))
        tracker.update(things((10, 10, 0.9, 0)))
        assert ids(tracker.update(things((10, 10, 0.9, 1)))) == expected


def test_a_gap_of_frames_moves_tracks_as_far_as_frames_without_detections_would() -> None:
    one_by_one, at_once = Tracker(), Tracker()
    for i in range(15):
        for tracker in (one_by_one, at_once):
            tracker.update(things((10 + 9 * i, 10, 0.9)))
    for _ in range(3):
        one_by_one.update(Detections.none())
    after = things((10 + 9 * 18, 10, 0.9))
    assert ids(one_by_one.update(after)) == ids(at_once.update(after, frame_gap=4)) == [1]
    # The wrong control: as if no frame were missing, the thing is 27 pixels from where it is looked for.
    unaware = Tracker()
    for i in range(15):
        unaware.update(things((10 + 9 * i, 10, 0.9)))
    assert ids(unaware.update(after)) == []


def test_a_gap_longer_than_keep_ends_all_tracks_however_long_it_was() -> None:
    tracker = Tracker(TrackSettings(confirm=1))
    tracker.update(things((10, 10, 0.9)))
    started = time.perf_counter()
    assert ids(tracker.update(things((10, 10, 0.9)), frame_gap=10_000_000)) == [2]
    assert time.perf_counter() - started < 0.5


def test_trackers_share_nothing_and_reset_begins_anew() -> None:
    left, right = Tracker(), Tracker()
    assert ids(left.update(things((10, 10, 0.9), (200, 10, 0.9)))) == [1, 2]
    assert ids(right.update(things((10, 10, 0.9)))) == [1]
    left.reset()
    assert left.alive == set()
    assert ids(left.update(things((200, 10, 0.9)))) == [1]


def test_the_same_detections_give_the_same_numbers() -> None:
    rng = np.random.default_rng(4)
    frames = [things(*[(*rng.uniform(0, 300, 2), rng.uniform(0.2, 1)) for _ in range(12)]) for _ in range(40)]
    first, second = Tracker(), Tracker()
    for frame in frames:
        assert ids(first.update(frame)) == ids(second.update(frame))


def test_numbers_are_given_once_and_without_holes() -> None:
    rng = np.random.default_rng(5)
    tracker, seen = Tracker(TrackSettings(keep=2)), set()
    for _ in range(60):
        found = tracker.update(things(*[(*rng.uniform(0, 200, 2), rng.uniform(0.3, 1)) for _ in range(8)]))
        assert len(set(ids(found))) == len(found)
        assert all(a < b for a, b in pairwise(ids(found)))
        assert set(ids(found)) <= tracker.alive
        seen |= set(ids(found))
    assert seen == set(range(1, max(seen) + 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 0.6}, "low <= high <= start"),
        ({"start": 1.2}, "low <= high <= start"),
        ({"max_cost": 0}, "max_cost"),
        ({"confirm": 0}, "confirm"),
        ({"keep": -1}, "keep"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrackSettings(**settings)  # type: ignore[arg-type]


def test_time_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="frame_gap"):
        Tracker().update(Detections.none(), frame_gap=0)
