"""COCO's matching and average precision, by pycocotools, over data of any format.

Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; https://cocodataset.org/#detection-eval.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from edgekit.converters.data import Sample
from edgekit.converters.scores import SIZES, Candidates
from edgekit.frames import Detections

_AREAS = ("ap", "ap_small", "ap_medium", "ap_large")  # by SIZES, in its order


@dataclass(frozen=True, eq=False)
class Matched:
    """Detections matched to truth. `labels`: the classes that occur in the truth. `precision`: pycocotools' array
    (IoU steps, recall steps, labels, areas, numbers of detections), -1 where there is no truth."""

    labels: tuple[int, ...]
    precision: npt.NDArray[np.float64]
    candidates: Candidates


def match(samples: Sequence[Sample], found: Sequence[Detections]) -> Matched:
    """Detections `found[i]` against the truth of `samples[i]`, at most 100 of a class in a picture."""
    labels = sorted({int(label) for sample in samples for label in sample.labels[~sample.crowd]})
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints, and stdout is for data
        evaluation = COCOeval(_coco(labels, *_truth(samples)), _coco(labels, *_answers(found)), "bbox")
        evaluation.params.catIds = labels
        evaluation.params.imgIds = list(range(len(samples)))
        evaluation.params.areaRng = [list(each) for each in SIZES.values()]
        evaluation.params.areaRngLbl = list(SIZES)
        evaluation.evaluate()
        evaluation.accumulate()
    by_size = [
        [each for each in evaluation.evalImgs if each and each["aRng"] == size] for size in evaluation.params.areaRng
    ]
    return Matched(tuple(labels), evaluation.eval["precision"], _candidates(by_size))


def coco_figures(matched: Matched) -> tuple[dict[str, Any], dict[int, tuple[float | None, float | None]]]:
    """The six AP figures of the whole by their names, and (AP, AP50) of each label."""
    precision = matched.precision[..., -1]
    figures = {name: _mean(precision[..., area]) for area, name in enumerate(_AREAS)}
    figures |= {"ap50": _mean(precision[0, ..., 0]), "ap75": _mean(precision[5, ..., 0])}
    by_class = {
        label: (_mean(precision[:, :, k, 0]), _mean(precision[0, :, k, 0])) for k, label in enumerate(matched.labels)
    }
    return figures, by_class


def _truth(samples: Sequence[Sample]) -> tuple[int, list[dict[str, Any]]]:
    boxes = [
        _box(place, label, box, area=float(area), iscrowd=int(crowd))
        for place, sample in enumerate(samples)
        for label, box, area, crowd in zip(sample.labels, sample.boxes, sample.areas, sample.crowd, strict=True)
    ]
    return len(samples), boxes


def _answers(found: Sequence[Detections]) -> tuple[int, list[dict[str, Any]]]:
    boxes = [
        _box(place, label, box, area=float((box[2] - box[0]) * (box[3] - box[1])), score=float(score), iscrowd=0)
        for place, each in enumerate(found)
        for label, box, score in zip(each.labels, each.boxes, each.scores, strict=True)
    ]
    return len(found), boxes


def _box(place: int, label: int, box: npt.NDArray[np.float32], **more: float) -> dict[str, Any]:
    x0, y0, x1, y1 = box.tolist()
    return {"image_id": place, "category_id": int(label), "bbox": [x0, y0, x1 - x0, y1 - y0], **more}


def _coco(labels: Sequence[int], images: int, boxes: list[dict[str, Any]]) -> COCO:
    """Numbered from 1: pycocotools writes a match as the id of the other box, and 0 for none."""
    whole = COCO()
    whole.dataset = {
        "images": [{"id": place} for place in range(images)],
        "categories": [{"id": label} for label in labels],
        "annotations": [{"id": number, **box} for number, box in enumerate(boxes, 1)],
    }
    whole.createIndex()
    return whole


def _candidates(by_size: Sequence[Sequence[dict[str, Any]]]) -> Candidates:
    """pycocotools' matches of each picture and class, as columns; the same detections for every size."""
    matches = by_size[0]
    sizes = [len(each["dtScores"]) for each in matches]
    return Candidates(
        pictures=tuple(np.repeat([each["image_id"] for each in matches], sizes).tolist()),
        labels=tuple(np.repeat([each["category_id"] for each in matches], sizes).tolist()),
        scores=tuple(score for each in matches for score in np.asarray(each["dtScores"]).tolist()),
        hits=_bits([[each["dtMatches"] > 0 for each in size] for size in by_size]),
        ignored=_bits([[each["dtIgnore"].astype(bool) for each in size] for size in by_size]),
    )


def _bits(by_size: Sequence[Sequence[npt.NDArray[np.bool_]]]) -> tuple[int, ...]:
    """One number a detection, from (IoU steps, n) booleans of each picture and class, for each size."""
    rows = np.concatenate([np.concatenate(size, axis=1) for size in by_size])
    return tuple(((1 << np.arange(len(rows))) @ rows).tolist())


def _mean(precision: npt.NDArray[np.float64]) -> float | None:
    there = precision[precision > -1]
    return round(float(there.mean()), 6) if there.size else None
