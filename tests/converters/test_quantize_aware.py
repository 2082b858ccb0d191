"""Training under simulated INT8: the simulation is the INT8 file, and what it learns is worth something there."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.contract import InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.aware import Rounded, finish, prepare
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.engines import open_session
from edgekit.plan import EnginePlan
from edgekit.preprocess import preprocess


@pytest.fixture(scope="module")
def tensors(raw_pictures: list[np.ndarray], spec: InputSpec) -> list[np.ndarray]:
    return [preprocess(np.ascontiguousarray(each[0]), spec)[0] for each in raw_pictures]


def run(exported: Exported, tensors: list[np.ndarray]) -> torch.Tensor:
    with open_session(exported.artifact, EnginePlan("onnxruntime")) as session:
        return torch.from_numpy(np.concatenate([session.run(tensor)[0] for tensor in tensors]))


def first_of(answers: list[Any]) -> torch.Tensor:
    return torch.cat([each if isinstance(each, torch.Tensor) else each[0] for each in answers])


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("net", ["classifier", "detector"])
def test_the_simulation_answers_as_the_int8_file_does(
    net: str, per_channel: bool, spec: InputSpec, tensors: list[np.ndarray], request: pytest.FixtureRequest
) -> None:
    module: nn.Module = request.getfixturevalue(net)
    settings = Int8Settings(per_channel=per_channel)
    int8 = run(quantize_onnx(to_onnx(module, spec, raw=False), tensors[:8], settings), tensors[8:])
    prepared = prepare(module, spec, tensors[:8], settings).eval()
    with torch.no_grad():
        simulated, plain = ([call(torch.from_numpy(each)) for each in tensors[8:]] for call in (prepared, module))
    apart = [float((first_of(each) - int8).square().mean()) for each in (simulated, plain)]
    assert prepared.unmatched == ()
    assert apart[0] < apart[1] / 10


def test_what_stays_in_float_is_not_rounded_in_the_simulation(
    classifier: nn.Module, spec: InputSpec, tensors: list[np.ndarray]
) -> None:
    prepared = prepare(classifier, spec, tensors[:4], Int8Settings(keep_float=("*",)))
    assert not [each for each in prepared.modules() if isinstance(each, Rounded)]
    with torch.no_grad():
        picture = torch.from_numpy(tensors[0])
        assert torch.allclose(prepared(picture), classifier(picture), atol=1e-4)


def test_batches_of_any_size_pass_and_gradients_reach_every_weight(
    classifier: nn.Module, spec: InputSpec, tensors: list[np.ndarray]
) -> None:
    prepared = prepare(classifier, spec, tensors[:4]).train()
    prepared(torch.from_numpy(np.concatenate(tensors[:6]))).square().sum().backward()
    names = {name for name, _ in classifier.named_parameters()}
    assert {name.removeprefix("graph.") for name, _ in prepared.named_parameters()} == names
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in prepared.parameters())


def test_nothing_learned_is_nothing_changed(classifier: nn.Module, spec: InputSpec, tensors: list[np.ndarray]) -> None:
    before = copy.deepcopy(classifier.state_dict())
    finished = finish(prepare(classifier, spec, tensors[:4]))
    assert type(finished) is type(classifier)
    assert all(torch.equal(value, before[name]) for name, value in finished.state_dict().items())


def trained(module: nn.Module, wanted: torch.Tensor, pictures: torch.Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    pace = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        (module(pictures) - wanted).square().mean().backward()
        optimizer.step()
        pace.step()


def uneven() -> nn.Module:
    """Half of the depthwise weights are a hundred times larger, on channels that are as much smaller."""
    torch.manual_seed(0)
    before, depthwise = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
    with torch.no_grad():
        for tensor in (before.weight, before.bias):
            tensor[:4] /= 100
        depthwise.weight[:4] *= 100
    return nn.Sequential(before, nn.ReLU(), depthwise, nn.ReLU(), nn.Conv2d(8, 4, 3)).eval()


def test_training_wins_back_what_one_scale_for_all_channels_lost(spec: InputSpec, tensors: list[np.ndarray]) -> None:
    """The float net's answers are what is to be learned; the INT8 files before and after are run by the engine."""
    coarse, module = Int8Settings(per_channel=False), uneven()
    pictures = torch.from_numpy(np.concatenate(tensors[:16]))
    with torch.no_grad():
        wanted = module(pictures)

    def error(net: nn.Module) -> float:
        int8 = quantize_onnx(to_onnx(net, spec, raw=False), tensors[:16], coarse)
        return float((run(int8, tensors[:16]) - wanted).square().mean())

    prepared = prepare(module, spec, tensors[:16], coarse).train()
    trained(prepared, wanted, pictures, steps=100)
    assert error(finish(prepared)) < error(module) * 0.7
