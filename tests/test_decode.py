"""Each head family against the plainest reading of its paper or its authors' code, candidate by candidate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from edgekit.contract import Embedding, EndToEnd, FastestDet, Gfl, InputSpec, Softmax, Ssd, Yolo, YoloV5, YoloX
from edgekit.decode import decode_classification, decode_detections, decode_embedding
from edgekit.errors import ContractError

LABELS = 7
SPEC = InputSpec(96, 64)  # not square, so that x and y cannot be mixed up


def random_output(shape, seed=0):
    """Values as a network might give them before its activations."""
    return np.random.default_rng(seed).normal(0, 1.5, shape).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def softmax(values):
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def greedy(candidates, head):
    """NMS as in a textbook, on (box, score, label), best first."""
    left = sorted(candidates, key=lambda each: -each[1])
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [each for each in left if each[2] != best[2] or shared(each[0], best[0]) <= head.iou]
    return kept[: head.max_detections]


def shared(a, b):
    common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return common / (areas - common)


def corners(x, y, w, h):
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def inside(box):
    return (
        min(max(box[0], 0), SPEC.width),
        min(max(box[1], 0), SPEC.height),
        min(max(box[2], 0), SPEC.width),
        min(max(box[3], 0), SPEC.height),
    )


def cells(strides):
    """(x, y, stride) of every cell, stride by stride and row by row."""
    return [
        (x, y, stride)
        for stride in strides
        for y in range(math.ceil(SPEC.height / stride))
        for x in range(math.ceil(SPEC.width / stride))
    ]


def check(outputs, head, candidates):
    """The decoder finds what NMS leaves of `candidates`, which are all anchors as (box, score, label)."""
    passed = [each for each in candidates if each[1] >= head.score]
    wanted = greedy(passed, head)
    assert 3 < len(wanted) < len(candidates), "the random output is no test: all or nothing passes"
    found = decode_detections(outputs, head, SPEC, LABELS)
    assert found.labels.tolist() == [label for _, _, label in wanted]
    np.testing.assert_allclose(found.scores, [score for _, score, _ in wanted], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, [box for box, _, _ in wanted], rtol=1e-4, atol=1e-3)


def best_class(scores):
    label = int(np.argmax(scores))
    return float(scores[label]), label


# --- YOLO v8 to v11 -------------------------------------------------------------------------------------------------


def yolo_output(seed=0):
    rng = np.random.default_rng(seed)
    output = rng.random((1, 4 + LABELS, 126), dtype=np.float32) ** 6
    output[0, :4] = rng.uniform(5, 60, (4, 126))
    return output


def yolo_candidates(output, scale=(1, 1, 1, 1)):
    return [
        (corners(*(float(v) * s for v, s in zip(row[:4], scale, strict=True))), *best_class(row[4:]))
        for row in output[0].T
    ]


def test_yolo():
    output = yolo_output()
    check((output,), Yolo(), yolo_candidates(output))


def test_yolo_with_boxes_and_scores_apart_finds_the_same():
    output = yolo_output()
    check((output[:, :4], output[:, 4:]), Yolo(), yolo_candidates(output))


def test_yolo_in_parts_of_the_input():
    output = yolo_output()
    output[0, :4] /= 64
    check((output,), Yolo(normalised=True), yolo_candidates(output, (96, 64, 96, 64)))


def test_yolo_with_corners():
    output = yolo_output()
    output[0, 2:4] += output[0, :2]
    check((output,), Yolo(boxes="xyxy"), [(tuple(map(float, row[:4])), *best_class(row[4:])) for row in output[0].T])


# --- YOLOX: demo_postprocess of yolox/utils/demo_utils.py -------------------------------------------------------------


def test_yolox():
    head, rng = YoloX(score=0.1), np.random.default_rng(3)
    places = cells(head.strides)
    output = rng.random((1, len(places), 5 + LABELS), dtype=np.float32)
    output[0, :, :4] = rng.normal(0, 0.5, (len(places), 4))
    output[0, :, 4] **= 3
    candidates = []
    for (gx, gy, stride), (x, y, w, h, objectness, *classes) in zip(places, output[0].tolist(), strict=True):
        score, label = best_class(classes)
        box = corners((x + gx) * stride, (y + gy) * stride, math.exp(w) * stride, math.exp(h) * stride)
        candidates.append((box, objectness * score, label))
    check((output,), head, candidates)


# --- YOLO v5: Detect.forward of models/yolo.py ------------------------------------------------------------------------


def yolov5_maps(head):
    return [
        random_output((1, 3, math.ceil(SPEC.height / stride), math.ceil(SPEC.width / stride), 5 + LABELS), stride)
        for stride in head.strides
    ]


def yolov5_rows(head, maps):
    """What the model itself would put out if it decoded: x, y, w, h in pixels, then sigmoids."""
    for stride, anchors, each in zip(head.strides, head.anchors, maps, strict=True):
        for a, gy, gx in np.ndindex(each.shape[1:4]):
            x, y, w, h, *rest = (sigmoid(float(v)) for v in each[0, a, gy, gx])
            w, h = (w * 2) ** 2 * anchors[2 * a], (h * 2) ** 2 * anchors[2 * a + 1]
            yield [(x * 2 - 0.5 + gx) * stride, (y * 2 - 0.5 + gy) * stride, w, h, *rest]


@pytest.mark.parametrize("given", ["five dimensions", "four dimensions", "decoded"])
def test_yolov5(given):
    head = YoloV5(score=0.6)
    maps = yolov5_maps(head)
    rows = list(yolov5_rows(head, maps))
    candidates = [(corners(*row[:4]), row[4] * max(row[5:]), int(np.argmax(row[5:]))) for row in rows]
    if given == "four dimensions":
        maps = [each.transpose(0, 1, 4, 2, 3).reshape(1, -1, *each.shape[2:4]) for each in maps]
    if given == "decoded":
        maps, head = [np.array([rows], np.float32)], replace(head, decoded=True)
    check(maps, head, candidates)


# --- NanoDet-Plus, PicoDet ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "strides"), [(0.0, (8, 16, 32, 64)), (0.5, (8, 16, 32))], ids=["nanodet-plus", "0.5"]
)
@pytest.mark.parametrize("joined", [True, False], ids=["one output", "two a stride"])
def test_gfl(offset, strides, joined):
    head, rng = Gfl(score=0.7, strides=strides, offset=offset), np.random.default_rng(5)
    places = cells(strides)
    scores = rng.random((len(places), LABELS), dtype=np.float32)
    sides = rng.normal(0, 2, (len(places), 32)).astype(np.float32)
    candidates = []
    for (gx, gy, stride), classes, logits in zip(places, scores, sides.tolist(), strict=True):
        x, y = (gx + offset) * stride, (gy + offset) * stride
        left, top, right, bottom = (
            sum(i * p for i, p in enumerate(softmax(logits[8 * k : 8 * k + 8]))) * stride for k in range(4)
        )
        candidates.append((inside((x - left, y - top, x + right, y + bottom)), *best_class(classes)))
    if joined:
        outputs = [np.concatenate((scores, sides), axis=1)[None]]
    else:
        ends = np.cumsum([sum(place[2] == stride for place in places) for stride in strides])[:-1]
        outputs = [part[None] for each in (scores, sides) for part in np.split(each, ends)]
    check(outputs, head, candidates)


# --- FastestDet: handle_preds of utils/tool.py ------------------------------------------------------------------------


def test_fastestdet():
    head, output = FastestDet(score=0.5), random_output((1, 5 + LABELS, 8, 12))
    output[0, 0] = np.random.default_rng(1).random((8, 12))
    output[0, 5:] = np.apply_along_axis(softmax, 0, output[0, 5:] * 3)
    candidates = []
    for gy, gx in np.ndindex(8, 12):
        objectness, x, y, w, h, *classes = output[0, :, gy, gx].tolist()
        score, label = best_class(classes)
        box = corners((math.tanh(x) + gx) / 12 * 96, (math.tanh(y) + gy) / 8 * 64, sigmoid(w) * 96, sigmoid(h) * 64)
        candidates.append((box, objectness**0.6 * score**0.4, label))
    check((output,), head, candidates)


# --- SSD: torchvision is the oracle -----------------------------------------------------------------------------------

SSD = Ssd(
    score=0.5,  # above it no anchor has two labels, which torchvision would give it
    iou=0.45,
    max_detections=1000,
    grids=((5, 7), (3, 4), (1, 1)),
    scales=(0.2, 0.5, 0.8, 1.0),
    aspect_ratios=((2.0,), (2.0, 3.0), (2.0,)),
)


def torchvision_ssd(head):
    torch = pytest.importorskip("torch")
    from edgekit.converters.torchvision_cpu import import_torchvision

    import_torchvision()
    from torchvision.models.detection import ssd as torchvision_ssds
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.image_list import ImageList

    steps = list(head.steps) or None
    generator = DefaultBoxGenerator(
        [list(ratios) for ratios in head.aspect_ratios], scales=list(head.scales), steps=steps, clip=head.clip_anchors
    )
    pictures = ImageList(torch.zeros(1, 3, SPEC.height, SPEC.width), [(SPEC.height, SPEC.width)])
    anchors = generator(pictures, [torch.zeros(1, 1, *grid) for grid in head.grids])
    model = torchvision_ssds.SSD(
        torch.nn.Identity(), generator, (SPEC.width, SPEC.height), LABELS + 1, head=torch.nn.Identity(),
        score_thresh=head.score, nms_thresh=head.iou, detections_per_img=head.max_detections, topk_candidates=10_000,
    )  # fmt: skip

    def detect(logits, regression):
        outputs = {"cls_logits": torch.from_numpy(logits), "bbox_regression": torch.from_numpy(regression)}
        found = model.postprocess_detections(outputs, anchors, pictures.image_sizes)[0]
        there = (found["boxes"][:, 2:] > found["boxes"][:, :2]).all(dim=1)  # it keeps boxes that lie outside
        return {name: values[there] for name, values in found.items()}

    return len(anchors[0]), detect


@pytest.mark.parametrize("clip_anchors", [True, False], ids=["clipped", "not clipped"])
@pytest.mark.parametrize("steps", [(), (16.0, 30.0, 90.0)], ids=["no steps", "steps"])
def test_ssd_is_torchvisions(clip_anchors, steps):
    head = replace(SSD, clip_anchors=clip_anchors, steps=steps)
    anchors, torchvision_detect = torchvision_ssd(head)
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2.5, (1, anchors, LABELS + 1)).astype(np.float32)
    regression = rng.normal(0, 2, (1, anchors, 4)).astype(np.float32)
    regression[0, ::9, 2:] = 40  # beyond torchvision's bound on e^x
    found = decode_detections((logits, regression), head, SPEC, LABELS)
    wanted = torchvision_detect(logits, regression)
    assert 10 < len(found) < anchors
    assert found.labels.tolist() == [int(label) - 1 for label in wanted["labels"]]
    np.testing.assert_allclose(found.scores, wanted["scores"], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, wanted["boxes"], rtol=1e-4, atol=1e-3)


def test_ssd_takes_softmax_of_few_anchors_and_loses_none():
    anchors, rng = 35 * 4 + 12 * 6 + 4, np.random.default_rng(1)
    logits = rng.normal(0, 3, (1, anchors, LABELS + 1)).astype(np.float32)
    regression = np.zeros((1, anchors, 4), np.float32)
    probabilities = np.array([softmax(row.tolist()) for row in logits[0]])[:, 1:].max(axis=1)
    for score in (0.0, 0.01, 0.3, 0.9, 1.0):
        head = replace(SSD, score=score, iou=1.0, max_detections=10_000)
        assert len(decode_detections((logits, regression), head, SPEC, LABELS)) == (probabilities >= score).sum()


def test_ssd_with_sigmoid_has_no_background():
    anchors, rng = 35 * 4 + 12 * 6 + 4, np.random.default_rng(2)
    logits = rng.normal(-2, 2, (1, anchors, LABELS)).astype(np.float32)
    head = replace(SSD, activation="sigmoid", iou=1.0, max_detections=10_000)
    found = decode_detections((logits, np.zeros((1, anchors, 4), np.float32)), head, SPEC, LABELS)
    best = logits[0].max(axis=1)
    wanted = np.argsort(-best, kind="stable")[: (best >= 0).sum()]
    assert found.labels.tolist() == logits[0, wanted].argmax(axis=1).tolist()
    np.testing.assert_allclose(found.scores, [sigmoid(float(value)) for value in best[wanted]], rtol=1e-5)


# --- models with their own NMS ----------------------------------------------------------------------------------------


def test_end2end_as_tflite_gives_it():
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6], [0, 0, 1, 1], [0.3, 0.3, 0.4, 0.4], [9, 9, 9, 9]]], np.float32)
    outputs = (boxes, np.float32([[3, 0, 6, 99]]), np.float32([[0.4, 0.9, 0.1, 7]]), np.float32([3]))
    found = decode_detections(outputs, EndToEnd(), SPEC, LABELS)  # the fourth is left over from another picture
    assert found.labels.tolist() == [0, 3]
    np.testing.assert_allclose(found.scores, [0.9, 0.4])
    np.testing.assert_allclose(found.boxes, [[0, 0, 96, 64], [0.2 * 96, 0.1 * 64, 0.6 * 96, 0.5 * 64]], rtol=1e-6)


def test_end2end_rows_of_yolo26():
    rows = np.array([[[1, 2, 30, 40, 0.8, 4], [5, 5, 9, 9, 0.9, 1], [0, 0, 0, 0, 0, 0]]], np.float32)
    head = EndToEnd(outputs=("rows",), boxes="xyxy", normalised=False, first_label=1)
    found = decode_detections((rows,), head, SPEC, LABELS)
    assert found.labels.tolist() == [0, 3]
    np.testing.assert_array_equal(found.boxes, [[5, 5, 9, 9], [1, 2, 30, 40]])


def test_end2end_with_labels_and_count_as_integers():
    head = EndToEnd(outputs=("labels", "boxes", "count", "scores"), normalised=False, boxes="xyxy", max_detections=1)
    outputs = (np.array([[2, 5]]), np.ones((1, 2, 4), np.float32), np.array([2]), np.float32([[0.3, 0.5]]))
    assert decode_detections(outputs, head, SPEC, LABELS).labels.tolist() == [5]


# --- classes and vectors ----------------------------------------------------------------------------------------------


def test_logits_become_probabilities_however_large():
    scores = decode_classification((np.float32([[1000, 1001, 999]]),), Softmax(), 3).scores
    np.testing.assert_allclose(scores, softmax([1000, 1001, 999]), rtol=1e-5)


def test_the_background_takes_its_share_and_is_dropped():
    logits = np.float32([[5, 1, 2]])
    found = decode_classification((logits,), Softmax(first=1), 2)
    np.testing.assert_allclose(found.scores, softmax([5, 1, 2])[1:], rtol=1e-5)
    assert found.label == 1


def test_probabilities_are_left_as_they_are():
    given = np.float32([[0.25, 0.75]])
    np.testing.assert_array_equal(decode_classification((given,), Softmax(logits=False), 2).scores, given[0])


def test_an_embedding_has_length_one_unless_it_should_not():
    vector = np.float32([3, 4]).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(decode_embedding((vector,), Embedding()), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(decode_embedding((vector,), Embedding(normalise=False)), [3, 4])


# --- what a threshold does --------------------------------------------------------------------------------------------


def test_nothing_found_is_an_empty_answer_for_every_head():
    for outputs, head in good_outputs():
        found = decode_detections(outputs, replace(head, score=1.0), SPEC, LABELS)
        assert found.boxes.shape == (0, 4)


def test_the_best_are_kept_best_first():
    outputs, head = (yolo_output(),), Yolo(score=0.1)
    everything = decode_detections(outputs, head, SPEC, LABELS)
    assert (np.diff(everything.scores) <= 0).all()
    few = decode_detections(outputs, replace(head, max_detections=4), SPEC, LABELS)
    np.testing.assert_array_equal(few.boxes, everything.boxes[:4])


def test_class_agnostic_lets_one_label_win():
    output = np.zeros((1, 4 + LABELS, 2), np.float32)
    output[0, :4] = 30
    output[0, 4, 0], output[0, 5, 1] = 0.8, 0.9
    assert len(decode_detections((output,), Yolo(), SPEC, LABELS)) == 2
    assert decode_detections((output,), Yolo(class_agnostic=True), SPEC, LABELS).labels.tolist() == [1]


def test_outputs_and_caches_are_only_read():
    for outputs, head in good_outputs():
        before = [output.copy() for output in outputs]
        for output in outputs:
            output.flags.writeable = False
        first = decode_detections(outputs, head, SPEC, LABELS)
        np.testing.assert_array_equal(first.boxes, decode_detections(outputs, head, SPEC, LABELS).boxes)
        for output, copy in zip(outputs, before, strict=True):
            np.testing.assert_array_equal(output, copy)


def test_half_precision_outputs_decode_like_single_ones():
    output = yolo_output().astype(np.float16)
    half, single = (decode_detections((output.astype(kind),), Yolo(), SPEC, LABELS) for kind in ("f2", "f4"))
    np.testing.assert_array_equal(half.boxes, single.boxes)


# --- outputs that break the contract ----------------------------------------------------------------------------------


def good_outputs():
    """One set of fitting outputs with something in it for each head family."""
    rng = np.random.default_rng(0)

    def part(*shape):
        return rng.uniform(0.1, 0.99, (1, *shape)).astype(np.float32)

    return [
        ([part(4 + LABELS, 126)], Yolo()),
        ([part(4, 126), part(LABELS, 126)], Yolo()),
        ([part(126, 5 + LABELS)], YoloX()),
        ([part(3, 64 // s, 96 // s, 5 + LABELS) for s in (8, 16, 32)], YoloV5()),
        ([part(126, 5 + LABELS)], YoloV5(decoded=True)),
        ([part(126, LABELS + 32)], Gfl(strides=(8, 16, 32))),
        ([part(n, c) for c in (LABELS, 32) for n in (96, 24, 6)], Gfl(strides=(8, 16, 32))),
        ([part(5 + LABELS, 4, 6)], FastestDet()),
        ([part(216, LABELS + 1) * 9, part(216, 4)], SSD),
        ([part(3, 4), np.ones((1, 3), np.float32), part(3), np.full(1, 3, np.float32)], EndToEnd()),
        ([part(3, 6)], EndToEnd(outputs=("rows",))),
    ]


HEADS = range(len(good_outputs()))


@pytest.mark.parametrize("which", HEADS)
def test_good_outputs_are_good(which):
    outputs, head = good_outputs()[which]
    assert len(decode_detections(outputs, head, SPEC, LABELS)) > 0


@pytest.mark.parametrize("which", HEADS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_an_error(which, value):
    outputs, head = good_outputs()[which]
    with pytest.raises(ContractError, match=r"NaN or infinite|of sizes"):
        decode_detections([np.full_like(output, value) for output in outputs], head, SPEC, LABELS)


@pytest.mark.parametrize("which", HEADS)
def test_a_nan_in_the_box_of_a_detection_is_an_error(which):
    outputs, head = good_outputs()[which]
    places = {
        Yolo: (0, np.s_[:, 0]),
        YoloX: (0, np.s_[..., 2]),
        YoloV5: (0, np.s_[..., 2]),
        FastestDet: (0, np.s_[:, 3]),
    }
    places |= {Gfl: (-1, np.s_[..., -1]), Ssd: (1, np.s_[..., 1]), EndToEnd: (0, np.s_[..., 2])}
    output, values = places[type(head)]
    outputs[output][values] = np.nan
    with pytest.raises(ContractError, match="box edges are NaN"):
        decode_detections(outputs, head, SPEC, LABELS)


@pytest.mark.parametrize("which", HEADS)
def test_a_wrong_number_of_outputs_names_both(which):
    outputs, head = good_outputs()[which]
    for wrong in ([], outputs * 3):
        with pytest.raises(ContractError, match=f"expects .* outputs? .*the model gave {len(wrong)} outputs"):
            decode_detections(wrong, head, SPEC, LABELS)


@pytest.mark.parametrize("which", [which for which in HEADS if not isinstance(good_outputs()[which][1], EndToEnd)])
def test_a_model_for_other_labels_is_an_error(which):
    outputs, head = good_outputs()[which]
    with pytest.raises(ContractError, match=f"with {LABELS + 1} labels.* expects"):
        decode_detections(outputs, head, SPEC, LABELS + 1)


@pytest.mark.parametrize("which", HEADS)
def test_a_batch_of_two_is_an_error(which):
    outputs, head = good_outputs()[which]
    with pytest.raises(ContractError, match="expects"):
        decode_detections([np.concatenate((output, output)) for output in outputs], head, SPEC, LABELS)


def test_outputs_of_another_input_size_are_an_error():
    for outputs, head in good_outputs():
        if isinstance(head, YoloX | Gfl) or (isinstance(head, YoloV5) and not head.decoded):
            with pytest.raises(ContractError, match=r"at 64x64 expects"):
                decode_detections(outputs, head, InputSpec(64, 64), LABELS)


def test_scores_before_their_sigmoid_are_found_out():
    output = yolo_output()
    output[0, 4:] = random_output((LABELS, 126))
    with pytest.raises(ContractError, match=r"scores run from -?[\d.]+ to [\d.]+, expected 0\.\.1"):
        decode_detections((output,), Yolo(), SPEC, LABELS)


def test_raw_integers_are_the_engines_business():
    with pytest.raises(ContractError, match="gave uint8, which its engine has to dequantize"):
        decode_detections((np.zeros((1, 4 + LABELS, 126), np.uint8),), Yolo(), SPEC, LABELS)


def test_the_message_says_what_was_expected_and_what_came():
    with pytest.raises(ContractError) as caught:
        decode_detections((np.zeros((1, 85, 126), np.float32),), Yolo(), SPEC, 80)
    assert (
        str(caught.value)
        == "a yolo head with 80 labels expects 1 output (1, 84, n); the model gave 1 output (1, 85, 126)"
    )


@pytest.mark.parametrize(("label", "first"), [(7, 0), (-1, 0), (0, 1)])
def test_a_label_that_the_bundle_does_not_have_is_an_error(label, first):
    outputs = (np.ones((1, 1, 4), np.float32), np.float32([[label]]), np.float32([[0.9]]), np.float32([1]))
    with pytest.raises(ContractError, match="expected 0 to 6"):
        decode_detections(outputs, EndToEnd(first_label=first), SPEC, LABELS)


def test_a_count_beyond_the_boxes_is_an_error():
    outputs = (np.ones((1, 1, 4), np.float32), np.float32([[0]]), np.float32([[0.9]]), np.float32([2]))
    with pytest.raises(ContractError, match="the count is 2"):
        decode_detections(outputs, EndToEnd(), SPEC, LABELS)


@pytest.mark.parametrize(
    ("outputs", "head", "message"),
    [
        ([np.zeros((1, 4), np.float32)], Softmax(), "with 3 labels expects 1 output \\(1, 3\\)"),
        ([np.float32([[1, np.nan, 2]])], Softmax(), "1 of 3 scores are NaN"),
        ([np.float32([[1, 5, 2]])], Softmax(logits=False), "expected 0..1"),
        ([np.zeros((1, 3, 1), np.float32)], Softmax(), "expects"),
        ([], Softmax(), "the model gave 0 outputs"),
    ],
)
def test_a_classifier_that_breaks_its_contract(outputs, head, message):
    with pytest.raises(ContractError, match=message):
        decode_classification(outputs, head, 3)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([np.zeros((1, 4), np.float32)], "without a direction"),
        ([np.float32([[1, np.inf]])], "1 of 2 values are NaN or infinite"),
        ([np.ones((2, 4), np.float32)], "expects 1 output"),
    ],
)
def test_an_embedding_that_breaks_its_contract(outputs, message):
    with pytest.raises(ContractError, match=message):
        decode_embedding(outputs, Embedding())


@pytest.mark.parametrize(
    ("head", "settings"),
    [
        (Yolo, {"score": 1.5}),
        (Yolo, {"iou": -0.1}),
        (EndToEnd, {"max_detections": 0}),
        (EndToEnd, {"outputs": ("boxes", "scores")}),
        (EndToEnd, {"outputs": ("rows", "count")}),
        (YoloV5, {"strides": (8, 16)}),
        (YoloV5, {"anchors": ((1, 2), (1, 2, 3), (1, 2))}),
        (Ssd, {"grids": ((4, 4),)}),
    ],
)
def test_heads_that_cannot_be_are_refused_when_made(head, settings):
    with pytest.raises(ValueError, match="got"):
        head(**settings)
