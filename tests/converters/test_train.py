"""Training: it learns, it repeats to the bit, it goes on where it was killed, and it says what it cannot do."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from coloured import LABELS, SPEC, context, net, paint
from torch import nn

from edgekit import schema
from edgekit.contract import Embedding
from edgekit.converters.data import DataSpec, open_dataset
from edgekit.converters.load import RawOutputs
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.train import Augment, FineTune, Train, run_train
from edgekit.converters.train.feed import Feed
from edgekit.converters.train.loop import fit, pace
from edgekit.converters.train.settings import CosFace
from edgekit.errors import ConversionError, PictureError, SettingsError

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Train(epochs=6, batch=4, rate=0.1, augment=Augment(area=(0.7, 1.0)))


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_net_learns_its_classes_and_the_module_that_came_in_stays_as_it_was(tmp_path):
    before = net()
    stepped = run_train(before, QUICK, context(tmp_path))
    assert stepped.figures["validation_top1"] == 1.0
    assert stepped.figures["epochs"] == 6
    assert same(before, net())
    assert not stepped.module.training
    assert all(each.requires_grad and each.grad is None for each in stepped.module.parameters())


@pytest.mark.parametrize(
    "step",
    [
        QUICK,
        dataclasses.replace(QUICK, optimizer="adamw", rate=0.01),
        dataclasses.replace(QUICK, mixup=0.4, frozen={"near": 2}),
        dataclasses.replace(QUICK, ema=0.0, keep="last"),
    ],
    ids=["sgd", "adamw", "mixup and stages", "neither average nor choice"],
)
def test_a_run_that_was_interrupted_after_an_epoch_gives_the_same_weights(tmp_path, step):
    whole = run_train(net(), step, context(tmp_path / "a", scratch=_folder(tmp_path / "a" / "scratch")))
    seen = []

    def stop(stage: str, done: int, total: int) -> None:
        seen.append(stage)
        if stage == "training epoch 4 of 6" and done == 2:
            raise KeyboardInterrupt

    halted = context(tmp_path / "b", scratch=_folder(tmp_path / "b" / "scratch"), tell=stop)
    with pytest.raises(KeyboardInterrupt):
        run_train(net(), step, halted)
    seen.clear()
    resumed = run_train(net(), step, dataclasses.replace(halted, tell=lambda stage, done, total: seen.append(stage)))
    assert "training epoch 3 of 6" not in seen  # it did not begin anew
    assert "training epoch 4 of 6" in seen
    assert same(whole.module, resumed.module)
    assert whole.figures == resumed.figures


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from coloured import context, net
from test_train import QUICK
from edgekit.converters.train import run_train

def tell(stage, done, total):
    if stage == "training epoch 3 of 6" and done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

torch.set_num_threads(1)
run_train(net(), QUICK, context(Path(sys.argv[1]), tell=tell))
"""


def test_kill_9_and_run_again_gives_the_same_weights_to_the_bit(tmp_path):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ, "PYTHONPATH": path})
    assert killed.returncode == -signal.SIGKILL
    seen = []
    resumed = run_train(net(), QUICK, context(tmp_path, tell=lambda stage, done, total: seen.append(stage)))
    assert seen[0] == "training epoch 3 of 6"
    whole = run_train(net(), QUICK, context(tmp_path, scratch=_folder(tmp_path / "other")))
    assert same(whole.module, resumed.module)


def test_the_last_model_is_kept_where_that_is_asked_for_with_its_own_figure(tmp_path):
    step = dataclasses.replace(QUICK, keep="last", epochs=3)
    stepped = run_train(net(), step, context(tmp_path))
    assert stepped.figures["kept_epoch"] == 3
    again = context(tmp_path, validation=None, scratch=_folder(tmp_path / "second"))
    assert same(stepped.module, run_train(net(), step, again).module)


def test_a_finished_training_that_is_asked_for_again_is_not_trained_again(tmp_path):
    first = run_train(net(), QUICK, context(tmp_path))
    seen = []
    again = run_train(net(), QUICK, context(tmp_path, tell=lambda stage, done, total: seen.append(stage)))
    assert same(first.module, again.module)
    assert first.figures == again.figures
    assert not seen


@pytest.mark.parametrize(
    "change",
    [
        lambda step, folder: (dataclasses.replace(step, rate=0.05), context(folder)),
        lambda step, folder: (step, context(folder, seed=1)),
        lambda step, folder: (paint(folder / "training", 4, 9), (step, context(folder)))[1],
    ],
    ids=["settings", "seed", "pictures"],
)
def test_a_checkpoint_of_another_training_is_not_gone_on_from(tmp_path, change, caplog):
    run_train(net(), QUICK, context(tmp_path))
    step, other = change(QUICK, tmp_path)
    seen = []
    run_train(net(), step, dataclasses.replace(other, tell=lambda stage, done, total: seen.append(stage)))
    assert "training epoch 1 of 6" in seen
    assert "begins anew" in caplog.text


def test_batches_do_not_depend_on_threads_or_cache(tmp_path):
    given = context(tmp_path)
    small, large = (dataclasses.replace(QUICK, mixup=0.3, cache_mb=mb) for mb in (0, 64))
    one, many = Feed(given.training, SPEC, small, 0), Feed(given.training, SPEC, large, 0)
    for epoch in (0, 1):
        for a, b in zip(one.epoch(epoch, workers=1), many.epoch(epoch, workers=4), strict=True):
            assert torch.equal(a.images, b.images)
            assert torch.equal(a.labels, b.labels)


def test_frozen_stages_keep_their_weights_and_their_statistics_until_their_time(tmp_path):
    before, last = net(), dataclasses.replace(QUICK, keep="last")
    held = run_train(before, dataclasses.replace(last, frozen={"near": 6}), context(tmp_path)).module
    assert same(before.model.near, held.model.near)
    assert not same(before.model.far, held.model.far)
    scratch = _folder(tmp_path / "second")
    freed = run_train(before, dataclasses.replace(last, frozen={"near": 5}), context(tmp_path, scratch=scratch)).module
    assert not same(before.model.near, freed.model.near)


def test_training_stops_when_validation_does_not_rise(tmp_path):
    step = dataclasses.replace(QUICK, epochs=30, patience=2)
    stepped = run_train(net(), step, context(tmp_path))
    ran, best = int(stepped.figures["epochs"]), int(stepped.figures["kept_epoch"])
    assert ran == best + 2 < 30
    assert stepped.notes == (f"stopped after epoch {ran}: validation top1 did not rise for 2 epochs",)


def test_an_embedding_learns_to_tell_products_apart(tmp_path):
    step = dataclasses.replace(QUICK, epochs=8)
    stepped = run_train(net(outputs=8), step, context(tmp_path, Embedding()))
    assert stepped.figures["validation_top1"] == 1.0
    assert not [name for name in stepped.module.state_dict() if "products" in name]


def test_the_rate_rises_in_a_line_and_falls_along_a_cosine():
    assert [round(pace(done, 2, 10), 3) for done in (0, 1, 2, 6, 10)] == [0, 0.5, 1, 0.5, 0]
    assert pace(0, 0, 4) == 1


REFUSED = [
    ({"patience": 2}, {"validation": None}, {}, r"train: patience needs \[validation\]"),
    ({}, {"training": None}, {}, r"train: there are no pictures to learn from"),
    ({}, {}, {"outputs": 5}, r"train: a classifier of 3 labels gives one output \(1, 3\); this model gives \(1, 5\)"),
    ({"frozen": {"nearr": 1}}, {}, {}, "train: the model has no module 'nearr'; there is near"),
    (
        {"rate": 1e12, "clip": 1e12, "warmup": 0, "ema": 0},
        {},
        {},
        "train: .* its gradient (nan|inf) at .* lower rate",
    ),
    (
        {"frozen": {"near": 9, "far": 9, "last": 9}},
        {},
        {},
        "train: frozen leaves nothing .* in epoch 1",
    ),
    ({"mixup": 0.2}, {"head": Embedding()}, {}, "train: mixup does nothing for a 'embedding' head"),
    ({"metric": CosFace(margin=0.2)}, {}, {}, "train: metric does nothing for a 'softmax' head"),
]


@pytest.mark.parametrize(("settings", "given", "made", "message"), REFUSED)
def test_what_cannot_be_trained_is_refused_in_one_line(tmp_path, settings, given, made, message):
    with pytest.raises(ConversionError, match=message) as error:
        run_train(net(**made), dataclasses.replace(QUICK, **settings), context(tmp_path, **given))
    assert "\n" not in str(error.value)


def test_a_machine_without_memory_for_the_batch_says_so(tmp_path):
    given = context(tmp_path)
    feed = Feed(given.training, SPEC, QUICK, 0)
    hungry = lambda outputs, batch: torch.empty(2**50).sum()  # noqa: E731
    with pytest.raises(ConversionError, match="train: no memory left for a batch of 4x3x24x24 pixels; lower batch"):
        fit("train", net(), hungry, QUICK, given, feed, None)


def test_a_damaged_checkpoint_is_not_gone_on_from(tmp_path, caplog):
    given = context(tmp_path)
    first = run_train(net(), QUICK, given)
    path = given.scratch / "training.pt"
    path.write_bytes(path.read_bytes()[:-100])
    assert same(first.module, run_train(net(), QUICK, given).module)
    assert "is damaged" in caplog.text


def test_pictures_of_one_class_have_nothing_to_tell_apart(tmp_path):
    given = context(tmp_path)
    only = dataclasses.replace(given.training, samples=given.training.samples[:4])
    with pytest.raises(ConversionError, match=r"train: .*training shows one class only, 'blue'"):
        run_train(net(), QUICK, dataclasses.replace(given, training=only))


def test_an_embedding_is_judged_on_two_pictures_of_each_class(tmp_path):
    given = context(tmp_path, Embedding())
    validation = dataclasses.replace(given.validation, samples=given.validation.samples[:5])
    with pytest.raises(ConversionError, match=r"train: \[validation\] needs two pictures of each class.*one of: red"):
        run_train(net(), QUICK, dataclasses.replace(given, validation=validation))


def test_a_damaged_picture_is_named(tmp_path):
    given = context(tmp_path)
    (tmp_path / "training" / "red" / "1.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"red/1\.png"):
        run_train(net(), QUICK, given)


def test_pictures_opened_under_other_labels_are_refused(tmp_path):
    given = context(tmp_path)
    other = open_dataset(DataSpec("imagefolder", "training"), (*LABELS, "more"), tmp_path)
    with pytest.raises(ConversionError, match=r"\[training\] was opened with 4 labels, and the recipe has 3"):
        run_train(net(), QUICK, dataclasses.replace(given, training=other))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"epoch": 3}, "unknown key 'epoch', did you mean 'epochs'"),
        ({"augment": {"area": [0.5, 0.2]}}, "area is two shares of the picture"),
        ({"epochs": 2, "warmup": 3.0}, "warmup is counted in epochs, 0 to 2"),
        ({"frozen": {"features": -1}}, "frozen is a number of epochs"),
        ({"batch": 1}, "batch 2"),
    ],
)
def test_a_wrong_setting_is_named(table, message):
    with pytest.raises(SettingsError, match=message):
        schema.parse(Train, table, "recipe.toml")


def test_fine_tuning_differs_by_its_defaults_only():
    assert schema.parse(FineTune, {"kind": "finetune", "epochs": 2}, "recipe.toml") == FineTune(epochs=2)
    assert FineTune().rate < Train().rate


def test_fine_tuning_under_simulated_int8_gives_a_plain_module_back_also_after_an_interruption(tmp_path):
    step = FineTune(epochs=2, batch=4, int8=Int8Settings(per_channel=False))
    whole = run_train(net(), step, context(tmp_path / "a", scratch=_folder(tmp_path / "a" / "scratch")))
    assert type(whole.module) is type(net())
    assert whole.module.state_dict().keys() == net().state_dict().keys()
    assert not same(whole.module, net())
    assert not same(whole.module, run_train(net(), dataclasses.replace(step, int8=None), context(tmp_path)).module)

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training epoch 2 of 2" and done == 2:
            raise KeyboardInterrupt

    halted = context(tmp_path / "b", scratch=_folder(tmp_path / "b" / "scratch"), tell=stop)
    with pytest.raises(KeyboardInterrupt):
        run_train(net(), step, halted)
    resumed = run_train(net(), step, dataclasses.replace(halted, tell=lambda stage, done, total: None))
    assert same(whole.module, resumed.module)


def test_what_is_frozen_stays_so_under_simulated_int8_and_what_is_not_simulated_is_told(tmp_path):
    given = context(tmp_path)
    torch.manual_seed(0)
    swish = RawOutputs(
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
    )
    for module, frozen, noted in ((net(), "near", False), (swish.eval(), "0", True)):
        step = FineTune(epochs=1, batch=4, rate=0.05, ema=0, int8=Int8Settings(), frozen={frozen: 1})
        stepped = run_train(module, step, given)
        after = dict(stepped.module.named_parameters())
        moved = {name for name, each in module.named_parameters() if not torch.equal(each, after[name])}
        assert moved
        assert not [name for name in moved if name.startswith(f"model.{frozen}.")]
        assert any("stayed in float in training" in note for note in stepped.notes) is noted
    with pytest.raises(ConversionError, match="finetune: the model has no module 'nearer'; there is near"):
        run_train(net(), FineTune(epochs=1, batch=4, int8=Int8Settings(), frozen={"nearer": 1}), given)
