"""Training on a GPU: what is learnt there is what the CPU learns, and it comes back to the CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from coloured import context, net
from safetensors.torch import save_file
from test_train_detection_steps import GENTLE
from test_train_detection_steps import Net as Detector
from test_train_detection_steps import context as shelf
from torch import nn

from edgekit.contract import Embedding, Yolo
from edgekit.converters.load import ModelSpec
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.steps import StepContext, Stepped
from edgekit.converters.train import Augment, Distill, FineTune, Train, run_distill, run_train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")

QUICK = Train(epochs=6, batch=4, rate=0.1, augment=Augment(area=(0.7, 1.0)))
TEACHER = ModelSpec(torch="coloured:Net", weights="teacher.safetensors", arguments={"width": 10})

Job = Callable[[Path, torch.device], Stepped]


def scratch(given: StepContext, device: torch.device, **changes: object) -> StepContext:
    """The same work on `device`, in a scratch folder of its own."""
    folder = given.scratch / device.type
    folder.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(given, device=device, scratch=folder, **changes)


def still(outputs: int = 3) -> nn.Module:
    """Without its dropout: a GPU draws other numbers from the same seed."""
    module = net(outputs=outputs)
    module.model.drop.p = 0.0
    return module


def classifier(folder: Path, device: torch.device) -> Stepped:
    return run_train(still(), dataclasses.replace(QUICK, frozen={"near": 2}), scratch(context(folder), device))


def embedding(folder: Path, device: torch.device) -> Stepped:
    return run_train(still(outputs=8), QUICK, scratch(context(folder, Embedding()), device))


def distilled(folder: Path, device: torch.device) -> Stepped:
    given = context(folder)
    save_file(net(seed=3, width=10).model.state_dict(), folder / "teacher.safetensors")
    pairs = (("near", "near"), ("far.1", "far.1"))
    step = Distill(teacher=TEACHER, features=pairs, epochs=6, batch=4, rate=0.1, augment=QUICK.augment)
    return run_distill(still(), step, scratch(given, device))


def under_int8(folder: Path, device: torch.device) -> Stepped:
    return run_train(still(), FineTune(epochs=2, batch=4, int8=Int8Settings()), scratch(context(folder), device))


def detector(folder: Path, device: torch.device) -> Stepped:
    torch.manual_seed(0)
    step = Train(epochs=2, batch=4, optimizer="adamw", rate=1e-3, ema=0.9, augment=GENTLE)
    return run_train(Detector(), step, scratch(shelf(folder, Yolo(score=0.3)), device))


def detector_distilled(folder: Path, device: torch.device) -> Stepped:
    given = shelf(folder, Yolo(score=0.3))
    torch.manual_seed(1)
    save_file(Detector().state_dict(), folder / "teacher.safetensors")
    torch.manual_seed(0)
    student = Detector()
    spec = ModelSpec(torch="test_train_detection_steps:Net", weights="teacher.safetensors")
    step = Distill(teacher=spec, alpha=0.5, epochs=2, batch=4, optimizer="adamw", rate=1e-3, augment=GENTLE)
    return run_distill(student, step, scratch(given, device))


@pytest.mark.parametrize(
    "job", [classifier, embedding, distilled, under_int8, detector, detector_distilled], ids=lambda job: job.__name__
)
def test_a_step_on_the_gpu_learns_what_it_learns_on_the_cpu_and_gives_a_module_of_the_cpu_back(job: Job, tmp_path):
    cpu, gpu = (job(tmp_path, torch.device(name)) for name in ("cpu", "cuda"))
    assert {each.device.type for each in gpu.module.state_dict().values()} == {"cpu"}
    assert gpu.figures["train_loss"] == pytest.approx(cpu.figures["train_loss"], rel=0.03)
    assert gpu.figures.keys() == cpu.figures.keys()
    for name, value in cpu.module.state_dict().items():
        assert _apart(gpu.module.state_dict()[name], value) < 0.05, name


def _apart(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The root mean square of the difference, as a part of that of `theirs`."""
    return float((ours.float() - theirs.float()).norm() / theirs.float().norm().clamp(min=1e-3))


def test_a_training_that_was_interrupted_on_the_gpu_goes_on_there_to_the_same_weights(tmp_path):
    whole = run_train(net(), QUICK, scratch(context(tmp_path), torch.device("cuda")))

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training epoch 4 of 6":
            raise KeyboardInterrupt

    given = scratch(context(tmp_path / "again"), torch.device("cuda"))
    with pytest.raises(KeyboardInterrupt):
        run_train(net(), QUICK, dataclasses.replace(given, tell=stop))
    assert _same(whole.module, run_train(net(), QUICK, given).module)


def _same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
