"""How right a model is on labelled pictures, run as the shop will run it: one picture at a time, its own engine.

    score = evaluate(Classifier(session, spec, head, labels), dataset)
    print(score.top1)

The evaluators take any callable from an image to its answer, so a framework, an engine and a test are judged alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from edgekit.boxes import area, iou
from edgekit.contract import DetectionHead
from edgekit.converters.coco import coco_figures, match
from edgekit.converters.data import Dataset, Sample
from edgekit.converters.scores import (
    ClassificationScore,
    ClassScore,
    DetectedClass,
    DetectionScore,
    Score,
    Truths,
    confusion,
    ratio,
)
from edgekit.converters.steps import Count
from edgekit.errors import ContractError, DataError
from edgekit.frames import Classification, Detections, FloatArray, Image, IntArray
from edgekit.tasks import AnyTask, Classifier, Detector

Answer = TypeVar("Answer")

# AP ranks weak candidates too. AP50 of YOLOX-nano on 240 pictures: 0.690 from 0.05, 0.699 from 0.01, 0.703 from this.
_CANDIDATE_SCORE = 0.001
_CANDIDATES = 100  # a picture, as COCO counts


def evaluate(task: AnyTask, dataset: Dataset, progress: Count | None = None) -> Score:
    """The score of a task that is ready to be called.

    A detector is asked for its weak candidates too, which AP needs; recall, precision and IoU are taken at the score
    of its own head.
    """
    if isinstance(task, Classifier):
        return evaluate_classifier(task, dataset, progress)
    if isinstance(task, Detector):
        detect = Detector(task.session, task.spec, with_candidates(task.head), task.labels)
        return evaluate_detector(detect, dataset, task.head.score, progress)
    return evaluate_embedder(task, dataset, progress)


def with_candidates(head: DetectionHead) -> DetectionHead:
    """The head with the threshold and the number of detections that AP is taken with."""
    return replace(head, score=min(head.score, _CANDIDATE_SCORE), max_detections=max(head.max_detections, _CANDIDATES))


def evaluate_classifier(
    classify: Callable[[Image], Classification], dataset: Dataset, progress: Count | None = None
) -> ClassificationScore:
    """Top-1, top-5, and recall, precision and F1 of each class, over all of `dataset`.

    Raises DataError where a picture cannot be decoded or has no class, ContractError where an answer is not a score
    for each label. Equal scores go to the earlier label.
    """
    truth = _true_labels(dataset)
    ranked, confidences = [], []
    for sample, answer in _answers(classify, dataset, progress):
        ranked.append(_ranking(answer, sample, dataset))
        confidences.append(round(answer.score, 6))
    return _classification_score(truth, np.array(ranked, np.int64), dataset.labels, tuple(confidences))


def evaluate_embedder(
    embed: Callable[[Image], FloatArray], dataset: Dataset, progress: Count | None = None
) -> ClassificationScore:
    """How often the nearest other picture, by cosine, shows the same product; top-5 takes the five nearest ones.

    Leave-one-out, so each class needs two pictures (DataError). The answers are the neighbours' labels.
    """
    truth = _true_labels(dataset)
    alone = [dataset.labels[label] for label in np.flatnonzero(np.bincount(truth) == 1)]
    if alone:
        raise DataError(f"{dataset.source}: leave-one-out needs two pictures of each class; one of: {', '.join(alone)}")
    vectors = np.stack([answer for _, answer in _answers(embed, dataset, progress)])
    if not np.isfinite(vectors).all():
        raise ContractError(f"an embedding of a picture in {dataset.source} is not finite")
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return _classification_score(truth, truth[_nearest(vectors, 5)], dataset.labels)


def evaluate_detector(
    detect: Callable[[Image], Detections], dataset: Dataset, threshold: float, progress: Count | None = None
) -> DetectionScore:
    """COCO's AP by pycocotools, and recall, precision and IoU at `threshold`.

    `detect` must give its weak candidates too (`with_candidates`), or AP is that of the strong ones alone. Raises
    DataError where a picture cannot be decoded or the data holds no boxes, ContractError where an answer is not finite.
    """
    _check_holds(dataset, "boxes")
    found = [_checked(answer, sample) for sample, answer in _answers(detect, dataset, progress)]
    matched = match(dataset.samples, found)
    kinds = np.array(matched.labels)
    strong = [each[(each.scores >= threshold) & np.isin(each.labels, kinds)] for each in found]
    truths, wrong = _find(dataset, strong)
    labels, ious = np.array(truths.labels), np.array(truths.ious)
    hits = int((ious > 0).sum())
    figures, by_class = coco_figures(matched)
    classes = tuple(
        DetectedClass(dataset.labels[k], k, int((labels == k).sum()), *by_class[k], _share_found(ious[labels == k]))
        for k in matched.labels
    )
    return DetectionScore(
        images=len(dataset),
        boxes=len(labels),
        threshold=threshold,
        **figures,
        recall=ratio(hits, len(labels)) or 0.0,
        precision=ratio(hits, hits + wrong),
        mean_iou=ratio(ious.sum(), hits),
        classes=classes,
        truths=truths,
        candidates=matched.candidates,
    )


def _answers(
    model: Callable[[Image], Answer], dataset: Dataset, progress: Count | None
) -> Iterator[tuple[Sample, Answer]]:
    for done, (sample, image) in enumerate(dataset.pictures(), 1):
        yield sample, model(image)
        if progress is not None:
            progress(done, len(dataset))


def _check_holds(dataset: Dataset, needed: str) -> None:
    if dataset.holds != needed:
        raise DataError(f"{dataset.source}: this model is evaluated on {needed}, and this data holds {dataset.holds}")


def _true_labels(dataset: Dataset) -> IntArray:
    _check_holds(dataset, "classes")
    return np.array([sample.label for sample in dataset.samples], np.int64)


def _ranking(answer: Classification, sample: Sample, dataset: Dataset) -> IntArray:
    """The five best labels, best first (or all, where there are fewer)."""
    if answer.scores.shape != (len(dataset.labels),) or not np.isfinite(answer.scores).all():
        raise ContractError(
            f"{sample.path}: expected a finite score for each of {len(dataset.labels)} labels, got "
            f"{len(answer.scores)} scores, {int((~np.isfinite(answer.scores)).sum())} of them not finite"
        )
    return np.argsort(-answer.scores, kind="stable")[:5]


def _classification_score(
    truth: IntArray, ranked: IntArray, labels: tuple[str, ...], confidences: tuple[float, ...] = ()
) -> ClassificationScore:
    """`ranked`: (pictures, up to 5) labels, best first."""
    answers = ranked[:, 0]
    table = confusion(truth, answers, len(labels))
    right, support, given = table.diagonal(), table.sum(axis=1), table.sum(axis=0)
    classes = tuple(
        ClassScore(label, int(n), ratio(r, n), ratio(r, g), ratio(2 * r, n + g))
        for label, r, n, g in zip(labels, right, support, given, strict=True)
    )
    return ClassificationScore(
        images=len(truth),
        top1=round(float((answers == truth).mean()), 6),
        top5=round(float((ranked == truth[:, None]).any(axis=1).mean()), 6) if len(labels) > 5 else None,
        mean_recall=round(float((right[support > 0] / support[support > 0]).mean()), 6),
        classes=classes,
        truth=tuple(truth.tolist()),
        answers=tuple(answers.tolist()),
        confidences=confidences,
    )


def _nearest(vectors: FloatArray, k: int) -> IntArray:
    """(n, k) places of the nearest other vectors, nearest first; in blocks, so that memory stays flat."""
    k = min(k, len(vectors) - 1)
    nearest = np.empty((len(vectors), k), np.int64)
    for start in range(0, len(vectors), 1024):
        alike = vectors[start : start + 1024] @ vectors.T
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -np.inf
        nearest[start : start + 1024] = np.argsort(-alike, axis=1, kind="stable")[:, :k]
    return nearest


def _checked(answer: Detections, sample: Sample) -> Detections:
    if not np.isfinite(answer.boxes).all() or not np.isfinite(answer.scores).all():
        raise ContractError(f"{sample.path}: a detection's box or score is not finite")
    return answer


def _find(dataset: Dataset, strong: list[Detections]) -> tuple[Truths, int]:
    """Which true box each detection found, and how many detections found none.

    Greedy, best score first, one detection a box, IoU 0.5 at least; one that lies by half or more in a crowd of its
    label counts neither way.
    """
    pictures, labels, ious, areas, wrong = [], [], [], [], 0
    for place, (sample, found) in enumerate(zip(dataset.samples, strong, strict=True)):
        single = ~sample.crowd
        best, missed = greedy(sample.boxes[single], sample.labels[single], found)
        labels += sample.labels[single].tolist()
        pictures += [place] * len(best)
        ious += [round(float(each), 6) for each in best]
        areas += sample.areas[single].tolist()
        wrong += int((~in_crowd(sample, found[missed])).sum())
    return Truths(tuple(pictures), tuple(labels), tuple(ious), tuple(areas)), wrong


def greedy(
    boxes: FloatArray, labels: IntArray, found: Detections, least: float = 0.5
) -> tuple[FloatArray, np.typing.NDArray[np.bool_]]:
    """For each of `boxes` the IoU of the detection that found it (0: none), and which detections found nothing.

    The best scored detection chooses first, among the boxes of its label that are still free; what it shares with its
    choice must be `least` IoU.
    """
    shared = np.where(labels[:, None] == found.labels[None], iou(boxes, found.boxes), 0)
    best, missed = np.zeros(len(boxes), np.float32), np.ones(len(found), np.bool_)
    for each in np.argsort(-found.scores, kind="stable") if len(boxes) else ():
        choice = int(np.where(best > 0, 0, shared[:, each]).argmax())
        if best[choice] == 0 and shared[choice, each] >= least:
            best[choice], missed[each] = shared[choice, each], False
    return best, missed


def in_crowd(sample: Sample, found: Detections) -> np.typing.NDArray[np.bool_]:
    """Which detections lie by half or more in a crowd of their label, and so count neither way."""
    crowds, labels = sample.boxes[sample.crowd], sample.labels[sample.crowd]
    if not len(crowds) or not len(found):
        return np.zeros(len(found), np.bool_)
    low = np.maximum(crowds[:, None, :2], found.boxes[None, :, :2])
    high = np.minimum(crowds[:, None, 2:], found.boxes[None, :, 2:])
    inside = np.maximum(high - low, 0).prod(axis=2) / np.maximum(area(found.boxes), 1e-12)
    covered: np.typing.NDArray[Any] = ((inside >= 0.5) & (labels[:, None] == found.labels[None])).any(axis=0)
    return covered


def _share_found(ious: np.typing.NDArray[Any]) -> float | None:
    return ratio(int((ious > 0).sum()), len(ious))
