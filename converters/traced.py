"""A module as the graph of torch calls that its exports are made of, with the module's own parameters in it."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import fx, nn

from edgekit.errors import ConversionError

_WEIGHTED = {
    torch.ops.aten.conv2d.default,
    torch.ops.aten.conv2d.padding,
    torch.ops.aten.linear.default,
    torch.ops.aten.conv_transpose2d.input,
}
_NORMALISED = {torch.ops.aten.batch_norm.default}


def trace(module: nn.Module, example: torch.Tensor, *, any_batch: bool = False) -> fx.GraphModule:
    """The graph of `module`, in eval mode: for batches of any size, or for that of `example` alone.

    Its parameters are the module's, the same objects: to train one is to train both. `ConversionError` where torch
    cannot trace the module.
    """
    shapes = ({0: torch.export.Dim.DYNAMIC},) if any_batch else None
    sample = example.repeat(2, 1, 1, 1) if any_batch else example  # a batch of one would be taken for a constant
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (sample,), dynamic_shapes=shapes)
            traced = program.module()
    except (RuntimeError, ValueError, TypeError, torch._dynamo.exc.TorchDynamoException) as error:
        line = str(error).strip().splitlines()[0]
        raise ConversionError(f"torch cannot trace {type(module).__name__}: {line}") from error
    return fx.GraphModule(traced, traced.graph)


def weighted_nodes(graph: fx.Graph) -> dict[str, tuple[fx.Node, fx.Node]]:
    """Of each convolution and product: the name of its weight, itself, and the batch norm after it or itself again."""
    found = {}
    for node in graph.nodes:
        if node.target in _WEIGHTED and isinstance(node.args[1], fx.Node) and node.args[1].op == "get_attr":
            users = list(node.users)
            last = users[0] if len(users) == 1 and users[0].target in _NORMALISED else node
            found[str(node.args[1].target)] = (node, last)
    return found


def running(graph: fx.GraphModule, x: torch.Tensor) -> list[tuple[fx.Node, torch.Tensor]]:
    """Every call with the tensor that it gave for `x`, in order; as it was then, for some work in place."""
    run = _Watching(graph)
    with torch.no_grad():
        run.run(x)
    return run.seen


class _Watching(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.seen: list[tuple[fx.Node, torch.Tensor]] = []

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and n.op != "get_attr":
            self.seen.append((n, value.clone()))
        return value
