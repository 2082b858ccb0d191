"""The rendered shop knows what it shows: the truth fits the pixels, and a seed is a scene."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from edgekit.boxes import area, iou
from edgekit.errors import SourceError
from edgekit.runtime.scene import NAMES, PRODUCTS, ROOMS, Scene, open_scene, sprite
from edgekit.runtime.sources import open_source


@pytest.fixture(scope="module", params=list(ROOMS))
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param, seed=3, frames=600)


def test_the_same_seed_gives_the_same_frames_in_any_order(scene: Scene) -> None:
    again = Scene(scene.name.removeprefix("scene:"), seed=3, frames=600)
    backwards = [again.image(index) for index in (90, 40, 0)]
    for index, image in zip((90, 40, 0), backwards, strict=True):
        np.testing.assert_array_equal(scene.image(index), image)


def test_another_seed_gives_another_scene() -> None:
    one, other = Scene("shelf", seed=1), Scene("shelf", seed=2)
    assert one.stock(0) != other.stock(0)
    assert not np.array_equal(one.image(0), other.image(0))


def test_every_true_box_lies_inside_the_frame_and_names_a_product(scene: Scene) -> None:
    for index in range(0, 150, 15):
        truth = scene.truth(index)
        assert len(truth)
        assert (truth.boxes >= 0).all()
        assert (truth.boxes[:, [2, 3]] <= (640, 480)).all()
        assert (area(truth.boxes) > 100).all()
        assert set(truth.labels.tolist()) <= set(range(len(NAMES)))


def test_while_no_hand_is_there_a_shelf_shows_exactly_its_stock() -> None:
    scene = Scene("shelf", seed=3, frames=600)
    before = scene.acts[0].first - 1
    seen = Counter(NAMES[label] for label in scene.truth(before).labels)
    hidden = scene.stock(before) - seen
    assert not seen - scene.stock(before)
    assert hidden.total() <= 3  # what stands at the edge of the frame may be cut off


def test_a_product_that_is_taken_leaves_the_stock_and_the_picture(scene: Scene) -> None:
    act = next(act for act in scene.acts if act.takes)
    name = PRODUCTS[scene.room.slots[act.slot].product].name
    before, after = scene.stock(act.first), scene.stock(act.last)
    assert before[name] - after[name] == 1
    assert len(scene.truth(act.first)) > len(scene.truth(act.last)) or before.total() - after.total() == 1


def test_the_true_box_is_where_the_picture_changes_when_a_product_is_taken() -> None:
    scene = Scene("shelf", seed=3, frames=600)
    act = next(act for act in scene.acts if act.takes)
    before, after = scene.truth(act.first), scene.truth(act.last)
    gone = before.boxes[iou(before.boxes, after.boxes).max(1) < 0.3]
    assert len(gone) == 1
    changed = np.abs(scene.image(act.first).astype(int) - scene.image(act.last)).sum(2) > 120
    x0, y0, x1, y1 = gone[0].astype(int)
    assert changed[y0:y1, x0:x1].mean() > 0.3
    assert changed[y0:y1, x0:x1].sum() > 0.9 * changed.sum()


def test_a_hand_brings_what_it_puts_and_goes_without_it() -> None:
    scene = Scene("shelf", seed=3, frames=600)
    puts = next(act for act in scene.acts if not act.takes)
    assert puts.carries(puts.first + 1)
    assert not puts.carries(puts.last - 1)
    assert puts.reach(puts.first) == 0
    assert puts.reach(puts.middle) == pytest.approx(1)


def test_a_scene_is_a_source_like_any_other() -> None:
    with open_source("scene:cart?seed=5&frames=4&fps=10&size=320x240", name="aisle 3") as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert {frame.source for frame in frames} == {"aisle 3"}
    assert frames[0].image.shape == (240, 320, 3)
    assert (source.live, source.fps) == (False, 10)
    assert frames[0].taken_at <= frames[3].taken_at


def test_a_closed_scene_ends() -> None:
    scene = Scene("shelf", seed=1, frames=100)
    seen = []
    for frame in scene:
        seen.append(frame.index)
        scene.close()
    assert seen == [0]


@pytest.mark.parametrize("size", [(640, 480), (320, 240), (1280, 720), (480, 640)])
def test_a_scene_fits_every_size_of_frame(size: tuple[int, int]) -> None:
    scene = Scene("shelf", seed=2, frames=2, size=size)
    assert scene.image(0).shape == (size[1], size[0], 3)
    assert len(scene.truth(0)) >= 5


def test_a_box_covers_the_same_share_of_the_frame_at_twice_the_size() -> None:
    small, large = (Scene("shelf", seed=2, size=size).truth(0) for size in ((640, 480), (1280, 960)))
    np.testing.assert_array_equal(small.labels, large.labels)
    np.testing.assert_allclose(small.boxes * 2, large.boxes, atol=4)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("scene:kiosk", "no scene 'kiosk'; there are: shelf, cart"),
        ("scene:shelf?sead=3", "no key 'sead'; there are: seed, frames, fps, size"),
        ("scene:shelf?seed=three", "seed cannot be 'three'"),
        ("scene:shelf?size=640", "size cannot be '640'"),
        ("scene:shelf?frames=0", "a frame or more"),
        ("scene:shelf?size=4000x100", "one at most three times the other"),
        ("scene:shelf?fps=nan", "fps above 0"),
        ("scene:shelf?fps=inf", "fps above 0"),
        ("scene:shelf?seed=", "seed cannot be ''"),
        ("scene:shelf?seed=1&seed=2", "'seed' stands twice"),
        ("scene:shelf?seed", "seed cannot be ''; as in seed=3"),
    ],
)
def test_a_wrong_address_says_what_would_be_right(address: str, told: str) -> None:
    with pytest.raises(SourceError, match="scene") as caught:
        open_scene(address)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_frame_that_the_scene_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="frames 0 to 9; got 10"):
        Scene("shelf", frames=10).image(10)


def test_no_two_products_look_alike() -> None:
    looks = [sprite(number)[..., :3].reshape(-1, 3).mean(0) for number in range(len(PRODUCTS))]
    outlines = [(product.width, product.height) for product in PRODUCTS]
    for i in range(len(PRODUCTS)):
        for j in range(i):
            assert np.abs(looks[i] - looks[j]).max() > 12 or outlines[i] != outlines[j]
    assert len(set(NAMES)) == len(NAMES)


def test_rendering_needs_no_more_than_numpy_and_opencv() -> None:
    listing = "import sys, edgekit.runtime.scene; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "onnxruntime", "openvino", "pydantic", "scipy", "matplotlib"} & set(loaded)
