"""Sweeps on a real cluster of two workers: one measurement at a time on each board, and none of them twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tiny import golden_bundle

from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import SingleStream
from edgekit.benchmarks.sweep import Cell, read_sweep, sweep
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import BundleError, SettingsError
from edgekit.measure import Rounds
from edgekit.profile import DeviceProfile

distributed = pytest.importorskip("distributed", reason="edgekit[sweep] is not installed")

QUICK = SingleStream(Rounds(rounds=2, block=5, warm_up=1))
TOML = """
bundles = ["tiny.ekb"]
boards = ["pi4", "pi5"]
profiles = ["generic", "raspberry-pi-5"]
allow_noisy = true

[[scenarios]]
kind = "single-stream"
rounds = { rounds = 2, block = 5 }

[[scenarios]]
kind = "camera"
fps = 10
seconds = 1
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return golden_bundle(tmp_path_factory.mktemp("sweep") / "tiny.ekb")


@pytest.fixture(scope="module")
def client():
    with boards("pi4", "pi5") as client:
        yield client


@contextmanager
def boards(*names: str) -> Iterator[distributed.Client]:
    """A worker each, of two threads, so that threads alone would let measurements overlap."""
    workers = {name: {"cls": distributed.Nanny, "options": {"nthreads": 2, "resources": {name: 1}}} for name in names}
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, "dashboard_address": ":0", "port": 0}}
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with (
        distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=40) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(len(names))
        yield client


def cell(bundle: Path, board: str, seed: int = 0, **changes) -> Cell:
    with Bundle.open(bundle) as opened:
        digest = opened.digest
    scenario = SingleStream(replace(QUICK.rounds, seed=seed))
    return replace(
        Cell(bundle, digest, DeviceProfile.load("generic"), scenario, board, ("onnx-float",), allow_noisy=True),
        **changes,
    )


def test_each_board_measures_one_cell_at_a_time_and_only_its_own(bundle, client, tmp_path):
    cells = [cell(bundle, board, seed) for board in ("pi4", "pi5") for seed in range(3)]
    outcomes = sweep(cells, tmp_path, client)
    assert [each.error for each in outcomes] == [""] * 6
    workers = {}
    for board in ("pi4", "pi5"):
        mine = sorted((each for each in outcomes if each.cell.board == board), key=lambda each: each.began)
        (workers[board],) = {each.worker for each in mine}
        assert all(earlier.ended <= later.began for earlier, later in pairwise(mine))
    assert workers["pi4"] != workers["pi5"]


def test_results_are_whole_and_are_those_of_their_cells(bundle, client, tmp_path):
    (outcome,) = sweep([cell(bundle, "pi5")], tmp_path, client)
    result = Result.read(outcome.path)
    assert outcome.path.name == f"{outcome.cell.key}.json"
    assert (result.digest, result.profile, result.scenario) == (outcome.cell.digest, "generic", outcome.cell.scenario)
    assert [each.variant for each in result.variants] == ["onnx-float"]


def test_what_is_there_is_not_measured_again(bundle, client, tmp_path):
    first, more = cell(bundle, "pi5"), cell(bundle, "pi5", seed=1)
    (before,) = sweep([first], tmp_path, client)
    written = before.path.stat().st_mtime_ns
    outcomes = sweep([first, more], tmp_path, client)
    assert [each.fresh for each in outcomes] == [False, True]
    assert before.path.stat().st_mtime_ns == written


@pytest.mark.parametrize("change", ["not a result", "another engine"])
def test_a_result_that_cannot_be_read_or_is_of_another_engine_is_measured_again(bundle, client, tmp_path, change):
    old, fine = cell(bundle, "pi5"), cell(bundle, "pi5", seed=1)
    path, _ = (outcome.path for outcome in sweep([old, fine], tmp_path, client))
    text = path.read_text(encoding="utf-8")
    other = text.replace(f'"onnxruntime": "{installed()["onnxruntime"]}"', '"onnxruntime": "1.0.0"')
    path.write_text(text[:100] if change == "not a result" else other, encoding="utf-8")

    again = sweep([old, fine], tmp_path, client)

    assert [(each.error, each.fresh) for each in again] == [("", True), ("", False)]
    assert Result.read(path).environment.versions["onnxruntime"] == installed()["onnxruntime"]


def test_a_cell_that_fails_does_not_end_the_others_and_is_tried_again(bundle, client, tmp_path):
    cells = [cell(bundle, "pi5", variants=("onnx-int8",)), cell(bundle, "pi5")]
    for fresh in (True, False):
        bad, good = sweep(cells, tmp_path, client)
        assert "BundleError" in bad.error
        assert bad.path is None
        assert (good.error, good.fresh) == ("", fresh)
    assert [path.name for path in tmp_path.iterdir()] == [f"{cells[1].key}.json"]


def test_a_board_that_nobody_offers_is_said_before_anything_runs(bundle, client, tmp_path):
    with pytest.raises(
        SettingsError, match=r"no worker offers 'jetson'; there are: pi4, pi5; .*--resources \"jetson=1\""
    ):
        sweep([cell(bundle, "pi5"), cell(bundle, "jetson")], tmp_path, client)
    assert not list(tmp_path.iterdir())


def test_the_cells_of_a_board_that_goes_away_for_good_fail_and_those_of_others_do_not(bundle, tmp_path, caplog):
    def take_away(done: int, total: int) -> None:
        if done == 0:
            client.retire_workers(names=["pi5"])

    with boards("pi4", "pi5") as client:
        cells = [cell(bundle, "pi5"), cell(bundle, "pi4")]
        away, there = sweep(cells, tmp_path, client, take_away, patience_s=2.0)

    assert (away.error, away.path) == ("no worker has offered 'pi5' for 2 s", None)
    assert there.error == ""
    assert "no worker offers 'pi5' any more; it is waited for, 2 s at most" in caplog.text


def test_a_board_that_comes_back_in_time_is_measured(bundle, tmp_path):
    def start_anew(done: int, total: int) -> None:
        if done == 0:
            client.restart_workers(list(client.scheduler_info()["workers"]))

    with boards("pi5") as client:
        (outcome,) = sweep([cell(bundle, "pi5")], tmp_path, client, start_anew)

    assert (outcome.error, outcome.fresh) == ("", True)


def test_the_key_changes_with_everything_that_decides_a_result_and_with_nothing_else(bundle, monkeypatch):
    usual = cell(bundle, "pi5")
    others = [
        replace(usual, digest="0" * 64),
        replace(usual, profile=DeviceProfile.load("raspberry-pi-5")),
        replace(usual, scenario=SingleStream()),
        replace(usual, board="pi4"),
        replace(usual, variants=()),
        replace(usual, allow_noisy=False),
    ]
    assert len({each.key for each in (usual, *others)}) == 7
    assert replace(usual, bundle=Path("elsewhere/tiny.ekb")).key == usual.key
    before = usual.key
    monkeypatch.setattr("edgekit.__version__", "9.9.9")
    assert usual.key != before


def test_a_file_names_every_bundle_with_every_profile_and_scenario_on_every_board(bundle):
    path = bundle.with_name("sweep.toml")
    path.write_text(TOML)
    cells = read_sweep(path).cells()
    assert len(cells) == len({each.key for each in cells}) == 8
    assert {each.bundle for each in cells} == {bundle}


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (('boards = ["pi4", "pi5"]', "boards = []"), SettingsError, "boards names at least one"),
        (("tiny.ekb", "absent.ekb"), BundleError, "absent.ekb"),
        (("allow_noisy", "allow_noise"), SettingsError, "allow_noisy"),
    ],
)
def test_a_wrong_file_is_refused(bundle, change, error, says):
    path = bundle.with_name("wrong.toml")
    path.write_text(TOML.replace(*change))
    with pytest.raises(error, match=says):
        read_sweep(path).cells()
