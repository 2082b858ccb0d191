"""Which channels go, that nothing else changes, and that a net which would suffer for it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_nets import SPEC, Counted, Excited, Joined, Residuals, Shuffled, TwoMaps, conv, settled
from torch import Tensor, nn

from edgekit import schema
from edgekit.contract import InputSpec
from edgekit.converters.export import example_of
from edgekit.converters.load import RawOutputs
from edgekit.converters.prune import Prune
from edgekit.converters.prune.channels import cut, difference, prunable, wire
from edgekit.converters.prune.cost import multiply_adds
from edgekit.converters.prune.importance import plan_of, worth_of
from edgekit.converters.prune.search import Pruned, Search
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.errors import ConversionError, SettingsError

EXAMPLE = example_of(SPEC)
HALF = Prune(macs=0.5, round_to=8, importance="group-norm")


def search(net: nn.Module, step: Prune = HALF, gradients=None) -> Search:
    return Search(net, step, SPEC, gradients)


def outputs(net: nn.Module) -> list[Tensor]:
    with torch.no_grad():
        found = net(EXAMPLE)
    return [found] if isinstance(found, Tensor) else list(found)


NETS = {net.__name__: net for net in (Residuals, TwoMaps, Joined, Excited)}


@pytest.fixture(scope="module", params=NETS)
def halved(request) -> tuple[nn.Module, Pruned]:
    net = settled(NETS[request.param]())
    return net, search(net).at_most(0.5)


def test_what_stays_is_what_was_asked_for_and_each_width_is_a_multiple(halved):
    net, pruned = halved
    assert pruned.share == multiply_adds(pruned.module, EXAMPLE) / multiply_adds(net, EXAMPLE) <= 0.5
    whole = dict(net.named_modules())
    for name in pruned.plan:
        left = pruned.module.get_submodule(name)
        width = left.out_features if isinstance(left, nn.Linear) else left.out_channels
        assert width % 8 == 0
        assert type(left) is type(whole[name])


def test_the_outputs_and_the_picture_keep_their_shapes(halved):
    net, pruned = halved
    assert [each.shape for each in outputs(pruned.module)] == [each.shape for each in outputs(net)]
    assert not pruned.module.training


def test_the_module_that_was_given_is_left_as_it_was(halved):
    net, pruned = halved
    fresh = settled(type(net)())
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in net.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in pruned.module.parameters())


def test_the_mildest_pruning_that_reaches_the_goal_is_taken():
    found = search(settled(Joined()))
    pruned = found.at_most(0.5)
    milder = next(each for gone in range(256, -1, -4) if (each := found._pruned(gone)).share > 0.5)
    assert sum(map(len, milder.plan.values())) < sum(map(len, pruned.plan.values()))
    assert found.at_most(pruned.share).plan == pruned.plan


def two_layers() -> nn.Sequential:
    return settled(nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 10, 3)))


def test_the_filters_with_the_least_sum_of_absolute_weights_go():
    net = two_layers()
    plan = search(net, Prune(macs=0.5, importance="magnitude")).at_most(0.5).plan
    sums = np.abs(net[0].weight.detach().numpy()).sum((1, 2, 3))
    assert plan == {"0": sorted(np.argsort(sums)[:16].tolist())}


def test_filters_of_zeros_go_and_the_answer_stays_the_same():
    net = two_layers()
    idle = torch.randperm(32, generator=torch.Generator().manual_seed(3))[:16]
    with torch.no_grad():
        net[0].weight[idle], net[0].bias[idle] = 0.0, 0.0
    pruned = search(net, Prune(macs=0.5, importance="group-norm")).at_most(0.5)
    assert pruned.plan == {"0": sorted(idle.tolist())}
    assert torch.equal(pruned.module[0].weight, net[0].weight[[i for i in range(32) if i not in idle]])
    torch.testing.assert_close(outputs(pruned.module), outputs(net), rtol=1e-4, atol=1e-4)


def test_batch_norm_scales_say_what_goes():
    net = settled(nn.Sequential(conv(3, 32), nn.Conv2d(32, 10, 3)))
    plan = search(net, Prune(macs=0.5, importance="bn-scale")).at_most(0.5).plan
    assert plan == {"0.0": sorted(net[0][1].weight.abs().argsort()[:16].tolist())}
    with pytest.raises(ConversionError, match="stay whole, such as '0': nothing tells the bn-scale of its channels"):
        search(two_layers(), Prune(macs=0.5, importance="bn-scale"))


def test_what_the_loss_does_not_see_goes_first():
    net = two_layers()

    def gradients(module: nn.Module) -> None:
        seen = module[0](torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1)))
        module[2](seen * (torch.arange(32) % 2).view(1, -1, 1, 1)).square().mean().backward()

    plan = search(net, Prune(macs=0.5, importance="taylor"), gradients).at_most(0.5).plan
    assert plan == {"0": list(range(0, 32, 2))}
    assert all(parameter.grad is None for parameter in net.parameters())
    with pytest.raises(ConversionError, match="left no gradient"):
        search(net, Prune(macs=0.5, importance="taylor"), lambda module: None)


@pytest.mark.parametrize(
    ("share", "across", "left"),
    [
        (0.0, True, (32, 24)),
        (0.4, True, (16, 24)),  # 22 of 56 channels, all of the first layer: 10 stay
        (0.5, False, (16, 16)),  # 16 and 12 stay
        (0.3, False, (16, 16)),  # 22 and 17
        (0.1, False, (32, 24)),  # 29 and 22: nearer to the whole than to 16
        (1.0, True, (16, 16)),  # nothing is emptied
    ],
)
def test_what_stays_is_rounded(share, across, left):
    worth = {"a": torch.arange(32.0), "b": 30.0 + torch.arange(24.0)}
    plan = plan_of(worth, share, 16, across=across)
    assert (32 - len(plan.get("a", ())), 24 - len(plan.get("b", ()))) == left
    assert all(list(gone) == list(range(len(gone))) for gone in plan.values())


def test_multiply_adds_are_those_of_the_paper_and_of_a_count_by_hand():
    spec = InputSpec(224, 224)
    net = import_torchvision().models.mobilenet_v2(weights=None).eval()
    assert multiply_adds(net, example_of(spec)) == pytest.approx(300.8e6, rel=1e-3)
    by_hand = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Flatten(), nn.Linear(8 * 28 * 36, 5))
    want = 30 * 38 * 8 * 27 + 28 * 36 * 8 * 9 + 8 * 28 * 36 * 5
    assert multiply_adds(by_hand, EXAMPLE) == want


@pytest.mark.parametrize(("net", "layer"), [(Counted, "second.0"), (Shuffled, "first.0")])
def test_layers_whose_channels_the_net_counts_on_are_left_whole_with_the_reason(net, layer):
    found = search(settled(net()), Prune(macs=0.9, importance="group-norm"))
    assert list(found.refused) == [layer]
    pruned = found.at_most(0.9)
    assert pruned.plan
    assert layer not in pruned.plan
    with pytest.raises(ConversionError, match=f"cannot be reached: 0.* stay .* 1 stay whole, such as '{layer}': "):
        found.at_most(0.1)


def test_a_net_that_counts_on_all_its_channels_is_refused_by_name():
    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = conv(3, 32, stride=8), nn.Linear(32, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x).view(-1, 32, 20).mean(2))

    with pytest.raises(ConversionError, match=r"no channels of RawOutputs of Written can go; those of 'model.body.0'"):
        search(RawOutputs(settled(Written())).eval())


def test_a_net_that_leaves_torch_on_its_way_cannot_be_traced():
    class Leaving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = conv(3, 32)

        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(self.body(x).numpy())

    with pytest.raises(ConversionError, match="prune: Leaving of Sequential cannot be traced: Can't call numpy"):
        search(Leaving().eval())


def test_a_net_that_lost_other_channels_than_planned_is_caught():
    net = settled(Joined())
    wired = wire(net, EXAMPLE)
    right, wrong = {"left.0": [0, 1, 2]}, {"left.0": [0, 1, 3]}
    assert difference(wired, cut(net, right, EXAMPLE), right, EXAMPLE) is None
    found = difference(wired, cut(net, wrong, EXAMPLE), right, EXAMPLE)
    assert found == "output 0 would be computed from other channels"


def test_checking_a_cut_leaves_the_weights_as_they_were():
    net = settled(Joined())
    wired = wire(net, EXAMPLE)
    difference(wired, cut(net, {"left.0": [0, 1]}, EXAMPLE), {"left.0": [0, 1]}, EXAMPLE)
    assert all(torch.equal(value, wired.module.state_dict()[name]) for name, value in net.state_dict().items())


def test_layers_to_keep_are_kept_with_all_that_hangs_on_them():
    net = settled(Residuals())
    wired = wire(net, EXAMPLE)
    assert set(prunable(wired, EXAMPLE)[0]) == {"last.0", "way.2.0", "way.1.0"}
    assert set(prunable(wired, EXAMPLE, ("stem",))[0]) == {"last.0", "way.1.0"}  # the residual adds to the stem
    with pytest.raises(SettingsError, match=r"no layer is named 'backbone\.\*'; there are stem, "):
        prunable(wired, EXAMPLE, ("backbone.*",))
    with pytest.raises(ConversionError, match="no channels that can go"):
        prunable(wired, EXAMPLE, ("stem", "way.*", "last"))


def test_grouped_convolutions_and_free_parameters_stay_whole():
    class Grouped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.grouped, self.scale = (
                conv(3, 32),
                conv(32, 32, groups=4),
                nn.Parameter(torch.ones(32, 1, 1)),
            )
            self.plain, self.head = conv(32, 32), nn.Conv2d(32, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.plain(self.grouped(self.stem(x)) * self.scale))

    assert set(prunable(wire(settled(Grouped()), EXAMPLE), EXAMPLE)[0]) == {"plain.0"}


def test_a_net_in_training_mode_is_a_wrong_argument():
    with pytest.raises(ValueError, match=r"call module\.eval"):
        search(two_layers().train())


def test_a_net_that_is_narrow_already_says_so():
    net = settled(nn.Sequential(conv(3, 16), conv(16, 12), nn.Conv2d(12, 10, 1)))
    with pytest.raises(ConversionError, match="none of the 2 layers that could give channels has more than 16"):
        search(net, Prune(macs=0.9, importance="group-norm"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ({"macs": 0.6}, None),
        ({"speedup": 1.5, "importance": "magnitude", "keep": ["model.0"], "measure": "tflite"}, None),
        ({}, "one goal"),
        ({"macs": 0.6, "speedup": 1.5}, "one goal"),
        ({"macs": 1.0}, "between 0 and 1"),
        ({"speedup": 1.0}, "more than 1"),
        ({"macs": 0.6, "round_to": 0}, "round_to"),
        ({"macs": 0.6, "importance": "random"}, "importance"),
        ({"macs": 0.6, "ratio": 0.5}, "ratio"),
    ],
)
def test_settings_are_read_as_they_are_meant(text, fault):
    if fault is None:
        assert isinstance(schema.parse(Prune, text, "recipe.toml"), Prune)
    else:
        with pytest.raises(SettingsError, match=fault):
            schema.parse(Prune, text, "recipe.toml")


def test_worth_is_about_one_on_average_so_that_layers_can_be_compared():
    net = settled(TwoMaps())
    wired = wire(net, EXAMPLE)
    for layer in prunable(wired, EXAMPLE)[0]:
        worth = worth_of(wired, layer, "group-norm")
        assert worth is not None
        assert float(worth.mean()) == pytest.approx(1.0)
