"""How much each channel is worth, and which ones go first.

A channel's worth is what the weights that go with it add up to, divided by the mean over all channels that hang
together, so that layers can be ranked against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch_pruning.pruner import function as surgery

from edgekit.converters.prune.channels import MAKES, READS, Plan, Wired, input_dim
from edgekit.errors import ConversionError

Importance: TypeAlias = Literal["magnitude", "group-norm", "taylor", "bn-scale"]
_NORMS = (surgery.prune_batchnorm_out_channels,)
_DEPTHWISE = (surgery.prune_depthwise_conv_out_channels,)

# Which layers of a set count, and what each weight of theirs adds.
_Rule: TypeAlias = tuple[tuple[Any, ...], Callable[[nn.Parameter], Tensor]]
_RULES: dict[Importance, _Rule] = {
    "magnitude": (MAKES, lambda weight: weight.abs()),
    "group-norm": (MAKES + READS + _NORMS + _DEPTHWISE, lambda weight: weight**2),
    "taylor": (MAKES + READS + _NORMS + _DEPTHWISE, lambda weight: (weight * _gradient(weight)).abs()),
    "bn-scale": (_NORMS, lambda weight: weight.abs()),
}


@torch.no_grad()
def worth_of(wired: Wired, layer: str, importance: Importance) -> Tensor | None:
    """(channels,) float32 of the channels that `layer` makes, about 1.0 on average; None where nothing tells, as
    without a batch norm nothing tells the 'bn-scale'.
    """
    handlers, rule = _RULES[importance]
    group = wired.coupled(layer)
    total, told = torch.zeros(len(group[0].idxs)), False
    for item in group:
        dep, indices = item
        weight = getattr(dep.target.module, "weight", None)
        if dep.handler in handlers and weight is not None and None not in item.root_idxs:
            dim = input_dim(dep.target.module) if dep.handler in READS else _output_dim(dep.target.module)
            each = rule(weight).transpose(0, dim).flatten(1).sum(1) if weight.dim() > 1 else rule(weight)
            total.index_add_(0, torch.tensor(item.root_idxs), each[indices])
            told = True
    return total / total.mean().clamp_min(1e-12) if told else None


def plan_of(worth: Mapping[str, Tensor], share: float, round_to: int, *, across: bool) -> Plan:
    """The least worthy `share` of all channels (across layers, or of each layer) as far as rounding lets them go.

    What stays of a layer is the nearest multiple of `round_to` or all of it: no layer is emptied, and one that is no
    wider than `round_to` stays whole.
    """
    if across:
        ranked = torch.cat([torch.empty(0), *worth.values()]).sort().values
        gone = round(share * len(ranked))
        limit = ranked[gone - 1] if gone else torch.tensor(-1.0)
        left = {layer: int((each > limit).sum()) for layer, each in worth.items()}
    else:
        left = {layer: round((1 - share) * len(each)) for layer, each in worth.items()}
    plan = {}
    for layer, each in worth.items():
        widths = (*range(round_to, len(each), round_to), len(each))
        stays = min(widths, key=lambda width: (abs(width - left[layer]), -width))
        if stays < len(each):
            plan[layer] = sorted(each.argsort(stable=True)[: len(each) - stays].tolist())
    return plan


def _output_dim(layer: nn.Module) -> int:
    return 1 if getattr(layer, "transposed", False) else 0


def _gradient(weight: nn.Parameter) -> Tensor:
    if weight.grad is None:
        raise ConversionError("prune: the training loss left no gradient on a layer, so taylor knows nothing of it")
    return weight.grad
