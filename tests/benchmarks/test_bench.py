"""The bench on real engines: what a scenario keeps, what cannot be run here, and what is refused."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from tiny import golden_bundle
from tiny_bundles import write_classifier, write_detector

from edgekit.benchmarks.bench import against_float, bench, latency
from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import Camera, ColdStart, SingleStream, Streams, Sustained
from edgekit.benchmarks.scenarios.clock import FakeTime
from edgekit.benchmarks.table import columns, rows
from edgekit.benchmarks.watch import Look, Validity
from edgekit.bundle import Bundle
from edgekit.errors import BundleError, ContractError, EngineMissing
from edgekit.measure import Rounds
from edgekit.plan import EnginePlan
from edgekit.profile import DeviceProfile

GENERIC = DeviceProfile.load("generic")
FEW = SingleStream(Rounds(rounds=3, block=4, warm_up=2))


@pytest.fixture
def bundle(tmp_path):
    with Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as opened:
        yield opened


@pytest.fixture
def cascade(tmp_path):
    """A detector of red and blue cells, a classifier of colours, and a folder with a picture of both."""
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[20:60, 20:60], picture[60:100, 100:140] = (0, 0, 255), (255, 0, 0)
    (tmp_path / "stills").mkdir()
    cv2.imwrite(str(tmp_path / "stills" / "shelf.png"), picture)
    with (
        Bundle.open(write_detector(tmp_path / "cells.ekb")) as detector,
        Bundle.open(write_classifier(tmp_path / "colours.ekb")) as classifier,
    ):
        yield detector, classifier, str(tmp_path / "stills")


def test_a_host_that_can_run_no_variant_is_an_error_with_every_reason(bundle):
    profile = dataclasses.replace(
        GENERIC, plans=dataclasses.replace(GENERIC.plans, value=(EnginePlan("tflite-runtime"),))
    )
    with pytest.raises(EngineMissing, match=r"none of its variants here: onnx-float: .*; tflite-float: "):
        bench(bundle, profile)


def test_back_to_back_the_engine_runs_beside_the_whole_whose_stages_are_told(bundle):
    found = bench(bundle, GENERIC, FEW)
    assert [each.variant for each in found.variants] == ["onnx-float", "tflite-float"]
    for each in found.variants:
        assert len(each.engine_only.wall_ms) == len(each.whole.wall_ms) == 12
        assert {"preprocess", "detect", "decode", "track", "event"} == set(each.stages_ms)
        assert {len(times) for times in each.stages_ms.values()} == {12}
        spent = np.sum(list(each.stages_ms.values()), axis=0)
        assert (spent <= np.array(each.whole.wall_ms)).all()
    assert set(latency(found)) == {"onnx-float", "tflite-float"}
    assert against_float(found) == {}  # nothing in it is INT8


def test_every_stage_from_a_camera_to_the_event_is_told(cascade):
    detector, classifier, stills = cascade
    found = bench(detector, GENERIC, Camera(fps=100, seconds=1), classifier=classifier, source=stills)
    (each,) = found.variants
    stages = {"preprocess", "detect", "decode", "track", "crop", "classify", "event"}
    assert set(each.frames.stages_ms) == stages  # pictures in memory need no capture
    spent = np.sum(list(each.frames.stages_ms.values()), axis=0)
    assert (spent <= np.array(each.frames.frame_ms)).all()
    assert (found.classifier, found.source.partition(" (sha256 ")[0]) == (("colours", classifier.digest), "stills")


@pytest.mark.parametrize(
    "scenario",
    [FEW, Camera(fps=50, seconds=0.2), Streams(fps=10, window_s=0.3, most=1)],
    ids=lambda scenario: scenario.kind,
)
def test_what_a_scenario_leaves_can_be_kept_read_again_and_put_in_a_table(scenario, bundle):
    found = bench(bundle, GENERIC, scenario, ["onnx-float"])
    assert Result.parse(found.text(), "it") == found
    assert found.scenario == scenario
    (row,) = rows(found)
    assert len(row) == len(columns(found))
    assert row[:2] == ["onnx-float", found.variants[0].engine]


def test_ten_minutes_are_of_the_one_variant_that_the_profile_prefers(bundle):
    fake = FakeTime()
    clock = dataclasses.replace(fake.clock, now=lambda: fake.sleep(0.5) or fake.seconds)  # half a second a look at it
    found = bench(bundle, GENERIC, Sustained(), clock=clock)
    assert [each.variant for each in found.variants] == ["onnx-float"]
    assert found.variants[0].frames.at_s[-1] == pytest.approx(600, abs=60)
    assert len(rows(found)[0]) == len(columns(found))


def test_the_host_is_watched_meanwhile_and_the_run_is_judged_by_what_was_seen(bundle):
    class Watcher:
        looks = ()

    @contextmanager
    def watch():
        watcher = Watcher()
        yield watcher
        watcher.looks = [Look(0.1, throttled=("under-voltage",))]

    def judge(environment, looks, executed, allow_noisy):
        assert environment.arch
        assert len(executed) == 2
        return Validity(tuple(looks[0].throttled), allowed=("neighbours",) if allow_noisy else ())

    found = bench(bundle, GENERIC, FEW, watch=watch, judge=judge, allow_noisy=True)
    assert found.validity == Validity(("under-voltage",), allowed=("neighbours",))
    assert found.looks[0].at_s == 0.1


def test_a_run_that_is_stopped_leaves_no_result_and_closes_its_engines(bundle):
    def stop(what, done, total):
        raise KeyboardInterrupt

    opened = []
    with pytest.MonkeyPatch.context() as patch:
        from edgekit.benchmarks import bench as room

        real = room.open_task
        patch.setattr(room, "open_task", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])
        with pytest.raises(KeyboardInterrupt):
            bench(bundle, GENERIC, FEW, progress=stop)
    for task in opened:
        with pytest.raises(ValueError, match="closed"):
            task(np.zeros((8, 8, 3), np.uint8))


def test_what_makes_no_sense_is_refused_before_anything_is_opened(bundle, cascade):
    detector, classifier, _ = cascade
    with pytest.raises(ContractError, match="a classifier runs behind a detector"):
        bench(classifier, GENERIC, FEW, classifier=detector)
    with pytest.raises(ValueError, match="no classifier and no source"):
        bench(bundle, GENERIC, ColdStart(), source="scene:shelf")
    with pytest.raises(BundleError, match=r"no golden frame.*name a --source"):
        bench(detector, GENERIC, FEW)
