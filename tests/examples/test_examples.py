"""The short examples do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import golden_bundle

from edgekit.bundle import Evidence, Manifest, Variant, write_bundle
from edgekit.contract import Artifact
from edgekit.converters.finished import Finished
from edgekit.converters.recipe import read_recipe
from edgekit.converters.scores import ClassificationScore

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments):
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_counts_of_a_run_are_held_against_a_timeline(tmp_path):
    counts = [1, 1, 2, 1, 1, 0, 0, 0]
    lines = (
        json.dumps({"frame": i, "detections": [{"label": "bottle"}] * n + [{"label": "can"}]})
        for i, n in enumerate(counts)
    )
    (tmp_path / "seen.jsonl").write_text("\n".join(lines))
    (tmp_path / "truth.json").write_text(json.dumps({"median15": [1, 1, 1, 1, 1, 0, 0, 0]}))
    said = run(
        "compare_counts.py", tmp_path / "seen.jsonl", tmp_path / "truth.json", "--label", "bottle", "--window", 3
    )
    assert said.splitlines() == ["87.5% of 8 frames agree as they are", "100.0% agree after a median of 3"]


def test_a_tflite_detector_with_its_own_nms_runs_as_it_is(data):
    figures = dict(line.split() for line in run("evaluate_tflite.py", data).splitlines())
    assert float(figures["ap50"]) > 0.63


def test_a_coco_file_is_parted_in_two_that_share_no_picture_and_lose_no_box(tmp_path):
    coco = {
        "images": [{"id": i, "file_name": f"{i}.jpg"} for i in range(9)],
        "annotations": [{"id": i, "image_id": i % 9, "category_id": 1} for i in range(20)],
        "categories": [{"id": 1, "name": "apple"}],
    }
    (tmp_path / "all.json").write_text(json.dumps(coco))
    run("detector/split.py", tmp_path / "all.json", tmp_path / "parts")
    train, valid = (json.loads((tmp_path / "parts" / f"{part}.json").read_text()) for part in ("train", "valid"))
    assert [image["id"] for image in valid["images"]] == [0, 4, 8]
    assert len(train["images"]) == 6
    assert {box["image_id"] for box in valid["annotations"]} == {0, 4, 8}
    assert len(train["annotations"]) + len(valid["annotations"]) == 20
    assert train["categories"] == valid["categories"] == coco["categories"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_can_be_read(path):
    if "[model]" in path.read_text():
        assert read_recipe(path).steps[-1].kind == "quantize"


def test_the_models_of_two_builds_are_held_against_each_other(tmp_path):
    truth = (0,) * 40 + (1,) * 40
    for folder, wrong in (("before", 12), ("after", 4)):
        answers = (1,) * wrong + truth[wrong:]
        score = ClassificationScore(80, 1 - wrong / 80, None, 1 - wrong / 80, (), truth, answers)
        Finished(tmp_path / folder).keep_score("1-train", "c0ffee" * 10, "beef" * 16, score)
    said = run("compare_builds.py", tmp_path / "before", tmp_path / "after")
    assert said.startswith("top-1 0.8500 -> 0.9500 on 80 pictures: +0.1000, 95 % interval +0.03")
    assert "8 won, 0 lost, by chance 0.0039" in said


def test_a_bundle_is_as_fast_as_itself(tmp_path):
    bundle = golden_bundle(tmp_path / "tiny.ekb")
    said = run("compare_speed.py", bundle, bundle, "--before", "float", "--after", "float", "--rounds", 4).splitlines()
    assert [line.partition(":")[0] for line in said] == ["onnxruntime", "litert"]
    assert all("times as fast in CPU time" in line for line in said)


def test_boxes_that_are_too_small_fail_though_every_score_is_as_it_was(data, tmp_path):
    there = (EXAMPLES / "recipes" / "fastestdet.toml").read_text().replace("../../../shared/data", str(data))
    (tmp_path / "fastestdet.toml").write_text(there)
    recipe = read_recipe(tmp_path / "fastestdet.toml")
    variant = Variant("onnx-float", "onnx", "float", recipe.input, "onnx-float/model.onnx")
    evidence = Evidence(240, {}, {}, {}, {})
    manifest = Manifest("fastestdet", 1, recipe.input, recipe.head, recipe.read_labels(), (variant,), evidence, 0)
    model = Artifact.read(data / "models" / "fastestdet_coco.onnx").model
    write_bundle(tmp_path / "fastestdet.ekb", manifest, {variant.model: model})

    wishes = ("--variant", "onnx-float", "--percent", 0, 7)
    said = run("broken_boxes.py", tmp_path / "fastestdet.toml", tmp_path / "fastestdet.ekb", *wishes)
    as_it_is, _, smaller = said.partition("onnx-float, boxes 7 % smaller: ")
    assert as_it_is.startswith("onnx-float, boxes 0 % smaller: PASS")
    assert smaller.startswith("FAIL")
    assert "  FAIL: box_iou" in smaller
