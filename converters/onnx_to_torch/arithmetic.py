"""Operators without weights that keep the picture's layout: arithmetic, comparisons, activations, reductions."""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto

from edgekit.converters.onnx_to_torch.values import Constant, Live, Net, Node, Operator, Refused, Value, operator

FLAT_SOFTMAX_UNTIL = 13
"""Before this opset, softmax ran over its axis and all axes behind it."""

UNARY: dict[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "HardSwish": F.hardswish,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": python.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
}
BINARY: dict[str, Callable[..., Any]] = {
    "Add": python.add,
    "Sub": python.sub,
    "Mul": python.mul,
    "Equal": python.eq,
    "Greater": python.gt,
    "GreaterOrEqual": python.ge,
    "Less": python.lt,
    "LessOrEqual": python.le,
}
LOGICAL: dict[str, Callable[..., Any]] = {
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
}
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceMean": torch.mean,
    "ReduceSum": torch.sum,
    "ReduceMax": torch.amax,
    "ReduceMin": torch.amin,
    "ReduceLogSumExp": torch.logsumexp,
}
TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.FLOAT16: torch.float32,  # the imported module computes in float32 throughout
    TensorProto.BFLOAT16: torch.float32,
    TensorProto.DOUBLE: torch.float32,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
}


def operand(net: Net, value: Value | None, rank: int) -> Live | float | int | bool:
    """One side of an arithmetic operator; a lone number stays a number, so that the torch code reads as one."""
    if value is None:
        raise Refused("an input is missing")
    if isinstance(value, Constant) and value.array.size == 1 and value.array.ndim <= rank:
        number: float | int | bool = value.array.item()
        return number
    return net.live(value)


def _pair(node: Node, net: Net) -> tuple[Any, Any]:
    a, b = node.value(0), node.value(1)
    ranks = [value.rank if isinstance(value, Live) else 0 for value in (a, b)]
    return operand(net, a, max(ranks)), operand(net, b, max(ranks))


def _unary(function: Callable[..., Any]) -> Operator:
    return lambda node, net: net.call(function, node.live())


def _binary(function: Callable[..., Any]) -> Operator:
    return lambda node, net: net.call(function, *_pair(node, net))


def _on_tensors(function: Callable[..., Any]) -> Operator:
    return lambda node, net: net.call(function, *(net.live(each) for each in node.inputs if each is not None))


for _name, _function in UNARY.items():
    operator(_name)(_unary(_function))
for _name, _function in BINARY.items():
    operator(_name)(_binary(_function))
for _name, _function in LOGICAL.items():
    operator(_name)(_on_tensors(_function))


@operator("Div")
def div(node: Node, net: Net) -> Live:
    a, b = _pair(node, net)
    whole = not any(each.is_float for each in (a, b) if isinstance(each, Live))
    return net.call(torch.div, a, b, rounding_mode="trunc") if whole else net.call(python.truediv, a, b)


@operator("Pow")
def power(node: Node, net: Net) -> Live:
    return net.call(torch.pow, *_pair(node, net))


@operator("Mod")
def modulo(node: Node, net: Net) -> Live:
    return net.call(torch.fmod if node.get("fmod", 0) else torch.remainder, *_pair(node, net))


@operator("Where")
def where(node: Node, net: Net) -> Live:
    condition, a, b = node.inputs
    if condition is None or a is None or b is None:
        raise Refused("an input is missing")
    return net.call(torch.where, net.live(condition), net.live(a), net.live(b))


@operator("Max", "Min", "Sum", "Mean")
def of_several(node: Node, net: Net) -> Live:
    """Any number of inputs, one after the other."""
    pairwise = {"Max": torch.maximum, "Min": torch.minimum}.get(node.operator, python.add)
    values = [net.live(each) for each in node.inputs if each is not None]
    total = reduce(lambda a, b: net.call(pairwise, a, b), values)
    return net.call(python.truediv, total, len(values)) if node.operator == "Mean" else total


@operator("Cast")
def cast(node: Node, net: Net) -> Live:
    x, to = node.live(), int(node.attributes["to"])
    if to not in TYPES:
        raise Refused(f"it casts to {TensorProto.DataType.Name(to).lower()}")
    return x if x.meta.dtype == TYPES[to] else net.call("to", x, TYPES[to])


@operator("Clip")
def clip(node: Node, net: Net) -> Live:
    x = node.live()
    low, high = _bound(node, "min", 1), _bound(node, "max", 2)
    if low is None and high is None:
        return x
    if (low, high) == (0, 6):
        return net.call(F.relu6, x)
    return net.call(torch.clamp, x, low, high)


def _bound(node: Node, name: str, index: int) -> float | None:
    """A limit, or None where it is left out or so far away that it limits nothing."""
    array = node.constant(index, name)
    bound = node.get(name, None) if array is None else array.item()
    return None if bound is None or abs(bound) >= np.finfo(np.float32).max else bound


@operator("LeakyRelu")
def leaky_relu(node: Node, net: Net) -> Live:
    return net.call(F.leaky_relu, node.live(), _number(node, "alpha", 0.01))


@operator("Elu")
def elu(node: Node, net: Net) -> Live:
    return net.call(F.elu, node.live(), _number(node, "alpha", 1.0))


@operator("HardSigmoid")
def hard_sigmoid(node: Node, net: Net) -> Live:
    x, alpha, beta = node.live(), _number(node, "alpha", 0.2), _number(node, "beta", 0.5)
    if math.isclose(alpha, 1 / 6, rel_tol=1e-6) and beta == 0.5:
        return net.call(F.hardsigmoid, x)
    return net.call(torch.clamp, net.call(python.add, net.call(python.mul, x, alpha), beta), 0, 1)


@operator("Gelu")
def gelu(node: Node, net: Net) -> Live:
    return net.call(F.gelu, node.live(), approximate=node.get("approximate", "none"))


@operator("Swish")
def swish(node: Node, net: Net) -> Live:
    x, alpha = node.live(), _number(node, "alpha", 1.0)
    return net.call(F.silu, x) if alpha == 1 else net.call(python.mul, x, _scaled_sigmoid(net, x, alpha))


def _scaled_sigmoid(net: Net, x: Live, alpha: float) -> Live:
    return net.call(torch.sigmoid, net.call(python.mul, x, alpha))


def _number(node: Node, name: str, default: float) -> float:
    return float(node.get(name, default))


@operator("Softmax", "LogSoftmax")
def softmax(node: Node, net: Net) -> Live:
    x, function = node.live(), {"Softmax": torch.softmax, "LogSoftmax": torch.log_softmax}[node.operator]
    flat = node.opset < FLAT_SOFTMAX_UNTIL
    axis = node.axis(1 if flat else -1, x.rank)
    if not flat or math.prod(x.shape[axis + 1 :]) == 1:
        return net.call(function, x, axis)
    return net.call(torch.reshape, net.call(function, net.call(torch.flatten, x, axis), -1), x.shape)


@operator("LRN")
def local_response_norm(node: Node, net: Net) -> Live:
    """x / (bias + alpha / size * sum of squares of `size` channels) ** beta: the sum as so many shifted additions."""
    x, size = node.live(), int(node.attributes["size"])
    around = (0, 0) * (x.rank - 2) + ((size - 1) // 2, size // 2)
    squares = net.call(F.pad, net.call(python.mul, x, x), around)
    shifted = [net.call(python.getitem, squares, (slice(None), slice(i, i + x.shape[1]))) for i in range(size)]
    total = reduce(lambda a, b: net.call(python.add, a, b), shifted)
    scaled = net.call(python.mul, total, _number(node, "alpha", 1e-4) / size)
    base = net.call(python.add, scaled, _number(node, "bias", 1.0))
    return net.call(python.truediv, x, net.call(torch.pow, base, _number(node, "beta", 0.75)))


def reduced_axes(node: Node, rank: int) -> tuple[int, ...]:
    """Sorted axes from the attribute of older opsets or the input of newer ones; all where none are given."""
    axes = node.ints("axes", 1) or ()
    if not axes and node.get("noop_with_empty_axes", 0):
        return ()
    return tuple(sorted(axis % rank for axis in axes)) or tuple(range(rank))


@operator(*REDUCTIONS, "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceProd")
def reduction(node: Node, net: Net) -> Live:
    x, keep = node.live(), bool(node.get("keepdims", 1))
    axes = reduced_axes(node, x.rank)
    if not axes:
        return _each_alone(node, net, x)
    if node.operator in REDUCTIONS:
        return net.call(REDUCTIONS[node.operator], x, axes, keepdim=keep)
    if node.operator == "ReduceProd":
        return reduce(lambda y, axis: net.call(torch.prod, y, axis, keepdim=keep), reversed(axes), x)
    terms = net.call(torch.abs, x) if node.operator == "ReduceL1" else net.call(python.mul, x, x)
    total = net.call(torch.sum, terms, axes, keepdim=keep)
    return net.call(torch.sqrt, total) if node.operator == "ReduceL2" else total


def _each_alone(node: Node, net: Net, x: Live) -> Live:
    """Where no axis is reduced, each number is a sum, a norm or a maximum of itself."""
    if node.operator in ("ReduceL1", "ReduceL2"):
        return net.call(torch.abs, x)
    return net.call(python.mul, x, x) if node.operator == "ReduceSumSquare" else x


@operator("ArgMax", "ArgMin")
def arg_extreme(node: Node, net: Net) -> Live:
    if node.get("select_last_index", 0):
        raise Refused("'select_last_index' is set")
    x = node.live()
    function = {"ArgMax": torch.argmax, "ArgMin": torch.argmin}[node.operator]
    return net.call(function, x, node.axis(0, x.rank), keepdim=bool(node.get("keepdims", 1)))


@operator("TopK")
def top_k(node: Node, net: Net) -> tuple[Live, ...]:
    x, k = node.live(), node.ints("k", 1)
    if k is None:
        raise Refused("'k' is missing")
    return net.call_many(torch.topk, x, k[0], node.axis(-1, x.rank), largest=bool(node.get("largest", 1)))
