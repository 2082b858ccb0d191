"""The whole step: exported, measured in a real engine, refused where nothing is won."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import coloured
import cv2
import numpy as np
import pytest
import torch
from small_nets import SPEC, conv, settled
from torch import nn

from edgekit.contract import Embedding, Softmax
from edgekit.converters.data import DataSpec, open_dataset
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.latency import compare
from edgekit.converters.prune import Prune, run_prune
from edgekit.converters.prune.gradients import training_gradients
from edgekit.converters.prune.search import Search
from edgekit.converters.steps import StepContext
from edgekit.converters.train.run import run_train
from edgekit.converters.train.settings import Train
from edgekit.errors import ConversionError


def context(folder: Path, training=None) -> StepContext:
    return StepContext(SPEC, Softmax(), ("a",), training, None, 0, folder, folder, lambda what, done, total: None)


@pytest.fixture(scope="module")
def wide() -> nn.Module:
    """Eight times the work with all its channels than with a quarter of them: far beyond what any clock can miss."""
    body = (conv(3, 64, stride=2), conv(64, 64), conv(64, 64), conv(64, 64))
    return settled(nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    dice = np.random.default_rng(0)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), dice.integers(0, 256, (32, 40, 3), np.uint8))
    return open_dataset(DataSpec("folder", str(folder)), ("a",), folder)


def test_pruned_int8_is_faster_and_says_by_how_much(wide, photographs, tmp_path):
    done = run_prune(wide, Prune(macs=0.3, importance="group-norm"), context(tmp_path, photographs))
    assert done.figures["macs_share"] <= 0.3
    assert done.figures["macs_after_m"] == pytest.approx(
        done.figures["macs_before_m"] * done.figures["macs_share"], 0.01
    )
    assert done.figures["parameters_after"] == sum(each.numel() for each in done.module.parameters())
    assert 1 < done.measured["speedup_low"] <= done.measured["speedup"] <= done.measured["speedup_high"]
    assert "of the multiply-adds stay" in done.notes[0]
    again = run_prune(wide, Prune(macs=0.3, importance="group-norm"), context(tmp_path, photographs))
    assert (again.figures, again.notes) == (done.figures, done.notes)
    assert all(torch.equal(a, b) for a, b in zip(done.module.parameters(), again.module.parameters(), strict=True))


@pytest.mark.parametrize("target", ["openvino", "tflite"])
def test_every_engine_can_be_the_one_that_measures(wide, photographs, tmp_path, target):
    step = Prune(macs=0.3, measure=target, precision="float", importance="group-norm")
    assert run_prune(wide, step, context(tmp_path)).measured["speedup_low"] > 1


def test_a_speed_up_is_reached_by_the_mildest_pruning_that_gives_it(wide, tmp_path):
    done = run_prune(wide, Prune(speedup=1.5, precision="float", importance="group-norm"), context(tmp_path))
    assert done.measured["speedup_low"] >= 1.5
    assert 0.3 < done.figures["macs_share"] < 0.9


def test_what_cannot_be_reached_is_told_with_all_that_was_measured(tmp_path):
    net = settled(nn.Sequential(conv(3, 32), nn.Conv2d(32, 10, 1)))
    with pytest.raises(
        ConversionError, match=r"no pruning is 50 times as fast in onnxruntime on this host; .* \(.*\) at 0\.50$"
    ):
        run_prune(net, Prune(speedup=50, precision="float", importance="group-norm"), context(tmp_path))


def test_a_pruning_that_is_not_faster_is_refused(wide, tmp_path):
    """The slower file stands for the pruned net, as 61 channels are slower than 64."""
    narrow = to_onnx(settled(nn.Sequential(conv(3, 16, stride=2), nn.Flatten(), nn.Linear(16 * 320, 10))), SPEC)
    made = iter((narrow, to_onnx(wide, SPEC)))
    with pytest.raises(
        ConversionError, match=r"0\.\d\d of the multiply-adds are not faster on this host: 0\.\d\d \(0\.\d\d to"
    ):
        run_prune(wide, Prune(macs=0.5, importance="group-norm"), context(tmp_path), export=lambda module: next(made))


def test_where_the_target_is_another_machine_nothing_is_measured_and_that_is_said(wide, tmp_path):
    step = Prune(macs=0.5, importance="group-norm", measure="none")
    done = run_prune(wide, step, context(tmp_path))  # without training pictures to calibrate on
    assert done.figures["macs_share"] <= 0.5
    assert (done.measured, done.notes[-1]) == ({}, "how much faster it is was not measured")
    with pytest.raises(ValueError, match="a speedup has to be measured"):
        Prune(speedup=1.5, measure="none")


def test_int8_is_not_measured_without_pictures(wide, tmp_path):
    with pytest.raises(ConversionError, match=r'no training pictures to calibrate on; .* precision = "float"'):
        run_prune(wide, Prune(macs=0.5, importance="group-norm"), context(tmp_path))


def test_taylor_learns_from_the_training_pictures(tmp_path):
    """Two classes, a white and a black picture, told apart by half of the channels; the loss never sees the others."""
    for name, grey in (("black", 0), ("white", 255)):
        (tmp_path / name).mkdir()
        for index in range(2):
            cv2.imwrite(str(tmp_path / name / f"{index}.png"), np.full((32, 40, 3), grey, np.uint8))
    pictures = open_dataset(DataSpec("imagefolder", str(tmp_path)), ("black", "white"), tmp_path)
    net = settled(nn.Sequential(conv(3, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 2)))
    with torch.no_grad():
        net[3].weight[:, ::2] = net[3].weight[:1, ::2]  # the same for both classes: cancelled by softmax
    given = replace(context(tmp_path, pictures), labels=("black", "white"))
    worth = Search(net, Prune(macs=0.6, importance="taylor"), SPEC, training_gradients(given))._worth["0.0"]
    assert worth[::2].max() < 0.3 * worth[1::2].max()
    with pytest.raises(ConversionError, match="prune: there are no pictures to learn from"):
        run_prune(net, Prune(macs=0.5, importance="taylor"), context(tmp_path))
    with pytest.raises(ValueError, match="only the importance 'taylor' goes by gradients"):
        run_prune(net, Prune(macs=0.5, importance="group-norm"), given, gradients=lambda module: None)


def test_taylor_ranks_an_embeddings_channels_alike_whatever_is_drawn(tmp_path):
    """The loss's own vectors begin at random and are no part of the model: what they are must not rank its channels."""
    coloured.paint(tmp_path / "training", 10, 1)
    given = coloured.context(tmp_path, Embedding())
    net = run_train(coloured.net(0, 16, 8), Train(epochs=6, batch=12, warmup=0.5), given).module
    ranks = []
    for seed in range(5):
        search = Search(net, Prune(macs=0.6), coloured.SPEC, training_gradients(replace(given, seed=seed)))
        ranks.append(search._worth["model.far.0"].argsort().argsort().float())
    assert torch.corrcoef(torch.stack(ranks)).min() > 0.9


def test_a_file_is_about_as_fast_as_itself_and_a_smaller_one_is_faster(wide):
    small = nn.Sequential(conv(3, 16, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    big, little = to_onnx(wide, SPEC), to_onnx(settled(small), SPEC)
    same, other = compare(big, big, rounds=12), compare(big, little, rounds=12)
    assert 0.7 < same.cpu.median < 1.4
    assert other.cpu.low > 2
    assert other.cpu.low <= other.cpu.median <= other.cpu.high
    assert compare(little, big, rounds=12).cpu.high < 0.5


def test_only_files_of_one_format_are_compared(wide):
    onnx = to_onnx(wide, SPEC)
    other = Exported(onnx.artifact.__class__("tflite", b""), onnx.input)
    with pytest.raises(ValueError, match="got onnx and tflite"):
        compare(onnx, other)
    with pytest.raises(ValueError, match="at least 2 rounds"):
        compare(onnx, onnx, rounds=1)
