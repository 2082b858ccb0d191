"""From a recipe to a bundle, with a small net that names colours and pictures painted for it: every engine is real."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from edgekit.bundle import Bundle
from edgekit.converters.build import build
from edgekit.converters.recipe import read_recipe
from edgekit.errors import DataError, EdgekitError
from edgekit.profile import DeviceProfile
from edgekit.tasks import open_task
from edgekit.verify import verify_bundle

COLOURS = {"blue": (230, 60, 60), "green": (60, 230, 60), "red": (60, 60, 230)}  # BGR

NET = '''
import torch
from torch import nn

def build():
    """Mean colours by two convolutions."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )
'''

RECIPE = """
name = "colours"
labels = ["blue", "green", "red"]

[model]
torch = "net:build"
weights = "weights.safetensors"

[input]
width = 32
height = 32

[head]
kind = "softmax"

[calibration]
format = "imagefolder"
path = "calibration"

[evaluation]
format = "imagefolder"
path = "evaluation"

[[steps]]
kind = "quantize"

[gate]
max_drop = 0.02
"""


def weights(spread: float) -> dict[str, torch.Tensor]:
    """Channels 0 and 3 see blue, 1 and 4 green, 2 and 5 red; depthwise weights 0 to 2 are `spread` times larger.

    Activations are of one size all the same, so it is the weights alone that one scale for all of them cannot hold.
    """
    net = nn.ModuleList([nn.Conv2d(3, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.Linear(6, 3)])
    for each in net.parameters():
        nn.init.zeros_(each)
    with torch.no_grad():
        for channel in range(6):
            net[0].weight[channel, 2 - channel % 3, 1, 1] = 1 / spread if channel < 3 else 1.0
            net[1].weight[channel, 0, 1, 1] = spread if channel < 3 else 1.0
            # what the large channels say is thrown away, so all depends on the small ones
            net[2].weight[channel % 3, channel] = 0.0 if channel < 3 else 20.0
    names = ("0", "2", "6")
    return {
        f"{name}.{key}": value
        for name, part in zip(names, net, strict=True)
        for key, value in part.state_dict().items()
    }


def paint(folder: Path, images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for i in range(images):
            coarse = rng.normal(colour, 30, (10, 12, 3)).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / label / f"{i:03}.png"), cv2.resize(coarse, (48, 40)))  # else it would be noise


@pytest.fixture
def workshop(tmp_path):
    """A folder with a recipe, and what it needs."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    save_file(weights(1.0), tmp_path / "weights.safetensors")
    paint(tmp_path / "calibration", 36, seed=1)
    paint(tmp_path / "evaluation", 40, seed=2)
    return tmp_path


def edit(folder, *changes):
    text = (folder / "recipe.toml").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "recipe.toml").write_text(text)


def run(folder):
    return build(read_recipe(folder / "recipe.toml"))


def test_six_variants_pass_and_the_bundle_proves_it_on_every_engine(workshop):
    built = run(workshop)
    assert built.verdict.outcome == "PASS", built.verdict.reasons
    digest = built.write(workshop / "colours.ekb")
    with Bundle.open(workshop / "colours.ekb") as bundle:
        assert bundle.digest == digest
        evidence = bundle.manifest.evidence
        names = [f"{target}-{kind}" for kind in ("float", "int8") for target in ("onnx", "openvino", "tflite")]
        assert list(evidence.variants) == names
        assert evidence.framework["top1"] == 1.0
        assert all(found.figures["top1"] == 1.0 for found in evidence.variants.values())
        assert all(
            evidence.variants[f"{target}-int8"].int8_convolutions == (3, 3) for target in ("onnx", "openvino", "tflite")
        )
        assert [each["support"] for each in bundle.classes("tflite-int8")] == [40, 40, 40]
        assert bundle.classes("framework")[0] == {
            "label": "blue",
            "support": 40,
            "recall": 1.0,
            "precision": 1.0,
            "f1": 1.0,
        }
        assert {check.result for check in verify_bundle(bundle, DeviceProfile.load("generic"))} == {"ok"}
        for name in names:
            with open_task(bundle, variant=name) as classify:
                picture = np.full((20, 90, 3), COLOURS["green"], np.uint8)
                assert classify.labels[classify(picture).label] == "green"


def test_the_same_recipe_gives_the_same_digest_in_another_process(workshop):
    digest = run(workshop).write(workshop / "a.ekb")
    code = (
        "from edgekit.converters.build import build; from edgekit.converters.recipe import read_recipe; "
        "print(build(read_recipe('recipe.toml')).write('b.ekb'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=workshop, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == digest
    assert (workshop / "a.ekb").read_bytes() == (workshop / "b.ekb").read_bytes()


def test_weights_per_tensor_ruin_a_depthwise_net_and_the_gate_says_so(workshop):
    save_file(weights(1000.0), workshop / "weights.safetensors")
    kept = run(workshop).manifest.evidence.variants
    assert all(found.outcome == "PASS" for found in kept.values())
    edit(workshop, ('kind = "quantize"', 'kind = "quantize"\nper_channel = false\nrepair = { repairs = [] }'))
    built = run(workshop)
    outcomes = {name: found.outcome for name, found in built.manifest.evidence.variants.items()}
    assert {name for name, outcome in outcomes.items() if outcome == "FAIL"} == {
        "onnx-int8",
        "openvino-int8",
        "tflite-int8",
    }
    assert built.verdict.exit_code == 1


def test_int8_that_the_gate_refuses_is_repaired_and_every_try_is_in_the_evidence(workshop):
    save_file(weights(1000.0), workshop / "weights.safetensors")
    edit(workshop, ('kind = "quantize"', 'kind = "quantize"\nper_channel = false\nrepair = { most_float = 1.0 }'))
    built = run(workshop)
    found = built.manifest.evidence.variants
    for name in ("onnx-int8", "openvino-int8", "tflite-int8"):
        assert found[name].outcome == "PASS", found[name].attempts
        assert found[name].attempts[0].startswith("as asked: FAIL")
        assert "in float" in found[name].attempts[-1]
    assert built.verdict.outcome == "PASS"


def test_int8_that_no_repair_saves_is_trained_under_its_own_rounding_and_judged_by_the_model_before(workshop):
    save_file(weights(1000.0), workshop / "weights.safetensors")
    step = 'kind = "quantize"\nper_channel = false\nrepair = { repairs = [] }\naware = { epochs = 1, batch = 8 }'
    training = '[training]\nformat = "imagefolder"\npath = "calibration"\n\n[[steps]]'
    edit(workshop, ('kind = "quantize"', step), ("[[steps]]", training), ("labels", 'targets = ["onnx"]\nlabels'))
    built = run(workshop)
    evidence = built.manifest.evidence
    [learned] = evidence.steps
    assert (learned.kind, learned.settings["int8"]["per_channel"]) == ("finetune", False)
    found = evidence.variants["onnx-int8"]
    assert len(found.attempts) == 2
    assert found.attempts[0].startswith("as asked: FAIL")
    assert found.attempts[1].startswith("after training for it, as asked: ")
    assert evidence.variants["onnx-float"].figures == evidence.framework == evidence.start
    assert any(f"top1 {evidence.start['top1']:.4f} -> {found.figures['top1']:.4f}" in each for each in found.reasons)


@pytest.mark.parametrize("allowed", [False, True])
def test_calibration_pictures_that_are_unfit_are_refused_unless_that_is_allowed_and_on_record(workshop, allowed):
    edit(
        workshop,
        ('path = "calibration"', 'path = "calibration"\nimages = 12'),
        ("labels", 'targets = ["onnx"]\nlabels'),
    )
    recipe = read_recipe(workshop / "recipe.toml")
    if allowed:
        assert build(recipe, allow=["calibration-too-few"]).manifest.evidence.allowed == ("calibration-too-few",)
    else:
        with pytest.raises(DataError, match="--allow calibration-too-few"):
            build(recipe)


def test_too_few_pictures_are_inconclusive_never_a_pass(workshop):
    edit(
        workshop,
        ('path = "evaluation"', 'path = "evaluation"\nimages = 30'),
        ('kind = "quantize"', 'kind = "quantize"'),
    )
    built = run(workshop)
    assert built.verdict.outcome == "INCONCLUSIVE"
    assert built.verdict.exit_code == 2


def test_the_command_writes_nothing_where_the_gate_does_not_pass(workshop):
    edit(
        workshop,
        ('path = "evaluation"', 'path = "evaluation"\nimages = 30'),
        ("labels = ", 'targets = ["onnx"]\nlabels = '),
    )
    (workshop / "old.ekb").write_bytes(b"what was there")
    command = [sys.executable, "-c", "from edgekit.cli import main; main()", "build", "recipe.toml", "-o", "old.ekb"]
    done = subprocess.run(command, cwd=workshop, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "INCONCLUSIVE: old.ekb was not written" in done.stderr
    assert (workshop / "old.ekb").read_bytes() == b"what was there"
    done = subprocess.run([*command, "--allow-inconclusive"], cwd=workshop, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Bundle.open(workshop / "old.ekb") as bundle:
        assert bundle.manifest.evidence.allowed == ("inconclusive",)
        assert set(bundle.measured()["latency"]) == {"onnx-float", "onnx-int8"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("[gate]", "[gate]\nmax_dorp = 0.1")], "unknown key 'gate.max_dorp', did you mean 'max_drop'"),
        ([('kind = "softmax"', 'kind = "sofmax"')], "no kind 'sofmax'; there are: softmax"),
        ([('["blue", "green", "red"]', '["blue", "green"]')], "red"),
        ([('["blue", "green", "red"]', '["blue", "green", "red", "grey"]')], "softmax head with 4 labels"),
        ([('"weights.safetensors"', '"nowhere.safetensors"')], "nowhere.safetensors"),
        ([('path = "evaluation"', 'path = "nowhere"')], "nowhere"),
        ([('[calibration]\nformat = "imagefolder"\npath = "calibration"\n', "")], r"needs \[calibration\]"),
        ([("max_drop = 0.02", "min_ap = 0.5")], "min_ap"),
    ],
)
def test_a_wrong_recipe_is_one_clear_line(workshop, changes, message):
    edit(workshop, *changes)
    with pytest.raises(EdgekitError, match=message) as caught:
        run(workshop)
    assert "\n" not in str(caught.value)


def test_weights_that_were_cut_short_are_named(workshop):
    path = workshop / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(EdgekitError, match=r"weights\.safetensors"):
        run(workshop)


def test_a_picture_that_cannot_be_read_is_named_before_anything_is_built(workshop):
    (workshop / "evaluation" / "red" / "007.png").write_bytes(b"no picture")
    with pytest.raises(EdgekitError, match=r"red/007\.png"):
        run(workshop)


def test_a_model_that_answers_nan_is_refused(workshop):
    broken = weights(1.0)
    broken["6.bias"] = torch.full((3,), float("nan"))
    save_file(broken, workshop / "weights.safetensors")
    with pytest.raises(EdgekitError, match="NaN"):
        run(workshop)
