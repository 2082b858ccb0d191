"""Fresh interpreters: every second of a start is in one of its parts, and one that fails is no figure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny import golden_bundle

from edgekit.benchmarks.bench import bench
from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import ColdStart
from edgekit.benchmarks.scenarios.cold_start import bare_start, start
from edgekit.benchmarks.table import columns, rows
from edgekit.bundle import Bundle
from edgekit.errors import EngineError
from edgekit.profile import DeviceProfile


@pytest.fixture
def bundle(tmp_path):
    return golden_bundle(tmp_path / "tiny.ekb")


def test_variants_start_in_turn_and_a_start_is_import_then_load_then_answer(bundle):
    told = []
    with Bundle.open(bundle) as opened:
        profile = DeviceProfile.load("generic")
        found = bench(opened, profile, ColdStart(starts=1), progress=lambda *each: told.append(each))
    assert [each.variant for each in found.variants] == ["onnx-float", "tflite-float"]
    assert told[-1] == ("cold starts", 4, 4)  # with one of each that fills the disk's cache
    assert Result.parse(found.text(), "it") == found
    assert {len(row) for row in rows(found)} == {len(columns(found))}
    for each in found.variants:
        (begun,) = each.starts
        assert 0 < begun.import_s < begun.import_s + begun.load_s < begun.wall_s
        assert begun.cpu_s > 0
        assert 10 < begun.peak_mb < 1000


def test_a_board_of_ones_own_and_a_bundle_without_golden_frames_start_as_well(tmp_path):
    own = replace(DeviceProfile.load("generic"), name="my-board")
    with Bundle.open(golden_bundle(tmp_path / "tiny.ekb", golden=0)) as opened:
        found = bench(opened, own, ColdStart(starts=1), variants=["onnx-float"])
    assert (found.profile, found.source) == ("my-board", "one black picture")
    assert found.variants[0].starts[0].cpu_s > 0


def test_nothing_is_below_the_interpreter_with_numpy_and_opencv(bundle):
    assert bare_start().load_s == 0


def test_a_start_that_fails_says_why(bundle, tmp_path):
    with pytest.raises(EngineError, match=r"a cold start failed: .*has no variant 'onnx-int8'"):
        start(bundle, "onnx-int8", tmp_path)
