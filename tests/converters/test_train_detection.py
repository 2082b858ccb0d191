"""Detectors learn by their contract: decoded as on the device, each box has its points, each loss pulls right."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.boxes import clip
from edgekit.contract import EndToEnd, FastestDet, Gfl, InputSpec, Softmax, Ssd, Yolo, YoloV5, YoloX
from edgekit.converters.evaluate import greedy
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.converters.train.assign import Truth, assign
from edgekit.converters.train.batch import Batch
from edgekit.converters.train.detect_boxes import giou, xywh_to_xyxy
from edgekit.converters.train.detect_candidates import Candidates, candidates_of, strides_of
from edgekit.converters.train.detect_ssd import encode, match
from edgekit.converters.train.detection import detection_loss, distribution_focal, quality_focal
from edgekit.decode import decode_detections
from edgekit.decode.ssd import anchors_of
from edgekit.errors import ContractError, ConversionError

LABELS = 3
SPEC = InputSpec(96, 64)  # not square, so that x and y cannot be mixed up
CELLS = 12 * 8 + 6 * 4 + 3 * 2  # at strides 8, 16 and 32
SSD = Ssd(grids=((4, 6), (2, 3)), scales=(0.3, 0.6, 0.9), aspect_ratios=((2.0,), (2.0, 3.0)))
ANCHORS = 4 * 6 * 4 + 2 * 3 * 6


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 1.5, (2, *shape)).astype(np.float32))


def boxes(*shape: int) -> torch.Tensor:
    return noise(*shape).abs() * 10 + 1


def batch_of(*pictures: list[tuple[float, float, float, float, int]]) -> Batch:
    """Each picture a list of x0, y0, x1, y1, class."""
    most = max(map(len, pictures))
    rows = torch.full((len(pictures), most, 5), -1.0)
    for row, picture in zip(rows, pictures, strict=True):
        row[: len(picture)] = torch.tensor(picture, dtype=torch.float32).reshape(-1, 5)
    return Batch(
        torch.zeros(len(pictures), 3, SPEC.height, SPEC.width), boxes=rows[..., :4], classes=rows[..., 4].long()
    )


HEADS = {
    "yolo, two outputs": (Yolo(), (boxes(4, CELLS), noise(LABELS, CELLS).sigmoid())),
    "yolo, one output": (Yolo(), (torch.cat([boxes(4, CELLS), noise(LABELS, CELLS).sigmoid()], 1),)),
    "yolo, normalised": (Yolo(normalised=True), (boxes(4, CELLS) / 100, noise(LABELS, CELLS).sigmoid())),
    "yolo, corners": (Yolo(boxes="xyxy"), (boxes(4, CELLS).cumsum(1), noise(LABELS, CELLS).sigmoid())),
    "yolox": (YoloX(), (torch.cat([noise(CELLS, 4), noise(CELLS, 1 + LABELS).sigmoid()], 2),)),
    "gfl, one output": (
        Gfl(strides=(8, 16, 32), offset=0.5),
        (torch.cat([noise(CELLS, LABELS).sigmoid(), noise(CELLS, 32)], 2),),
    ),
    "gfl, an output a stride": (
        Gfl(strides=(16, 32)),
        (noise(24, LABELS).sigmoid(), noise(6, LABELS).sigmoid(), noise(24, 32), noise(6, 32)),
    ),
    "fastestdet": (
        FastestDet(),
        (torch.cat([noise(1, 4, 6).sigmoid(), noise(4, 4, 6), noise(LABELS, 4, 6).softmax(1)], 1),),
    ),
    "ssd": (SSD, (noise(ANCHORS, LABELS + 1), noise(ANCHORS, 4))),
    "ssd, sigmoid": (replace(SSD, activation="sigmoid"), (noise(ANCHORS, LABELS), noise(ANCHORS, 4))),
}


@pytest.mark.parametrize("case", HEADS)
def test_candidates_are_what_the_device_decodes(case):
    head, outputs = HEADS[case]
    found = candidates_of(outputs, head, SPEC, LABELS)
    everything = replace(head, score=0.0, iou=1.0, max_detections=10_000)
    for picture in range(2):
        device = decode_detections([each[picture : picture + 1].numpy() for each in outputs], everything, SPEC, LABELS)
        scores, labels = found.logits[picture].sigmoid().max(1)
        ours = found.boxes[picture].numpy()
        ours = clip(ours, SPEC.width, SPEC.height) if isinstance(head, Ssd | Gfl) else ours
        solid = (ours[:, 2:] > ours[:, :2]).all(1)  # the device keeps no box without an area
        order = np.argsort(-scores.numpy()[solid], kind="stable")
        np.testing.assert_allclose(scores.numpy()[solid][order], device.scores, atol=2e-6)
        by_place = np.lexsort(ours[solid].T), np.lexsort(device.boxes.T)  # equal scores may change places
        np.testing.assert_allclose(ours[solid][by_place[0]], device.boxes[by_place[1]], rtol=1e-4, atol=1e-3)
        assert sorted(labels.numpy()[solid]) == sorted(device.labels)


@pytest.mark.parametrize("case", HEADS)
def test_points_and_strides_are_those_of_the_boxes(case):
    head, outputs = HEADS[case]
    found = candidates_of(outputs, head, SPEC, LABELS)
    assert found.points.shape == (found.boxes.shape[1], 2)
    assert found.strides.shape == (found.boxes.shape[1],)
    assert (found.points >= 0).all()
    assert (found.points < torch.tensor([SPEC.width, SPEC.height])).all()


@pytest.mark.parametrize("logit", [-25.0, -5.0, 0.0, 5.0, 15.0])
def test_a_score_behind_a_sigmoid_learns_as_fast_as_its_logit_would(logit):
    weight = torch.tensor(logit, requires_grad=True)
    scores = weight.sigmoid().expand(1, 1, CELLS)
    found = candidates_of((torch.ones(1, 4, CELLS), scores), Yolo(), SPEC, 1)
    wanted = torch.full_like(found.logits, 0.5)
    nn.functional.binary_cross_entropy_with_logits(found.logits, wanted).backward()
    assert weight.grad.item() == pytest.approx(torch.sigmoid(torch.tensor(logit)).item() - 0.5, rel=0.05)


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["yolo", "yolox", "fastestdet", "gfl"])
def test_scores_of_exactly_0_and_1_leave_loss_and_gradient_finite(kind, score):
    shapes = {
        "yolo": (Yolo(), (1, 4 + LABELS, CELLS)),
        "yolox": (YoloX(), (1, CELLS, 5 + LABELS)),
        "fastestdet": (FastestDet(), (1, 5 + LABELS, 4, 6)),
        "gfl": (Gfl(strides=(8, 16, 32)), (1, CELLS, LABELS + 32)),
    }
    head, shape = shapes[kind]
    output = torch.full(shape, score, requires_grad=True)
    loss = detection_loss(head, SPEC, LABELS)((output,), batch_of([(10, 10, 40, 50, 1)]))
    loss.backward()
    assert loss.isfinite()
    assert output.grad.isfinite().all()


@pytest.mark.parametrize(
    ("points", "strides"),
    [(CELLS, (8, 16, 32)), (96, (8,)), (24 + 6, (16, 32)), (24 * 16 + 96 + 24 + 6, (4, 8, 16, 32))],
)
def test_the_strides_of_a_yolo_head_are_told_by_how_many_candidates_it_has(points, strides):
    assert strides_of(points, SPEC) == strides


def test_a_yolo_head_whose_points_cannot_be_told_is_refused_with_what_was_expected():
    with pytest.raises(ConversionError, match=f"127 candidates at 96x64.*would have {CELLS}"):
        strides_of(127, SPEC)


@pytest.mark.parametrize("head", [YoloV5(), EndToEnd(), Softmax()])
def test_a_head_that_cannot_be_trained_is_refused_with_those_that_can(head):
    with pytest.raises(ConversionError, match=f"'{head.kind}' head.*fastestdet, gfl, ssd, yolo, yolox"):
        detection_loss(head, SPEC, LABELS)


def test_outputs_that_are_not_the_heads_are_refused_with_both_shapes():
    loss = detection_loss(YoloX(), SPEC, LABELS)
    with pytest.raises(ContractError, match=r"\(n, 126, 8\); the model gave \(1, 126, 7\)"):
        loss((torch.zeros(1, CELLS, 7),), batch_of([]))


# Assignment. Four points, 16 pixels apart, and predictions as a case needs them.
POINTS = torch.tensor([[8.0, 8.0], [24.0, 8.0], [8.0, 24.0], [24.0, 24.0]])
ALL = (0.0, 0.0, 32.0, 32.0)


def candidates(predicted: list[tuple[float, ...]], scores: list[list[float]]) -> Candidates:
    return Candidates(
        torch.tensor([predicted], dtype=torch.float32), torch.tensor([scores]).logit(), POINTS, torch.full((4,), 16.0)
    )


def truth_of(*rows: tuple[float, float, float, float, int]) -> Truth:
    return Truth.of(batch_of(list(rows)))


EVEN = [[0.5, 0.5]] * 4
CASES = {
    "a box around all points takes those it shares something with": (
        [ALL] * 4,
        EVEN,
        [(*ALL, 0)],
        [0, 0, 0, 0],
    ),
    "a box around one point takes that alone": ([ALL] * 4, EVEN, [(0, 0, 16, 16, 0)], [0, -1, -1, -1]),
    "a box between two points takes the nearest": ([ALL] * 4, EVEN, [(13, 4, 18, 12, 1)], [0, -1, -1, -1]),
    "a box of a pixel, far from every point, takes the nearest": (
        [ALL] * 4,
        EVEN,
        [(30, 30, 31, 31, 0)],
        [-1, -1, -1, 0],
    ),
    "a box that no prediction meets still takes its points": (
        [(90, 50, 95, 60)] * 4,
        EVEN,
        [(0, 0, 16, 32, 0)],
        [0, -1, 0, -1],
    ),
    "overlapping boxes share the points by what each predicts": (
        [(0, 0, 32, 16), (0, 0, 32, 16), ALL, ALL],
        EVEN,
        [(*ALL, 0), (0, 0, 32, 16, 1)],
        [1, 1, 0, 0],
    ),
    "padding takes none": ([ALL] * 4, EVEN, [(*ALL, -1)], [-1, -1, -1, -1]),
    "no box at all": ([ALL] * 4, EVEN, [], [-1, -1, -1, -1]),
}


@pytest.mark.parametrize("case", CASES)
def test_points_find_their_boxes(case):
    predicted, scores, rows, owners = CASES[case]
    assert assign(candidates(predicted, scores), truth_of(*rows)).owner.tolist() == [owners]


def test_the_best_aligned_point_is_to_score_the_iou_and_the_others_less():
    found = candidates([ALL, ALL, (0, 0, 32, 16), (0, 0, 32, 16)], [[0.9, 0.1], [0.4, 0.1], [0.9, 0.1], [0.9, 0.1]])
    quality = assign(found, truth_of((*ALL, 0))).quality[0]
    assert quality[0] == pytest.approx(1.0)
    assert 0.5 < quality[1] < 0.8  # (0.4 / 0.9) ** 0.5
    assert quality[2] == pytest.approx(0.5**6)


# The loss
PERFECT = batch_of([(8, 8, 40, 40, 1)], [(50.0, 10.0, 90.0, 60.0, 0), (0, 0, 24, 16, 2)])


def perfect_outputs(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """What an anchor-free head gives whose every point is right about the batch: sure at the 10 points it takes."""
    found = candidates_of((boxes(4, CELLS), torch.full((2, LABELS, CELLS), 0.5)), Yolo(), SPEC, LABELS)
    truth = Truth.of(batch)
    nearest = Candidates(_nearest_boxes(found.points, truth), found.logits, found.points, found.strides)
    assigned = assign(nearest, truth)
    scores = torch.zeros(2, LABELS, CELLS)
    picture, point = (assigned.owner >= 0).nonzero(as_tuple=True)
    scores[picture, truth.classes[picture, assigned.owner[picture, point]], point] = 1.0
    corners = nearest.boxes
    centred = torch.cat([(corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]], -1)
    return centred.mT.contiguous(), scores


def _nearest_boxes(points: torch.Tensor, truth: Truth) -> torch.Tensor:
    middles = (truth.boxes[..., :2] + truth.boxes[..., 2:]) / 2
    away = torch.cdist(points.expand(2, -1, -1), middles).masked_fill((truth.classes < 0)[:, None], torch.inf)
    return truth.boxes.gather(1, away.argmin(2)[..., None].expand(-1, -1, 4))


def test_outputs_that_are_all_right_have_next_to_no_loss():
    loss = detection_loss(Yolo(), SPEC, LABELS)
    right, scores = perfect_outputs(PERFECT)
    assert loss((right, scores), PERFECT) < 1e-3
    assert loss((right + torch.tensor([10.0, 0, 0, 0])[:, None], scores), PERFECT) > 0.1
    assert loss((right, scores.roll(1, 1)), PERFECT) > 1
    assert loss((right, torch.full_like(scores, 0.5)), PERFECT) > 1


def test_the_gradient_widens_a_box_that_is_too_narrow_and_moves_it_to_its_place():
    right, scores = perfect_outputs(PERFECT)
    moved = (right + torch.tensor([-4.0, 3.0, -6.0, 0.0])[:, None]).requires_grad_()
    detection_loss(Yolo(), SPEC, LABELS)((moved, scores), PERFECT).backward()
    x, y, width, _ = moved.grad.sum((0, 2))
    assert x < 0  # a step down the gradient goes to the right,
    assert y > 0  # up,
    assert width < 0  # and makes it wider


def test_the_gradient_raises_the_score_of_the_boxs_class_and_lowers_all_others():
    right, _ = perfect_outputs(PERFECT)
    logits = torch.zeros(2, LABELS, CELLS, requires_grad=True)
    detection_loss(Yolo(), SPEC, LABELS)((right, logits.sigmoid()), PERFECT).backward()
    owned = (logits.grad < 0).nonzero()
    assert {(picture, label) for picture, label, _ in owned.tolist()} == {(0, 1), (1, 0), (1, 2)}
    assert (logits.grad > 0).sum() == logits.numel() - len(owned)


LOSSES = {"yolo, two outputs", "yolox", "gfl, one output", "gfl, an output a stride", "fastestdet", "ssd"}


@pytest.mark.parametrize("case", sorted(LOSSES))
def test_padding_and_pictures_without_a_box_change_nothing(case):
    head, outputs = HEADS[case]
    loss = detection_loss(head, SPEC, LABELS)
    one = batch_of([(10, 10, 40, 50, 1)], [])
    padded = Batch(
        one.images,
        boxes=torch.cat([one.boxes, torch.tensor([9.0, 9.0, 30.0, 30.0]).expand(2, 3, 4)], 1),
        classes=torch.cat([one.classes, torch.full((2, 3), -1)], 1),
    )
    assert loss(outputs, padded) == pytest.approx(loss(outputs, one).item(), rel=1e-5)


@pytest.mark.parametrize("case", sorted(LOSSES))
def test_a_batch_without_any_box_has_a_finite_loss_and_gradient(case):
    head, outputs = HEADS[case]
    outputs = tuple(each.clone().requires_grad_() for each in outputs)
    loss = detection_loss(head, SPEC, LABELS)(outputs, batch_of([], []))
    loss.backward()
    assert loss.isfinite()
    assert all(each.grad is None or each.grad.isfinite().all() for each in outputs)


class TinyDetector(nn.Module):
    """One stride of 16, two convolutions: enough to learn two rendered pictures by heart."""

    def __init__(self, values: int) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(3, 16, 5, 4, 2), nn.ReLU(), nn.Conv2d(16, 64, 5, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1)
        )
        self.say = nn.Sequential(nn.ReLU(), nn.Conv2d(64, values, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.say(self.see(x))


def as_yolo(raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
    y, x = torch.meshgrid((torch.arange(4) + 0.5) * 16, (torch.arange(6) + 0.5) * 16, indexing="ij")
    centres = raw[:, :2].tanh() * 32 + torch.stack([x, y])
    sides = raw[:, 2:4].sigmoid() * 96
    return torch.cat([centres, sides], 1).flatten(2), raw[:, 4:].flatten(2).sigmoid()


def as_yolox(raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (torch.cat([raw[:, :4], raw[:, 4:].sigmoid()], 1).flatten(2).mT,)


def as_gfl(raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (torch.cat([raw[:, :LABELS].sigmoid(), raw[:, LABELS:]], 1).flatten(2).mT,)


def as_fastestdet(raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (torch.cat([raw[:, :1].sigmoid(), raw[:, 1:5], raw[:, 5:].softmax(1)], 1),)


def as_ssd(raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
    rows = raw.unflatten(1, (4, LABELS + 5)).permute(0, 3, 4, 1, 2).flatten(1, 3)
    return rows[..., : LABELS + 1], rows[..., LABELS + 1 :]


ONE_GRID = Ssd(grids=((4, 6),), scales=(0.4, 0.8), aspect_ratios=((2.0,),))
LEARNERS = [
    (Yolo(), 4 + LABELS, as_yolo),
    (YoloX(strides=(16,)), 5 + LABELS, as_yolox),
    (Gfl(strides=(16,), offset=0.5, reg_max=4), LABELS + 20, as_gfl),
    (FastestDet(), 5 + LABELS, as_fastestdet),
    (ONE_GRID, 4 * (LABELS + 5), as_ssd),
]


def rendered() -> Batch:
    """Two pictures of coloured boxes, one of them with three."""
    batch = batch_of([(10, 10, 42, 50, 1)], [(52, 8, 88, 36, 0), (4, 30, 40, 62, 2), (60, 40, 92, 60, 1)])
    for image, rows, classes in zip(batch.images, batch.boxes.int(), batch.classes, strict=True):
        for (x0, y0, x1, y1), label in zip(rows.tolist(), classes.tolist(), strict=True):
            if label >= 0:
                image[label, y0:y1, x0:x1] = 1.0
    return batch


@pytest.mark.parametrize(("head", "values", "outputs_of"), LEARNERS, ids=lambda each: getattr(each, "kind", None))
def test_a_tiny_network_learns_two_pictures_by_heart(head, values, outputs_of):
    torch.manual_seed(0)
    batch, network = rendered(), TinyDetector(values)
    loss, optimizer = detection_loss(head, SPEC, LABELS), torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(200):
        optimizer.zero_grad()
        loss(outputs_of(network(batch.images)), batch).backward()
        optimizer.step()
    outputs = [each.detach().numpy() for each in outputs_of(network(batch.images))]
    for picture in range(2):
        alone = [each[picture : picture + 1] for each in outputs]
        found = decode_detections(alone, replace(head, score=0.4), SPEC, LABELS)
        real = batch.classes[picture] >= 0
        finders, missed = greedy(batch.boxes[picture][real].numpy(), batch.classes[picture][real].numpy(), found, 0.7)
        assert (finders > 0).all(), (picture, found)
        assert not missed.any(), (picture, found)


def test_an_ssds_regressions_are_what_the_device_decodes_to_the_same_boxes():
    anchors = torch.tensor(anchors_of(SSD, SPEC).tolist())
    wanted = torch.tensor([[10.0, 12.0, 50.0, 60.0]]).expand(len(anchors), 4)
    logits = torch.zeros(1, ANCHORS, LABELS + 1)
    found = candidates_of((logits, encode(wanted, anchors, SSD)[None]), SSD, SPEC, LABELS)
    torch.testing.assert_close(found.boxes[0], wanted, atol=1e-3, rtol=1e-4)


def test_an_ssd_box_that_no_anchor_fits_still_has_the_one_that_fits_best():
    anchors = torch.tensor(anchors_of(SSD, SPEC).tolist())
    owner = match(anchors, truth_of((0, 0, 5, 5, 1), (10, 0, 80, 48, 2)))[0]
    assert (owner == 0).sum() == 1
    assert (owner == 1).sum() > 1


def test_an_ssd_learns_by_torchvisions_own_loss():
    import_torchvision()
    from torchvision.models.detection import ssd
    from torchvision.models.detection._utils import BoxCoder, SSDMatcher
    from torchvision.ops import box_iou

    logits, regression = HEADS["ssd"][1]
    batch = batch_of([(10, 10, 42, 50, 1)], [(48, 8, 90, 60, 0), (0, 30, 30, 62, 2)])
    anchors = xywh_to_xyxy(torch.tensor(anchors_of(SSD, SPEC).tolist()))
    real = [
        (boxes[classes >= 0], classes[classes >= 0]) for boxes, classes in zip(batch.boxes, batch.classes, strict=True)
    ]
    parts = ssd.SSD.compute_loss(
        SimpleNamespace(box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3),
        [{"boxes": boxes, "labels": classes + 1} for boxes, classes in real],
        {"cls_logits": logits, "bbox_regression": regression},
        [anchors, anchors],
        [SSDMatcher(0.5)(box_iou(boxes, anchors)) for boxes, _ in real],
    )
    loss = detection_loss(SSD, SPEC, LABELS)((logits, regression), batch)
    torch.testing.assert_close(loss, sum(parts.values()))


def test_generalised_iou_is_torchvisions():
    import_torchvision()
    from torchvision.ops import generalized_box_iou

    boxes = torch.from_numpy(np.random.default_rng(0).uniform(0, 50, (40, 4)).astype(np.float32))
    boxes[:, 2:] += boxes[:, :2]
    theirs = generalized_box_iou(boxes[:20], boxes[20:]).diagonal()
    torch.testing.assert_close(giou(boxes[:20], boxes[20:]), theirs)


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 9.0), (9.0, 5.0, 5.0, 9.0), (5.0, 5.0, 5.0, 5.0)])
def test_a_box_without_an_area_has_a_finite_gradient(box):
    predicted = torch.tensor([box], requires_grad=True)
    giou(predicted, torch.tensor([[0.0, 0.0, 20.0, 20.0]])).sum().backward()
    assert predicted.grad.isfinite().all()


def test_an_ssd_head_that_was_never_filled_in_is_refused():
    with pytest.raises(ConversionError, match="has no grids"):
        candidates_of(HEADS["ssd"][1], Ssd(), SPEC, LABELS)


def test_an_ssd_without_a_background_class_is_refused():
    with pytest.raises(ConversionError, match="got 'sigmoid'"):
        detection_loss(replace(SSD, activation="sigmoid"), SPEC, LABELS)


@pytest.mark.parametrize(
    ("distance", "bins", "least"),
    [(3.0, {3: 1.0}, 0.0), (2.25, {2: 0.75, 3: 0.25}, 0.5623), (9.0, {7: 1.0}, 0.0), (-1.0, {0: 1.0}, 0.0)],
)
def test_a_sides_distribution_is_right_when_it_lies_on_the_two_bins_around_the_distance(distance, bins, least):
    sides = torch.full((1, 4, 8), 1e-9)
    for place, share in bins.items():
        sides[..., place] = share
    distances = torch.full((1, 4), distance)
    assert distribution_focal(sides.log(), distances) == pytest.approx(least, abs=1e-3)
    assert distribution_focal(sides.log().roll(1, -1), distances) > least + 1


@pytest.mark.parametrize("wanted", [0.0, 0.3, 1.0])
def test_a_score_that_is_what_was_wanted_has_no_loss_and_any_other_has(wanted):
    right = torch.tensor([wanted]).clamp(1e-6, 1 - 1e-6).logit()
    target = torch.tensor([wanted])
    assert quality_focal(right, target) < 1e-6
    away = -1 if wanted == 1 else 1
    assert quality_focal(right + 4 * away, target) > quality_focal(right + away, target) >= 0
