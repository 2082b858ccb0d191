"""Real detectors, one brought from ONNX and one of torchvision, lose channels and still run where they are sent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from untrained import confident, own_spec

from edgekit.contract import InputSpec, Ssd
from edgekit.converters.export import example_of, outputs_of
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.load import RawOutputs
from edgekit.converters.onnx_to_torch import import_onnx
from edgekit.converters.prune import Prune
from edgekit.converters.prune.search import Pruned, Search
from edgekit.converters.shapes import take_shapes
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.converters.torchvision_ssd import raw_ssd
from edgekit.engines import open_session
from edgekit.plan import ENGINES, EnginePlan

SIZE = InputSpec(352, 352, fit="stretch", colour="BGR")


@pytest.fixture(scope="module")
def fastestdet(data) -> tuple[nn.Module, Search, Pruned]:
    net = RawOutputs(import_onnx(data / "models" / "fastestdet_coco.onnx", SIZE.shape)).eval()
    search = Search(net, Prune(macs=0.6, importance="group-norm"), SIZE)
    return net, search, search.at_most(0.6)


def test_an_imported_detector_gives_what_its_shuffles_allow(fastestdet):
    """Channels that a shuffle interleaves by a number written in the file stay; those inside of its blocks go."""
    net, search, pruned = fastestdet
    assert 0.5 < pruned.share <= 0.6
    assert search.refused
    assert not set(search.refused) & set(pruned.plan)
    assert [each.shape for each in outputs_of(pruned.module, example_of(SIZE))] == [
        each.shape for each in outputs_of(net, example_of(SIZE))
    ]


@pytest.mark.parametrize("export", [to_onnx, to_tflite])
def test_a_pruned_imported_detector_runs_in_its_engine_and_says_the_same(fastestdet, export):
    pruned = fastestdet[2].module
    exported = export(pruned, SIZE)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 352, 352, 3), np.uint8)
    picture = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() * SIZE.scale
    with open_session(exported.artifact, EnginePlan(ENGINES[exported.artifact.format][0])) as session:
        answers = session.run(pixels)
    for want, got in zip(outputs_of(pruned, picture), answers, strict=True):
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-2, atol=1e-3)


def test_a_pruned_imported_detector_comes_back_from_its_tensors(fastestdet, data):
    pruned = fastestdet[2].module
    fresh = RawOutputs(import_onnx(data / "models" / "fastestdet_coco.onnx", SIZE.shape)).eval()
    take_shapes(fresh, pruned.state_dict())
    fresh.load_state_dict(pruned.state_dict())
    for want, got in zip(outputs_of(pruned, example_of(SIZE)), outputs_of(fresh, example_of(SIZE)), strict=True):
        assert torch.equal(want, got)


def test_an_ssd_of_torchvision_keeps_its_logits_and_boxes():
    ssd = confident(import_torchvision().models.detection.ssdlite320_mobilenet_v3_large)
    net, _ = raw_ssd(ssd, own_spec(ssd), Ssd())
    search = Search(net.eval(), Prune(macs=0.7, importance="group-norm"), own_spec(ssd))
    assert not search.refused
    pruned = search.at_most(0.7)
    assert pruned.share <= 0.7
    want, got = (outputs_of(each, example_of(own_spec(ssd))) for each in (net, pruned.module))
    assert [each.shape for each in got] == [each.shape for each in want]
    made = {name for name, layer in pruned.module.named_modules() if isinstance(layer, nn.Conv2d)}
    assert all(pruned.module.get_submodule(name).out_channels % 16 == 0 for name in pruned.plan if name in made)
