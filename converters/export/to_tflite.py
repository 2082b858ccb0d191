"""A torch module as a TFLite file, without TensorFlow: NHWC, raw pixels in, raw outputs out, the same bytes every time.

litert-torch converts. Its layout pass swallows the one permutation that is put in front of the module, so that no
transpose is left before the outputs.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from edgekit.contract import Artifact, InputSpec
from edgekit.converters.export import Exported, Tensors, example_of, normalisation, outputs_of
from edgekit.errors import ConversionError

INPUT = "image"
CONSTANT = "constant_"  # how names of tensors that no operator makes begin


def to_tflite(module: nn.Module, spec: InputSpec, *, raw: bool = True) -> Exported:
    """The module as TFLite; input 'image', (1, h, w, 3), outputs 'output_0', 'output_1', ... in the module's order.

    `module`: eval mode, float32, takes (1, 3, h, w) as `spec` normalises it, returns a tensor or a tuple of them.
    `raw`: the file takes uint8 pixels and normalises inside; otherwise float32, normalised as `spec` says, in NHWC.
    `ConversionError` where litert-torch cannot convert the module or an output is not finite.
    """
    outputs_of(module, example_of(spec))
    wire = spec.raw("uint8", "NHWC") if raw else replace(spec, layout="NHWC")
    dtype = torch.uint8 if raw else torch.float32
    wrapped = _FromPixels(module, spec) if raw else _ChannelsLast(module)
    model = _converted(wrapped.eval(), torch.zeros(wire.shape, dtype=dtype))
    return Exported(Artifact("tflite", renamed(model)), wire)


class _ChannelsLast(nn.Module):
    """The module, fed (1, h, w, 3)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: torch.Tensor) -> Tensors:
        found = self.module(image.permute(0, 3, 1, 2))
        return (found,) if isinstance(found, torch.Tensor) else tuple(found)


class _FromPixels(_ChannelsLast):
    """The module, fed (1, h, w, 3) uint8.

    Rows of w * 3 values are normalised by rows of constants: XNNPACK is slow where a constant of three is repeated
    along a picture (0.35 ms of MobileNetV3-small's 1.2 ms at 224 against 0.02 ms for rows).
    """

    factor: torch.Tensor
    offset: torch.Tensor

    def __init__(self, module: nn.Module, spec: InputSpec) -> None:
        super().__init__(module)
        factor, offset = normalisation(spec)
        self.register_buffer("factor", torch.from_numpy(factor).repeat(spec.width))
        self.register_buffer("offset", torch.from_numpy(offset).repeat(spec.width))

    def forward(self, image: torch.Tensor) -> Tensors:
        rows = image.flatten(2).to(torch.float32) * self.factor + self.offset
        return super().forward(rows.reshape(image.shape))


def _converted(module: nn.Module, example: torch.Tensor) -> bytes:
    with quiet():
        import litert_torch
        from litert_torch import config

        config.show_progress = False
        try:
            model: bytes = litert_torch.convert(module, (example,)).model_content()
        except (AssertionError, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise ConversionError(f"litert-torch cannot convert this module to TFLite: {line}") from error
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Puts aside what LiteRT's tools write to standard error; what goes wrong, they raise.

    Their C++ parts write to file descriptor 2 themselves, so it is that which is turned to a file for so long. What was
    in the file goes to this module's logger, level debug.
    """
    with tempfile.TemporaryFile() as aside, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            aside.seek(0)
            logging.getLogger(__name__).debug("%s", aside.read().decode(errors="replace"))


def renamed(model: bytes) -> bytes:
    """The file with tensors named after what makes them ('CONV_2D_3'), not after the Python that they came from.

    Those names held the importing script's module path, so the same network gave other bytes in another program.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    tree: Any = flatbuffer_utils.read_model_from_bytearray(model)
    if len(tree.subgraphs) > 1:
        raise ConversionError("the TFLite file needs subgraphs of its own, as sorting, top-k and loops do: do it after")
    tree.description = b"edgekit"
    (graph,), (signature,) = tree.subgraphs, tree.signatureDefs
    graph.name = b"main"
    for index, tensor in enumerate(graph.tensors):
        tensor.name = f"{CONSTANT}{index}".encode()
    for name, operator in operator_names(tree):
        for place, tensor in enumerate(operator.outputs):
            graph.tensors[tensor].name = (f"{name}_{place}" if place else name).encode()
    graph.tensors[graph.inputs[0]].name = signature.inputs[0].name = INPUT.encode()
    for index, output in enumerate(signature.outputs):
        output.name = f"output_{index}".encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def operator_names(tree: Any) -> list[tuple[str, Any]]:
    """Each operator of the (only) subgraph with a name: its kind, and which of its kind it is, 'CONV_2D_3'."""
    from ai_edge_litert.tools import flatbuffer_utils

    seen: Counter[str] = Counter()
    named = []
    for operator in tree.subgraphs[0].operators:
        kind = flatbuffer_utils.opcode_to_name(tree, operator.opcodeIndex) or "CUSTOM"
        named.append((f"{kind}_{seen[kind]}", operator))
        seen[kind] += 1
    return named
