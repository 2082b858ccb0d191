"""Writes small ONNX models without the `onnx` package, which devices do not have: protobuf's wire format by hand.

Field numbers are those of onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), the wire format that
of https://protobuf.dev/programming-guides/encoding. Only what the rigs' models need is here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

_IR_VERSION, _OPSET = 8, 17
_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int64": 7}  # TensorProto.DataType
_INT, _FLOAT, _INTS = 2, 1, 7  # AttributeProto.AttributeType


@dataclass(frozen=True)
class Node:
    """One operator: its name in ONNX, the tensors it takes, the one it gives, and its attributes."""

    operator: str
    inputs: Sequence[str]
    output: str
    attributes: Mapping[str, int | float | Sequence[int]] = field(default_factory=dict)


def onnx_model(
    nodes: Sequence[Node],
    constants: Mapping[str, Array],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
) -> bytes:
    """The .onnx file; inputs and outputs are float32 tensors of these shapes."""
    graph = b"".join(
        [
            *(_message(1, _node(node)) for node in nodes),
            _text(2, "graph"),
            *(_message(5, _tensor(name, value)) for name, value in constants.items()),
            *(_message(11, _described(name, shape)) for name, shape in inputs.items()),
            *(_message(12, _described(name, shape)) for name, shape in outputs.items()),
        ]
    )
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _text(2, "edgekit") + _message(7, graph) + _message(8, opset)


def _node(node: Node) -> bytes:
    names = [*(_text(1, name) for name in node.inputs), _text(2, node.output)]
    return b"".join([*names, _text(4, node.operator), *_attributes(node)])


def _attributes(node: Node) -> Iterator[bytes]:
    for name, value in node.attributes.items():
        if isinstance(value, int):
            content = _number(3, value) + _number(20, _INT)
        elif isinstance(value, float):
            content = _key(2, 5) + np.float32(value).tobytes() + _number(20, _FLOAT)
        else:
            content = b"".join(_number(8, each) for each in value) + _number(20, _INTS)
        yield _message(5, _text(1, name) + content)


def _tensor(name: str, value: Array) -> bytes:
    sides = b"".join(_number(1, side) for side in value.shape)
    content = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<")).tobytes()
    return sides + _number(2, _TYPES[value.dtype.name]) + _text(8, name) + _message(9, content)


def _described(name: str, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(_message(1, _number(1, side)) for side in shape)
    tensor = _number(1, _TYPES["float32"]) + _message(2, sides)
    return _text(1, name) + _message(2, _message(1, tensor))


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _number(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode())


def _message(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    content = bytearray()
    while value > 0x7F:
        content.append(value & 0x7F | 0x80)
        value >>= 7
    content.append(value)
    return bytes(content)
