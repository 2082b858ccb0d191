"""Pictures varied for training: the same pixels as everywhere else, other light, and boxes that follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.contract import InputSpec
from edgekit.converters.train.settings import Augment
from edgekit.converters.train.vary import Variation, boxes_in_input, cut, draw, to_tensor
from edgekit.preprocess import preprocess

NO_BOXES = np.zeros((0, 4), np.float32)
SPECS = [
    InputSpec(32, 24),
    InputSpec(24, 32, fit="stretch", colour="BGR", scale=1 / 127.5, mean=(1.0, 1.0, 1.0)),
    InputSpec(24, 24, fit="crop", keep=0.875, interpolation="area", mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4)),
]


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("spec", SPECS, ids=[each.fit for each in SPECS])
def test_a_picture_that_is_not_varied_is_what_the_camera_would_give_to_the_bit(spec):
    image, _, _ = cut(picture(), NO_BOXES, Variation())
    expected, _ = preprocess(picture(), spec)
    assert np.array_equal(to_tensor(image, spec, Variation())[0].numpy(), expected)
    # and through the way that changes the light, which here changes it by nothing that a pixel could show
    assert np.array_equal(to_tensor(image, spec, Variation(brightness=1 + 1e-9))[0].numpy(), expected)


def test_light_changes_the_picture_and_not_the_padding():
    spec = InputSpec(32, 32)
    dark, placement = to_tensor(picture(), spec, Variation(brightness=0.5))
    plain, _ = preprocess(picture(), spec)
    rows = slice(placement.top, placement.top + placement.height)
    assert placement.top > 0
    assert np.array_equal(dark[:, :, : placement.top].numpy(), plain[:, :, : placement.top])
    assert dark[:, :, rows].numpy() == pytest.approx(plain[:, :, rows] / 2, abs=1 / 255)


def test_a_box_follows_its_picture():
    """A white square on black: where it is in the tensor is where its box says."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 30:50] = 255
    boxes = np.array([[30, 10, 50, 20]], np.float32)
    drawn = Variation(part=(0.25, 0.0, 0.75, 0.75), mirrored=True)
    part, moved, seen = cut(image, boxes, drawn)
    assert part.shape == (30, 45, 3)
    spec = InputSpec(90, 60, fit="stretch")
    tensor, placement = to_tensor(part, spec, drawn)
    rows, columns = np.nonzero(tensor[0, 0].numpy() > 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert boxes_in_input(moved, placement, spec)[0] == pytest.approx(found, abs=1)
    assert seen.tolist() == [0]


@pytest.mark.parametrize(
    ("box", "seen"),
    [
        ([0, 0, 10, 10], []),  # outside
        ([20, 10, 40, 20], [0]),  # half of it
        ([10, 10, 32, 20], []),  # a tenth of it
        ([30, 0, 60, 40], [0]),  # the whole part
    ],
)
def test_a_box_that_is_mostly_cut_away_is_not_asked_for(box, seen):
    _, moved, kept = cut(picture(), np.array([box], np.float32), Variation(part=(0.5, 0.0, 0.5, 1.0)))
    assert kept.tolist() == seen
    assert (moved >= 0).all()
    assert (moved[:, [0, 2]] <= 30).all()


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 50), width=st.integers(1, 50))
def test_whatever_is_drawn_is_a_part_of_the_picture_within_the_settings(seed, height, width):
    augment = Augment(area=(0.2, 0.6), aspect=2.0, flip=0.5, hue=0.1)
    drawn = draw(augment, np.random.default_rng(seed))
    left, top, across, down = drawn.part
    assert 0 <= left <= left + across <= 1 + 1e-9
    assert 0 <= top <= top + down <= 1 + 1e-9
    assert across * down <= 0.6 + 1e-9
    assert abs(drawn.brightness - 1) <= augment.brightness
    part, _, _ = cut(picture(height, width), NO_BOXES, drawn)
    assert 1 <= part.shape[0] <= height
    assert 1 <= part.shape[1] <= width


def test_print_is_not_mirrored_unless_it_is_asked_for():
    rng = np.random.default_rng(0)
    assert not any(draw(Augment(), rng).mirrored for _ in range(50))
    assert 10 < sum(draw(Augment(flip=0.5), rng).mirrored for _ in range(50)) < 40
