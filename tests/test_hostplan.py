"""A plan is used on the host and with the engines that it was measured on, and where it is not used that is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import golden_bundle

from edgekit.bundle import Bundle, write_bundle
from edgekit.engines import installed
from edgekit.errors import BundleError, EdgekitError
from edgekit.hostplan import FOLDER, Fingerprint, HostPlan, Plans, StagePlan, told
from edgekit.plan import EnginePlan
from edgekit.profile import DeviceProfile
from edgekit.tasks import choose, open_task

HERE = Fingerprint("aarch64", "Raspberry Pi 5", 4, {"litert": "2.3.0", "onnxruntime": "1.31.1"})
FAST = StagePlan("tflite-int8", EnginePlan("litert", 3), 11.0, 13.5, 27.0)
SAFE = StagePlan("onnx-float", EnginePlan("onnxruntime", 2), 31.0, None, 55.0)
PLAN = HostPlan(
    "cart", "c0ffee" * 10, HERE, (FAST, SAFE), "aisle at 10/s", "2026-11-21T09:30:00+00:00", {"edgekit": "1"}
)


@pytest.fixture
def plans(tmp_path):
    return Plans((tmp_path / "plans",))


def test_a_plan_that_was_kept_is_found_again_for_its_bundle_on_its_host(plans):
    plans.keep(PLAN)
    assert plans.find(PLAN.digest, HERE) == PLAN
    assert plans.find("decaf" * 12, HERE) is None


def test_the_best_variant_comes_first_and_each_has_its_own_threads():
    assert PLAN.stage() == FAST
    assert PLAN.stage("onnx-float") == SAFE
    assert PLAN.stage("openvino-int8") is None


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (replace(HERE, engines={**HERE.engines, "litert": "2.4.0"}), "litert was 2.3.0 and is 2.4.0"),
        (replace(HERE, engines={"onnxruntime": "1.31.1"}), "litert was 2.3.0 and is not installed"),
        (replace(HERE, cores=2), "number of cores was 4 and is 2"),
        (replace(HERE, cpu="Raspberry Pi 4"), "CPU was Raspberry Pi 5 and is Raspberry Pi 4"),
    ],
)
def test_a_plan_that_holds_no_longer_is_not_used_and_that_is_said(plans, now, why, caplog):
    path = plans.keep(PLAN)
    assert plans.find(PLAN.digest, now) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"{path} is not used: {why}; measure anew by 'edgekit plan'" in caplog.text


def test_an_engine_that_has_come_since_changes_nothing(plans, caplog):
    plans.keep(PLAN)
    assert plans.find(PLAN.digest, replace(HERE, engines={**HERE.engines, "openvino": "2026.4.1"})) == PLAN
    assert not caplog.records


def test_two_boards_that_share_a_folder_keep_a_plan_each(plans, caplog):
    other = replace(PLAN, host=replace(HERE, cpu="Raspberry Pi 4"), stages=(SAFE,))
    assert plans.keep(PLAN) != plans.keep(other)
    assert plans.find(PLAN.digest, HERE) == PLAN
    assert plans.find(PLAN.digest, other.host) == other
    assert not caplog.records


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda text: text[: len(text) // 2], "is not used: .*JSON"),
        (lambda text: text.replace('"threads": 3', '"threads": 0'), "threads must be at least 1; got 0"),
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "a plan of schema 1"),
        (lambda text: text.replace(PLAN.digest, "decaf" * 12), "it is for another bundle"),
        (lambda text: json.dumps({**json.loads(text), "stages": []}), "at least one stage"),
    ],
)
def test_a_damaged_plan_is_not_used_and_that_is_said(plans, damage, why, caplog):
    path = plans.keep(PLAN)
    path.write_text(damage(path.read_text()))
    assert plans.find(PLAN.digest, HERE) is None
    assert len(caplog.records) == 1
    assert caplog.messages[0].startswith(f"{path} is not used: ")
    assert re.search(why, caplog.messages[0])


def test_plans_lie_where_the_environment_says_or_with_the_state_or_in_the_cache(monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/shop/.cache")
    cache = Path("/home/shop/.cache/edgekit/plans")
    assert Plans.usual().folders == (cache,)
    assert Plans.usual(Path("/var/lib/edgekit")).folders == (Path("/var/lib/edgekit/plans"), cache)
    monkeypatch.setenv(FOLDER, "/srv/plans")
    assert Plans.usual(Path("/var/lib/edgekit")).folders == (Path("/srv/plans"),)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EdgekitError, match=r"file/plans: .*; name another folder by --plans"):
        Plans((tmp_path / "file" / "plans",)).keep(PLAN)


def test_a_plan_is_told_in_words():
    assert told(EnginePlan("litert")) == "litert, 1 thread"
    assert told(EnginePlan("onnxruntime", 2, True)) == "onnxruntime, 2 threads, spinning"
    assert told(EnginePlan("openvino", device="npu", precision="f16")) == "openvino on npu, f16"


class TestWhatRuns:
    """The tiny bundle; the generic profile would run its ONNX variant on two threads."""

    @pytest.fixture
    def bundle(self, tmp_path):
        for engine in ("onnxruntime", "litert"):
            if installed()[engine] is None:
                pytest.skip(f"{engine} is not installed")
        with Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as bundle:
            yield bundle

    @pytest.fixture
    def planned(self, bundle, plans):
        lite = StagePlan("tflite-float", EnginePlan("litert", 1), 1.0, None, 1.0)
        onnx = StagePlan("onnx-float", EnginePlan("onnxruntime", 1), 2.0, None, 2.0)
        plan = replace(PLAN, digest=bundle.digest, host=Fingerprint.here(), stages=(lite, onnx))
        plans.keep(plan)
        return plan

    def run(self, bundle, plans, **named):
        return choose(bundle, DeviceProfile.load("generic"), plans=plans, **named)

    def test_is_the_plan_where_there_is_one(self, bundle, plans, planned):
        choice = self.run(bundle, plans)
        assert (choice.variant.name, choice.plan, choice.planned) == ("tflite-float", EnginePlan("litert", 1), True)

    def test_is_a_variant_that_is_named_with_the_threads_that_were_measured_for_it(self, bundle, plans, planned):
        choice = self.run(bundle, plans, variant="onnx-float")
        assert (choice.variant.name, choice.plan) == ("onnx-float", EnginePlan("onnxruntime", 1))

    def test_is_not_touched_by_the_plan_where_an_engine_is_named(self, bundle, plans, planned):
        choice = self.run(bundle, plans, engine="onnxruntime")
        assert (choice.variant.name, choice.plan.threads, choice.planned) == ("onnx-float", 2, False)

    def test_is_the_profiles_choice_where_the_plan_holds_no_longer(self, bundle, plans, planned, caplog):
        older = replace(planned.host, engines={**planned.host.engines, "litert": "1.0"})
        plans.keep(replace(planned, host=older))
        choice = self.run(bundle, plans)
        assert (choice.variant.name, choice.plan.threads, choice.planned) == ("onnx-float", 2, False)
        assert "is not used: litert was 1.0" in caplog.text

    def test_really_runs_as_planned_and_says_so(self, bundle, plans, planned, monkeypatch):
        monkeypatch.setenv(FOLDER, str(plans.folders[0]))
        with open_task(bundle) as task:
            assert task.planned
            assert (task.variant.name, task.session.plan) == ("tflite-float", EnginePlan("litert", 1))
        with open_task(bundle, plans=Plans(())) as task:
            assert not task.planned
            assert task.session.threads == 2

    @pytest.mark.parametrize(("low", "runs"), [(1.02, "tflite-float"), (0.97, "onnx-float")])
    def test_is_not_first_a_variant_that_was_slower_than_float_where_it_was_built(
        self, bundle, plans, tmp_path, low, runs, caplog
    ):
        measured = {"against_float": {"onnx-float": {"median": 1.1, "low": low, "high": 1.2}}}
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        write_bundle(tmp_path / "slower.ekb", bundle.manifest, files, measured)
        with Bundle.open(tmp_path / "slower.ekb") as slower:
            assert slower.digest == bundle.digest
            assert self.run(slower, plans).variant.name == runs
            assert self.run(slower, plans, variant="onnx-float").variant.name == "onnx-float"
        assert ("prefers onnx-float (took 1.10 times as long as float where it was built)" in caplog.text) == (low > 1)

    def test_is_a_slower_variant_where_the_named_engine_runs_no_other(self, bundle, plans, tmp_path, caplog):
        measured = {"against_float": {"onnx-float": {"median": 1.1, "low": 1.02, "high": 1.2}}}
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        write_bundle(tmp_path / "slower.ekb", bundle.manifest, files, measured)
        with Bundle.open(tmp_path / "slower.ekb") as slower:
            assert self.run(slower, plans, engine="onnxruntime").variant.name == "onnx-float"
            assert not caplog.records
            assert self.run(slower, plans, engine="litert").variant.name == "tflite-float"
            assert caplog.text.count("took 1.10 times as long") == 1

    def test_is_not_decided_by_times_that_make_no_sense(self, bundle, plans, tmp_path):
        files = {name: bundle.read(name) for name in bundle.manifest.files}
        write_bundle(tmp_path / "odd.ekb", bundle.manifest, files, {"against_float": {"onnx-float": {"median": "?"}}})
        with Bundle.open(tmp_path / "odd.ekb") as odd, pytest.raises(BundleError, match=r"against_float: .*median"):
            self.run(odd, plans)
