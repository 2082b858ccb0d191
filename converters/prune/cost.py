"""What a net costs: multiply-adds and parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def multiply_adds(module: nn.Module, example: Tensor) -> int:
    """Of all convolutions and matrix products for one picture; torch's own counter, which counts each as two FLOPs.

    MobileNetV2-1.0 has 301 million at 224x224, as its paper says (Sandler et al., 2018).
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(example)
    return int(counter.get_total_flops()) // 2


def parameters(module: nn.Module) -> int:
    """How many numbers were trained."""
    return sum(parameter.numel() for parameter in module.parameters())
