"""Which pictures changed their answer and where a net looked, for nets of which that is known: they see one corner."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from edgekit.contract import EndToEnd, InputSpec, Softmax
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.evaluate import evaluate, evaluate_classifier
from edgekit.converters.framework import ModuleSession
from edgekit.converters.report.changed import Side, changed_answers
from edgekit.converters.report.saliency import grad_cam, occlusion
from edgekit.frames import Classification, Image
from edgekit.tasks import Classifier, Detector

SPEC = InputSpec(32, 32, fit="stretch")
LABELS = ("dark", "bright")


class Corner(nn.Module):
    """Says how bright one quarter of the picture is: bright above one half, dark below."""

    def __init__(self, row: int, column: int) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(4)
        self.at = slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        corner = self.shrink(x)[:, :, self.at[0], self.at[1]].mean((1, 2, 3))
        return 12 * torch.stack([0.5 - corner, corner - 0.5], 1)


class Colours(nn.Module):
    """Blue against red, each by its own channel of the last feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shrink(x).mean((2, 3))[:, [2, 0]]


class Flat(nn.Module):
    """Has no feature map at all."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.mean((2, 3)))


def classifier(module: nn.Module, spec: InputSpec = SPEC) -> Classifier:
    class Wrapped(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (module(x),)

    return Classifier(ModuleSession(Wrapped().eval(), spec), spec, Softmax(), LABELS)


def lit(row: int, column: int, height: int = 64, width: int = 64) -> Image:
    """A dark picture with one bright quarter."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[row * height // 2 :, column * width // 2 :][: height // 2, : width // 2] = 250
    return image


def share_in(values: np.ndarray, row: int, column: int) -> float:
    height, width = values.shape
    quarter = values[row * height // 2 :, column * width // 2 :][: height // 2, : width // 2]
    return float(quarter.sum() / values.sum())


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 90)])
def test_a_net_that_looks_at_one_corner_lights_up_that_corner(row: int, column: int, height: int, width: int) -> None:
    net, image = Corner(row, column).eval(), lit(row, column, height, width)
    hidden = occlusion(classifier(net), image, 1)
    seen = grad_cam(net, SPEC, Softmax(), image, 1)
    assert seen is not None
    for found in (hidden, seen):
        assert found.values.shape == (height, width)
        assert share_in(found.values, row, column) > 0.7


@pytest.mark.parametrize(("label", "row", "column"), [(0, 0, 1), (1, 1, 0)])
def test_grad_cam_shows_what_speaks_for_the_label_that_is_asked_for(label: int, row: int, column: int) -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, 32:, 0], image[32:, :32, 2] = 255, 255  # blue above on the right, red below on the left
    found = grad_cam(Colours().eval(), SPEC, Softmax(), image, label)
    assert found is not None
    assert share_in(found.values, row, column) > 0.8


def test_occlusion_tells_how_much_of_the_probability_was_lost() -> None:
    """All but the one bright cell is dark, so the worst that can happen is that this cell becomes as dark."""

    def half(image: Image) -> Classification:
        bright = float((image[:8, :8] == 255).all())
        return Classification(np.array([1 - bright, 0.25 + 0.5 * bright], np.float32))

    image = np.zeros((64, 64, 3), np.uint8)
    image[:8, :8] = 255
    assert occlusion(half, image, 1).values.max() == pytest.approx(0.5)


def test_a_net_that_looks_nowhere_lights_up_nothing() -> None:
    def blind(image: Image) -> Classification:
        return Classification(np.array([0.5, 0.5], np.float32))

    found = occlusion(blind, lit(0, 0), 1)
    assert not found.values.any()


def test_a_net_without_a_feature_map_has_no_grad_cam() -> None:
    assert grad_cam(Flat().eval(), SPEC, Softmax(), lit(0, 0), 1) is None


def test_a_map_that_the_answer_does_not_come_from_is_passed_over() -> None:
    class WithByproduct(Corner):
        def __init__(self) -> None:
            super().__init__(0, 0)
            self.byproduct = nn.MaxPool2d(8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return super().forward(x), self.byproduct(x)

    found = grad_cam(WithByproduct().eval(), SPEC, Softmax(), lit(0, 0), 1)
    assert found is not None
    assert found.grid == (8, 8)


def test_grad_cam_lies_where_the_letterbox_put_the_picture() -> None:
    """The net sees the input's upper left quarter, which shows the left half's upper part of a wide picture, below
    half a band of padding."""
    spec = InputSpec(32, 32, fit="letterbox", pad_value=0)
    image = np.full((32, 128, 3), 20, np.uint8)
    image[:, :64] = 250
    found = grad_cam(Corner(0, 0).eval(), spec, Softmax(), image, 1)
    assert found is not None
    assert found.values.shape == (32, 128)
    strength = found.values / found.values.max()
    assert strength[:14, :56].min() > 0.5
    assert strength[:, 80:].max() < 0.1


def test_the_nets_parameters_are_left_as_they_were() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    for each in net.parameters():
        each.requires_grad_(False)
    assert grad_cam(net, SPEC, Softmax(), lit(0, 0), 1) is not None
    assert all(each.grad is None for each in net.parameters())
    assert not net[0]._forward_hooks


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    """Four pictures; the upper left corner says what is true, the lower right one says otherwise for two of them."""
    truths = []
    for i, (upper, lower) in enumerate([(250, 250), (250, 20), (20, 250), (20, 20)]):
        image = np.full((64, 64, 3), 128, np.uint8)
        image[:32, :32], image[32:, 32:] = upper, lower
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), image)
        truths.append(int(upper > 128))
    (tmp_path / "list.txt").write_text("".join(f"{i}.png, {label}\n" for i, label in enumerate(truths)))
    return open_dataset(DataSpec("list", "list.txt"), LABELS, tmp_path)


def side(name: str, net: nn.Module, shop: Dataset, with_module: bool) -> Side:
    task = classifier(net.eval())
    return Side(name, evaluate_classifier(task, shop), task, net if with_module else None)


def test_pictures_that_one_model_names_right_and_the_other_wrong_are_found(shop: Dataset) -> None:
    right, wrong = side("float", Corner(0, 0), shop, True), side("int8", Corner(1, 1), shop, False)
    lost = changed_answers(shop, right, wrong)
    assert [(each.picture, each.outcome, each.truth) for each in lost] == [
        ("1.png", "lost", "bright"),
        ("2.png", "lost", "dark"),
    ]
    assert (lost[0].before.label, lost[0].after.label) == ("bright", "dark")
    assert lost[0].before.score == right.score.confidences[1]  # type: ignore[union-attr]
    assert [each.outcome for each in changed_answers(shop, wrong, right)] == ["won", "won"]
    assert len(changed_answers(shop, right, wrong, count=1)) == 1
    assert changed_answers(shop, right, right) == ()


def test_a_side_without_gradients_has_no_grad_cam_and_says_by_what_it_is_shown(shop: Dataset) -> None:
    right, wrong = side("float", Corner(0, 0), shop, True), side("int8", Corner(1, 1), shop, False)
    captions = [caption for _, caption in changed_answers(shop, right, wrong)[0].shown]
    assert [caption.partition(" for")[0] for caption in captions] == [
        "the picture",
        "float, Grad-CAM",
        "float, occlusion",
        "int8, occlusion",
    ]
    assert all(jpeg.startswith(b"\xff\xd8") for jpeg, _ in changed_answers(shop, right, wrong)[0].shown)


class Finds(nn.Module):
    """Says that there is one thing, in the same place of every picture."""

    def __init__(self, box: tuple[float, float, float, float]) -> None:
        super().__init__()
        self.box = nn.Parameter(torch.tensor([[box]]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.box + 0 * x.mean(), torch.full((1, 1), 0.75), torch.zeros(1, 1)


@pytest.fixture
def shelf(tmp_path: Path) -> Dataset:
    """Two grey pictures, with the thing on the left in the first and on the right in the second."""
    for i in range(2):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((64, 128, 3), 128, np.uint8))
    boxes = [
        {"id": i + 1, "image_id": i, "category_id": 1, "bbox": box, "area": 1600, "iscrowd": 0}
        for i, box in enumerate([[8, 8, 40, 40], [80, 8, 40, 40]])
    ]
    pictures = [{"id": i, "file_name": f"{i}.png", "width": 128, "height": 64} for i in range(2)]
    whole = {"images": pictures, "annotations": boxes, "categories": [{"id": 1, "name": "milk"}]}
    (tmp_path / "truth.json").write_text(json.dumps(whole))
    return open_dataset(DataSpec("coco", "truth.json"), ("milk",), tmp_path)


def detecting(name: str, net: nn.Module, shelf: Dataset) -> Side:
    spec = InputSpec(128, 64, fit="stretch")
    head = EndToEnd(outputs=("boxes", "scores", "labels"), boxes="xyxy", normalised=False)
    task = Detector(ModuleSession(net.eval(), spec), spec, head, ("milk",))
    return Side(name, evaluate(task, shelf), task)


def test_a_detectors_pictures_show_what_each_side_found(shelf: Dataset) -> None:
    left, right = Finds((8, 8, 48, 48)), Finds((80, 8, 120, 48))
    changed = changed_answers(shelf, detecting("float", left, shelf), detecting("int8", right, shelf))
    assert [(each.picture, each.outcome, each.before.label, each.after.label) for each in changed] == [
        ("0.png", "lost", "1 right and 0 wrong", "0 right and 1 wrong"),
        ("1.png", "won", "0 right and 1 wrong", "1 right and 0 wrong"),
    ]
    before, after = (cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg, _ in changed[0].shown)
    scale = before.shape[1] / 128
    found = before[:, : int(56 * scale)].astype(int)
    missed, wrong = after[:, : int(56 * scale)].astype(int), after[:, int(72 * scale) :].astype(int)
    assert greenish(found) > 100
    assert not greenish(missed)
    assert yellowish(missed) > 100
    assert not yellowish(found)
    assert not yellowish(wrong)


def test_what_lies_in_a_crowd_is_neither_right_nor_wrong(shelf: Dataset) -> None:
    crowd = np.array([[8, 8, 48, 48], [80, 8, 120, 48]], np.float32)
    first = replace(
        shelf.samples[0],
        boxes=crowd,
        labels=np.zeros(2, np.int64),
        crowd=np.array([False, True]),
        areas=np.full(2, 1600, np.float32),
    )
    shelf = replace(shelf, samples=(first,))
    left, right = detecting("float", Finds((8, 8, 48, 48)), shelf), detecting("int8", Finds((80, 8, 120, 48)), shelf)
    (lost,) = changed_answers(shelf, left, right)
    assert (lost.truth, lost.after.label) == ("1 true box", "0 right and 0 wrong")


def greenish(pixels: np.ndarray) -> int:
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return int(((green > 120) & (red < 60) & (blue > 60)).sum())


def yellowish(pixels: np.ndarray) -> int:
    blue, green, red = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return int(((green > 180) & (red > 190) & (blue < 120)).sum())
