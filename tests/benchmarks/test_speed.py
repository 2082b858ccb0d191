"""The speed table: what is compared gives the same answers first, misses are shown, and nothing asserts a time."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from edgekit.benchmarks.speed import __main__ as table
from edgekit.benchmarks.speed import decode, loop, one_process, preprocess, startup, unattended
from edgekit.benchmarks.speed.promise import Promise, at_least, at_most, markdown, text
from edgekit.bundle import Bundle, Evidence, Golden, Manifest, Variant, golden_files, write_bundle
from edgekit.contract import InputSpec, Softmax, Yolo
from edgekit.errors import BundleError, ContractError, EngineError
from edgekit.events import BOOT, OBSERVATION, Author
from edgekit.frames import Detections
from edgekit.measure import Ratio, Rounds, Samples

WIDTH, HEIGHT, CELL = 160, 120, 20
FEW = Rounds(rounds=3, block=4, warm_up=1)  # 12 samples: enough for a median


def red_or_blue() -> bytes:
    """A detector of 48 cells: how much redder than blue each is, and how much bluer than red; its box is the cell."""
    onnx = pytest.importorskip("onnx")
    columns, rows = np.meshgrid(np.arange(WIDTH // CELL), np.arange(HEIGHT // CELL))
    centres = (np.stack([columns.ravel(), rows.ravel()]) + 0.5) * CELL
    constants = {
        "difference": np.array([[1, 0, -1], [-1, 0, 1]], np.float32).reshape(2, 3, 1, 1),
        "cells": np.concatenate([centres, np.full_like(centres, CELL)]).astype(np.float32)[None],
        "flat": np.array([1, 2, centres.shape[1]]),
    }
    node = onnx.helper.make_node
    nodes = [
        node("AveragePool", ["image"], ["means"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        node("Conv", ["means", "difference"], ["signed"]),
        node("Relu", ["signed"], ["map"]),
        node("Reshape", ["map", "flat"], ["scores"]),
        node("Concat", ["cells", "scores"], ["found"], axis=1),
    ]
    tensor, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "red or blue",
        [tensor("image", kind, (1, 3, HEIGHT, WIDTH))],
        [tensor("found", kind, (1, 6, centres.shape[1]))],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()


def written(path, head=None, colours=((0, 0, 255), (255, 0, 0)), golden=1):
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:, :80], picture[:, 80:] = colours
    spec, variant = InputSpec(WIDTH, HEIGHT), "onnx-float"
    variants = (Variant(variant, "onnx", "float", spec, f"{variant}/model.onnx"),)
    manifest = Manifest("cells", 1, spec, head or Yolo(), ("red", "blue"), variants, Evidence(0, {}, {}), golden)
    write_bundle(path, manifest, {variants[0].model: red_or_blue(), **golden_files([Golden(picture, ())] * golden)})
    return path


@pytest.fixture
def cells(tmp_path):
    return written(tmp_path / "cells.ekb")


def measured(path, rounds=FEW):
    with Bundle.open(path) as bundle:
        return loop.measure(bundle, bundle.manifest.variants[0], rounds)


def test_decoding_is_measured_on_scenes_of_which_both_ways_keep_the_same():
    found = decode.measure(FEW)
    assert found["same_keeps"]
    assert set(found["speedup"]) == set(decode.CASES)


def test_a_decoder_that_keeps_another_box_is_not_measured():
    ours = decode.naive(decode.scene(320, 80))
    moved = Detections(ours.boxes + 1, ours.scores, ours.labels)
    with pytest.raises(AssertionError, match="other boxes"):
        decode._check_keeps(moved, ours)


def test_preprocessing_is_measured_on_paths_that_give_the_same_pixels():
    found = preprocess.measure(FEW)
    assert found["same_pixels"]
    assert set(found["speedup"]) == set(preprocess.PATHS)


def test_a_path_with_swapped_colours_is_not_measured(monkeypatch):
    swapped = InputSpec(320, 320, colour="BGR").raw("uint8", "NHWC")
    monkeypatch.setitem(preprocess.PATHS, "uint8 NHWC", swapped)
    with pytest.raises(AssertionError, match="other pixels"):
        preprocess.measure(FEW)


def test_the_loop_is_measured_on_twenty_things_in_frames_that_move(cells):
    with Bundle.open(cells) as bundle:
        frames = loop.sway(bundle)
    assert {frame.shape for frame in frames} == {(720, 1280, 3)}
    assert not np.array_equal(frames[0], frames[1])
    found = measured(cells)
    assert found.tracked == loop.THINGS
    assert 0 < found.score < 1
    assert len(found.frame.wall_ms) == len(found.engine.wall_ms) == 12
    assert set(found.stages_ms) == {"preprocess", "decode", "track"}
    assert math.isfinite(found.share.median)
    assert found.undecoded_share.median < found.share.median


@pytest.mark.parametrize(
    ("settings", "error", "what"),
    [
        ({"golden": 0}, BundleError, "no golden frame"),
        ({"head": Softmax()}, ContractError, "a classifier, not a detector"),
        ({"colours": ((0, 0, 0), (0, 0, 0))}, ContractError, "finds 0 things"),
    ],
)
def test_a_bundle_that_cannot_be_looped_over_says_why(tmp_path, settings, error, what):
    with pytest.raises(error, match=what):
        measured(written(tmp_path / "other.ekb", **settings))


def test_the_promise_of_a_loop_is_for_inputs_of_320_and_640_only(cells):
    whole, undecoded = loop.promises(cells, FEW)
    assert whole.kept == undecoded.kept == "not promised"
    assert "160x120" in whole.what
    assert "decoding" in undecoded.what


def test_decoding_is_taken_from_a_frame_in_proportion_to_its_wall_time():
    frame = Samples(wall_ms=(10.0, 40.0), cpu_ms=(8.0, 10.0), warm_up_ms=(), block=1)
    rest = loop._undecoded(frame, [1.0, 10.0])
    assert rest.wall_ms == pytest.approx((9.0, 30.0))
    assert rest.cpu_ms == pytest.approx((7.2, 7.5))


def test_a_cold_start_comes_to_a_result_and_its_peak_is_not_that_of_the_process_which_started_it(cells):
    ballast = np.ones(400 << 20, np.uint8)  # touched, so resident
    taken = startup.measure(cells, {"onnx-float": "onnxruntime"}, runs=1)
    assert set(taken) == {"onnx-float", startup.BARE}
    (bare,), (start,) = taken[startup.BARE], taken["onnx-float"]
    assert 0 < bare.peak_mb < start.peak_mb < ballast.nbytes >> 20
    assert 0 < bare.cpu_s < start.cpu_s


def test_a_cold_start_that_fails_is_an_error_and_no_figure(cells):
    with pytest.raises(EngineError, match="has no variant 'onnx-int8'"):
        startup.measure(cells, {"onnx-int8": "onnxruntime"}, runs=1)


def test_the_loop_in_one_process_says_when_each_line_was_there(cells, tmp_path):
    store = tmp_path / "store.toml"
    store.write_text(unattended.in_one_process(cells, "scene:shelf?seed=3&frames=5"))
    one_process.main(store)
    told = [json.loads(line) for line in (tmp_path / "seen.jsonl").read_text().splitlines()]
    run = unattended.read(told, seconds=2.0, cpu_ms=10.0)

    assert 1 <= len(run.ages_ms) == run.looks["camera"] == 2 * run.rate
    rounding_ms = 0.1  # `taken_at` has four digits
    assert all(0 < there - seen + rounding_ms < 1e3 for there, seen in zip(run.ages_ms, run.seen_ms, strict=True))


def test_two_ways_to_run_take_turns_and_either_is_first_as_often():
    order = []

    def run(name):
        order.append(name)
        return unattended.Run((), (), (), {name: 1}, 1.0, 1.0)

    pairs = unattended.in_turn(lambda: run("alone"), lambda: run("many"), 3)

    assert order == ["alone", "many", "many", "alone", "alone", "many"]
    assert [(set(a.looks), set(b.looks)) for a, b in pairs] == [({"alone"}, {"many"})] * 3


def test_of_the_events_of_an_unattended_run_the_observations_are_timed():
    author = Author("shop", clock=lambda: 12.5)
    seen = {"source": "camera 0", "taken_at": 12.49, "age_ms": 9.0, "spent_ms": 7.0}
    events = [author.event(BOOT, "", {}), author.event(OBSERVATION, "camera 0", seen)]
    run = unattended.read([json.loads(event.to_json()) for event in events], seconds=1.0, cpu_ms=20.0)

    assert run.ages_ms == pytest.approx([10.0])
    assert (run.seen_ms, run.spent_ms, run.looks, run.cpu_per_look_ms) == ((9.0,), (7.0,), {"camera 0": 1}, 20.0)


def test_a_miss_stands_in_the_table_as_a_miss():
    assert (at_least(8, 7.99), at_least(8, 8), at_most(0.1, 0.1), at_most(0.1, 0.11)) == (
        "not met", "met", "met", "not met",
    )  # fmt: skip
    around = Ratio(1.0, 0.9, 1.2)
    assert [at_least(limit, around) for limit in (0.9, 1.0, 1.2, 1.3)] == ["met", "unclear", "unclear", "not met"]
    assert [at_most(limit, around) for limit in (0.8, 0.9, 1.0, 1.2)] == ["not met", "unclear", "unclear", "met"]
    missed = Promise("preprocess", "at least 8x", "7.9x", at_least(8, 7.9), "a | b")
    assert markdown([missed]).splitlines()[2] == "| preprocess | at least 8x | 7.9x | not met | a / b |"
    assert "not met" in text([missed])


def test_the_table_without_a_bundle_says_what_was_not_measured_and_what_to_build(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(preprocess, "measure", partial(preprocess.measure, FEW))
    monkeypatch.setattr(decode, "measure", partial(decode.measure, FEW))
    assert table.main(["--json", str(tmp_path / "speed.json"), "--markdown"]) == 0
    rows = json.loads((tmp_path / "speed.json").read_text())["promises"]
    absent = [row for row in rows if row["kept"] == "not measured"]
    assert [row["what"] for row in absent] == ["planned cascade", "frame beyond the engine", "cold start"]
    assert all("edgekit build" in row["how"] for row in absent[1:])
    printed = capsys.readouterr().out
    assert all(row["what"] in printed for row in rows)


def test_a_bundle_that_is_not_there_is_one_line_before_anything_is_measured(capsys):
    assert table.main(["--bundle", "nowhere.ekb"]) == 1
    assert capsys.readouterr().err.startswith("nowhere.ekb: No such file")


@pytest.mark.parametrize("name", ["decode", "loop", "peak", "planned", "preprocess", "startup", "unattended"])
def test_each_measurement_says_what_it_is_and_what_it_wants(name):
    asked = [sys.executable, "-m", f"edgekit.benchmarks.speed.{name}", "--help"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"usage: python -m edgekit.benchmarks.speed.{name} ")
    assert sys.modules[f"edgekit.benchmarks.speed.{name}"].__doc__.splitlines()[0] in said


@pytest.mark.parametrize("name", ["loop", "peak", "startup"])
def test_a_measurement_of_a_bundle_that_is_not_there_is_one_line(name, tmp_path):
    asked = [sys.executable, "-m", f"edgekit.benchmarks.speed.{name}", str(tmp_path / "none.ekb")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path / 'none.ekb'}: No such file or directory\n"
