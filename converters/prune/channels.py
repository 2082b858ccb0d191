"""Which channels of a net can be taken out, and taking them out; torch-pruning's dependency graph does the surgery.

Channels hang together: what a residual adds, a depthwise convolution passes on or a concatenation joins goes from every
layer at once (Fang et al., DepGraph: Towards Any Structural Pruning, 2023). The graph follows operators and guesses at
those that it does not know, so nothing it says is believed before it was tried: a net without the channels must compute
what the whole net computes when nobody reads them.
"""

from __future__ import annotations

import copy
import fnmatch
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch_pruning import DependencyGraph
from torch_pruning.pruner import function as surgery

from edgekit.converters.export import outputs_of
from edgekit.converters.shapes import can_shrink
from edgekit.errors import ConversionError, SettingsError

# Layer -> its output channels that go, with all that hangs on them.
Plan: TypeAlias = Mapping[str, Sequence[int]]

MAKING = (_ConvNd, nn.Linear)  # the layers that make channels
READS = (surgery.prune_conv_in_channels, surgery.prune_linear_in_channels)
MAKES = (surgery.prune_conv_out_channels, surgery.prune_linear_out_channels)
# What torch, the net itself and torch-pruning raise where a net is not of the kind that the graph can follow.
_LOST = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class Wired:
    """A copy of a net, and the graph of which of its channels hang together."""

    module: nn.Module
    graph: Any
    layers: Mapping[str, nn.Module]

    def coupled(self, layer: str, channels: Sequence[int] | None = None) -> Any:
        """torch-pruning's group of all that goes with these output channels of a layer (all of them: None)."""
        target = self.layers[layer]
        pruner = self.graph.get_pruner_of_module(target)
        wanted = range(pruner.get_out_channels(target)) if channels is None else channels
        return self.graph.get_pruning_group(target, pruner.prune_out_channels, list(wanted))


def wire(module: nn.Module, example: Tensor) -> Wired:
    """A traced copy; `ConversionError` where the net cannot be traced."""
    net = copy.deepcopy(module).requires_grad_(True)
    graph = DependencyGraph()
    try:
        graph.build_dependency(net, example, forward_fn=lambda net, x: net(x), verbose=False)
    except _LOST as error:
        raise ConversionError(f"prune: {_kind(module)} cannot be traced: {_first_line(error)}") from error
    return Wired(net, graph, dict(net.named_modules()))


def cut(module: nn.Module, plan: Plan, example: Tensor) -> nn.Module:
    """A copy of `module` without the channels of `plan`."""
    wired = wire(module, example)
    for layer, channels in plan.items():
        wired.coupled(layer, channels).prune(record_history=False)
    for name, parameter in wired.module.named_parameters():
        parameter.requires_grad_(module.get_parameter(name).requires_grad)
        parameter.grad = None
    return wired.module


def difference(wired: Wired, smaller: nn.Module, plan: Plan, example: Tensor) -> str | None:
    """What `smaller` does otherwise than the whole net when nothing reads the channels of `plan`: None where it is the
    same net. The outputs' shapes are held against each other with their values.
    """
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    try:
        with redirect_stderr(io.StringIO()):  # an imported net prints its source where it fails
            found = outputs_of(smaller, noise)
    except (ConversionError, *_LOST) as error:
        return f"the net does not run without them: {_first_line(error)}"
    with _unread(wired, plan):
        wanted = outputs_of(wired.module, noise)
    for index, (want, got) in enumerate(zip(wanted, found, strict=True)):
        if want.shape != got.shape:
            return f"output {index} becomes {tuple(got.shape)}, it was {tuple(want.shape)}"
        if not torch.allclose(want, got, rtol=1e-3, atol=1e-3 * float(want.abs().max())):
            return f"output {index} would be computed from other channels"
    return None


def prunable(wired: Wired, example: Tensor, keep: Sequence[str] = ()) -> tuple[dict[str, int], dict[str, str]]:
    """Layers whose output channels can be taken out, one of each set that hangs together, with their number; and those
    where it was tried and went wrong, with the reason.

    Left out from the start: what makes the outputs themselves (class logits, box regressions), what `keep` names by
    pattern, grouped convolutions other than depthwise ones, and what hangs together with any of these.
    `SettingsError` for a pattern that means no layer, `ConversionError` where nothing can be taken out.
    """
    net, names = wired.module, {layer: name for name, layer in wired.layers.items()}
    fixed = [*_making_outputs(net, example), *_kept(net, keep)]
    groups = wired.graph.get_all_groups(ignored_layers=fixed, root_module_types=MAKING)
    found = {names[group[0].dep.target.module]: len(group[0].idxs) for group in groups if _is_plain(group)}
    found = {layer: channels for layer, channels in found.items() if channels > 1}
    if not found:
        raise ConversionError(f"prune: {_kind(net)} has no channels that can go: all make its outputs or are kept")
    refused = _refused(wired, found, example)
    if len(refused) == len(found):
        layer, reason = next(iter(refused.items()))
        raise ConversionError(f"prune: no channels of {_kind(net)} can go; those of '{layer}': {reason}")
    return {layer: channels for layer, channels in found.items() if layer not in refused}, refused


def _refused(wired: Wired, found: Mapping[str, int], example: Tensor) -> dict[str, str]:
    """Half of the channels everywhere, drawn at random; where that goes wrong, layer by layer."""
    dice = torch.Generator().manual_seed(0)
    half = {name: sorted(torch.randperm(count, generator=dice)[: count // 2].tolist()) for name, count in found.items()}
    if _fault(wired, half, example) is None:
        return {}
    faults = {layer: _fault(wired, {layer: channels}, example) for layer, channels in half.items()}
    refused = {layer: fault for layer, fault in faults.items() if fault is not None}
    together = _fault(wired, {layer: half[layer] for layer in half if layer not in refused}, example)
    if together is not None:
        raise ConversionError(f"prune: layers of {_kind(wired.module)} lose channels one by one only: {together}")
    return refused


def _fault(wired: Wired, plan: Plan, example: Tensor) -> str | None:
    try:
        smaller = cut(wired.module, plan, example)
    except (ConversionError, *_LOST) as error:
        return f"torch-pruning cannot take them out: {_first_line(error)}"
    return difference(wired, smaller, plan, example)


@contextmanager
def _unread(wired: Wired, plan: Plan) -> Iterator[None]:
    """Every weight that reads a channel of `plan` is zero meanwhile."""
    before: dict[nn.Module, Tensor] = {}
    for layer, channels in plan.items():
        for dep, indices in wired.coupled(layer, channels):
            if dep.handler in READS:
                reader: Any = dep.target.module
                before.setdefault(reader, reader.weight.data.clone())
                reader.weight.data.index_fill_(input_dim(reader), torch.tensor(indices), 0.0)
    try:
        yield
    finally:
        for reader, weight in before.items():
            reader.weight.data.copy_(weight)


def input_dim(layer: nn.Module) -> int:
    """The dimension of a layer's weight that counts its input channels; the other of the first two counts outputs."""
    return 0 if getattr(layer, "transposed", False) else 1


def _making_outputs(net: nn.Module, example: Tensor) -> Iterator[nn.Module]:
    """The layers from which the outputs follow without another layer that makes channels."""
    makers: dict[Any, nn.Module] = {}
    hooks = [
        layer.register_forward_hook(lambda layer, _, made: makers.update({made.grad_fn: layer}))
        for layer in net.modules()
        if isinstance(layer, MAKING)
    ]
    try:
        found = net(example)
    finally:
        for hook in hooks:
            hook.remove()
    waiting = [each.grad_fn for each in ([found] if isinstance(found, Tensor) else found)]
    seen = set()
    while waiting:
        step = waiting.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        if step in makers:
            yield makers[step]
        else:
            waiting += [before for before, _ in step.next_functions]


def _kept(net: nn.Module, patterns: Sequence[str]) -> Iterator[nn.Module]:
    names = [name for name, _ in net.named_modules() if name]
    for pattern in patterns:
        meant = fnmatch.filter(names, pattern)
        if not meant:
            raise SettingsError(f"keep: no layer is named '{pattern}'; there are {', '.join(names[:5])}, ...")
        yield from (layer for name in meant for layer in net.get_submodule(name).modules())


def _is_plain(group: Any) -> bool:
    """No parameter outside of a layer, no layer that cannot be stored smaller, no groups but depthwise ones."""
    layers = [dep.target.module for dep, _ in group]
    trained = [layer for layer in layers if not isinstance(layer, nn.Module) or list(layer.parameters(recurse=False))]
    return all(isinstance(layer, nn.Module) and can_shrink(layer) and not _is_grouped(layer) for layer in trained)


def _is_grouped(layer: nn.Module) -> bool:
    return (
        isinstance(layer, _ConvNd) and layer.groups > 1 and not layer.groups == layer.in_channels == layer.out_channels
    )


def _kind(net: nn.Module) -> str:
    """The class of a net, and of what only wraps it."""
    inner = list(net.children())
    own = type(net).__name__
    return f"{own} of {type(inner[0]).__name__}" if len(inner) == 1 and not list(net.parameters(recurse=False)) else own


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
