"""A freshly made module takes the shapes of pruned weights, so that a pruned model is stored as tensors alone.

    module = load_model(...).module
    take_shapes(module, tensors)
    module.load_state_dict(tensors)

Pruning removes channels and changes nothing else: how many each layer has left can be read from its tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from edgekit.errors import ConversionError

# Name of a tensor of a layer -> its shape in the weights.
_Shapes: TypeAlias = Mapping[str, torch.Size]


def take_shapes(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Resizes the layers of `module` to `tensors`, its pruned state dict by name; load them afterwards.

    Convolutions (depthwise ones with their groups), transposed convolutions, linear layers, batch norms, layer norms
    over one dimension and PReLUs can change; what is resized holds nothing until it is loaded. `ConversionError` where
    any other layer has another shape or more than a number of channels differs; nothing is resized then. Names that
    only one side has are left for `load_state_dict` to refuse.
    """
    changes = [(layer, given, _attributes(name, layer, given)) for name, layer, given in _differing(module, tensors)]
    for layer, given, attributes in changes:
        for attribute, value in attributes.items():
            setattr(layer, attribute, value)
        for key, shape in given.items():
            _resize(layer, key, shape)


def can_shrink(layer: nn.Module) -> bool:
    """Whether `take_shapes` knows layers of this kind."""
    return any(isinstance(layer, kind) for kind in _KINDS)


def _differing(module: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, nn.Module, _Shapes]]:
    """Each layer that has another shape than its tensors, and their shapes."""
    for name, layer in module.named_modules():
        own = {**dict(layer.named_parameters(recurse=False)), **dict(layer.named_buffers(recurse=False))}
        prefix = f"{name}." if name else ""
        given = {key: tensors[prefix + key].shape for key in own if prefix + key in tensors}
        if any(shape != own[key].shape for key, shape in given.items()):
            yield name, layer, given


def _attributes(name: str, layer: nn.Module, given: _Shapes) -> dict[str, Any]:
    """What a layer of these shapes calls its channels; `ConversionError` where there is no such layer."""
    own = {key: getattr(layer, key).shape for key in given}
    differ = ", ".join(f"{key} {tuple(given[key])}, not {tuple(own[key])}" for key in given if given[key] != own[key])
    what = f"'{name}' ({type(layer).__name__}) has {differ}"
    resized = next((resized for kind, resized in _KINDS.items() if isinstance(layer, kind)), None)
    if resized is None:
        raise ConversionError(
            f"{what}: only convolutions, linear layers, batch norms, layer norms and PReLUs can change their channels"
        )
    if "weight" not in given or len(given["weight"]) != len(own["weight"]) or own["weight"][2:] != given["weight"][2:]:
        raise ConversionError(f"{what}: more than a number of channels differs")
    channels, attributes = resized(layer, given["weight"])
    vectors = [key for key, shape in own.items() if key != "weight" and len(shape) == 1]
    wrong = [key for key in vectors if given[key] != (channels,)]
    if wrong:
        raise ConversionError(f"{what}: by its weight it has {channels} channels, {' and '.join(wrong)} differs")
    return attributes


def _resize(layer: nn.Module, key: str, shape: torch.Size) -> None:
    tensor = getattr(layer, key)
    empty = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
    setattr(layer, key, nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty)


# Each of these: from a layer and its weight's new shape to its number of output channels and its attributes.


def _convolution(layer: Any, weight: torch.Size) -> tuple[int, dict[str, Any]]:
    """Depthwise convolutions keep their outputs a group and change their groups; all others keep their groups."""
    groups = layer.groups
    if layer.transposed:
        groups = weight[0] if _is_depthwise(layer) else groups
        made, read = weight[1] * groups, weight[0]
    else:
        groups = weight[0] // (layer.out_channels // groups) if _is_depthwise(layer) else groups
        made, read = weight[0], weight[1] * groups
    return made, {"in_channels": read, "out_channels": made, "groups": groups}


def _linear(layer: Any, weight: torch.Size) -> tuple[int, dict[str, Any]]:
    return weight[0], {"in_features": weight[1], "out_features": weight[0]}


def _batch_norm(layer: Any, weight: torch.Size) -> tuple[int, dict[str, Any]]:
    return weight[0], {"num_features": weight[0]}


def _layer_norm(layer: Any, weight: torch.Size) -> tuple[int, dict[str, Any]]:
    return weight[0], {"normalized_shape": tuple(weight)}


def _prelu(layer: Any, weight: torch.Size) -> tuple[int, dict[str, Any]]:
    return weight[0], {"num_parameters": weight[0]}


def _is_depthwise(layer: Any) -> bool:
    return bool(layer.groups > 1 and layer.groups == layer.in_channels)


_KINDS: dict[type[nn.Module], Callable[[Any, torch.Size], tuple[int, dict[str, Any]]]] = {
    _ConvNd: _convolution,
    nn.Linear: _linear,
    _BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.PReLU: _prelu,
}
