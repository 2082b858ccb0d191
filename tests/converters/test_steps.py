"""A recipe's steps on the model: each is done once, goes on where it was killed, and leaves its row in the evidence."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from coloured import paint
from typer.testing import CliRunner

from edgekit.bundle import Bundle
from edgekit.cli import app
from edgekit.converters import stepping
from edgekit.converters.build import Built, build
from edgekit.converters.calibrate import REMEDIES
from edgekit.converters.finished import Finished
from edgekit.converters.forecast import forecast
from edgekit.converters.framework import ModuleSession
from edgekit.converters.opened import open_recipe
from edgekit.converters.recipe import read_recipe
from edgekit.converters.report.of_build import report_on
from edgekit.converters.stepping import Workplace, run_steps, start_key
from edgekit.converters.train import Train
from edgekit.errors import ConversionError, DataError, SettingsError
from edgekit.preprocess import preprocess

pytestmark = pytest.mark.usefixtures("one_thread")

NET = '''
from torch import nn

def build(width=32):
    """Mean colours, with channels to spare."""
    layers = []
    for before, after in ((3, width), (width, width)):
        layers += [nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
'''

RECIPE = """
name = "colours"
labels = ["blue", "green", "red"]
targets = ["onnx"]
golden = 1

[model]
torch = "net:build"

[input]
width = 24
height = 24

[head]
kind = "softmax"

[training]
format = "imagefolder"
path = "training"

[validation]
format = "imagefolder"
path = "validation"

[evaluation]
format = "imagefolder"
path = "evaluation"

[gate]
max_drop = 0.04
min_images = 20

[[steps]]
kind = "train"
epochs = 6
batch = 8
rate = 0.1
augment = { area = [0.7, 1.0] }
"""

PRUNE = '[[steps]]\nkind = "prune"\nmacs = 0.7\nprecision = "float"\n'
MEND = '[[steps]]\nkind = "finetune"\nepochs = 2\nbatch = 8\n'


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with a recipe of one step, and what it needs."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    for name, each, seed in (("training", 8, 1), ("validation", 4, 2), ("evaluation", 10, 3)):
        paint(tmp_path / name, each, seed)
    return tmp_path


def run(shop: Path, more: str = "", recipe: str = RECIPE, **arguments: object) -> tuple[Built, list[str]]:
    """What was built, and the stages that were told of, each once."""
    (shop / "recipe.toml").write_text(recipe + more)
    stages: dict[str, None] = {}
    built = build(
        read_recipe(shop / "recipe.toml"),
        lambda stage, done, total: stages.setdefault(stage),
        finished=shop / "steps",
        **arguments,  # type: ignore[arg-type]
    )
    return built, list(stages)


def test_a_model_is_trained_and_its_bundle_tells_what_the_step_brought(shop):
    built, stages = run(shop)
    assert built.verdict.outcome == "PASS", built.verdict.reasons
    evidence = built.manifest.evidence
    [step] = evidence.steps
    assert (step.kind, step.settings["epochs"], step.figures["epochs"]) == ("train", 6, 6)
    assert evidence.start["top1"] < step.accuracy["top1"] == evidence.framework["top1"]
    assert {"training", "validation", "evaluation"} == evidence.data.keys()
    assert "1-train: training epoch 6 of 6" in stages
    built.write(shop / "colours.ekb")
    with Bundle.open(shop / "colours.ekb") as bundle:
        assert bundle.manifest.evidence == evidence
    told = CliRunner().invoke(app, ["inspect", str(shop / "colours.ekb")]).stdout.splitlines()
    assert any(line.split()[:2] == ["train", f"{step.accuracy['top1']:.4f}"] for line in told)


def test_a_finished_step_is_not_done_again_and_a_changed_one_is(shop):
    first, _ = run(shop)
    again, stages = run(shop)
    assert again.manifest == first.manifest
    assert again.steps[0].reused
    assert "1-train: finished before" in stages
    assert not any("epoch" in stage for stage in stages)
    roomier, _ = run(shop, more="cache_mb = 64\n")
    assert roomier.steps[0].reused
    longer, stages = run(shop, more=MEND)
    assert [each.reused for each in longer.steps] == [True, False]
    assert any(stage.startswith("2-finetune: training epoch") for stage in stages)


def test_steps_that_were_finished_before_leave_the_model_that_they_began_with_as_it_was(shop):
    run(shop, more=PRUNE)
    opened = open_recipe(read_recipe(shop / "recipe.toml"))
    key = start_key(opened)
    evaluate = lambda module, stage: pytest.fail(stage)  # noqa: E731
    place = Workplace(opened, key, evaluate, Finished(shop / "steps"), lambda *told: None)
    for _ in range(2):  # as a build does whose INT8 no repair saves
        _, steps, _ = run_steps(place, opened.recipe.model_steps)
        assert all(each.reused for each in steps)
        assert start_key(opened) == key


AWARE = """
[calibration]
format = "imagefolder"
path = "training"

[[steps]]
kind = "quantize"
repair = { repairs = [] }
aware = { epochs = 2, batch = 8 }
"""


def test_int8_that_no_repair_saves_is_trained_under_it_and_that_only_once(shop):
    as_drawn = RECIPE[: RECIPE.index("[[steps]]")] + "min_top1 = 1.0\n"  # nothing is learnt, so INT8 fails for certain
    built, stages = run(shop, AWARE, as_drawn, allow=tuple(REMEDIES))
    assert "1-finetune: training epoch 2 of 2" in stages
    evidence = built.manifest.evidence
    [step] = evidence.steps
    assert step.settings["int8"] is not None
    assert evidence.framework == evidence.start  # the float files are of the model before it
    assert len(evidence.variants["onnx-int8"].attempts) == 2
    built.write(shop / "colours.ekb")
    with Bundle.open(shop / "colours.ekb") as bundle:
        [golden] = bundle.golden()
    reference = ModuleSession(built.module, built.opened.recipe.input)
    [answer] = reference.run(preprocess(golden.image, built.opened.recipe.input)[0])
    assert (answer == golden.outputs[0]).all()
    again, stages = run(shop, AWARE, as_drawn, allow=tuple(REMEDIES))
    assert again.manifest == built.manifest
    assert not any("training epoch" in stage for stage in stages)


def test_a_disk_that_fills_up_in_training_is_named_with_the_step_and_what_was_finished_stays(shop, full_disk):
    run(shop)
    with full_disk(20_000), pytest.raises(ConversionError, match=r"step 2, finetune: .*training.pt: File too large"):
        run(shop, more=MEND)
    built, stages = run(shop, more=MEND)
    assert built.steps[0].reused
    assert "2-finetune: training epoch 1 of 2" in stages


def test_another_forward_makes_another_step_though_layers_and_weights_are_the_same(shop):
    before = open_recipe(read_recipe(shop / "recipe.toml"))
    key = start_key(before)
    flipped = NET.replace("return nn", "net = nn") + "    net.register_forward_pre_hook(lambda _, x: (x[0].flip(1),))\n"
    (shop / "net.py").write_text(f"{flipped}    return net\n")
    after = open_recipe(read_recipe(shop / "recipe.toml"))
    assert repr(after.loaded.module) == repr(before.loaded.module)
    assert start_key(after) != key


def test_other_pictures_make_another_step(shop):
    run(shop)
    paint(shop / "training", 9, seed=4)
    built, _ = run(shop)
    assert not built.steps[0].reused


def test_other_evaluation_pictures_do_not(shop):
    run(shop)
    paint(shop / "evaluation", 11, seed=4)
    built, stages = run(shop)
    assert built.steps[0].reused
    assert "evaluating after 1-train" in stages


def test_pruning_then_mending_gives_the_same_bundle_whether_it_was_interrupted_or_not(shop):
    whole, _ = run(shop, more=PRUNE + MEND)
    assert [each.kind for each in whole.manifest.evidence.steps] == ["train", "prune", "finetune"]
    assert whole.manifest.evidence.steps[1].figures["macs_share"] <= 0.7
    digest = whole.write(shop / "whole.ekb")
    reused, _ = run(shop, more=PRUNE + MEND)
    assert [each.reused for each in reused.steps] == [True, True, True]
    assert reused.write(shop / "again.ekb") == digest


BUILD = """
import sys
from pathlib import Path
from edgekit.converters.build import build
from edgekit.converters.recipe import read_recipe
from edgekit.converters.report.of_build import report_on
from edgekit.converters.stepping import Workplace, run_steps, start_key
from edgekit.converters.train import Train
shop = Path(sys.argv[1])
def tell(stage, done, total):
    if stage == sys.argv[3] and done == int(sys.argv[4]):
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
print(build(read_recipe(shop / "recipe.toml"), tell, shop / sys.argv[2]).write(shop / f"{sys.argv[2]}.ekb"))
"""


def test_a_build_that_was_killed_in_the_middle_of_a_step_goes_on_to_the_same_digest(shop):
    (shop / "recipe.toml").write_text(RECIPE + MEND)

    def in_a_process(folder: str, dies_at: str = "", after: int = 0) -> str:
        order = [sys.executable, "-c", textwrap.dedent(BUILD), str(shop), folder, dies_at, str(after)]
        ran = subprocess.run(order, capture_output=True, text=True, check=False)
        assert (ran.returncode == -9) == bool(dies_at), ran.stderr
        return ran.stdout

    unharmed = in_a_process("unharmed")
    in_a_process("killed", "1-train: training epoch 4 of 6", after=2)
    in_a_process("killed", "2-finetune: training epoch 2 of 2", after=1)
    assert not (shop / "killed.ekb").exists()
    assert in_a_process("killed") == unharmed


def test_what_pruning_cost_is_judged_where_the_recipe_asks_for_it(shop):
    built, _ = run(shop, more=PRUNE + "[compression]\nmax_drop = 0.5\nmax_class_drop = 1.0\nmin_images = 20\n")
    before, after = built.steps[0].after.score, built.steps[1].after.score
    line = f"top1 {before.top1:.4f} -> {after.top1:.4f}"
    assert any(line in reason for reason in built.manifest.evidence.compression)
    assert any(reason.startswith("compression: ") for reason in built.verdict.reasons)
    built, _ = run(shop, more=PRUNE + "[compression]\nmin_images = 1000\n")
    assert {each.outcome for each in built.manifest.evidence.variants.values()} == {"PASS"}
    assert built.verdict.outcome == report_on(built, {}).outcome == "INCONCLUSIVE"


def test_a_step_that_fails_is_named_and_those_before_it_stay_finished(shop):
    run(shop)
    with pytest.raises(ConversionError, match=r"step 2, prune: .*(macs|multiply-adds|not faster)"):
        run(shop, more='[[steps]]\nkind = "prune"\nmacs = 0.001\nprecision = "float"\n')
    built, _ = run(shop)
    assert built.steps[0].reused


@pytest.mark.parametrize(
    "greed", [lambda: np.empty(2**60, np.uint8), lambda: torch.empty(2**60)], ids=["numpy", "torch"]
)
def test_memory_that_runs_out_is_one_line_and_what_was_finished_stays(shop, monkeypatch, greed):
    monkeypatch.setitem(stepping._RUN, Train, lambda *_: greed())
    with pytest.raises(ConversionError, match=r"^step 1, train: no memory left$"):
        run(shop)
    monkeypatch.undo()
    monkeypatch.setattr("edgekit.converters.build.make_variants", lambda *_: greed())
    with pytest.raises(ConversionError, match=r"^exporting, quantizing and evaluating: no memory left$"):
        run(shop)
    monkeypatch.undo()
    built, _ = run(shop)
    assert built.steps[0].reused


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('[[steps]]\nkind = "quantize"\n', r"needs \[calibration\]"),
        ("[compression]\nmax_drop = 0.1\n", "steps holds no prune"),
        ('[[steps]]\nkind = "train"\nepoch = 3\n', "unknown key .*did you mean 'epochs'"),
        (AWARE.replace("batch = 8", "int8 = {}"), "trains for the INT8 of its quantize step; leave int8 out"),
        (
            '[[steps]]\nkind = "finetune"\nmetric = { margin = 0.2 }\n',
            "finetune: metric does nothing for a 'softmax' head",
        ),
        (
            AWARE + 'keep_float = { tflite = ["*"] }\n',
            "keep_float names tflite, and none",
        ),
        ('[[steps]]\nkind = "trian"\n', "no kind 'trian'; there are: train, distill, prune, finetune, quantize"),
    ],
)
def test_a_recipe_whose_steps_do_not_fit_is_one_clear_line(shop, more, message):
    (shop / "recipe.toml").write_text(RECIPE + more)
    with pytest.raises(SettingsError, match=message):
        read_recipe(shop / "recipe.toml")


def test_learning_needs_pictures_to_learn_from(shop):
    text = RECIPE.replace('[training]\nformat = "imagefolder"\npath = "training"\n', "")
    (shop / "recipe.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"train need \[training\]: pictures to learn from"):
        read_recipe(shop / "recipe.toml")


def test_patience_needs_pictures_to_be_patient_by(shop):
    text = RECIPE.replace('[validation]\nformat = "imagefolder"\npath = "validation"\n', "")
    (shop / "recipe.toml").write_text(f"{text}patience = 2\n")
    with pytest.raises(SettingsError, match=r"patience needs \[validation\]"):
        read_recipe(shop / "recipe.toml")


def test_the_command_keeps_what_it_trains_for_int8_beside_the_bundle_and_plans_it(shop):
    as_drawn = RECIPE[: RECIPE.index("[[steps]]")] + "min_top1 = 1.0\n"
    (shop / "recipe.toml").write_text(as_drawn + AWARE)
    planned = CliRunner().invoke(app, ["build", str(shop / "recipe.toml"), "--plan"])
    assert "train for INT8 where no repair suffices: 2 epochs of 24 pictures" in planned.stdout
    assert not list(shop.glob("*steps*"))
    allowed = [word for code in REMEDIES for word in ("--allow", code)]
    order = ["build", str(shop / "recipe.toml"), "-o", str(shop / "colours.ekb"), "--no-measure", *allowed]
    assert CliRunner().invoke(app, order).exit_code == 1
    assert len(list((shop / "colours.steps").glob("1-finetune-*/step.json"))) == 1


def test_a_forecast_says_what_will_be_done_and_what_is_done_already(shop):
    (shop / "recipe.toml").write_text(RECIPE + MEND)
    opened = open_recipe(read_recipe(shop / "recipe.toml"))
    before = {each.what: each.seconds for each in forecast(opened, shop / "steps")}
    assert before["1-train: 6 epochs of 24 pictures"] > 0
    assert before["export to onnx"] is None
    run(shop)
    after = {each.what: each.seconds for each in forecast(opened, shop / "steps")}
    assert after["1-train: finished before"] == 0
    assert after["2-finetune: 2 epochs of 24 pictures"] > 0


def test_pruning_by_the_training_loss_needs_pictures_to_learn_from(shop):
    start = RECIPE.index("[[steps]]")
    text = RECIPE[:start].replace('[training]\nformat = "imagefolder"\npath = "training"\n', "")
    text = text.replace('[validation]\nformat = "imagefolder"\npath = "validation"\n', "") + PRUNE
    (shop / "recipe.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"needs \[training\]; or say importance = \"group-norm\""):
        read_recipe(shop / "recipe.toml")


@pytest.mark.parametrize("name", ["training", "validation"])
def test_pictures_that_are_evaluated_on_are_refused_although_nothing_is_calibrated(shop, name):
    leaked = RECIPE.replace(f'path = "{name}"', 'path = "evaluation"')
    with pytest.raises(DataError, match=f"{name}-overlaps-evaluation: .* 30 to the last pixel"):
        run(shop, recipe=leaked)


def test_the_models_weights_can_be_taken_out_again(shop):
    built, _ = run(shop)
    built.write_weights(shop / "trained.safetensors")
    text = RECIPE[: RECIPE.index("[training]")].replace(
        'torch = "net:build"', 'torch = "net:build"\nweights = "trained.safetensors"'
    )
    text += '[evaluation]\nformat = "imagefolder"\npath = "evaluation"\n[gate]\nmin_images = 20\nmax_drop = 0.04\n'
    (shop / "again.toml").write_text(text.replace("golden = 1", "golden = 1\nsteps = []"))
    again = build(read_recipe(shop / "again.toml"))
    assert again.score == built.score
