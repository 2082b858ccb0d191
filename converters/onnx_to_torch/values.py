"""What stands between an ONNX node and torch: constants, live values, the node as operators see it, and their table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Constant:
    """A value that does not depend on the picture."""

    name: str
    array: Array

    @property
    def tensor(self) -> torch.Tensor:
        """The value for torch: every float becomes float32, every unsigned integer that torch half knows int64."""
        array = self.array
        if array.dtype.kind in "fV" and array.dtype != np.float32:
            array = array.astype(np.float32)
        if array.dtype in (np.uint16, np.uint32, np.uint64):
            array = array.astype(np.int64)
        return torch.from_numpy(np.array(array, order="C"))


@dataclass(frozen=True, eq=False)
class Live:
    """A value computed from the picture: its place in the torch graph, and a meta tensor with its shape and dtype."""

    node: fx.Node
    meta: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.meta.shape)

    @property
    def rank(self) -> int:
        return self.meta.ndim

    @property
    def is_float(self) -> bool:
        return self.meta.dtype.is_floating_point


Value: TypeAlias = Constant | Live


class Refused(Exception):
    """An operator is used in a way that cannot become torch; the text says which."""


class Net(Protocol):
    """The torch graph under construction."""

    def call(self, function: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Live:
        """One torch function, or one method of a tensor by its name; arguments may be `Live`."""

    def call_many(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Live, ...]:
        """One torch function that gives several tensors."""

    def layer(self, node: Node, layer: nn.Module, x: Live, **weights: Array | None) -> Live:
        """A torch layer, made on the meta device, applied to `x` with these weights.

        Nodes with the same weights and settings share the one layer.
        """

    def live(self, value: Value) -> Live:
        """The value as a tensor in the graph: a constant becomes a buffer."""


@dataclass(frozen=True, eq=False)
class Node:
    """An ONNX node with its inputs looked up. `outputs` has an empty name where an output is not wanted."""

    operator: str
    name: str
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    outputs: tuple[str, ...]
    opset: int

    def get(self, attribute: str, default: Any) -> Any:
        return self.attributes.get(attribute, default)

    def value(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def live(self, index: int = 0) -> Live:
        """An input that comes from the picture; refused where it is a constant or missing."""
        value = self.value(index)
        if not isinstance(value, Live):
            raise Refused(f"input {index} is not computed from the picture")
        return value

    def constant(self, index: int, meaning: str) -> Array | None:
        """An input that must not depend on the picture, or None where it is left out."""
        value = self.value(index)
        if isinstance(value, Live):
            raise Refused(f"its {meaning} is computed from the picture")
        return None if value is None else value.array

    def ints(self, name: str, index: int | None) -> tuple[int, ...] | None:
        """Whole numbers that older opsets give as an attribute and newer ones as input `index`; None if neither is."""
        if name in self.attributes:
            return tuple(int(each) for each in self.attributes[name])
        array = None if index is None else self.constant(index, f"'{name}'")
        return None if array is None else tuple(int(each) for each in np.atleast_1d(array))

    def axis(self, default: int, rank: int) -> int:
        """The attribute 'axis', counted from the front."""
        return positive_axis(int(self.get("axis", default)), rank)


def positive_axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise Refused(f"there is no axis {axis} in a tensor of rank {rank}")
    return axis % rank


def positive_places(places: Array, size: int) -> Array:
    """Indices counted from the front, as int64."""
    if places.size and not (-size <= places.min() and places.max() < size):
        raise Refused(f"it takes places {places.min()} to {places.max()} of {size}")
    return (places % size).astype(np.int64)


Operator: TypeAlias = Callable[[Node, Net], Value | tuple[Value, ...]]
OPERATORS: dict[str, Operator] = {}
"""What can be imported: each operator emits the torch calls for one node and gives the node's outputs."""


def operator(*names: str) -> Callable[[Operator], Operator]:
    """Enters a function into the table under the names of the ONNX operators that it imports."""

    def enter(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return enter
