"""The torch module under construction: an fx graph, its layers and its buffers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from operator import getitem
from typing import Any

import torch
from torch import fx, nn

from edgekit.converters.onnx_to_torch.values import Array, Constant, Live, Node, Value

WEIGHT = re.compile(r"(?P<path>[A-Za-z_][\w-]*(\.[\w-]+)*)\.weight")
NODE = re.compile(r"/?(?P<path>[A-Za-z_][\w.-]*(/[\w.-]+)*)/\w+")


class TorchNet:
    """Emits torch calls one after the other and runs each on meta tensors: every shape is known, no memory is used.

    See `values.Net` for the verbs.
    """

    def __init__(self, input_name: str, input_shape: tuple[int, ...]) -> None:
        self._root = nn.Module()
        self._graph = fx.Graph()
        self._layers: dict[tuple[object, ...], str] = {}
        self._buffers: dict[tuple[object, ...], Live] = {}
        self._unnamed: dict[str, int] = {}
        placeholder = self._graph.placeholder(re.sub(r"\W", "_", input_name))
        self.picture = Live(placeholder, torch.empty(input_shape, device="meta"))

    def call(self, function: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Live:
        kind = "call_method" if isinstance(function, str) else "call_function"
        node = self._graph.create_node(kind, function, *_map(_node, args, kwargs))
        run = getattr(torch.Tensor, function) if isinstance(function, str) else function
        metas, options = _map(_meta, args, kwargs)
        return Live(node, run(*metas, **options))

    def call_many(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Live, ...]:
        several = self.call(function, *args, **kwargs)
        return tuple(
            Live(self._graph.call_function(getitem, (several.node, i)), meta) for i, meta in enumerate(several.meta)
        )

    def layer(self, node: Node, layer: nn.Module, x: Live, **weights: Array | None) -> Live:
        meta = layer.eval()(x.meta)
        sources = tuple(each.name for each in node.inputs if isinstance(each, Constant))
        key = (repr(layer), repr(sorted(node.attributes.items())), sources)
        if key not in self._layers:
            tensors = {name: Constant(name, each).tensor for name, each in weights.items() if each is not None}
            layer.load_state_dict(tensors, assign=True)
            self._layers[key] = self._place(node, layer)
        return Live(self._graph.call_module(self._layers[key], (x.node,)), meta)

    def live(self, value: Value) -> Live:
        if isinstance(value, Live):
            return value
        array = value.array
        key = (
            value.name,
            array.dtype,
            array.shape,
            array.tobytes(),
        )  # two operators may change one table, each its way
        if key not in self._buffers:
            name, tensor = f"constant_{len(self._buffers)}", value.tensor
            self._root.register_buffer(name, tensor)
            self._buffers[key] = Live(self._graph.get_attr(name), tensor.to("meta"))
        return self._buffers[key]

    def finish(self, outputs: Iterable[Value]) -> tuple[nn.Module, fx.Graph]:
        """The layers, and the graph that gives `outputs` as a tuple."""
        self._graph.output(tuple(self.live(each).node for each in outputs))
        return self._root, self._graph

    def _place(self, node: Node, layer: nn.Module) -> str:
        """Hangs a layer where the trained model had it, as far as its weight's or its node's name tells."""
        path = next((path for path in _paths(node) if self._is_free(path)), None)
        if path is None:
            kind = type(layer).__name__.lower()
            path = f"{kind}_{self._unnamed.get(kind, 0)}"
            self._unnamed[kind] = self._unnamed.get(kind, 0) + 1
        at = self._root
        *parents, leaf = path.split(".")
        for name in parents:
            if not hasattr(at, name):
                at.add_module(name, nn.Module())
            at = at.get_submodule(name)
        at.add_module(leaf, layer)
        return path

    def _is_free(self, path: str) -> bool:
        """Nothing is there yet, no layer lies on the way, and torch itself has no such attribute."""
        at: Any = self._root
        for name in path.split("."):
            if hasattr(fx.GraphModule, name) or name in ("training", "meta") or (at is not None and name in vars(at)):
                return False
            at = at and dict(at.named_children()).get(name)
            if at is not None and type(at) is not nn.Module:
                return False
        return at is None


def _paths(node: Node) -> Iterator[str]:
    """Where a layer could hang, best first: by its weight 'stem.conv.weight', by its node '/stem/stem.0/conv/Conv'."""
    weight = next((each.name for each in node.inputs if isinstance(each, Constant)), "")
    if found := WEIGHT.fullmatch(weight):
        yield found["path"]
    if found := NODE.fullmatch(node.name):
        yield ".".join(_scopes(found["path"].split("/")))


def _scopes(parts: list[str]) -> list[str]:
    """Inside a sequence, torch's exporter repeats the name so far: features, features.0, features.0.1."""
    kept: list[str] = []
    for part in parts:
        if kept and part.startswith(f"{kept[-1]}."):
            kept.pop()
        kept.append(part)
    return kept


def _map(turn: Callable[[Live], Any], args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments with every `Live`, also those in lists, turned into what torch or fx takes."""

    def turned(value: Any) -> Any:
        if isinstance(value, list):
            return [turned(each) for each in value]
        return turn(value) if isinstance(value, Live) else value

    return tuple(turned(each) for each in args), {name: turned(each) for name, each in kwargs.items()}


def _node(value: Live) -> fx.Node:
    return value.node


def _meta(value: Live) -> torch.Tensor:
    return value.meta
