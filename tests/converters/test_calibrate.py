"""The audit of calibration pictures: what others calibrate on without a word is refused, real sets are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pytest

from edgekit.contract import InputSpec
from edgekit.converters.calibrate import REMEDIES, Audit, audit
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.looks import grain
from edgekit.converters.perceptual import alike, joined, print_of
from edgekit.errors import DataError, SettingsError
from edgekit.frames import Image

SPEC = InputSpec(64, 64)
LABELS = ("cola", "juice", "water", "tea")
Paint = Callable[[int, int], Image]


def shelf(seed: int, label: int, light: float = 1.0) -> Image:
    """Large soft shapes and small ones, in a colour of the product: as alike at every scale as pictures of things."""
    rng = np.random.default_rng((seed, label))
    picture = np.zeros((96, 128, 3), np.float32)
    for side in (2, 4, 8, 16):
        coarse = rng.normal(0, 80 / np.sqrt(side), (side, side, 3)).astype(np.float32)
        picture += cv2.resize(coarse, (128, 96), interpolation=cv2.INTER_CUBIC)
    tint = np.array([(60, 90, 160), (40, 150, 170), (170, 120, 70), (90, 140, 90)][label])
    return ((picture + tint) * light).clip(0, 255).astype(np.uint8)


def noise(seed: int, label: int) -> Image:
    return np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)


def coarse_noise(seed: int, label: int) -> Image:
    return np.asarray(cv2.resize(noise(seed, label)[:48, :64], (256, 192)), np.uint8)


def night(seed: int, label: int) -> Image:
    return shelf(seed, label, light=0.2)


def infrared(seed: int, label: int) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(shelf(seed, label), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


Make: TypeAlias = Callable[..., Dataset]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A data set of `count` pictures numbered from `first`, one product after the other; each is painted once."""

    @cache
    def made(paint: Paint = shelf, count: int = 104, first: int = 0, labels: tuple[int, ...] = (0, 1, 2, 3)) -> Dataset:
        folder = tmp_path_factory.mktemp("set")
        for number in range(first, first + count):
            label = labels[number % len(labels)]
            (folder / LABELS[label]).mkdir(exist_ok=True)
            cv2.imwrite(str(folder / LABELS[label] / f"{number:04}.bmp"), paint(number, label))
        return open_dataset(DataSpec("imagefolder", "."), LABELS, folder)

    return made


def codes(found: Audit) -> tuple[set[str], set[str]]:
    """Of what is refused, and of what is only said."""
    refused = {each.code for each in found.findings if each.refused}
    return refused, {each.code for each in found.findings} - refused


def test_a_hundred_different_pictures_of_every_product_are_fit(make: Make) -> None:
    found = audit(make(), make(first=500), {}, SPEC, LABELS)
    assert found.findings == ()
    assert (found.figures["pictures"], found.figures["distinct"]) == (104, 104)
    assert found.figures["classes_lacking"] == 0
    found.check()


@pytest.mark.parametrize(
    ("paint", "count", "refused", "said"),
    [
        (shelf, 8, {"calibration-too-few", "calibration-unstable"}, set()),
        (shelf, 40, set(), {"calibration-too-few"}),
        (noise, 104, {"calibration-is-noise"}, set()),
        (coarse_noise, 104, {"calibration-is-noise"}, set()),
        (night, 104, {"calibration-too-dark"}, set()),
        (infrared, 104, {"calibration-lacks-colour"}, set()),
        (
            lambda seed, label: shelf(seed % 20, label),
            104,
            {"calibration-near-duplicates", "calibration-too-few"},
            set(),
        ),
        (
            lambda seed, label: shelf(seed, label) if seed % 10 else noise(seed, label),
            104,
            set(),
            {"calibration-is-noise"},
        ),
    ],
)
def test_each_fault_has_its_code(make: Make, paint: Paint, count: int, refused: set[str], said: set[str]) -> None:
    found = audit(make(paint, count), make(first=500), {}, SPEC, LABELS)
    assert codes(found) == (refused, said), found


def test_a_day_is_too_bright_for_a_camera_that_sees_the_night(make: Make) -> None:
    found = audit(make(), make(night, first=500), {}, SPEC, LABELS)
    assert codes(found)[0] == {"calibration-too-bright"}


def test_pictures_of_the_evaluation_set_are_refused_however_they_were_saved(make: Make) -> None:
    def saved_again(seed: int, label: int) -> Image:
        small = cv2.resize(shelf(seed, label), (80, 60), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1), np.uint8)

    evaluation = make()
    same = audit(make(first=100), evaluation, {}, SPEC, LABELS)
    assert codes(same)[0] == {"calibration-overlaps-evaluation"}
    assert same.figures["calibration_in_evaluation"] == pytest.approx(4 / 104, abs=1e-6)
    again = audit(make(saved_again), evaluation, {}, SPEC, LABELS)
    assert codes(again)[0] == {"calibration-overlaps-evaluation"}
    assert again.figures["calibration_in_evaluation"] == 0
    assert again.figures["calibration_like_evaluation"] > 0.9


@pytest.mark.parametrize("name", ["training", "validation"])
def test_pictures_to_learn_and_choose_by_that_are_evaluated_on_are_refused_too(make: Make, name: str) -> None:
    calibration, evaluation, leaked = make(), make(first=500), make(first=480)
    assert audit(calibration, evaluation, {name: calibration}, SPEC, LABELS).findings == ()
    for calibrated_on in (calibration, None):
        found = audit(calibrated_on, evaluation, {name: leaked}, SPEC, LABELS)
        assert codes(found)[0] == {f"{name}-overlaps-evaluation"}


def test_products_that_are_missing_are_named_and_refused_where_they_are_most(make: Make) -> None:
    evaluation = make(first=500)
    some = audit(make(labels=(0, 1)), evaluation, {}, SPEC, LABELS)
    assert codes(some) == (set(), {"calibration-lacks-classes"})
    assert "2 of the 4 classes that are evaluated are not in it: water, tea" in str(some.findings[0])
    assert codes(audit(make(labels=(3,)), evaluation, {}, SPEC, LABELS))[0] == {"calibration-lacks-classes"}


def test_pictures_without_labels_are_not_judged_by_their_classes(make: Make) -> None:
    calibration = replace(make(labels=(0,)), holds="pictures")
    found = audit(calibration, make(first=500), {}, SPEC, LABELS)
    assert found.findings == ()
    assert "classes_lacking" not in found.figures


def test_halves_that_say_different_things_are_unstable(make: Make) -> None:
    """One picture in fifty is lit, and which half it falls into decides the range."""

    def lamp(seed: int, label: int) -> Image:
        return shelf(seed, label, light=0.25 if seed else 1.6)

    found = audit(make(lamp, 50), make(lamp, first=500), {}, SPEC, LABELS)
    assert "calibration-unstable" in {each.code for each in found.findings}


def test_what_was_allowed_is_no_refusal_and_a_code_that_is_none_is_an_error(make: Make) -> None:
    found = audit(make(noise, 8), make(first=500), {}, SPEC, LABELS)
    assert {each.code for each in found.refusals()} == {"calibration-too-few", "calibration-is-noise"}
    assert [each.code for each in found.refusals(["calibration-too-few"])] == ["calibration-is-noise"]
    found.check(["calibration-too-few", "calibration-is-noise"])
    with pytest.raises(DataError, match=r"8 pictures: .*add pictures.* --allow calibration-is-noise"):
        found.check()
    with pytest.raises(SettingsError, match=r"no finding 'calibration-noise' .*'calibration-is-noise'\?; there are: "):
        found.check(["calibration-noise"])


def test_every_code_says_what_to_do() -> None:
    assert all(remedy for remedy in REMEDIES.values())


def test_real_groceries_are_fit_and_their_own_evaluation_pictures_are_not(data: Path) -> None:
    labels = tuple(str(number) for number in range(81))
    train, test = (
        open_dataset(DataSpec("list", f"grocery/{name}.txt", images=120), labels, data) for name in ("train", "test")
    )
    assert codes(audit(train, test, {}, SPEC, labels))[0] == set()
    assert codes(audit(test, test, {}, SPEC, labels))[0] == {"calibration-overlaps-evaluation"}


def test_a_copy_of_another_size_and_quality_is_found_and_another_picture_is_not(data: Path) -> None:
    files = sorted((data / "beverage").rglob("*.jpg"))[:60]
    pictures = [np.asarray(cv2.imread(str(file)), np.uint8) for file in files]
    small = [cv2.resize(each, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA) for each in pictures]
    coded = [cv2.imdecode(cv2.imencode(".jpg", each, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1) for each in small]
    prints, copies = (joined([print_of(np.asarray(each, np.uint8)) for each in some]) for some in (pictures, coded))
    assert alike(prints, copies).tolist() == [[place, place] for place in range(60)]


def test_frames_of_one_shelf_are_near_duplicates(data: Path) -> None:
    video = cv2.VideoCapture(str(data / "video" / "bottle-detection.mp4"))
    frames = joined([print_of(np.asarray(video.read()[1], np.uint8)) for _ in range(20)])
    assert len(alike(frames, frames)) > 0.9 * 20 * 20


def test_real_pictures_have_grain_and_noise_has_none(data: Path) -> None:
    files = sorted((data / "fruit_det").rglob("*.*g"))[:40]
    assert min(grain(np.asarray(cv2.imread(str(file), 0), np.uint8)) for file in files) > 0.3
    assert max(grain(noise(seed, 0)[..., 0]) for seed in range(40)) < 0.2
    assert grain(np.full((50, 50), 9, np.uint8)) == 1
