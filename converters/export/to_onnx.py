"""A torch module as an ONNX file: static shapes, raw pixels in, raw outputs out, the same bytes every time.

The graph comes from torch's exporter (torch.export based) and is stripped of everything that is not the network: stack
traces, file paths, Python names. The way from pixels to the network's input is put in front of it here, node by node,
under names that the quantizer knows (`NORMALISING`) and leaves in float.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edgekit.contract import Artifact, InputSpec
from edgekit.converters.export import Exported, example_of, normalisation, outputs_of
from edgekit.errors import ConversionError

# Has all that detection and classification nets need, and ONNX Runtime has run it since 1.14.
OPSET = 18
INPUT = "image"
# The operators before the network, in order.
_ROWS, _FLOATS, _SCALED, _SHIFTED, _IMAGE, _NORMALISED = (
    "rows",
    "floats",
    "scaled",
    "shifted",
    "image_nhwc",
    "normalised",
)
NORMALISING = frozenset({_ROWS, _FLOATS, _SCALED, _SHIFTED, _IMAGE, _NORMALISED})


def to_onnx(module: nn.Module, spec: InputSpec, *, raw: bool = True) -> Exported:
    """The module as ONNX; input 'image', outputs 'output_0', 'output_1', ... in the module's order.

    `module`: eval mode, float32, takes (1, 3, h, w) as `spec` normalises it, returns a tensor or a tuple of them.
    `raw`: the file takes pixels, (1, h, w, 3) uint8, and normalises inside; otherwise it takes what the module takes.
    `ConversionError` where torch cannot export the module or an output is not finite.
    """
    example = example_of(spec)
    count = len(outputs_of(module, example))
    model = _stripped(_traced(module, example, count))
    if raw:
        _put_pixels_in_front(model, spec)
    onnx.checker.check_model(model)
    artifact = Artifact("onnx", model.SerializeToString(deterministic=True))
    return Exported(artifact, spec.raw("uint8", "NHWC") if raw else spec)


def _traced(module: nn.Module, example: torch.Tensor, count: int) -> onnx.ModelProto:
    names = [f"output_{index}" for index in range(count)]
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=names,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, torch._dynamo.exc.TorchDynamoException) as error:
        line = f"{_first_line(error)}; 'edgekit build --explain' names all that is in the way"
        raise ConversionError(f"torch cannot export this module to ONNX: {line}") from error
    assert program is not None
    return program.model_proto


def _first_line(error: Exception) -> str:
    cause = error.__cause__ or error
    return f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}"


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own deprecated calls; what goes wrong, it raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without stack traces, paths and Python names, which tell of the machine that exported and change the bytes."""
    graph = model.graph
    for thing in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        thing.doc_string = ""
        del thing.metadata_props[:]
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"
    return model


def _put_pixels_in_front(model: onnx.ModelProto, spec: InputSpec) -> None:
    """Makes `model` take (1, h, w, 3) uint8, normalised by rows of w * 3 constants before the transpose.

    Rows, because ONNX Runtime is slow where a constant of three is repeated along a picture: 0.9 ms of an INT8
    MobileNetV2's 2.4 at 224. So it is no slower than a float32 input in either engine.
    """
    graph = model.graph
    for node in graph.node:
        node.input[:] = [_NORMALISED if name == INPUT else name for name in node.input]
    front = [
        helper.make_node("Reshape", [INPUT, "shape_of_rows"], [_ROWS], _ROWS),
        helper.make_node("Cast", [_ROWS], [_FLOATS], _FLOATS, to=TensorProto.FLOAT),
        helper.make_node("Mul", [_FLOATS, "factor_of_rows"], [_SCALED], _SCALED),
        helper.make_node("Add", [_SCALED, "offset_of_rows"], [_SHIFTED], _SHIFTED),
        helper.make_node("Reshape", [_SHIFTED, "shape_of_image"], [_IMAGE], _IMAGE),
        helper.make_node("Transpose", [_IMAGE], [_NORMALISED], _NORMALISED, perm=[0, 3, 1, 2]),
    ]
    nodes = [*front, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    height, width = spec.height, spec.width
    factor, offset = (np.tile(array, width) for array in normalisation(spec))
    constants = {
        "shape_of_rows": np.array([1, height, width * 3]),
        "factor_of_rows": factor,
        "offset_of_rows": offset,
        "shape_of_image": np.array([1, height, width, 3]),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, height, width, 3]))
