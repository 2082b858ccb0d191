"""How much a model computes and moves for one picture, counted from its file: what a roofline is fitted to.

    with Bundle.open("cart.ekb") as bundle:
        work_of(bundle).macs

OpenVINO reads the file and infers the shapes; it need not be the engine that the model runs in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, TypeAlias

from edgekit.bundle import Bundle
from edgekit.contract import Artifact
from edgekit.engines.ov import import_openvino
from edgekit.engines.session import said
from edgekit.errors import BundleError, EngineError
from edgekit.schema import STRICT

# By what its convolutions and its activations are: an engine's speed is about the same within one and differs by 2 to 4
# times between them.
Family: TypeAlias = Literal["depthwise", "depthwise-swish", "dense", "dense-swish"]

_SMOOTH = ("Sigmoid", "Swish", "HSwish", "HSigmoid")


@dataclass(frozen=True)
class Work:
    """macs: multiply-adds of convolutions and matrix products. elements: values that these read and write, without
    weights. family: 'depthwise' has depthwise convolutions, 'swish' an activation that is not piecewise linear behind
    at least every fourth layer: MobileNetV2 is 'depthwise', YOLOX-nano 'depthwise-swish', ResNet 'dense'."""

    __pydantic_config__ = STRICT

    macs: int
    elements: int
    family: Family


def work_of(bundle: Bundle) -> Work:
    """Of any variant: all of them compute the same. `BundleError` where none is of a format that OpenVINO reads from
    memory, `EngineMissing` where OpenVINO is not installed."""
    for variant in bundle.manifest.variants:
        if variant.format in ("openvino", "onnx"):
            return count(bundle.artifact(variant))
    raise BundleError(f"{bundle.path}: work is counted in an ONNX or OpenVINO variant, and it holds none")


def count(artifact: Artifact) -> Work:
    """Of one model file, ONNX or OpenVINO's; `EngineError` where OpenVINO cannot read it or shapes are open."""
    try:
        model = import_openvino().Core().read_model(artifact.model, artifact.weights)
        operators = model.get_ordered_ops()
        layers = list(_layers(operators))
    except RuntimeError as error:
        raise EngineError(f"openvino cannot count the work in this {artifact.format} model: {said(error)}") from error
    kinds = Counter(each.get_type_name() for each in operators)
    smooth = 4 * sum(kinds[name] for name in _SMOOTH) >= len(layers)
    return Work(
        macs=sum(macs for macs, _ in layers),
        elements=sum(elements for _, elements in layers),
        family=_FAMILIES[kinds["GroupConvolution"] > 0, smooth],
    )


_FAMILIES: dict[tuple[bool, bool], Family] = {
    (True, False): "depthwise",
    (True, True): "depthwise-swish",
    (False, False): "dense",
    (False, True): "dense-swish",
}


def _layers(operators: list[Any]) -> Iterator[tuple[int, int]]:
    """(multiply-adds, elements read and written) of each layer."""
    for each in operators:
        kind = each.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "MatMul"):
            continue
        taken, weights = (_shape(each.get_input_partial_shape(i)) for i in (0, 1))
        given = _shape(each.get_output_partial_shape(0))
        yield prod(given) * _depth(kind, taken, weights, each), prod(taken) + prod(given)


def _depth(kind: str, taken: list[int], weights: list[int], operator: Any) -> int:
    """Multiply-adds behind one value: weights are (out, in, h, w), or (groups, out, in, h, w), or a product's."""
    if kind == "MatMul":
        return taken[-2] if operator.get_attributes()["transpose_a"] else taken[-1]
    return prod(weights[1:] if kind == "Convolution" else weights[2:])


def _shape(sides: Any) -> list[int]:
    return [side.get_length() for side in sides]
