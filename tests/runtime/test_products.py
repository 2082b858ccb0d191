"""The classifier is asked as seldom as will do, and its answer is kept while it holds."""

from __future__ import annotations

import numpy as np
import pytest
from painted import PRODUCTS, TellColours, find_squares, paint

from edgekit.errors import ContractError
from edgekit.frames import Classification, Detections, Image
from edgekit.runtime.products import Products
from edgekit.runtime.settings import ClassifyPolicy

TWO = paint(("red", 20, 40), ("blue", 100, 40))


def tracked(picture: Image) -> Detections:
    found = find_squares(picture)
    return found.tracked(np.arange(1, len(found) + 1))


def products(tell: TellColours, **policy: float) -> Products:
    return Products(tell, PRODUCTS, ClassifyPolicy(**policy))  # type: ignore[arg-type]


def names(known: Products, picture: Image, frame: int) -> list[str | None]:
    return [each and each.label for each in known.update(picture, tracked(picture), frame)]


def test_a_product_is_named_after_enough_sightings_and_then_left_alone() -> None:
    tell = TellColours()
    known = products(tell, sightings=3, recheck=0)
    assert [names(known, TWO, frame) for frame in range(5)] == [[None, None]] * 2 + [["cherry", "plum"]] * 3
    assert len(tell.crops) == 6


def test_what_is_sure_is_looked_at_again_after_a_while() -> None:
    tell = TellColours()
    known = products(tell, sightings=1, recheck=10)
    for frame in range(21):
        names(known, TWO, frame)
    assert len(tell.crops) == 2 * 3  # at frames 0, 10 and 20


def test_at_most_so_many_crops_a_frame_and_nobody_waits_for_ever() -> None:
    picture = paint(*[("red", 5 + 30 * i, 40) for i in range(5)])
    tell = TellColours()
    known = products(tell, sightings=1, crops=2, recheck=0)
    looked = []
    for frame in range(4):
        before = len(tell.crops)
        answer = names(known, picture, frame)
        looked.append(len(tell.crops) - before)
    assert looked == [2, 2, 1, 0]
    assert answer == ["cherry"] * 5


def test_of_those_never_looked_at_the_biggest_comes_first() -> None:
    picture = paint(("red", 5, 10))
    picture[60:100, 60:120] = (255, 0, 0)
    tell = TellColours()
    assert names(products(tell, sightings=1, crops=1), picture, 0) == [None, "plum"]


def test_what_stays_doubtful_has_no_product_and_does_not_use_up_the_time() -> None:
    grey = paint()
    found = Detections([[10, 10, 40, 40]], [0.9], [0]).tracked(np.array([1]))  # type: ignore[arg-type]
    tell = TellColours()
    known = products(tell, sightings=2, attempts=4, recheck=100)
    answers = [known.update(grey, found, frame) for frame in range(50)]
    assert answers == [(None,)] * 50
    assert len(tell.crops) == 4


def test_the_mean_of_all_looks_counts_not_the_last_one() -> None:
    answers = iter([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    known = Products(
        lambda crop: Classification(np.array(next(answers))), ("cola", "lemon"), ClassifyPolicy(margin=0.3)
    )
    for frame in range(3):
        (product,) = known.update(TWO, tracked(TWO)[:1], frame)
    assert product is not None
    assert product.label == "cola"
    assert product.score == pytest.approx(0.7)


def test_a_number_that_was_forgotten_is_learnt_anew() -> None:
    tell = TellColours()
    known = products(tell, sightings=1, recheck=0)
    names(known, TWO, 0)
    known.forget(alive={2})
    names(known, TWO, 1)
    assert len(tell.crops) == 3


def test_without_a_tracker_every_box_is_new_and_one_look_must_do() -> None:
    tell = TellColours()
    known = products(tell, sightings=3)
    for frame in range(2):
        assert [each and each.label for each in known.update(TWO, find_squares(TWO), frame)] == ["cherry", "plum"]
    assert len(tell.crops) == 4


def test_only_the_labels_that_are_wanted_are_looked_at() -> None:
    tell = TellColours()
    known = products(tell, sightings=1)
    seen = known.update(TWO, tracked(TWO), 0, wanted={1})
    assert [each and each.label for each in seen] == [None, "plum"]
    assert len(tell.crops) == 1


def test_the_crop_is_the_box_with_its_margin_and_what_is_outside_the_frame_is_not_looked_at() -> None:
    tell = TellColours()
    known = products(tell, crop_margin=0.1)
    found = Detections([[20, 40, 40, 60], [500, 500, 520, 520]], [0.9, 0.9], [0, 0])  # type: ignore[arg-type]
    known.update(TWO, found.tracked(np.array([1, 2])), 0)
    assert tell.crops == [(24, 24)]


@pytest.mark.parametrize("scores", [[np.nan, 0.5, 0.5], [0.5, 0.5]])
def test_nonsense_from_the_classifier_is_an_error(scores: list[float]) -> None:
    known = Products(lambda crop: Classification(np.array(scores)), PRODUCTS)
    with pytest.raises(ContractError, match="classifier gave"):
        known.update(TWO, tracked(TWO), 0)


@pytest.mark.parametrize("policy", [{"sightings": 0}, {"attempts": 1}, {"crops": 0}, {"margin": 2}, {"recheck": -1}])
def test_a_policy_that_makes_no_sense_is_refused(policy: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        ClassifyPolicy(**policy)  # type: ignore[arg-type]
