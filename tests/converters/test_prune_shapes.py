"""A pruned model comes back from its tensors alone."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load, save
from small_nets import SPEC, Excited, Joined, Residuals, TwoMaps, settled
from torch import nn

from edgekit.converters.export import example_of, outputs_of
from edgekit.converters.prune import Prune
from edgekit.converters.prune.search import Search
from edgekit.converters.shapes import take_shapes
from edgekit.errors import ConversionError


@pytest.mark.parametrize("kind", [Residuals, TwoMaps, Joined, Excited])
def test_a_fresh_module_takes_pruned_weights_and_answers_the_same(kind):
    step = Prune(macs=0.4, round_to=8, importance="group-norm")
    pruned = Search(settled(kind()), step, SPEC).at_most(0.4).module
    stored = load(save(pruned.state_dict()))
    fresh = kind().eval()
    take_shapes(fresh, stored)
    fresh.load_state_dict(stored)
    want, got = (outputs_of(net, example_of(SPEC)) for net in (pruned, fresh))
    assert all(torch.equal(a, b) for a, b in zip(want, got, strict=True))
    assert repr(fresh) == repr(pruned)  # every layer says the same of its channels and groups


@pytest.mark.parametrize(
    ("wide", "narrow", "shape"),
    [
        (nn.Conv2d(8, 8, 3), nn.Conv2d(4, 6, 3), (1, 4, 5, 5)),
        (nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(4, 4, 3, groups=4), (1, 4, 5, 5)),
        (nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(4, 8, 3, groups=4), (1, 4, 5, 5)),
        (nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(4, 6, 3, groups=2), (1, 4, 5, 5)),
        (nn.ConvTranspose2d(8, 6, 2), nn.ConvTranspose2d(4, 3, 2), (1, 4, 5, 5)),
        (nn.ConvTranspose2d(8, 8, 2, groups=8), nn.ConvTranspose2d(4, 4, 2, groups=4), (1, 4, 5, 5)),
        (nn.Linear(8, 6, bias=False), nn.Linear(4, 3, bias=False), (1, 4)),
        (nn.BatchNorm2d(8), nn.BatchNorm2d(4), (2, 4, 5, 5)),
        (nn.LayerNorm(8), nn.LayerNorm(4), (1, 4)),
        (nn.PReLU(8), nn.PReLU(4), (1, 4, 5, 5)),
    ],
    ids=lambda each: str(each) if isinstance(each, nn.Module) else "",
)
def test_each_kind_of_layer_takes_fewer_channels(wide, narrow, shape):
    take_shapes(wide, narrow.state_dict())
    wide.load_state_dict(narrow.state_dict())
    x = torch.randn(shape)
    assert torch.equal(wide.eval()(x), narrow.eval()(x))
    assert repr(wide) == repr(narrow)


@pytest.mark.parametrize(
    ("layer", "other", "fault"),
    [
        (nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 5), "'0' .Conv2d. has weight .*more than a number of channels differs"),
        (nn.Linear(8, 8), nn.Conv2d(8, 4, 1), "more than a number of channels differs"),
        (nn.GroupNorm(2, 8), nn.GroupNorm(2, 4), "only convolutions, linear layers, .* can change"),
        (nn.Embedding(8, 8), nn.Embedding(4, 8), "'0' .Embedding. has weight .4, 8., not .8, 8.: only"),
    ],
)
def test_what_is_no_pruned_form_of_a_layer_is_refused_and_nothing_is_resized(layer, other, fault):
    net, given = nn.Sequential(layer, nn.Linear(6, 6)), nn.Sequential(other, nn.Linear(6, 4)).state_dict()
    before = repr(net)
    with pytest.raises(ConversionError, match=fault):
        take_shapes(net, given)
    assert repr(net) == before
    assert net[1].weight.shape == (6, 6)


def test_tensors_of_one_layer_must_agree():
    torn = {"weight": torch.zeros(4, 8), "bias": torch.zeros(5)}
    with pytest.raises(ConversionError, match="by its weight it has 4 channels, bias differs"):
        take_shapes(nn.Linear(8, 8), torn)


def test_a_layer_that_was_not_pruned_keeps_its_own_tensors():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    weight = net[0].weight
    take_shapes(net, nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)).state_dict())
    assert net[0].weight is weight
    assert net[1].weight.requires_grad
