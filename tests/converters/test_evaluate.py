"""Figures of accuracy: numpy is the oracle for classification, pycocotools by hand for detection."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgekit import schema
from edgekit.contract import Artifact, InputSpec, YoloX
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.evaluate import evaluate, evaluate_classifier, evaluate_detector, evaluate_embedder
from edgekit.converters.paired import average_precision
from edgekit.converters.scores import ClassificationScore, DetectionScore
from edgekit.engines import open_session
from edgekit.errors import ContractError, DataError
from edgekit.frames import Classification, Detections, Image
from edgekit.plan import EnginePlan
from edgekit.tasks import Detector

LABELS = ("apple", "banana", "carrot", "dill", "eggs", "flour", "ginger")
FRUIT = ("apple", "banana", "orange")


def shop(folder: Path, truth: list[int]) -> Dataset:
    """Pictures that show their own place in the data set, in blue."""
    for i in range(len(truth)):
        assert cv2.imwrite(str(folder / f"{i}.png"), np.full((4, 4, 3), (i, 0, 0), np.uint8))
    (folder / "list.txt").write_text("".join(f"{i}.png, {label}\n" for i, label in enumerate(truth)))
    return open_dataset(DataSpec("list", "list.txt"), LABELS, folder)


def place(image: Image) -> int:
    return int(image[0, 0, 0])


def perturbed(fruit: Dataset, seed: int = 0) -> list[Detections]:
    """The truth, shaken: boxes moved, some lost, some mislabelled, some found twice, scores at random."""
    rng = np.random.default_rng(seed)
    found = []
    for sample in fruit.samples:
        boxes = np.concatenate((sample.boxes, sample.boxes))
        boxes = boxes + rng.normal(0, 8, boxes.shape).astype(np.float32)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        labels = np.where(rng.random(len(boxes)) < 0.1, rng.integers(0, 3, len(boxes)), np.tile(sample.labels, 2))
        kept = rng.random(len(boxes)) < 0.6
        found.append(Detections(boxes[kept], rng.random(int(kept.sum())).astype(np.float32), labels[kept]))
    return found


def by_hand(path: Path, found: list[Detections]) -> list[float]:
    """pycocotools on the json file itself: its twelve figures."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(path))
        numbers = {name: number for number, name in ((c["id"], c["name"]) for c in truth.dataset["categories"])}
        answers = [
            {
                "image_id": image["id"], "category_id": numbers[FRUIT[label]], "score": float(score),
                "bbox": [float(b[0]), float(b[1]), float(b[2]) - float(b[0]), float(b[3]) - float(b[1])],
            }
            for image, each in zip(truth.dataset["images"], found, strict=True)
            for label, score, b in zip(each.labels, each.scores, each.boxes, strict=True)
        ]  # fmt: skip
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(figure) for figure in evaluation.stats]


def scored(fruit: Dataset, found: list[Detections], threshold: float = 0.3) -> DetectionScore:
    """The score of a detector that answers `found`, picture by picture."""
    answers = iter(found)
    return evaluate_detector(lambda image: next(answers), fruit, threshold)


@pytest.fixture(scope="module")
def fruit(data: Path) -> Dataset:
    return open_dataset(DataSpec("coco", "fruit_det/train.json"), FRUIT, data)


def test_the_figures_of_a_classifier_are_those_of_plain_counting(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 60)  # two labels never occur
    scores = rng.random((60, 7)).astype(np.float32)
    scores[np.arange(60), truth] += 0.5
    score = evaluate_classifier(lambda image: Classification(scores[place(image)]), shop(tmp_path, truth.tolist()))
    answers = scores.argmax(axis=1)
    assert score.top1 == pytest.approx((answers == truth).mean(), abs=1e-6)
    assert score.top5 == pytest.approx(
        np.mean([t in row for t, row in zip(truth, np.argsort(-scores)[:, :5], strict=True)]), abs=1e-6
    )
    for label, each in enumerate(score.classes):
        right = ((answers == label) & (truth == label)).sum()
        shown, given = (truth == label).sum(), (answers == label).sum()
        assert each.support == shown
        assert each.recall == (pytest.approx(right / shown, abs=1e-6) if shown else None)
        assert each.precision == (pytest.approx(right / given, abs=1e-6) if given else None)
        assert each.f1 == (pytest.approx(2 * right / (shown + given), abs=1e-6) if shown + given else None)
    recalls = [each.recall for each in score.classes if each.recall is not None]
    assert score.mean_recall == pytest.approx(np.mean(recalls), abs=1e-6)
    assert score.confusion.sum() == 60
    assert score.confusion[truth[0], answers[0]] >= 1
    assert (score.truth, score.answers) == (tuple(truth.tolist()), tuple(answers.tolist()))


def test_a_score_goes_to_json_and_comes_back(tmp_path: Path, fruit: Dataset) -> None:
    answers = evaluate_classifier(lambda image: Classification(np.eye(7)[place(image)]), shop(tmp_path, [0, 1, 3]))
    boxes = scored(fruit, perturbed(fruit))
    for kind, score in ((ClassificationScore, answers), (DetectionScore, boxes)):
        text = json.dumps(schema.dump(score))
        assert schema.parse_json(kind, text, "score") == score


def test_progress_is_told_after_every_picture(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    evaluate_classifier(
        lambda image: Classification(np.ones(7)), shop(tmp_path, [0, 1]), lambda *done: told.append(done)
    )
    assert told == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("scores", "message"),
    [(np.ones(6), "each of 7 labels, got 6 scores"), (np.full(7, np.nan), "7 of them not finite")],
)
def test_an_answer_that_is_no_score_for_each_label_is_refused(tmp_path: Path, scores: np.ndarray, message: str) -> None:
    with pytest.raises(ContractError, match=f"0.png: .*{message}"):
        evaluate_classifier(lambda image: Classification(scores), shop(tmp_path, [0]))


def test_a_model_is_not_evaluated_on_data_of_another_kind(tmp_path: Path, fruit: Dataset) -> None:
    with pytest.raises(DataError, match="is evaluated on classes, and this data holds boxes"):
        evaluate_classifier(lambda image: Classification(np.ones(3)), fruit)
    with pytest.raises(DataError, match="is evaluated on boxes, and this data holds classes"):
        evaluate_detector(lambda image: Detections.none(), shop(tmp_path, [0]), 0.3)


def test_an_embedder_is_judged_by_the_nearest_other_picture(tmp_path: Path) -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.95, 0.05]], np.float32)
    score = evaluate_embedder(lambda image: 7 * vectors[place(image)], shop(tmp_path, [0, 0, 1, 1, 1]))
    assert score.answers == (1, 1, 1, 1, 0)
    assert score.top1 == 0.4
    with pytest.raises(DataError, match="two pictures of each class; one of: banana"):
        evaluate_embedder(lambda image: vectors[place(image)], shop(tmp_path, [0, 0, 1]))


@pytest.mark.parametrize("seed", [0, 1])
def test_ap_is_what_pycocotools_says_of_the_same_file(data: Path, fruit: Dataset, seed: int) -> None:
    found = perturbed(fruit, seed)
    score = scored(fruit, found)
    wanted = by_hand(data / "fruit_det/train.json", found)
    got = [score.ap, score.ap50, score.ap75, score.ap_small, score.ap_medium, score.ap_large]
    assert [-1 if figure is None else figure for figure in got] == pytest.approx(wanted[:6], abs=2e-6)
    assert 0.1 < score.ap < 0.9
    for number, each in enumerate(score.classes):
        assert each.ap == pytest.approx(average_precision(score)(np.ones(240, int))[number].mean(), abs=2e-6)


def test_the_truth_itself_scores_one_and_nothing_found_scores_zero(fruit: Dataset) -> None:
    whole = scored(fruit, [Detections(s.boxes, np.ones(len(s.boxes)), s.labels) for s in fruit.samples])
    assert whole.figures() | {"ap": 1.0, "recall": 1.0, "precision": 1.0, "mean_iou": 1.0} == whole.figures()
    nothing = scored(fruit, [Detections.none()] * 240)
    assert (nothing.ap, nothing.ap50, nothing.recall) == (0, 0, 0)
    assert (nothing.precision, nothing.mean_iou) == (None, None)


def test_recall_precision_and_iou_are_taken_at_the_score_that_the_shop_runs_at(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "a.png"), np.zeros((100, 100, 3), np.uint8))
    boxes = [[0, 0, 10, 10], [20, 0, 10, 10], [40, 0, 10, 10], [60, 0, 30, 30]]
    whole = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "apple"}, {"id": 2, "name": "orange"}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": box, "iscrowd": int(i == 3)} for i, box in enumerate(boxes)
        ],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(whole))
    shelf = open_dataset(DataSpec("coco", "boxes.json"), FRUIT, tmp_path)
    found = Detections(
        boxes=np.array(
            [
                [0, 0, 10, 8],  # finds the first, IoU 0.8
                [0, 0, 10, 10],  # would fit better, but comes second: wrong
                [20, 0, 30, 10],  # the second, exactly
                [40, 0, 50, 10],  # the third, too weak to count
                [65, 5, 75, 15],  # in the crowd: counts neither way
                [0, 50, 10, 60],  # a class that this data does not know of: counts neither way
            ],
            np.float32,
        ),
        scores=np.array([0.9, 0.8, 0.7, 0.2, 0.6, 0.9]),
        labels=np.array([0, 0, 0, 0, 0, 2]),
    )
    score = scored(shelf, [found])
    assert score.truths.ious == (0.8, 1.0, 0.0)
    assert (score.boxes, score.recall) == (3, pytest.approx(2 / 3, abs=1e-6))
    assert score.precision == pytest.approx(2 / 3, abs=1e-6)
    assert score.mean_iou == pytest.approx(0.9)
    assert [each.label for each in score.classes] == ["apple"]
    assert average_precision(score)(np.ones(1, int)).mean() == pytest.approx(score.ap, abs=1e-6)


def test_nothing_is_printed(fruit: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    scored(fruit, perturbed(fruit))
    assert capsys.readouterr().out == ""


def test_a_box_that_is_no_number_is_refused_with_its_picture(fruit: Dataset) -> None:
    broken = Detections(np.full((1, 4), np.nan), np.ones(1), np.zeros(1))
    with pytest.raises(ContractError, match=r"apple_1\.jpg: a detection's box or score is not finite"):
        evaluate_detector(lambda image: broken, fruit, 0.3)


def test_yolox_nano_finds_fruit_as_it_is_known_to(data: Path) -> None:
    names = (data / "models/coco.names").read_text().split("\n")[:80]
    fruit = open_dataset(DataSpec("coco", "fruit_det/train.json"), names, data)
    spec = InputSpec(416, 416, colour="BGR", pad_side="end", scale=1.0)
    with open_session(Artifact.read(data / "models/yolox_nano_coco.onnx"), EnginePlan("onnxruntime")) as session:
        detector = Detector(session, spec, YoloX(), names)
        score = evaluate(detector, fruit)
    assert isinstance(score, DetectionScore)
    assert score.ap50 == pytest.approx(0.71, abs=0.02)
    assert score.threshold == detector.head.score == YoloX().score
