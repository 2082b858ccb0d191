"""The build's page: every figure on it is one that went in, and what was not measured says so."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.bundle import Evidence, VariantEvidence
from edgekit.converters.data import Dataset, DataSpec, open_dataset
from edgekit.converters.evaluate import evaluate_detector
from edgekit.converters.report.changed import Answer, Changed
from edgekit.converters.report.classes import class_rows, commonest, confusion_of
from edgekit.converters.report.front import Candidate, pareto
from edgekit.converters.report.page import to_html, write_report
from edgekit.converters.report.reliability import BINS, calibration, reliability_of
from edgekit.converters.report.report import Latency, Layer, Report, StepRow, report_of, weakest
from edgekit.converters.report.units import UNMEASURED
from edgekit.converters.scores import ClassificationScore, ClassScore, DetectionScore, confusion, ratio
from edgekit.frames import Detections, Image

HOSTILE = "<script>alert('milk')</script>"
LABELS = ("apple", "banana", HOSTILE)


def classified(truth: list[int], answers: list[int], labels: tuple[str, ...] = LABELS) -> ClassificationScore:
    """A score of these answers, each given with confidence 0.9 where it is right and 0.6 where it is not."""
    table = confusion(np.array(truth), np.array(answers), len(labels))
    support, right = table.sum(axis=1), table.diagonal()
    classes = tuple(
        ClassScore(label, int(n), ratio(r, n), None, None) for label, n, r in zip(labels, support, right, strict=True)
    )
    top1 = round(float(np.mean(np.array(truth) == answers)), 6)
    sure = tuple(0.9 if a == b else 0.6 for a, b in zip(truth, answers, strict=True))
    return ClassificationScore(len(truth), top1, None, top1, classes, tuple(truth), tuple(answers), sure)


def found(score: ClassificationScore | DetectionScore, outcome: str = "PASS") -> VariantEvidence:
    return VariantEvidence("onnxruntime 1.2", outcome, (f"{outcome}: so it is",), score.figures(), {}, 0.0, (5, 6))  # type: ignore[arg-type]


TRUTH = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
SCORES = {
    "framework": classified(TRUTH, [0, 0, 0, 0, 1, 1, 1, 2, 2, 1]),
    "onnx-float": classified(TRUTH, [0, 0, 0, 0, 1, 1, 1, 2, 2, 1]),
    "onnx-int8": classified(TRUTH, [0, 0, 2, 2, 1, 1, 1, 2, 2, 2]),
}
EVIDENCE = Evidence(
    images=10,
    framework=SCORES["framework"].figures(),
    variants={"onnx-float": found(SCORES["onnx-float"]), "onnx-int8": found(SCORES["onnx-int8"], "INCONCLUSIVE")},
    data={"evaluation": "0123abcd"},
    tools={"torch": "9.8.7"},
)


def whole() -> Report:
    """A report in which everything was measured."""
    return report_of(
        "cart",
        7,
        EVIDENCE,
        SCORES,
        sizes={"framework": 4_200_000, "onnx-float": 4_100_000, "onnx-int8": 345_678},
        latency={"framework": Latency(12.34, 11.5, 15.25), "onnx-int8": Latency(3.21, 3.125, 4.5)},
        host="a board with two cores",
        steps=(
            StepRow("as it came", 0.9, None, 2_000_000, 40_000),
            StepRow(
                "prune 30 %",
                0.85,
                (0.01, 0.0912),
                1_000_000,
                30_000,
                120_000,
                None,
                {"kept": 0.7},
                ("slow",),
                61.5,
            ),
        ),
        sensitivity={
            "onnx": (Layer("Conv_0", 17.25, True), Layer("Conv_1", 33.5, False), Layer("Add_2", 120.0, False))
        },
        changed=(
            Changed(
                f"{HOSTILE}.jpg",
                "lost",
                "apple",
                Answer("apple", 0.8125),
                Answer(HOSTILE, 0.4375),
                ((b"jpeg", HOSTILE),),
            ),
        ),
    )


class Page(HTMLParser):
    """What a page shows, as a reader would find it: tables by the section they stand in, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[list[str]]]] = {}
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.said: dict[str, str] = {}
        self._section, self._within = "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self._within = tag
        if tag == "h2":
            self._section = ""
        elif tag == "table":
            self.tables.setdefault(self._section, []).append([])
        elif tag == "tr":
            self.tables[self._section][-1].append([])
        elif tag in ("td", "th"):
            self.tables[self._section][-1][-1].append("")

    def handle_data(self, data: str) -> None:
        if self._within == "h2" and not self._section:
            self._section = data
        elif self._within in ("td", "th"):
            self.tables[self._section][-1][-1][-1] += data
        self.said[self._section] = f"{self.said.get(self._section, '')} {data}"

    def handle_endtag(self, tag: str) -> None:
        self._within = ""


def test_the_table_of_variants_holds_what_was_found() -> None:
    (table,) = Page(to_html(whole())).tables["Verdict"]
    columns = ["variant", "verdict", "top1", "mean_recall", "size", "latency", "range", "INT8 convs", "engine"]
    engine = "onnxruntime 1.2"
    assert table == [
        columns,
        ["framework", "", "0.9000", "0.9000", "4.20 MB", "12.34 ms", "11.50 to 15.25", "", ""],
        ["onnx-float", "PASS", "0.9000", "0.9000", "4.10 MB", UNMEASURED, UNMEASURED, "5 of 6", engine],
        ["onnx-int8", "INCONCLUSIVE", "0.8000", "0.8000", "345.7 kB", "3.21 ms", "3.12 to 4.50", "5 of 6", engine],
    ]


def test_the_verdict_of_the_build_is_the_worst_of_its_variants() -> None:
    assert whole().outcome == "INCONCLUSIVE"
    assert "INCONCLUSIVE : so it is" in Page(to_html(whole())).said["Verdict"]


def test_the_front_says_who_is_beaten_by_whom_and_what_cannot_be_told() -> None:
    (table,) = Page(to_html(whole())).tables["Accuracy, latency and size"]
    assert [row[-1] for row in table[1:]] == [
        "yes",
        "cannot be told without latency",
        "yes",
        "cannot be told without latency and size",
        "cannot be told without latency",
    ]


def test_a_step_is_told_with_its_change_against_the_row_before() -> None:
    page = Page(to_html(whole()))
    (table,) = page.tables["What each step bought"]
    assert table[1] == ["as it came", "0.9000", "", "2.00 M", "40.0 k", UNMEASURED, UNMEASURED, ""]
    assert table[2] == [
        "prune 30 %", "0.8500 (-0.0500)", "+0.0100 to +0.0912", "1.00 M (-50.0%)", "30.0 k (-25.0%)", "120.0 kB",
        UNMEASURED, "61.5 s",
    ]  # fmt: skip
    assert "kept: 0.7" in page.said["What each step bought"]
    assert "slow" in page.said["What each step bought"]


def test_the_class_that_lost_most_comes_first() -> None:
    (table,) = Page(to_html(whole())).tables["Classes"]
    assert table[1:] == [
        ["apple", "4", "1.0000", "1.0000", "0.5000", "0.5000"],
        [HOSTILE, "3", "0.6667", "0.6667", "1.0000", "0.0000"],
        ["banana", "3", "1.0000", "1.0000", "1.0000", "0.0000"],
    ]


def test_what_else_was_found_of_the_build_is_on_the_page() -> None:
    int8 = replace(EVIDENCE.variants["onnx-int8"], attempts=("as asked: FAIL, 0.5000", "bias: INCONCLUSIVE, 0.8000"))
    evidence = replace(
        EVIDENCE,
        variants=EVIDENCE.variants | {"onnx-int8": int8},
        compression=("FAIL: top1 0.9000 -> 0.5000",),
        warnings=("calibration-too-few: 40 pictures",),
    )
    report = report_of("cart", 1, evidence, SCORES, outcome="FAIL")
    assert report.outcome == "FAIL"
    for told in (*int8.attempts, *evidence.compression, *evidence.warnings):
        head, _, rest = told.partition(": ")
        assert rest.replace(">", "&gt;") in to_html(report), head


def test_confusions_are_counted_for_both() -> None:
    report = whole()
    (table,) = Page(to_html(report)).tables["Confusions"]
    assert table[1:] == [["apple", HOSTILE, "2", "0"]]
    assert f"apple given as {html.escape(HOSTILE)}: 2 of 4" in to_html(report)


@pytest.mark.parametrize("classes", [3, 81])
def test_every_picture_lies_in_a_cell_of_the_heat_map(classes: int) -> None:
    rng = np.random.default_rng(classes)
    truth, answers = rng.integers(0, classes, 400).tolist(), rng.integers(0, classes, 400).tolist()
    labels = tuple(f"kind {i}" for i in range(classes))
    score = classified(truth, answers, labels)
    scores = {"framework": score, "onnx-int8": score}
    evidence = replace(EVIDENCE, framework=score.figures(), variants={"onnx-int8": found(score)})
    page = to_html(report_of("cart", 1, evidence, scores))
    first = page[page.index("confusion matrix of onnx-int8") : page.index("confusion matrix of framework")]
    cells = re.findall(r"<title>kind (\d+) given as kind (\d+): (\d+) of (\d+)</title>", first)
    table = np.zeros((classes, classes), int)
    for i, j, count, support in cells:
        table[int(i), int(j)] = int(count)
        assert int(support) == truth.count(int(i))
    assert (table == score.confusion).all()


def test_a_page_of_81_classes_and_seven_models_stays_small() -> None:
    rng = np.random.default_rng(0)
    labels = tuple(f"a product with a rather long name {i}" for i in range(81))
    truth = rng.integers(0, 81, 1265).tolist()
    names = [f"{target}-{precision}" for target in ("onnx", "openvino", "tflite") for precision in ("float", "int8")]
    scores = {name: classified(truth, rng.integers(0, 81, 1265).tolist(), labels) for name in ("framework", *names)}
    evidence = replace(
        EVIDENCE, framework=scores["framework"].figures(), variants={each: found(scores[each]) for each in names}
    )
    assert len(to_html(report_of("cart", 1, evidence, scores))) < 1_000_000  # the pictures come on top


def test_the_commonest_confusions_come_first_and_the_rest_is_left_out() -> None:
    before, after = confusion_of(SCORES["framework"]), confusion_of(SCORES["onnx-int8"])
    assert [(each.truth, each.answer, each.before, each.after) for each in commonest(before, after)] == [
        ("apple", HOSTILE, 0, 2)
    ]
    assert commonest(after, before, count=0) == ()


def test_layers_stand_in_the_order_of_the_net_and_say_which_stay_in_float() -> None:
    page = to_html(whole())
    told = re.findall(r"<title>((?:Conv|Add)_\d: [^<]*)</title>", page)
    assert told == ["Conv_0: 17.2 dB, kept in float", "Conv_1: 33.5 dB", "Add_2: exact"]


def test_a_changed_picture_is_shown_with_both_answers() -> None:
    said = Page(to_html(whole())).said["Pictures that changed their answer"]
    assert "before: apple 0.8125, after: <script>alert('milk')</script> 0.4375" in said
    assert "2 were lost" in said
    assert "1 were won" in said


def test_a_hostile_name_is_text_and_nothing_else() -> None:
    text = to_html(whole())
    assert "script" not in Page(text).tags
    assert HOSTILE not in text
    assert html.escape(HOSTILE) in text


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = to_html(whole())
    page = Page(text)
    assert page.addresses
    assert all(each.startswith(("#", "data:image/jpeg;base64,")) for each in page.addresses)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import", text)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)


def test_the_same_report_gives_the_same_page(tmp_path: Path) -> None:
    write_report(whole(), tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == to_html(whole())


@pytest.mark.parametrize(
    "section",
    [
        "Verdict",
        "Accuracy, latency and size",
        "What each step bought",
        "Sensitivity of layers",
        "Pictures that changed their answer",
    ],
)
def test_what_was_not_measured_says_so(section: str) -> None:
    page = Page(to_html(report_of("cart", 1, EVIDENCE, SCORES)))
    assert UNMEASURED in page.said[section]


def test_scores_that_are_not_of_the_evidence_are_refused() -> None:
    with pytest.raises(ValueError, match="got framework"):
        report_of("cart", 1, EVIDENCE, {"framework": SCORES["framework"]})
    with pytest.raises(ValueError, match="needs the score of 'framework' and of an artifact"):
        weakest({"onnx-int8": SCORES["onnx-int8"]})


def test_the_artifact_that_reached_least_is_the_one_that_is_looked_at() -> None:
    assert weakest(SCORES) == "onnx-int8"
    assert weakest(dict.fromkeys(SCORES, SCORES["framework"])) == "onnx-int8"


# The Pareto front, against its definition

FIGURES = st.sampled_from([0.1, 0.2, 0.3, 0.4])


@given(st.lists(st.tuples(FIGURES, FIGURES, FIGURES), min_size=1, max_size=12))
def test_the_front_is_what_nothing_dominates(rows: list[tuple[float, float, float]]) -> None:
    placed = pareto([Candidate(str(i), a, t, round(s * 10)) for i, (a, t, s) in enumerate(rows)])
    points = np.array(rows) * (-1, 1, 1)  # less is better in each
    no_worse, better = (points[:, None] <= points).all(axis=2), (points[:, None] < points).any(axis=2)
    dominated = (no_worse & better).any(axis=0)
    assert [each.optimal for each in placed] == (~dominated).tolist()
    for each, by in zip(placed, (no_worse & better).T, strict=True):
        assert each.beaten_by is None or by[int(each.beaten_by)]


def test_a_cost_that_nobody_measured_judges_nobody() -> None:
    placed = pareto(
        [Candidate("small", 0.8, None, 10), Candidate("large", 0.9, None, 20), Candidate("poor", 0.7, None, 20)]
    )
    assert [(each.optimal, each.beaten_by) for each in placed] == [(True, None), (True, None), (False, "small")]


# Calibration


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_the_mean_gap_of_the_bins(answers: list[tuple[float, bool]]) -> None:
    confidences, right = np.array([a for a, _ in answers]), np.array([b for _, b in answers])
    edges = np.arange(BINS + 1) / BINS
    ece = 0.0
    for k in range(BINS):
        inside = (confidences > edges[k]) & (confidences <= edges[k + 1])
        if k == 0:
            inside |= confidences == 0
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidences[inside].mean())
    found = calibration(confidences, right)
    assert found.ece == pytest.approx(ece, abs=2e-6)
    assert sum(each.count for each in found.bins) == found.count == len(answers)


def test_an_embedding_gives_no_confidence_to_be_calibrated() -> None:
    assert reliability_of(replace(SCORES["framework"], confidences=())) is None


@pytest.fixture
def shelf(tmp_path: Path) -> Dataset:
    """Two pictures of one milk each, that show their own place in blue; in the second there is a crowd on the right."""
    for i in range(2):
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((64, 128, 3), (i, 0, 0), np.uint8))
    boxes = [(0, [8, 8, 40, 40], 0), (1, [8, 8, 40, 40], 0), (1, [64, 0, 64, 64], 1)]
    annotations = [
        {"id": i, "image_id": image, "category_id": 1, "bbox": box, "area": 1600, "iscrowd": crowd}
        for i, (image, box, crowd) in enumerate(boxes, 1)
    ]
    pictures = [{"id": i, "file_name": f"{i}.png", "width": 128, "height": 64} for i in range(2)]
    whole = {"images": pictures, "annotations": annotations, "categories": [{"id": 1, "name": "milk"}]}
    (tmp_path / "truth.json").write_text(json.dumps(whole))
    return open_dataset(DataSpec("coco", "truth.json"), ("milk", HOSTILE), tmp_path)


def detected(shelf: Dataset, second: float) -> DetectionScore:
    """The first milk is found at 0.9 and something beside it at 0.8; the second at `second`, and one of the crowd."""
    milk, nothing, one_of_many = [8, 8, 48, 48], [80, 8, 120, 48], [70, 8, 90, 40]
    answers = [([milk, nothing], [0.9, 0.8]), ([one_of_many, milk], [0.7, second])]

    def detect(image: Image) -> Detections:
        boxes, scores = answers[int(image[0, 0, 0])]
        return Detections(np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros(2, np.int64))

    return evaluate_detector(detect, shelf, threshold=0.3)


def test_a_detector_is_calibrated_by_what_it_runs_with_and_what_counts(shelf: Dataset) -> None:
    found = reliability_of(detected(shelf, second=0.1))
    assert found is not None
    assert found.count == 2  # the one in the crowd counts neither way, and 0.1 is below the threshold
    assert found.ece == pytest.approx(((1 - 0.9) + 0.8) / 2, abs=1e-6)


def test_a_detectors_page_has_ap_for_recall_and_no_confusions(shelf: Dataset) -> None:
    scores = {"framework": detected(shelf, second=0.85), "onnx-int8": detected(shelf, second=0.1)}
    evidence = replace(
        EVIDENCE, framework=scores["framework"].figures(), variants={"onnx-int8": found(scores["onnx-int8"])}
    )
    page = Page(to_html(report_of("cart", 1, evidence, scores)))
    before, after = (f"{score.ap:.4f}" for score in scores.values())
    loss = f"{scores['framework'].ap - scores['onnx-int8'].ap:.4f}"
    assert page.tables["Classes"][0][1:] == [["milk", "2", before, after, loss]]
    assert UNMEASURED in page.said["Confusions"]
    assert "Of 2 true boxes, 1 were lost" in page.said["Pictures that changed their answer"]


def test_classes_without_a_picture_are_not_rows() -> None:
    score = classified([0, 0], [0, 1])
    assert [row.label for row in class_rows({"framework": score})] == ["apple"]
