"""A float file as calibration and repairs see it: operators in order, and what each format does in its own way.

`open_net` of escalate.py gives an `OnnxNet` or a `TfliteNet`; what is the same for both works on this interface.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F

from edgekit.converters.export import Exported
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.ranges import Ranges

Values: TypeAlias = dict[str, np.ndarray]


@dataclass(frozen=True)
class Operator:
    """One operator of a file, in its own terms. inputs, outputs: names of activations; constants are left out.

    macs: multiplications for one picture of a convolution or product, 0 of everything else.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int = 0


@dataclass(frozen=True)
class Block:
    """A convolution or product and what follows from it alone: its activation, its padding.

    The unit that goes to float and back: a convolution in float whose activation is rounded to 8 bits wins nothing.
    """

    name: str
    operators: tuple[str, ...]
    macs: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """The weights of a convolution or product, (out, in / groups, h, w), before and after 8 bits.

    source: the activation that it takes. pads: left, right, top, bottom, as torch's `pad` takes them.
    """

    operator: str
    source: str
    weights: np.ndarray
    rounded: np.ndarray
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1

    def mean_error(self, mean_input: np.ndarray) -> np.ndarray:
        """By how much the rounded weights move each output channel on average; `mean_input` is (1, in, h, w).

        A convolution is linear, so the mean error over pictures is the error on the mean picture.
        """
        window = F.pad(torch.from_numpy(mean_input), self.pads)
        change = torch.from_numpy(self.rounded - self.weights)
        moved = F.conv2d(window, change, None, self.stride, 0, self.dilation, self.groups)
        return np.asarray(moved.mean(dim=(0, 2, 3)).numpy(), np.float32)


class FloatNet(Protocol):
    """A float file that can be looked into and quantized."""

    exported: Exported
    operators: tuple[Operator, ...]

    def activations(self, tensors: Iterable[np.ndarray]) -> Iterator[Values]:
        """Every float tensor that an operator makes, and the input, by name, for each picture."""

    def quantized(self, ranges: Ranges, settings: Int8Settings) -> Exported:
        """The file in INT8 by these ranges; `settings.calibration` and `correct_bias` have had their say before."""

    def alone(self, whole: Exported, ranges: Ranges, settings: Int8Settings, operators: Iterable[str]) -> Exported:
        """The float file with no more than these operators in INT8, as they are in `whole`, which is all in INT8."""

    def values(self, int8: Exported, tensors: Iterable[np.ndarray], names: Sequence[str]) -> Iterator[Values]:
        """What the float file's tensors of these `names` are in an INT8 file that was made of it, as float32.

        A name that the INT8 file has no more (a ReLU's input, where the ReLU became a range) is left out.
        """

    def kernels(self, int8: Exported) -> Iterator[Kernel]:
        """The weights of every convolution and product that has constant weights and can have a bias."""

    def mean_map(self, mean: np.ndarray) -> np.ndarray:
        """The mean of an activation over pictures as (1, channels, h, w)."""

    def with_bias(self, added: Mapping[str, np.ndarray]) -> FloatNet:
        """The float net with (out,) values added to the bias of these operators."""


def tail_of(operators: Sequence[Operator]) -> set[str]:
    """Names of the operators from which no way leads to another convolution or product: decoding, not network."""
    needed: set[str] = set()
    tail: set[str] = set()
    for operator in reversed(operators):
        if operator.macs or needed.intersection(operator.outputs):
            needed.update(operator.inputs)
        else:
            tail.add(operator.name)
    return tail


def heads_of(operators: Sequence[Operator]) -> tuple[str, ...]:
    """The tensors that the network ends in, before they are decoded."""
    tail = tail_of(operators)
    network = [operator for operator in operators if operator.name not in tail]
    used = {name for operator in network for name in operator.inputs}
    return tuple(name for operator in network for name in operator.outputs if name not in used)


def blocks_of(operators: Sequence[Operator]) -> tuple[Block, ...]:
    """The file's convolutions and products in order, each with what follows from it alone; decoding is left out."""
    tail = tail_of(operators)
    owner: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    macs = {operator.name: operator.macs for operator in operators}
    for operator in operators:
        owners = {operator.name} if operator.macs else {owner.get(name, "") for name in operator.inputs}
        if operator.name in tail or len(owners) != 1 or owners == {""}:
            continue
        (block,) = owners
        members.setdefault(block, []).append(operator.name)
        owner |= dict.fromkeys(operator.outputs, block)
    return tuple(Block(name, tuple(names), macs[name]) for name, names in members.items())
