"""Parity: rounding is let pass, a wrong export is not, and INT8's gap is told without being judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgekit import schema
from edgekit.contract import Artifact, Embedding, InputSpec, Softmax, Yolo, YoloX
from edgekit.converters.data import DataSpec, open_dataset
from edgekit.converters.parity import Parity, Precision, check_parity, compare_outputs
from edgekit.engines import Outputs, open_session
from edgekit.errors import ContractError
from edgekit.plan import EngineName, EnginePlan
from edgekit.preprocess import preprocess

Array = np.ndarray
ENGINES: tuple[EngineName, ...] = ("onnxruntime", "openvino")
SPEC = InputSpec(64, 64)
RNG = np.random.default_rng(0)
LOGITS = [(RNG.normal(0, 3, (1, 10)).astype(np.float32),) for _ in range(16)]


def boxes(*found: tuple[float, float, float, float, int, float], labels: int = 3) -> tuple[Array]:
    """A YOLO v8 output of these (x, y, width, height, label, score)."""
    output = np.zeros((1, 4 + labels, len(found)), np.float32)
    for i, (x, y, width, height, label, score) in enumerate(found):
        output[0, :4, i] = x, y, width, height
        output[0, 4 + label, i] = score
    return (output,)


def check(
    reference: list[tuple[Array, ...]], candidate: list[tuple[Array, ...]], precision: Precision = "float"
) -> Parity:
    head = Softmax() if reference[0][0].ndim == 2 else Yolo(score=0.3)
    labels = 10 if reference[0][0].ndim == 2 else 3
    return check_parity(reference, candidate, head, SPEC, labels, precision)


def test_the_gap_of_an_output_is_plain_arithmetic() -> None:
    want, got = np.array([[0.0, 4.0], [2.0, -4.0]], np.float32), np.array([[0.0, 4.0], [2.0, -3.0]], np.float32)
    (gap,) = compare_outputs((want,), (got,))
    assert (gap.shape, gap.max_abs, gap.mean_abs, gap.relative) == ((2, 2), 1.0, 0.25, 0.125)
    assert gap.cosine == pytest.approx(32 / (6 * np.sqrt(29)), rel=1e-5)


def test_outputs_without_a_range_or_a_direction_are_still_compared() -> None:
    flat, zero = np.full((1, 4), 2.0, np.float32), np.zeros((1, 4), np.float32)
    assert compare_outputs((flat,), (flat * 1.5,))[0].relative == 0.5
    same, lost = compare_outputs((zero, zero), (zero, flat))
    assert (same.relative, same.cosine) == (0, 1)
    assert (lost.relative, lost.cosine) == (1, 0)


def test_rounding_passes_and_more_than_rounding_does_not() -> None:
    rounded = [(each[0] * np.float32(1 + 1e-6),) for each in LOGITS]
    assert check(LOGITS, rounded).verdict.outcome == "PASS"
    shaken = [(each[0] + RNG.normal(0, 0.1, (1, 10)).astype(np.float32),) for each in LOGITS]
    verdict = check(LOGITS, shaken).verdict
    assert verdict.outcome == "FAIL"
    assert "of its range from the framework's" in verdict.reasons[0]


def test_int8_has_its_gap_told_and_is_not_judged() -> None:
    coarse = [(np.round(each[0] * 2) / 2,) for each in LOGITS]
    parity = check(LOGITS, coarse, "int8")
    assert parity.verdict.outcome == "PASS"
    assert "not judged" in parity.verdict.reasons[0]
    assert parity.figures()["relative"] > 0.01


def test_one_wrong_picture_among_sixteen_is_found() -> None:
    wrong = [*LOGITS[:7], (np.roll(LOGITS[7][0], 1, axis=1),), *LOGITS[8:]]
    parity = check(LOGITS, wrong)
    assert parity.decoded.same == 15 / 16
    assert parity.verdict.outcome == "FAIL"


def test_a_tie_of_the_framework_is_not_a_change_of_mind() -> None:
    tie = [(np.array([[2.0, 2.0, 0, 0, 0, 0, 0, 0, 0, 0]], np.float32),)]
    nudged = [(tie[0][0] + np.array([[0, 1e-6] + [0] * 8], np.float32),)]
    assert check(tie, nudged).verdict.outcome == "PASS"


def test_boxes_that_moved_are_found_although_the_scores_agree() -> None:
    reference = [boxes((20, 20, 10, 10, 0, 0.9), (40, 40, 16, 16, 1, 0.8))]
    moved = [boxes((23, 20, 10, 10, 0, 0.9), (40, 40, 16, 16, 1, 0.8))]
    decoded = check(reference, moved).decoded
    assert (decoded.compared, decoded.same, decoded.same_closely) == (2, 1.0, 0.5)
    assert check(reference, moved).verdict.outcome == "FAIL"


def test_a_detection_lost_relabelled_or_added_is_told() -> None:
    reference = [boxes((20, 20, 10, 10, 0, 0.9), (40, 40, 16, 16, 1, 0.8))]
    lost = check(reference, [boxes((20, 20, 10, 10, 0, 0.9), (40, 40, 16, 16, 1, 0.1))]).decoded
    assert (lost.same, lost.extra) == (0.5, 0)
    relabelled = check(reference, [boxes((20, 20, 10, 10, 0, 0.9), (40, 40, 16, 16, 2, 0.8))]).decoded
    assert (relabelled.same, relabelled.extra) == (0.5, 1)
    nothing = check([boxes((20, 20, 10, 10, 0, 0.1))], [boxes((20, 20, 10, 10, 0, 0.9))]).decoded
    assert (nothing.compared, nothing.same, nothing.extra) == (0, 1.0, 1)
    one, two = ([boxes((20, 20, 10, 10, 0, 0.9), (40, 40, 16, 16, 1, score))] for score in (0.1, 0.8))
    assert "1 answers the same (100.0% closely), scores within 0, 1 extra" in check(one, two).verdict.reasons[-1]


def test_a_score_that_crosses_the_threshold_by_rounding_is_neither_lost_nor_extra() -> None:
    above, below = [boxes((20, 20, 10, 10, 0, 0.3001))], [boxes((20, 20, 10, 10, 0, 0.2999))]
    assert check(above, below).verdict.outcome == "PASS"
    assert check(below, above).verdict.outcome == "PASS"


def test_embeddings_are_compared_by_direction() -> None:
    vectors = [(RNG.normal(0, 1, (1, 64)).astype(np.float32),) for _ in range(4)]
    turned = [*vectors[:3], (np.roll(vectors[3][0], 1, axis=1),)]
    assert check_parity(vectors, vectors, Embedding(), SPEC, 1, "float").decoded.same == pytest.approx(1)
    assert check_parity(vectors, turned, Embedding(), SPEC, 1, "float").verdict.outcome == "FAIL"


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        ((np.zeros((1, 9), np.float32),), r"the framework's outputs are \[\(1, 10\)\], the artifact's \[\(1, 9\)\]"),
        ((), r"the artifact's \[\]"),
        ((np.full((1, 10), np.nan, np.float32),), "output 0 of the artifact holds 10 values that are not finite"),
    ],
)
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_outputs_that_do_not_fit_are_refused(candidate: tuple[Array, ...], message: str, precision: Precision) -> None:
    with pytest.raises(ContractError, match=message):
        check(LOGITS[:1], [candidate], precision)


def test_outputs_for_other_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="got 16 and 15"):
        check(LOGITS, LOGITS[:15])
    with pytest.raises(ValueError, match="got 0 and 0"):
        check_parity([], [], Softmax(), SPEC, 10, "float")


def test_parity_goes_to_json_and_comes_back() -> None:
    parity = check(LOGITS, LOGITS)
    assert schema.parse_json(Parity, json.dumps(schema.dump(parity)), "parity") == parity


def test_two_engines_agree_on_yolox_in_float32(data: Path) -> None:
    names = (data / "models/coco.names").read_text().split("\n")[:80]
    fruit = open_dataset(DataSpec("coco", "fruit_det/train.json", images=6), names, data)
    spec, model = InputSpec(416, 416, colour="BGR", pad_side="end", scale=1.0), data / "models/yolox_nano_coco.onnx"

    def outputs(plan: EnginePlan) -> list[Outputs]:
        with open_session(Artifact.read(model), plan) as session:
            return [session.run(preprocess(sample.image(), spec)[0]) for sample in fruit.samples]

    parity = check_parity(*(outputs(EnginePlan(engine)) for engine in ENGINES), YoloX(), spec, 80, "float")
    assert parity.verdict.outcome == "PASS", parity.verdict.reasons
    assert parity.decoded.compared > 5
