"""What `edgekit plan` tries, how it narrows down, which it chooses, and the load under which it does."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest
from null_subject import null_subject
from tiny import golden_bundle
from tiny_bundles import write_classifier, write_detector

from edgekit.benchmarks.plan import Load, plan
from edgekit.benchmarks.plan.candidates import Candidate, families, thread_counts, widened
from edgekit.benchmarks.plan.load import Cameras
from edgekit.benchmarks.plan.stage import crops
from edgekit.benchmarks.plan.streams import _rate
from edgekit.benchmarks.plan.trials import Ports, Trial, halve, paced, ranked
from edgekit.benchmarks.speed import planned
from edgekit.bundle import Bundle, Golden, VariantEvidence, golden_files, write_bundle
from edgekit.engines import installed, open_session
from edgekit.errors import BundleError, ContractError, EngineError, EngineMissing, SourceError
from edgekit.hostplan import FOLDER, Plans
from edgekit.measure import Samples
from edgekit.plan import EnginePlan
from edgekit.preprocess import preprocess
from edgekit.profile import DeviceProfile
from edgekit.runtime.settings import ModelSettings
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.supervisor.inference import open_pipeline
from edgekit.supervisor.run import runnable_variants
from edgekit.supervisor.settings import CameraSettings, SinkSettings, Unattended
from edgekit.tasks import open_task

GENERIC = DeviceProfile.load("generic")
SCENE = CameraSettings("shelf", "scene:shelf?seed=3&frames=20&size=320x240", fps=25)
FRAME = np.zeros((240, 320, 3), np.uint8)


@pytest.fixture(autouse=True)
def _engines():
    for engine in ("onnxruntime", "litert"):
        if installed()[engine] is None:
            pytest.skip(f"{engine} is not installed")


@pytest.fixture
def tiny(tmp_path):
    with Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as bundle:
        yield bundle


def failing(after):
    """What a run spends; the engine fails in the one after so many."""
    runs = itertools.count()

    def spend(seconds):
        if next(runs) == after:
            raise EngineError("the engine failed")
        time.sleep(seconds)

    return spend


@pytest.mark.timeout(20)
@pytest.mark.parametrize("after", [0, 3])
def test_an_engine_that_fails_beside_another_ends_the_comparison_and_is_no_low_rate(after):
    tasks = [null_subject(1).task, null_subject(1, failing(after)).task]

    with pytest.raises(EngineError, match="the engine failed"):
        _rate(tasks, FRAME, 0.1)


def proven(path, write):
    """A bundle of tiny_bundles with a golden frame, and the word of a gate."""
    with Bundle.open(write(path)) as bundle:
        manifest, variant = bundle.manifest, bundle.manifest.variants[0]
        image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
        with open_session(bundle.artifact(variant), EnginePlan("onnxruntime")) as session:
            golden = [Golden(image, session.run(preprocess(image, variant.input)[0]))]
        gate = VariantEvidence("onnxruntime", "PASS", ("PASS",), {"top1": 1.0}, {"cosine": 1.0}, 1e-6)
        evidence = replace(manifest.evidence, variants={variant.name: gate})
        files = {variant.model: bundle.read(variant.model), **golden_files(golden)}
        write_bundle(path, replace(manifest, evidence=evidence, golden=1, files={}), files)
    return path


@pytest.fixture
def detector(tmp_path):
    return proven(tmp_path / "cells.ekb", write_detector)


@pytest.fixture
def classifier(tmp_path):
    return proven(tmp_path / "colours.ekb", write_classifier)


def trial(p50, cpu):
    return Trial(paced=Samples((p50,), (cpu,), (), 1))


@pytest.mark.parametrize(
    ("trials", "order"),
    [
        pytest.param({"one": (10, 10), "two": (6, 12)}, ["two", "one"], id="a second thread that shares the work"),
        pytest.param({"one": (10, 10), "two": (6, 13)}, ["one", "two"], id="a second thread that mostly waits"),
        pytest.param({"one": (10, 10), "spins": (4, 55)}, ["one", "spins"], id="threads that spin"),
        pytest.param({"one": (6.2, 10), "two": (6, 12)}, ["one", "two"], id="as fast within the noise, and cheaper"),
        pytest.param({"a": (9, 40), "b": (8, 30), "c": (20, 10)}, ["c", "b", "a"], id="the dear ones by their cost"),
    ],
)
def test_the_fastest_wins_of_those_that_cost_little_more_than_the_cheapest(trials, order):
    assert ranked({name: trial(*costs) for name, costs in trials.items()}) == order


@dataclass
class Machine:
    """A clock, and engines of known cost on it; after its work an engine's threads may spin for a while."""

    now: float = 0.0
    used: float = 0.0
    spinning_until: float = 0.0

    def ports(self):
        return Ports(lambda: FRAME, clock=lambda: self.now, cpu=lambda: self.used, sleep=self.sleep)

    def sleep(self, seconds):
        self.used += max(0.0, min(self.spinning_until - self.now, seconds))
        self.now += seconds

    def engine(self, wall_ms, cpu_ms, spins_ms=0.0):
        def run(image):
            self.now += wall_ms / 1e3
            self.used += cpu_ms / 1e3
            self.spinning_until = self.now + spins_ms / 1e3

        return run


def test_what_threads_burn_between_two_frames_counts_at_the_cameras_rate_and_is_invisible_back_to_back():
    machine = Machine()
    spins = machine.engine(wall_ms=4, cpu_ms=8, spins_ms=30)
    assert paced(spins, machine.ports(), 0.1, 3).cpu_ms == pytest.approx([38] * 3)
    assert paced(spins, machine.ports(), 0.0, 3).cpu_ms == pytest.approx([8] * 3)


def test_frames_that_take_too_long_are_never_hurried():
    machine = Machine()
    slow = machine.engine(wall_ms=150, cpu_ms=150)
    assert paced(slow, machine.ports(), 0.1, 4).wall_ms == pytest.approx([150] * 4)
    assert machine.now == pytest.approx(5 * 0.15)


def test_the_best_of_many_is_found_in_the_time_that_was_given_and_is_measured_best():
    machine = Machine()
    engines = {f"slow {i}": machine.engine(20 + i, 20 + i) for i in range(8)}
    engines |= {
        "one": machine.engine(10, 10),
        "two": machine.engine(6, 11.5),
        "spins": machine.engine(5, 10, spins_ms=40),
    }
    found = halve(engines, machine.ports(), period_s=0.1, seconds=40)
    assert found.ranking[0] == "two"
    assert set(found.rungs[-1]) == {"one", "two"}
    assert len(found.trials["two"].paced.wall_ms) >= 64
    assert 30 < machine.now < 60
    assert set(found.ranking) == set(engines)


def test_back_to_back_alone_would_have_chosen_the_threads_that_spin():
    """The control: without paced frames the rule is blind."""
    machine = Machine()
    trials = {
        "two": Trial(back_to_back=paced(machine.engine(6, 11.5), machine.ports(), 0.0, 5)),
        "spins": Trial(back_to_back=paced(machine.engine(5, 10, spins_ms=40), machine.ports(), 0.0, 5)),
    }
    assert ranked(trials)[0] == "spins"


def test_a_single_candidate_is_measured_and_chosen():
    machine = Machine()
    assert halve({"only": machine.engine(5, 5)}, machine.ports(), 0.1, 1).ranking == ("only",)


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (4, [1, 2, 3, 4]), (6, [1, 2, 4, 5, 6]), (16, [1, 2, 4, 8, 15, 16])]
)
def test_threads_are_tried_up_to_all_cores_and_thinned_on_many(cores, counts):
    assert thread_counts(cores) == counts


def test_only_an_engine_whose_threads_spin_is_tried_with_spinning():
    onnx = widened(Candidate("onnx-int8", EnginePlan("onnxruntime")), cores=3)
    assert {(each.plan.threads, each.plan.spinning) for each in onnx} == {
        (2, False),
        (3, False),
        (2, True),
        (3, True),
    }
    assert not any(each.plan.spinning for each in widened(Candidate("tflite-int8", EnginePlan("litert")), cores=3))
    assert widened(Candidate("onnx-int8", EnginePlan("onnxruntime", device="cuda")), cores=3) == []


def test_every_engine_that_opens_a_variant_is_tried_and_what_the_board_has_beside_its_cpu(tiny):
    plans = replace(GENERIC.plans, value=(*GENERIC.plans.value, EnginePlan("onnxruntime", device="cuda")))
    found, _ = families(tiny, replace(GENERIC, plans=plans))
    ways = {(each.variant, each.plan.engine, each.plan.device) for each in found}
    assert {("onnx-float", "onnxruntime", "cpu"), ("onnx-float", "onnxruntime", "cuda")} < ways
    assert ("tflite-float", "litert", "cpu") in ways
    assert {each.plan.threads for each in found} == {1}


def test_a_variant_that_failed_at_the_gate_is_not_tried_unless_somebody_names_it(tmp_path):
    path = golden_bundle(tmp_path / "tiny.ekb")
    with Bundle.open(path) as bundle:
        manifest = bundle.manifest
        failed = replace(manifest.evidence.variants["onnx-float"], outcome="FAIL")
        evidence = replace(manifest.evidence, variants={**manifest.evidence.variants, "onnx-float": failed})
        files = {name: bundle.read(name) for name in manifest.files}
        write_bundle(tmp_path / "failed.ekb", replace(manifest, evidence=evidence, files={}), files)
    with Bundle.open(tmp_path / "failed.ekb") as bundle:
        found, left_out = families(bundle, GENERIC)
        assert {each.variant for each in found} == {"tflite-float"}
        assert left_out["onnx-float"] == "was FAIL at the gate"
        assert {each.variant for each in families(bundle, GENERIC, "onnx-float")[0]} == {"onnx-float"}


def test_a_bundle_is_planned_beside_a_camera_and_the_plan_is_what_runs(tiny, tmp_path, monkeypatch):
    told = []
    outcome = plan(
        tiny, profile=GENERIC, load=Load((SCENE,)), budget_s=2, progress=lambda what, done, total: told.append(what)
    )
    (stage,) = outcome.stages
    assert {each.variant for each in stage.plans} <= {"onnx-float", "tflite-float"}
    assert stage.tried[0].verdict == "chosen"
    assert all(each.frames for each in stage.tried if each.verdict in ("chosen", "as fast, and dearer"))
    assert stage.interference > 0
    assert told[0] == "tiny: one thread each"
    assert json.loads(outcome.text())["load"] == "shelf at 25/s; 1 classified a frame"
    monkeypatch.setenv(FOLDER, str(tmp_path / "plans"))
    for each in outcome.host_plans():
        Plans.usual().keep(each)
    with open_task(tiny) as task:
        assert task.planned
        assert (task.variant.name, task.session.plan) == (stage.plans[0].variant, stage.plans[0].plan)


def test_an_engine_whose_answers_are_wrong_here_is_never_planned(tmp_path):
    path = golden_bundle(tmp_path / "wrong.ekb", outputs=lambda output: output + 1)
    with Bundle.open(path) as bundle, pytest.raises(EngineMissing, match=r"differs by .* is allowed"):
        plan(bundle, profile=GENERIC, load=Load((SCENE,)), budget_s=1)


def test_what_cannot_be_planned_says_why(tmp_path, detector):
    with (
        Bundle.open(golden_bundle(tmp_path / "blind.ekb", golden=0)) as blind,
        pytest.raises(BundleError, match="no golden frame"),
    ):
        plan(blind, profile=GENERIC)
    with Bundle.open(detector) as one, pytest.raises(ContractError, match="a detector and a classifier"):
        plan(one, one, profile=GENERIC)


def test_two_stages_and_two_cameras_are_planned_together(detector, classifier):
    cameras = (SCENE, replace(SCENE, name="cart", address="scene:cart?frames=20&size=320x240"))
    with Bundle.open(detector) as first, Bundle.open(classifier) as second:
        outcome = plan(first, second, profile=GENERIC, load=Load(cameras, looks=2), budget_s=3)
    assert [stage.bundle for stage in outcome.stages] == ["cells", "colours"]
    assert [each.stages[0].variant for each in outcome.host_plans()] == ["onnx-float", "onnx-float"]
    assert outcome.load == "shelf at 25/s, cart at 25/s; 2 classified a frame"
    if outcome.host.cores > 1:
        assert outcome.streams.two_sessions > 0
        assert not outcome.streams.used
        assert "Not used: one session serves all cameras" in outcome.streams.line()


def test_a_camera_is_left_alone_and_a_clip_plays_in_its_place():
    camera = CameraSettings("aisle", "rtsp://clerk:hunter2@10.0.0.7/live", fps=20)
    assert Load((camera,)).line() == "aisle (a rendered clip) at 20/s; 1 classified a frame"
    with Cameras((camera,)) as cameras:
        assert cameras.newest().shape == (720, 1280, 3)
        assert cameras.newest().mean() > 10


def test_a_file_that_is_not_there_is_an_error_and_not_a_clip():
    with (
        pytest.raises(SourceError, match=r"aisle: .*no such file"),
        Cameras((CameraSettings("aisle", "/no/clip.mp4"),)),
    ):
        pass


def test_a_crop_is_a_part_of_the_frame_even_of_a_tiny_one():
    assert [each.shape for each in crops(FRAME, 2)] == [(60, 80, 3)] * 2
    assert crops(np.zeros((2, 2, 3), np.uint8), 1)[0].shape == (1, 1, 3)


def test_the_unattended_loop_prefers_the_planned_variant_but_not_over_a_named_one(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    path = tmp_path / "store.toml"
    path.write_text(
        f'state = "state"\n[[cameras]]\nname = "a"\naddress = "{SCENE.address}"\n[detector]\nbundle = "tiny.ekb"\n'
        '[sinks.jsonl]\npath = "events.jsonl"\n'
    )
    settings = Unattended.read(path)
    assert runnable_variants(settings, GENERIC) == ("onnx-float", "tflite-float")
    found = plan(tiny, profile=GENERIC, load=Load((SCENE,)), only={tiny.digest: "tflite-float"}, budget_s=1)
    Plans.usual(settings.state).keep(found.host_plans()[0])
    assert runnable_variants(settings, GENERIC) == ("tflite-float", "onnx-float")
    named = replace(settings, detector=replace(settings.detector, variant="onnx-float"))
    assert runnable_variants(named, GENERIC) == ("onnx-float", "tflite-float")


def test_the_inference_child_runs_by_the_plan_in_its_state_folder(detector, tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    settings = Unattended((SCENE,), ModelSettings(detector), state=tmp_path, sinks=SinkSettings(JsonlSettings("-")))
    with open_pipeline(settings, "onnx-float") as pipeline:
        assert not pipeline.detector.planned
    with Bundle.open(detector) as bundle:
        found = plan(bundle, profile=GENERIC, load=Load((SCENE,)), budget_s=1)
    Plans.usual(settings.state).keep(found.host_plans()[0])
    with open_pipeline(settings, "onnx-float") as pipeline:
        assert pipeline.detector.planned
        assert pipeline.detector.session.plan == found.stages[0].plans[0].plan


def test_the_command_keeps_a_plan_and_prints_what_it_measured(tiny, tmp_path):
    store = tmp_path / "store.toml"
    store.write_text(f'[source]\naddress = "{SCENE.address}"\nname = "shelf"\n[detector]\nbundle = "tiny.ekb"\n')
    command = [sys.executable, "-c", "from edgekit.cli import main; main()", "plan", str(tiny.path)]
    options = ["--store", str(store), "--plans", str(tmp_path / "plans"), "--budget-s", "2"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "chosen" in done.stdout
    assert "shelf at 10/s" in done.stdout
    (kept,) = (tmp_path / "plans").iterdir()
    assert f"kept in {kept}" in done.stderr
    assert Plans((tmp_path / "plans",)).find(tiny.digest).bundle == "tiny"


def test_a_planned_cascade_is_compared_with_the_engines_own_defaults(detector, classifier):
    with Bundle.open(detector) as bundle:
        defaults = planned.EngineDefaults(bundle.artifact(bundle.variant("onnx-float")))
        assert defaults._session.get_session_options().intra_op_num_threads == 0
        defaults.close()
    faster, share = planned.promises(detector, classifier, plan_s=2, turns=planned.Turns(rounds=1, frames=4))
    assert faster.target == "at least 2x"
    assert share.target == "at most 25%"
    assert {faster.kept, share.kept} <= {"met", "not met", "unclear"}
    assert "onnx-float in onnxruntime" in faster.how
