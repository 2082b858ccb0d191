"""Which parts of a model stay as they are in an epoch: unfreezing stage by stage."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from torch import nn

from edgekit.converters.load import RawOutputs
from edgekit.converters.quantize.aware import QuantizationAware
from edgekit.errors import ConversionError


def named_module(model: nn.Module, name: str, step: str) -> nn.Module:
    """The module of the caller's net that is called `name`; `ConversionError` with the nearest names where none is."""
    own: nn.Module = model.module if isinstance(model, QuantizationAware) else model
    own = own.model if isinstance(own, RawOutputs) else own
    modules: dict[str, nn.Module] = dict(own.named_modules())
    if not name or name not in modules:
        near = difflib.get_close_matches(name, modules, n=3) or [each for each in modules if each][:5]
        raise ConversionError(f"{step}: the model has no module '{name}'; there is {', '.join(near)}")
    return modules[name]


def set_mode(model: nn.Module, frozen: Mapping[str, int], epoch: int, step: str) -> None:
    """Training mode, but for what `frozen` holds still in this epoch, counted from 0.

    A frozen module gets no gradient and is in eval mode: its batch norms keep their statistics. Of nested names the
    inner one decides. `ConversionError` where nothing is left to learn.
    """
    model.train().requires_grad_(True)
    for name in sorted(frozen, key=lambda each: each.count(".")):
        learns = epoch >= frozen[name]
        named_module(model, name, step).train(learns).requires_grad_(learns)
    if not any(each.requires_grad for each in model.parameters()):
        raise ConversionError(f"{step}: frozen leaves nothing of the model to learn in epoch {epoch + 1}")
