"""From a trained torch module to one file an engine: ONNX, OpenVINO IR, TFLite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from edgekit.contract import Artifact, InputSpec
from edgekit.errors import ConversionError

Tensors = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Exported:
    """A model file and the tensor that it takes: `preprocess(image, exported.input)` is what goes in."""

    artifact: Artifact
    input: InputSpec


def normalisation(spec: InputSpec) -> tuple[np.ndarray, np.ndarray]:
    """(factor, offset), both (3,) float32, such that each channel of the network's input is pixel * factor + offset."""
    mean, std = np.array(spec.mean), np.array(spec.std)
    return (spec.scale / std).astype(np.float32), (-mean / std).astype(np.float32)


def example_of(spec: InputSpec) -> torch.Tensor:
    """A grey ramp, normalised: what a module is traced with. (1, 3, h, w) float32; no dice, so that exports repeat."""
    if spec.dtype != "float32" or spec.layout != "NCHW":
        raise ValueError(
            f"a module is exported by the spec of what it takes, float32 NCHW; got {spec.dtype} {spec.layout}"
        )
    factor, offset = (torch.from_numpy(a).view(1, 3, 1, 1) for a in normalisation(spec))
    return torch.linspace(0, 255, 3 * spec.height * spec.width).view(spec.shape) * factor + offset


def outputs_of(module: nn.Module, example: torch.Tensor) -> Tensors:
    """What the module answers to `example`, as a tuple; `ConversionError` where that is no tuple of finite tensors."""
    if module.training:
        raise ValueError("the module is in training mode: call module.eval() before it is exported")
    with torch.no_grad():
        found = module(example)
    outputs = (found,) if isinstance(found, torch.Tensor) else tuple(found) if isinstance(found, (tuple, list)) else ()
    if not outputs or not all(isinstance(output, torch.Tensor) for output in outputs):
        raise ConversionError(
            f"a module must return tensors; got {type(found).__name__}: wrap it to give its raw outputs"
        )
    for index, output in enumerate(outputs):
        if not torch.isfinite(output).all():
            raise ConversionError(f"output {index} holds NaN or infinity: the weights are broken, or were never loaded")
    return outputs
