"""A frame becomes a tensor to the bit as plain NumPy would make it, and boxes find back to where they were."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.contract import InputSpec
from edgekit.preprocess import Canvas, crop, fit, place, preprocess, to_tensor

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SIZES = [(720, 1280), (1, 1), (1, 500), (61, 7), (224, 224), (57, 91), (480, 640)]


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plainly(image, spec):
    """The slow and obvious way, pixel by pixel, in double precision."""
    placed = place(image.shape[1], image.shape[0], spec)
    how = {"linear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST, "area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC}
    size = (placed.width, placed.height)
    small = cv2.resize(np.ascontiguousarray(image), size, interpolation=how[spec.interpolation])
    canvas = np.full((spec.height, spec.width, 3), spec.pad_value, np.uint8)
    for y in range(spec.height):
        for x in range(spec.width):
            if 0 <= y - placed.top < placed.height and 0 <= x - placed.left < placed.width:
                canvas[y, x] = small[y - placed.top, x - placed.left]
    canvas = canvas[:, :, ::-1] if spec.colour == "RGB" else canvas
    if spec.dtype == "float32":
        canvas = ((canvas.astype(np.float64) * spec.scale - spec.mean) / spec.std).astype(np.float32)
    elif spec.dtype == "int8":
        canvas = (canvas.astype(int) - 128).astype(np.int8)
    return (canvas.transpose(2, 0, 1) if spec.layout == "NCHW" else canvas)[None]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("way", ["letterbox", "stretch", "crop"])
@pytest.mark.parametrize("wire", ["float32", "normalised", "uint8", "int8"])
def test_every_path_gives_the_pixels_of_the_plain_one(size, layout, way, wire):
    image = picture(*size)
    for colour, side, how, (width, height) in [
        ("RGB", "centre", "linear", (32, 32)),
        ("BGR", "end", "nearest", (33, 17)),
        ("RGB", "end", "area", (16, 40)),
        ("BGR", "centre", "cubic", (9, 9)),
    ]:
        norm = {"dtype": "float32", **IMAGENET} if wire == "normalised" else {"dtype": wire}
        geometry = {"fit": way, "pad_value": 7, "pad_side": side, "keep": 0.875, "interpolation": how}
        spec = InputSpec(width, height, layout, colour=colour, **geometry, **norm)
        tensor, _ = preprocess(image, spec)
        assert tensor.shape == spec.shape
        assert tensor.dtype == spec.dtype
        assert tensor.flags.c_contiguous
        np.testing.assert_array_equal(tensor, plainly(image, spec))
        np.testing.assert_array_equal(to_tensor(fit(image, spec), spec), tensor)


def test_resize_centre_crop_normalise_are_torchvisions():
    image = picture(375, 500)
    spec = InputSpec(224, 224, fit="crop", keep=224 / 256, **IMAGENET)
    height, width = 256, int(256 * 500 / 375)  # transforms.Resize(256)
    top, left = round((height - 224) / 2.0), round((width - 224) / 2.0)  # transforms.CenterCrop(224)
    resized = cv2.resize(image, (width, height))[top : top + 224, left : left + 224, ::-1]
    wanted = (resized / 255.0 - IMAGENET["mean"]) / IMAGENET["std"]  # ToTensor, Normalize
    np.testing.assert_allclose(preprocess(image, spec)[0][0], wanted.transpose(2, 0, 1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("size", [(2, 1000), (1000, 2), (1, 1080), (3, 1000), (333, 7), (11, 1920)], ids=str)
@pytest.mark.parametrize("how", ["linear", "cubic"])
def test_a_sliver_is_cut_before_it_is_scaled_and_shows_what_it_showed(size, how):
    spec = InputSpec(224, 224, fit="crop", keep=0.875, interpolation=how).raw("uint8", "NHWC")
    image = picture(*size)
    whole = plainly(image, spec)
    tracemalloc.start()
    tensor = preprocess(image, spec)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6  # whole: up to 250 MB
    shift = 0.75 * 255 / place(size[1], size[0], spec).scale_x  # half a pixel of the input, and cubic makes half more
    np.testing.assert_allclose(tensor.astype(int), whole, atol=0 if 256 % min(size) == 0 else shift + 1)


def test_int8_pixels_are_the_uint8_ones_with_the_top_bit_turned():
    image = picture(90, 120)
    for layout in ("NCHW", "NHWC"):
        raw = preprocess(image, InputSpec(64, 64).raw("uint8", layout))[0]
        np.testing.assert_array_equal(
            preprocess(image, InputSpec(64, 64).raw("int8", layout))[0].view(np.uint8), raw ^ 128
        )


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "uint8", "int8"])
def test_a_canvas_is_written_all_over_and_nothing_of_the_last_frame_stays(layout, dtype):
    spec = InputSpec(48, 48, layout, dtype)
    canvas = Canvas(spec)
    tensor = canvas.tensor
    for seed, size in enumerate([(100, 40), (100, 40), (40, 100), (48, 48), (1, 300), (100, 40)]):
        image = picture(*size, seed)
        placement = canvas.draw(image)
        expected, same_place = preprocess(image, spec)
        np.testing.assert_array_equal(tensor, expected)
        assert canvas.tensor is tensor
        assert placement == same_place


@pytest.mark.parametrize(
    "view",
    [
        lambda image: image[:, ::-1],
        lambda image: image[::-1],
        lambda image: image[:, :, ::-1],
        lambda image: image[::2, ::3],
        lambda image: image[5:40, 7:61],
        np.asfortranarray,
    ],
    ids=["mirrored", "upside down", "channels turned", "subsampled", "cut out", "fortran"],
)
def test_strides_do_not_matter_and_the_frame_is_left_alone(view):
    image = picture(80, 90)
    before = image.copy()
    for spec in (
        InputSpec(32, 32),
        InputSpec(32, 32).raw("uint8", "NHWC"),
        InputSpec(32, 32, fit="crop", dtype="int8"),
    ):
        np.testing.assert_array_equal(
            preprocess(view(image), spec)[0], preprocess(np.ascontiguousarray(view(image)), spec)[0]
        )
    np.testing.assert_array_equal(image, before)


def test_a_frame_of_the_inputs_size_is_not_written_to_either():
    image = picture(32, 32)
    image.flags.writeable = False
    tensor, _ = preprocess(image, InputSpec(32, 32).raw("int8", "NHWC"))
    assert not np.shares_memory(tensor, image)


@pytest.mark.parametrize(
    ("fit", "side", "placed"),
    [
        ("letterbox", "centre", (320, 180, 0, 70)),
        ("letterbox", "end", (320, 180, 0, 0)),
        ("stretch", "centre", (320, 320, 0, 0)),
        ("crop", "centre", (568, 320, -124, 0)),
    ],
)
def test_where_a_720p_frame_goes(fit, side, placed):
    found = place(1280, 720, InputSpec(320, 320, fit=fit, pad_side=side))
    assert (found.width, found.height, found.left, found.top) == placed


def test_a_frame_as_thin_as_a_hair_keeps_one_pixel():
    assert place(5000, 3, InputSpec(320, 320)).height == 1


def test_a_bright_thing_is_where_its_box_says_it_is():
    frame = np.zeros((240, 360, 3), np.uint8)  # halves and thirds: its edges fall on those of the input's pixels
    frame[60:132, 180:228] = 255
    box = np.array([[180, 60, 228, 132]], np.float32)
    for way in ("letterbox", "stretch", "crop"):
        spec = InputSpec(120, 120, fit=way, pad_value=0)
        tensor, placed = preprocess(frame, spec)
        rows, columns = tensor[0, 0].sum(axis=1), tensor[0, 0].sum(axis=0)
        (x0, y0, x1, y1) = placed.to_input(box)[0]
        assert columns @ (np.arange(120) + 0.5) / columns.sum() == pytest.approx((x0 + x1) / 2, abs=0.01)
        assert rows @ (np.arange(120) + 0.5) / rows.sum() == pytest.approx((y0 + y1) / 2, abs=0.01)
        assert tensor[0, 0].sum() == pytest.approx((x1 - x0) * (y1 - y0), rel=0.01)


sides = st.integers(1, 4000)
inputs = st.builds(
    InputSpec,
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    fit=st.sampled_from(["letterbox", "stretch", "crop"]),
    pad_side=st.sampled_from(["centre", "end"]),
    keep=st.floats(0.5, 1),
)


@given(sides, sides, inputs, st.lists(st.tuples(*[st.floats(0, 1)] * 4), max_size=5))
def test_boxes_come_back_to_where_they_were(width, height, spec, parts):
    placed = place(width, height, spec)
    corners = np.sort(np.array(parts).reshape(-1, 2, 2), axis=1).reshape(-1, 4) * (width, height, width, height)
    # a float32 in the input's pixels is as fine as 1 part in 2^24 of the largest coordinate there, padding included
    fine = max(placed.width + abs(placed.left), placed.height + abs(placed.top)) * 2**-22
    there = placed.to_input(corners)
    back = placed.to_frame(there)
    assert back.dtype == np.float32
    assert back.shape == corners.shape
    tolerance = max(fine / placed.scale_x, fine / placed.scale_y, max(width, height) * 2**-22)
    np.testing.assert_allclose(back, corners, atol=tolerance)


@given(sides, sides, inputs)
def test_the_frame_fills_what_the_fit_promises(width, height, spec):
    placed = place(width, height, spec)
    x0, y0, x1, y1 = placed.to_input([[0, 0, width, height]])[0]
    if spec.fit == "crop":
        assert x0 <= 0
        assert y0 <= 0
        assert x1 >= spec.width
        assert y1 >= spec.height
    else:
        assert 0 <= x0 < x1 <= spec.width
        assert 0 <= y0 < y1 <= spec.height
        assert spec.fit == "letterbox" or (x1, y1) == (spec.width, spec.height)


def test_a_box_outside_the_frame_is_clipped_not_dropped():
    placed = place(100, 50, InputSpec(100, 100))
    boxes = placed.to_frame([[-20, 0, 50, 200], [0, 0, 10, 10]])  # the second lies in the padding
    np.testing.assert_array_equal(boxes, [[0, 0, 50, 50], [0, 0, 10, 0]])


def test_no_boxes_are_no_boxes():
    assert place(100, 50, InputSpec(100, 100)).to_frame(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3)),
        None,
    ],
    ids=["grey", "with alpha", "empty", "floats", "nothing"],
)
def test_what_is_no_picture_is_refused_by_its_shape(bad):
    with pytest.raises(ValueError, match=r"a picture is \(height, width, 3\) uint8"):
        preprocess(bad, InputSpec(32, 32))


def test_raw_pixels_with_a_normalisation_that_nobody_would_do_are_refused():
    with pytest.raises(ValueError, match="uint8 pixels go in raw"):
        InputSpec(32, 32, dtype="uint8", **IMAGENET)


def test_a_crop_is_a_view_of_every_pixel_that_the_box_touches():
    image = picture(100, 200)
    part = crop(image, (10.2, 20.9, 30.1, 40.0))
    np.testing.assert_array_equal(part, image[20:40, 10:31])
    assert np.shares_memory(part, image)


def test_a_crop_with_a_margin_ends_at_the_edge_of_the_picture():
    image = picture(100, 200)
    np.testing.assert_array_equal(crop(image, (0, 80, 40, 100), margin=0.25), image[75:100, 0:50])


@pytest.mark.parametrize("box", [(-9, 0, 0, 9), (200, 0, 210, 9), (5, 5, 5, 9), (9, 9, 5, 20)])
def test_a_crop_of_nothing_is_refused(box):
    with pytest.raises(ValueError, match="nothing inside"):
        crop(picture(100, 200), box)


def test_a_fitted_picture_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"is 16 x 32 pixels; got \(32, 16\)"):
        to_tensor(picture(32, 16), InputSpec(32, 16))
