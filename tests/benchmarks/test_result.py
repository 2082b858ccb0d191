"""A measurement's file: written and read again without loss, and clear about what it cannot read."""

from __future__ import annotations

import json

import pytest

from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.result import Executed, Frames, Result, Start, Window
from edgekit.benchmarks.scenario import Camera, ColdStart, SingleStream, Streams, Sustained
from edgekit.benchmarks.watch import Look, Validity
from edgekit.errors import ResultError
from edgekit.measure import Samples

SCENARIOS = [SingleStream(), Camera(fps=10), Streams(most=8), ColdStart(starts=3), Sustained(minutes=10, fps=15)]


def _result(scenario):
    return Result(
        bundle="cart",
        digest="a" * 64,
        profile="generic",
        taken="2026-11-26T01:00:00+00:00",
        scenario=scenario,
        environment=look_around({"onnxruntime": "1.31.1"}),
        variants=(
            Executed(
                "onnx-int8",
                "onnxruntime 1.31.1",
                "cpu",
                "f32",
                1,
                False,
                engine_only=Samples((1.0, 2.0), (0.9, 1.1), (5.0,), 2),
                frames=Frames((0.1,), (3.0,), (2.5,), (9.0,), {"detect": (2.0,)}, arrived=2, dropped=1),
                streams=3,
                windows=(Window(3, (14.9, 14.8, 15.0), True),),
                starts=(Start(1.0, 0.3, 0.2, 0.4, 90.0),),
            ),
        ),
        looks=(Look(1.0, (2400.0,), {"cpu-thermal": None}, (), power_w={"package-0": 3.5}),),
        validity=Validity(warnings=("the governor is ondemand",)),
        not_run={"tflite-int8": "litert is not installed"},
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.kind)
def test_a_result_is_read_as_it_was_written(scenario, tmp_path):
    written = _result(scenario)
    (tmp_path / "cart.json").write_text(written.text(), encoding="utf-8")

    assert Result.read(tmp_path / "cart.json") == written


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda held: held | {"schema": 1}, "schema"),
        (lambda held: held | {"scenario": {"kind": "burst"}}, "no kind 'burst'"),
        (lambda held: {name: value for name, value in held.items() if name != "digest"}, "'digest' is missing"),
        (lambda held: held | {"variant": []}, "did you mean"),
    ],
)
def test_a_file_that_is_no_result_says_what_is_wrong(damage, said):
    held = json.loads(_result(SingleStream()).text())

    with pytest.raises(ResultError, match=r"cart\.json") as raised:
        Result.parse(json.dumps(damage(held)), "cart.json")

    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_an_error_of_ours(tmp_path):
    with pytest.raises(ResultError, match="No such file"):
        Result.read(tmp_path / "none.json")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Camera(fps=0),
        lambda: Streams(tolerance=1.2),
        lambda: Sustained(minutes=3),
        lambda: Sustained(fps=-1),
        lambda: ColdStart(starts=0),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be|warm up"):
        wrong()
