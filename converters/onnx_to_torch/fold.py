"""Computes what does not depend on the picture: shape arithmetic, prior grids, folded weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from edgekit.converters.onnx_to_torch.values import Array, Constant

LARGEST_CONSTANT = 2**26
"""Numbers that a computed constant may hold. A file of a hundred bytes can ask for gigabytes."""

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")


def can_fold(proto: Any) -> bool:
    """Whether a node gives the same every time: an operator of ONNX itself, without inner graphs, and not random."""
    inner = any(attribute.g.node or attribute.graphs for attribute in proto.attribute)
    return proto.domain in ("", "ai.onnx") and not inner and proto.op_type not in (*RANDOM, "NonMaxSuppression")


def fold(proto: Any, inputs: Sequence[Constant | None], opset: int) -> list[Constant]:
    """The outputs of a node by ONNX's own reference implementation; unwanted outputs are empty constants."""
    arrays = {name: value.array for name, value in zip(proto.input, inputs, strict=True) if value is not None}
    if (size := _grown(proto.op_type, [arrays[name] for name in proto.input if name])) > LARGEST_CONSTANT:
        raise ValueError(f"a constant of {size:.0f} numbers is not computed, only up to {LARGEST_CONSTANT}")
    wanted = [name for name in proto.output if name]
    graph = onnx.helper.make_graph([proto], "constant", _untyped(arrays), _untyped(wanted))
    results = dict(zip(wanted, ReferenceEvaluator(graph, opsets={"": opset}).run(wanted, arrays), strict=True))
    return [Constant(name, np.asarray(results.get(name, ()))) for name in proto.output]


def _untyped(names: Any) -> list[Any]:
    return [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in names]


def _grown(operator: str, inputs: list[Array]) -> float:
    """How many numbers an operator gives whose output can be much larger than its inputs; 0 for the others."""
    match operator, inputs:
        case ("ConstantOfShape", [shape]) | ("Expand", [_, shape]):
            return math.prod(map(float, np.atleast_1d(shape)))
        case "Tile", [array, repeats]:
            return array.size * math.prod(map(float, np.atleast_1d(repeats)))
        case "Range", [start, limit, step]:
            return float((limit.astype(float) - start) / step)
    return 0
