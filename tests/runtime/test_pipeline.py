"""The loop as its user sees it: frames go in, observations come out, and it ends as it should."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from painted import LABELS, PRODUCTS, SEEN, HeldCamera, TellColours, Ticks, find_squares, paint

from edgekit.errors import ContractError, SourceError
from edgekit.frames import Detections, Frame, Image
from edgekit.runtime.pipeline import Pipeline
from edgekit.runtime.settings import ClassifyPolicy
from edgekit.runtime.sources import Arrays, Source

WALK = [paint(("red", 10 + 3 * i, 20), ("blue", 120 - 3 * i, 80)) for i in range(12)]


class Closing(Arrays):
    """Arrays that remember whether they were closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


def test_the_whole_cascade_on_pictures_whose_truth_is_known() -> None:
    tell = TellColours()
    pipeline = Pipeline(find_squares, LABELS, tell, PRODUCTS, classify=ClassifyPolicy(sightings=2, recheck=0))
    seen = list(pipeline.observe(Arrays(WALK, name="aisle 3")))
    assert [each.index for each in seen] == list(range(12))
    for each in seen:
        assert each.source == "aisle 3"
        assert each.labels == ("red", "blue")
        assert each.detections.track_ids is not None
        assert each.detections.track_ids.tolist() == [1, 2]
        assert each.dropped == 0
    assert seen[0].products == (None, None)
    assert [each and each.label for each in seen[1].products] == ["cherry", "plum"]
    assert seen[-1].products == seen[1].products
    assert len(tell.crops) == 4


def test_without_tracker_and_classifier_the_detections_come_as_they_are() -> None:
    (seen,) = Pipeline(find_squares, LABELS, track=None).observe(Arrays(WALK[:1]))
    assert seen.detections.track_ids is None
    assert seen.products == (None, None)
    assert set(seen.stages_ms) == {"wait", "detect"}


def test_each_observe_begins_with_a_tracker_of_its_own() -> None:
    pipeline = Pipeline(find_squares, LABELS)
    left, right = pipeline.observe(Arrays(WALK)), pipeline.observe(Arrays(WALK[:1]))
    first = [next(left), next(left), next(right)]
    assert [each.detections.track_ids.tolist() for each in first] == [[1, 2]] * 3  # type: ignore[union-attr]


def test_every_millisecond_is_in_a_stage_or_between_two() -> None:
    clock = Ticks()

    def detect(picture: Image) -> Detections:
        clock.wait(0.02)
        return find_squares(picture)

    def late(frames: list[Image]) -> Iterator[Frame]:
        for index, image in enumerate(frames):
            clock.wait(0.1)
            taken_at = clock()
            clock.wait(0.005)
            yield Frame(image, index, taken_at, "late")

    class Late(Arrays):
        def __iter__(self) -> Iterator[Frame]:
            return late(WALK[:2])

    pipeline = Pipeline(detect, LABELS, clock=clock, wall=lambda: 1_000_000.0)
    for seen in pipeline.observe(Late([])):
        assert seen.stages_ms["wait"] == pytest.approx(105)
        assert seen.stages_ms["detect"] == pytest.approx(20)
        assert seen.spent_ms == pytest.approx(20)
        assert seen.age_ms == pytest.approx(25)
        assert seen.wall_time == pytest.approx(1_000_000 - 0.025)


def test_the_detectors_own_stages_are_told_apart() -> None:
    class Staged:
        def __init__(self) -> None:
            self.stages_ms = {"preprocess": 1.0, "detect": 7.0, "decode": 0.5}

        def __call__(self, picture: Image) -> Detections:
            return find_squares(picture)

    (seen,) = Pipeline(Staged(), LABELS).observe(Arrays(WALK[:1]))
    assert list(seen.stages_ms) == ["wait", "preprocess", "detect", "decode", "track"]


def test_a_live_source_is_seen_newest_frame_only_and_the_tracks_survive_the_gap() -> None:
    camera = HeldCamera()
    seen = Pipeline(find_squares, LABELS).observe(camera)
    # The first observation begins the capture; from then on the camera is faster than the loop.
    feeder = iter(WALK)
    first = threading.Thread(target=camera.give, args=(next(feeder),))
    first.start()
    assert next(seen).index == 0
    first.join()
    camera.give(*(next(feeder) for _ in range(3)))
    latest = next(seen)
    assert (latest.index, latest.dropped) == (3, 2)
    assert latest.detections.track_ids is not None
    assert latest.detections.track_ids.tolist() == [1, 2]
    seen.close()
    assert camera.closed


def test_leaving_the_loop_early_closes_the_source() -> None:
    source = Closing(WALK)
    seen = Pipeline(find_squares, LABELS).observe(source)
    next(seen)
    assert not source.closed
    seen.close()
    assert source.closed


def test_ctrl_c_in_a_detector_closes_the_source_and_is_not_swallowed() -> None:
    def interrupted(picture: Image) -> Detections:
        raise KeyboardInterrupt

    source = Closing(WALK)
    with pytest.raises(KeyboardInterrupt):
        next(Pipeline(interrupted, LABELS).observe(source))
    assert source.closed


def test_a_source_that_fails_ends_the_loop_with_its_reason() -> None:
    class Failing(Source):
        name = "aisle 3"

        def __iter__(self) -> Iterator[Frame]:
            yield Frame(WALK[0])
            raise SourceError("aisle 3 gives no more frames")

        def close(self) -> None:
            return

    seen = Pipeline(find_squares, LABELS).observe(Failing())
    next(seen)
    with pytest.raises(SourceError, match="aisle 3"):
        next(seen)


@pytest.mark.parametrize(
    ("boxes", "scores", "labels"),
    [
        ([[0, 0, np.nan, 5]], [0.9], [0]),
        ([[0, 0, 5, 5]], [np.nan], [0]),
        ([[0, 0, np.inf, 5]], [0.9], [0]),
        ([[0, 0, 5, 5]], [0.9], [7]),
    ],
)
def test_nonsense_from_the_detector_is_an_error_that_names_the_frame(
    boxes: list[list[float]], scores: list[float], labels: list[int]
) -> None:
    pictures = iter([find_squares(WALK[0]), Detections(np.array(boxes), np.array(scores), np.array(labels))])
    seen = Pipeline(lambda picture: next(pictures), LABELS).observe(Arrays(WALK, name="aisle 3"))
    next(seen)
    with pytest.raises(ContractError, match="frame 1 of aisle 3: the detector gave"):
        next(seen)


def test_a_frame_is_kept_only_if_it_is_asked_for() -> None:
    pipeline = Pipeline(find_squares, LABELS)
    assert [each.frame for each in pipeline.observe(Arrays(WALK[:2]))] == [None, None]
    kept = [each.frame for each in pipeline.observe(Arrays(WALK[:2]), keep_frames=True)]
    assert kept[1] is not None
    assert kept[1].image is WALK[1]


def test_an_address_will_do_as_a_source() -> None:
    seen = list(Pipeline(find_squares, LABELS).observe("scene:shelf?seed=1&frames=3"))
    assert [each.index for each in seen] == [0, 1, 2]


def test_what_cannot_work_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="needs `products`"):
        Pipeline(find_squares, LABELS, TellColours())
    with pytest.raises(ValueError, match="no label 'green' to classify; it has: red, blue"):
        Pipeline(find_squares, LABELS, TellColours(), PRODUCTS, classify=ClassifyPolicy(only=("green",)))


def test_an_observation_is_one_line_of_json_that_says_what_the_docstring_says() -> None:
    line = SEEN.to_json()
    assert "\n" not in line
    assert json.loads(line) == {
        "source": "aisle 3",
        "frame": 12,
        "time": "2026-11-21T09:30:00.125Z",
        "taken_at": 301.2251,
        "age_ms": 41.2,
        "spent_ms": 20.9,
        "dropped": 0,
        "stages_ms": {"wait": 11.2, "detect": 20.412, "track": 0.17},
        "detections": [
            {
                "label": "bottle",
                "score": 0.912,
                "box": [10.5, 20.0, 60.0, 180.3],
                "id": 1,
                "product": {"label": "cola ½ l", "score": 0.871},
            }
        ],
    }


def test_what_is_not_known_is_not_in_the_line() -> None:
    bare = replace(SEEN, products=(None,), detections=replace(SEEN.detections, track_ids=None))
    assert set(bare.to_dict()["detections"][0]) == {"label", "score", "box"}
