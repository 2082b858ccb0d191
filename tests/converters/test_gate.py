"""The gate: models that are known to be broken in ways that others shipped must not get through."""

from __future__ import annotations

import json
from dataclasses import replace
from math import comb
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from edgekit import schema
from edgekit.contract import InputSpec
from edgekit.converters.data import Dataset, DataSpec, Sample, open_dataset
from edgekit.converters.evaluate import evaluate_detector
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.gate import Gate, Verdict, judge, worst
from edgekit.converters.paired import (
    _strong,
    average_precision,
    chance_of_loss,
    chance_of_losses,
    detection_intervals,
    found_interval,
    outcomes,
    precision_drop,
)
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.scores import (
    SIZES,
    Candidates,
    ClassificationScore,
    ClassScore,
    DetectedClass,
    DetectionScore,
    Truths,
)
from edgekit.engines import open_session
from edgekit.errors import SettingsError
from edgekit.frames import Detections
from edgekit.plan import EnginePlan

Array = np.ndarray
FRUIT = ("apple", "banana", "orange")


def score(truth: Array, answers: Array, classes: int = 20) -> ClassificationScore:
    """A classifier's score, as far as the gate looks at it."""
    kinds = tuple(ClassScore(f"product {k}", int((truth == k).sum()), None, None, None) for k in range(classes))
    top1 = round(float((truth == answers).mean()), 6)
    return ClassificationScore(len(truth), top1, None, top1, kinds, tuple(truth.tolist()), tuple(answers.tolist()))


def shelf(images: int = 2000, right: float = 0.9, seed: int = 0) -> tuple[Array, Array]:
    """Truth and the framework's answers; 'product 7' is rare, one picture in 140."""
    rng = np.random.default_rng(seed)
    often = np.delete(np.arange(20), 7)
    truth = np.where(np.arange(images) % 140 == 139, 7, often[np.arange(images) % 19])
    return truth, np.where(rng.random(images) < right, truth, (truth + 1) % 20)


@pytest.fixture(scope="module")
def fruit(data: Path) -> Dataset:
    return open_dataset(DataSpec("coco", "fruit_det/train.json"), FRUIT, data)


@pytest.fixture(scope="module")
def good(fruit: Dataset) -> DetectionScore:
    return detected(fruit, detector(fruit))


def detector(fruit: Dataset, seed: int = 0) -> list[Detections]:
    """A good one: nearly all boxes found, a few pixels off, with scores well above the threshold."""
    rng = np.random.default_rng(seed)
    return [
        Detections(s.boxes + rng.normal(0, 2, s.boxes.shape), rng.uniform(0.3, 1, len(s.boxes)), s.labels)[
            rng.random(len(s.boxes)) < 0.95
        ]
        for s in fruit.samples
    ]


def detected(fruit: Dataset, found: list[Detections]) -> DetectionScore:
    answers = iter(found)
    return evaluate_detector(lambda image: next(answers), fruit, 0.25)


def moved(found: list[Detections], by: float, scale: float = 1.0) -> list[Detections]:
    """The same labels and scores, every box shifted by a part of its size and scaled about its centre."""

    def move(boxes: Array) -> Array:
        centre, size = (boxes[:, 2:] + boxes[:, :2]) / 2, boxes[:, 2:] - boxes[:, :2]
        return np.concatenate((centre + by * size - scale * size / 2, centre + by * size + scale * size / 2), axis=1)

    return [replace(each, boxes=move(each.boxes)) for each in found]


def test_an_artifact_that_answers_as_the_framework_does_passes() -> None:
    truth, answers = shelf()
    verdict = judge(score(truth, answers), score(truth, answers), Gate())
    assert (verdict.outcome, verdict.exit_code) == ("PASS", 0)
    assert verdict.figures[0].interval is None, "that nothing changed does not say how much might"


def test_a_drop_within_the_limit_passes_and_one_beyond_it_fails() -> None:
    truth, answers = shelf()
    right = np.flatnonzero(truth == answers)
    for lost, outcome in ((20, "PASS"), (21, "FAIL")):  # of 2000: 0.01, and a hair more
        worse = answers.copy()
        worse[right[:: len(right) // lost][:lost]] = 19 - truth[right[:: len(right) // lost][:lost]]
        verdict = judge(score(truth, answers), score(truth, worse), Gate(max_class_drop=None))
        assert (lost, verdict.outcome) == (lost, outcome)
        assert verdict.figures[0].drop == pytest.approx(lost / 2000)


def test_one_class_of_twenty_that_vanished_fails_although_the_mean_hardly_moved() -> None:
    truth, answers = shelf()
    worse = np.where(answers == 7, 8, answers)
    before, after = score(truth, answers), score(truth, worse)
    assert 0 < before.top1 - after.top1 < 0.01
    verdict = judge(before, after, Gate())
    assert verdict.outcome == "FAIL"
    assert [reason for reason in verdict.reasons if "'product 7' recall" in reason and "-> 0.0000" in reason]
    assert judge(before, after, Gate(max_class_drop=None)).outcome == "PASS"


def test_a_class_with_too_few_pictures_is_not_judged_and_that_is_said() -> None:
    truth, answers = shelf(images=2000, right=1.0)
    truth[truth == 7] = 6
    truth[:4], answers = 7, truth.copy()
    answers[:4] = 7
    verdict = judge(score(truth, answers), score(truth, np.where(answers == 7, 8, answers)), Gate())
    assert verdict.outcome == "PASS"
    assert "19 of 20 classes held" in verdict.reasons[-1]
    assert "1 could not be judged, the framework found them in fewer than 5 pictures" in verdict.reasons[-1]


def test_flips_that_are_chance_do_not_fail_a_class() -> None:
    truth, answers = shelf(right=1.0)
    worse = answers.copy()
    worse[np.flatnonzero(truth == 7)[:4]] = 8  # four lost, none won: one chance in sixteen
    assert (truth == 7).sum() < 4 / 0.2
    assert judge(score(truth, answers), score(truth, worse), Gate()).outcome == "PASS"


def test_among_500_classes_the_worst_is_not_taken_for_broken_by_chance_and_a_broken_one_is() -> None:
    """20 pictures a class, of which 5 % are lost and 5 % won: now and then some class loses five and wins none."""
    unlucky = convicted = 0
    truth = np.repeat(np.arange(500), 20)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        right = rng.random(len(truth)) < 0.7
        changed = rng.random(len(truth)) < np.where(right, 0.05 / 0.7, 0.05 / 0.3)
        answers, worse = (np.where(each, truth, (truth + 1) % 500) for each in (right, right ^ changed))
        before, after = score(truth, answers, 500), score(truth, worse, 500)
        paired = outcomes(before, after)
        each_class = [paired.of(k) for k in range(500)]
        unlucky += any(each.lost - each.won > 4 and chance_of_loss(each.lost, each.won) < 0.05 for each in each_class)
        convicted += judge(before, after, Gate(max_drop=0.1)).outcome == "FAIL"
        gone = score(truth, np.where(truth == 7, 8, worse), 500)
        fallen = [each.label for each in judge(before, gone, Gate(max_drop=0.1)).figures if each.outcome == "FAIL"]
        assert "product 7" in fallen
    assert unlucky >= 3
    assert convicted <= 1


def test_the_worst_class_is_a_figure_with_its_interval_though_it_held() -> None:
    truth, answers = shelf(right=1.0)
    worse = answers.copy()
    worse[np.flatnonzero(truth == 3)[:6]] = 4  # of 104
    (top1, worst_class) = judge(score(truth, answers), score(truth, worse), Gate()).figures
    assert (top1.outcome, worst_class.outcome, worst_class.name, worst_class.label) == (
        "PASS",
        "PASS",
        "class_recall",
        "product 3",
    )
    low, high = worst_class.interval or (1, 0)
    assert 0 < low < worst_class.drop < high < 0.2


def test_random_answers_fail() -> None:
    truth, answers = shelf()
    verdict = judge(score(truth, answers), score(truth, np.random.default_rng(1).integers(0, 20, 2000)), Gate())
    assert (verdict.outcome, verdict.exit_code) == ("FAIL", 1)


@pytest.mark.parametrize("limits", [Gate(), Gate(max_drop=0.001, min_images=10), Gate(max_drop=0.02, min_images=120)])
def test_too_few_pictures_are_inconclusive_even_when_every_answer_is_the_same(limits: Gate) -> None:
    truth, answers = shelf(images=99)
    verdict = judge(score(truth, answers), score(truth, answers), limits)
    assert (verdict.outcome, verdict.exit_code) == ("INCONCLUSIVE", 2)
    assert "99 pictures, and" in verdict.reasons[0]


@pytest.mark.parametrize("rest", [50, 20, 5])
def test_of_two_classes_one_that_is_never_found_again_fails(rest: int) -> None:
    truth = np.where(np.arange(100) < 100 - rest, 0, 1)
    lenient = Gate(max_drop=0.6, min_images=1)
    verdict = judge(score(truth, truth, 2), score(truth, 0 * truth, 2), lenient)
    assert verdict.outcome == "FAIL"
    assert f"FAIL: class 'product 1' recall 1.0000 -> 0.0000, {rest} lost and 0 won of {rest}" in str(verdict.reasons)


def test_a_model_that_always_answers_the_other_of_two_classes_fails_though_it_is_right_as_often() -> None:
    truth = np.arange(200) % 2
    verdict = judge(score(truth, 0 * truth, 2), score(truth, 0 * truth + 1, 2), Gate())
    assert verdict.outcome == "FAIL"
    assert "class 'product 0' recall 1.0000 -> 0.0000" in str(verdict.reasons)


def test_a_few_pictures_can_show_that_a_model_is_broken_but_not_by_two_that_changed() -> None:
    truth, answers = shelf(images=60, right=1.0)
    two = answers.copy()
    two[:2] = 19 - truth[:2]
    assert judge(score(truth, answers), score(truth, two), Gate()).outcome == "INCONCLUSIVE"
    assert judge(score(truth, answers), score(truth, (truth + 1) % 20), Gate()).outcome == "FAIL"


def test_a_framework_that_knows_nothing_proves_nothing() -> None:
    truth, _ = shelf()
    nothing = score(truth, (truth + 1) % 20)
    verdict = judge(nothing, nothing, Gate())
    assert verdict.outcome == "INCONCLUSIVE"
    assert "the framework itself reached no more than that" in verdict.reasons[0]


def test_pictures_of_one_class_prove_nothing() -> None:
    truth = np.full(200, 3)
    verdict = judge(score(truth, truth), score(truth, truth), Gate())
    assert verdict.outcome == "INCONCLUSIVE"
    assert "every picture shows 'product 3'" in verdict.reasons[0]


def greys(seed: int, images: int = 120) -> tuple[list[Array], Array]:
    """Bright pictures of three greys, and which of them each shows."""
    rng, truth = np.random.default_rng(seed), np.arange(images) % 3
    painted = [rng.normal(160 + 40 * kind, 12, (1, 8, 8, 3)).clip(0, 255).astype(np.uint8) for kind in truth]
    return painted, truth


def test_int8_calibrated_on_noise_fails_and_on_pictures_passes() -> None:
    """Averages of noise all lie in the middle, so that is where the range ends; brighter greys are cut to one."""
    levels = torch.tensor([160.0, 200.0, 240.0]) / 255
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 3)).eval()
    with torch.no_grad():
        net[0].weight.fill_(1 / 3), net[0].bias.zero_()
        net[3].weight.copy_(2 * levels[:, None]), net[3].bias.copy_(-(levels**2))
    file, (pictures, truth) = to_onnx(net, InputSpec(8, 8, fit="stretch")), greys(1)
    noise = list(np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8, 3), dtype=np.uint8))

    def answers(exported: Exported) -> ClassificationScore:
        with open_session(exported.artifact, EnginePlan("onnxruntime")) as session:
            return score(truth, np.array([session.run(each)[0].argmax() for each in pictures]), 3)

    reference = answers(file)
    assert reference.top1 == 1
    assert judge(reference, answers(quantize_onnx(file, greys(2, 40)[0])), Gate()).outcome == "PASS"
    assert judge(reference, answers(quantize_onnx(file, noise)), Gate()).outcome == "FAIL"


def test_the_least_top1_is_held_whatever_the_framework_reached() -> None:
    truth, answers = shelf(right=0.7)
    same = score(truth, answers)
    assert judge(same, same, Gate(min_top1=0.6)).outcome == "PASS"
    assert judge(same, same, Gate(min_top1=0.8)).outcome == "FAIL"


def test_scores_of_other_pictures_are_not_compared() -> None:
    truth, answers = shelf()
    with pytest.raises(ValueError, match="not of the same pictures: 2000 and 1900"):
        judge(score(truth, answers), score(truth[:1900], answers[:1900]), Gate())
    with pytest.raises(ValueError, match="not of the same pictures"):
        judge(score(truth, answers), score(truth[::-1], answers[::-1]), Gate())


def test_a_good_detector_passes_and_its_rounded_copy_too(fruit: Dataset, good: DetectionScore) -> None:
    found = detector(fruit)
    rounded = [replace(each, boxes=np.round(each.boxes, 1), scores=np.round(each.scores, 2)) for each in found]
    verdict = judge(good, detected(fruit, rounded), Gate())
    assert verdict.outcome == "PASS", verdict.reasons
    assert [figure.name for figure in verdict.figures] == ["ap", "recall", "precision", "box_iou", "class_recall"]


@pytest.mark.parametrize(("by", "scale"), [(0.0, 0.93), (0.05, 1.0), (0.3, 1.0), (3.0, 1.0)])
def test_boxes_that_broke_fail_although_every_score_is_intact(
    fruit: Dataset, good: DetectionScore, by: float, scale: float
) -> None:
    found = detector(fruit)
    broken = detected(fruit, moved(found, by, scale))
    verdict = judge(good, broken, Gate(max_drop=1.0, min_images=1, max_class_drop=None))
    assert verdict.outcome == "FAIL"
    assert [reason for reason in verdict.reasons if reason.startswith("FAIL: box_iou")]
    assert judge(good, broken, Gate()).outcome == "FAIL"


def test_a_fruit_that_is_no_longer_found_fails_by_name(fruit: Dataset, good: DetectionScore) -> None:
    found = detector(fruit)
    weak = [replace(each, scores=np.where(each.labels == 2, each.scores / 10, each.scores)) for each in found]
    verdict = judge(good, detected(fruit, weak), Gate(max_drop=0.5))
    assert verdict.outcome == "FAIL"
    assert [reason for reason in verdict.reasons if "class 'orange' recall" in reason]


def test_scores_that_sank_fail_although_every_ap_is_the_same(fruit: Dataset, good: DetectionScore) -> None:
    """INT8 that halves its scores ranks as before, and finds a quarter less at the score that it runs at."""
    sunk = detected(fruit, [replace(each, scores=each.scores / 2) for each in detector(fruit)])
    assert sunk.ap == pytest.approx(good.ap, abs=1e-3)
    verdict = judge(good, sunk, Gate(max_class_drop=None))
    (recall,) = (figure for figure in verdict.figures if figure.outcome == "FAIL")
    assert (verdict.outcome, recall.name) == ("FAIL", "recall")
    low, high = recall.interval or (0, 0)
    assert 0.05 < low < recall.drop < high
    assert judge(good, sunk, Gate(max_class_drop=None, max_recall_drop=None)).outcome == "PASS"


def test_scores_that_rose_fail_although_every_ap_is_the_same(fruit: Dataset, good: DetectionScore) -> None:
    """INT8 that lifts weak candidates above the score that it runs at ranks as before, and gives false alarms."""

    def with_ghosts(score: float) -> list[Detections]:
        return [
            Detections(
                np.concatenate((each.boxes, [[0, 0, 9, 9]])), np.append(each.scores, score), np.append(each.labels, 0)
            )
            for each in detector(fruit)
        ]

    quiet, loud = detected(fruit, with_ghosts(0.2)), detected(fruit, with_ghosts(0.26))
    assert quiet.ap == loud.ap
    assert quiet.precision == good.precision
    verdict = judge(quiet, loud, Gate())
    (precision,) = (figure for figure in verdict.figures if figure.outcome == "FAIL")
    assert (verdict.outcome, precision.name) == ("FAIL", "precision")
    low, high = precision.interval or (0, 0)
    assert 0.05 < low < precision.drop < high
    assert judge(quiet, loud, Gate(max_precision_drop=None)).outcome == "PASS"


def test_precision_of_drawn_pictures_is_that_of_the_score(fruit: Dataset, sizes: Dataset, good: DetectionScore) -> None:
    """All pictures once, crowds and boxes of every size among them."""
    nothing = detected(sizes, [Detections.none()] * 40)
    for score_, images in ((good, len(fruit)), (seen(sizes), 40), (seen(sizes, 32**2), 40)):
        once = np.ones(images, int)
        right, found = _strong(score_)
        assert right @ once / (found @ once) == pytest.approx(score_.precision, abs=1e-6)
    assert np.isnan(precision_drop(seen(sizes), nothing)(np.ones(40, int)))
    verdict = judge(seen(sizes), nothing, Gate())
    assert "INCONCLUSIVE: a model that finds nothing at its score has no precision" in verdict.reasons


@pytest.mark.parametrize(("each", "least"), [(10, 30), (20, 1)])
def test_classes_that_all_lost_alike_are_not_said_to_have_held(each: int, least: int) -> None:
    """The damage is everywhere, so that no class stands out from the rest by it."""
    truth = np.repeat(np.arange(60), each)
    answers = np.where(np.random.default_rng(0).random(len(truth)) < 0.7, truth, (truth + 1) % 60)
    verdict = judge(score(truth, truth, 60), score(truth, answers, 60), Gate(max_drop=1.0))
    lost = [int((answers != truth)[truth == k].sum()) for k in range(60)]
    fallen = sum(figure.outcome == "FAIL" for figure in verdict.figures)
    held, unclear = sum(k <= 0.2 * each for k in lost), sum(k > 0.2 * each for k in lost) - fallen
    assert f"{held} of 60 classes held their recall within 0.2, {unclear} lost more" in verdict.reasons[-1]
    assert unclear >= least


def pictured(boxes: int, gone: Array, classes: int = 1) -> tuple[DetectionScore, DetectionScore]:
    """100 pictures of so many boxes, all found by the one model; by the other all but those that are `gone`."""
    pictures = np.repeat(np.arange(100), boxes)
    kinds = tuple(DetectedClass(f"product {k}", k, 0, None, None, None) for k in range(classes))
    labels, found = tuple((pictures % classes).tolist()), []
    for ious in (np.ones(len(pictures)), np.where(gone, 0.0, 1.0)):
        truths = Truths(tuple(pictures.tolist()), labels, tuple(ious.tolist()), (2000.0,) * len(pictures))
        hits = Candidates(
            truths.pictures, labels, (0.9,) * len(pictures), (2**40 - 1,) * len(pictures), (0,) * len(pictures)
        )
        recall = round(float((ious > 0).mean()), 6)
        found.append(
            DetectionScore(
                100, len(pictures), 0.25, 0.9, 0.9, 0.9, None, None, None, recall, 1.0, 1.0, kinds, truths, hits
            )
        )
    return found[0], found[1]


def test_boxes_of_one_picture_are_lost_together_and_the_interval_knows() -> None:
    """5 of 100 pictures lost with all their 10 boxes: as boxes they would be 50 that were lost one by one."""
    gone = np.repeat(np.arange(100), 10) < 5
    low, high = found_interval(outcomes(*pictured(10, gone))) or (0, 0)
    drawn = np.random.default_rng(1).binomial(100, 0.05, 20_000) / 100
    assert (low, high) == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=0.005)


def test_one_photograph_that_was_lost_does_not_convict_its_class() -> None:
    before, after = pictured(8, np.repeat(np.arange(100), 8) == 7, classes=50)
    paired = outcomes(before, after).of(7)
    assert (paired.lost, paired.won, len(paired.labels)) == (8, 0, 16)
    assert (paired.worse, paired.better) == (1, 0)
    assert chance_of_loss(paired.lost, paired.won) < 0.01, "as boxes it would look certain"
    verdict = judge(before, after, Gate(max_drop=1.0))
    assert not [figure for figure in verdict.figures if figure.outcome == "FAIL"]


def test_confidence_zero_everywhere_fails(fruit: Dataset, good: DetectionScore) -> None:
    verdict = judge(good, detected(fruit, [Detections.none()] * 240), Gate())
    assert verdict.outcome == "FAIL"


def test_a_limit_on_ap50_is_judged_where_it_is_set(fruit: Dataset, good: DetectionScore) -> None:
    found = detector(fruit)
    fewer = [each[each.scores > 0.37] for each in found]
    lenient = Gate(
        max_drop=0.3, max_class_drop=None, max_recall_drop=None, max_precision_drop=None, max_box_iou_drop=None
    )
    assert judge(good, detected(fruit, fewer), lenient).outcome == "PASS"
    verdict = judge(good, detected(fruit, fewer), replace(lenient, max_ap50_drop=0.02))
    assert [reason for reason in verdict.reasons if reason.startswith("FAIL: ap50")]


@pytest.fixture(scope="module")
def sizes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """40 pictures of boxes of all sizes, some of them crowds, on the limits of COCO's sizes to the pixel."""
    picture = tmp_path_factory.mktemp("sizes") / "grey.png"
    cv2.imwrite(str(picture), np.full((400, 400, 3), 128, np.uint8))
    rng, samples = np.random.default_rng(0), []
    for number in range(40):
        sides = rng.choice([10, 20, 32, 33, 60, 96, 97, 150], (8, 2))
        corners = rng.uniform(0, 240, (8, 2)).astype(int)
        boxes = np.concatenate((corners, corners + sides), axis=1).astype(np.float32)
        labels, crowd = rng.integers(0, 3, 8), rng.random(8) < 0.1
        areas = sides.prod(axis=1).astype(np.float32)
        samples.append(Sample(picture, f"{number}", None, boxes, labels, crowd, areas))
    return Dataset(picture, tuple(samples), FRUIT, "boxes")


def seen(sizes: Dataset, least: float = 0.0) -> DetectionScore:
    """A good detector with many weak false alarms, that finds nothing of `least` square pixels or less."""
    rng, found = np.random.default_rng(1), []
    for s in sizes.samples:
        boxes = np.concatenate((s.boxes, rng.uniform(0, 300, (20, 4)).astype(np.float32)))
        boxes[:8] += rng.normal(0, 0.04, (8, 4)) * np.tile(s.boxes[:, 2:] - s.boxes[:, :2], 2)
        boxes[8:, 2:] = boxes[8:, :2] + rng.uniform(5, 100, (20, 2))
        scores = np.append(rng.uniform(0.3, 1, 8), rng.uniform(0.1, 0.5, 20)).round(2)
        labels = np.append(s.labels, rng.integers(0, 3, 20))
        found.append(Detections(boxes, scores, labels)[np.append(s.areas > least, np.ones(20, bool))])
    return detected(sizes, found)


def test_ap_of_each_size_is_what_pycocotools_computes(sizes: Dataset) -> None:
    for score_ in (seen(sizes), seen(sizes, 32**2)):
        for size in SIZES:
            ours = float(np.nanmean(average_precision(score_, size)(np.ones(40, int))))
            assert ours == pytest.approx(getattr(score_, "ap" if size == "all" else f"ap_{size}"), abs=1e-6)


def test_small_products_that_vanished_fail_by_their_own_limit(sizes: Dataset) -> None:
    before, blind = seen(sizes), seen(sizes, 32**2)
    lenient = Gate(
        max_drop=0.5,
        max_class_drop=None,
        max_recall_drop=None,
        max_precision_drop=None,
        max_box_iou_drop=None,
        min_images=1,
    )
    assert judge(before, blind, lenient).outcome == "PASS"
    verdict = judge(before, blind, replace(lenient, max_size_drop=0.05))
    outcomes_ = {figure.name: figure.outcome for figure in verdict.figures}
    assert outcomes_ == {"ap": "PASS", "ap_small": "FAIL", "ap_medium": "PASS", "ap_large": "PASS"}
    assert judge(before, before, replace(lenient, max_size_drop=0.0)).outcome == "PASS"


def test_a_size_that_the_data_has_none_of_is_said_to_be_missing(fruit: Dataset, good: DetectionScore) -> None:
    verdict = judge(good, good, Gate(max_size_drop=0.01))
    assert verdict.reasons[-2] == "PASS: there are no small boxes to be judged"
    assert [figure.name for figure in verdict.figures] == [
        "ap",
        "recall",
        "precision",
        "ap_medium",
        "ap_large",
        "box_iou",
        "class_recall",
    ]
    with pytest.raises(ValueError, match="there is no true box of size 'small'"):
        average_precision(good, "small")


def test_a_limit_that_such_a_model_has_no_figure_for_is_refused(good: DetectionScore) -> None:
    truth, answers = shelf()
    with pytest.raises(SettingsError, match=r"min_ap and max_ap50_drop cannot be judged for .* 'classify'"):
        judge(score(truth, answers), score(truth, answers), Gate(min_ap=0.1, max_ap50_drop=0.1))
    with pytest.raises(SettingsError, match="min_top1 cannot be judged for a model that does 'detect'"):
        judge(good, good, Gate(min_top1=0.1))
    with pytest.raises(ValueError, match="cannot be held against"):
        judge(good, score(truth, answers), Gate())


def test_the_worst_of_several_verdicts_decides() -> None:
    verdicts = {outcome: Verdict(outcome, (outcome,)) for outcome in ("PASS", "INCONCLUSIVE", "FAIL")}
    assert worst([verdicts["PASS"], verdicts["PASS"]]).exit_code == 0
    assert worst([verdicts["INCONCLUSIVE"], verdicts["PASS"]]).exit_code == 2
    assert worst([verdicts["PASS"], verdicts["FAIL"], verdicts["INCONCLUSIVE"]]).exit_code == 1
    with pytest.raises(ValueError, match="no verdict"):
        worst([])


def test_a_verdict_goes_to_json_and_comes_back() -> None:
    truth, answers = shelf()
    verdict = judge(score(truth, answers), score(truth, answers), Gate())
    assert schema.parse_json(Verdict, json.dumps(schema.dump(verdict)), "verdict") == verdict


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"max_drop": 1.5}, r"max_drop is a share, 0 to 1 \(one point is 0.01\); got 1.5"),
        ({"min_images": 0}, "min_images must be at least 1"),
        ({"max_dropp": 0.1}, "unknown key 'max_dropp', did you mean 'max_drop'"),
    ],
)
def test_a_gate_with_a_mistake_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        schema.parse(Gate, table, "gate")


@pytest.mark.parametrize(("lost", "won", "chance"), [(5, 0, 1 / 32), (4, 0, 1 / 16), (0, 0, 1), (3, 1, 5 / 16)])
def test_the_sign_test_is_the_binomial_tail(lost: int, won: int, chance: float) -> None:
    assert chance_of_loss(lost, won) == pytest.approx(chance)


def test_the_tail_of_the_binomial_counts_every_way_to_lose_so_many() -> None:
    for lost, things, changed in ((3, 5, 0.2), (1, 4, 0.5), (10, 10, 0.3), (4, 6, 1.0)):
        ways = [
            comb(things, k) * (changed / 2) ** k * (1 - changed / 2) ** (things - k) for k in range(lost, things + 1)
        ]
        assert chance_of_losses(lost, things, changed) == pytest.approx(sum(ways))
    assert chance_of_losses(0, 10, 0.1) == 1
    assert chance_of_losses(2, 10, 0.0) == 0
    assert 0 <= chance_of_losses(5000, 40_000, 0.2) <= 1


def test_the_interval_of_a_known_drop_covers_it_about_95_times_in_100() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        truth = np.zeros(400, int)
        before, after = (np.where(rng.random(400) < share, 0, 1) for share in (0.9, 0.85))
        interval = found_interval(outcomes(score(truth, before), score(truth, after)))
        covered += interval is not None and interval[0] <= 0.05 <= interval[1]
    assert 180 <= covered <= 199


def test_detection_intervals_hold_the_drop_and_are_the_same_each_time(fruit: Dataset, good: DetectionScore) -> None:
    before, after = good, detected(fruit, moved(detector(fruit), 0.15))
    intervals = detection_intervals(before, after)
    assert intervals == detection_intervals(before, after)
    for name, drop in (("ap", before.ap - after.ap), ("ap50", before.ap50 - after.ap50)):
        low, high = intervals[name] or (1, 0)
        assert low <= drop <= high
        assert high - low < 0.2
