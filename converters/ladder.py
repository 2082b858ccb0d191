"""Where two versions of a network part: framework, float file, INT8 file, compared tensor by tensor in order.

    found = int8_divergence(float_file, int8_file, tensors)
    print(found)    # first diverging tensor: 'getitem_36' of Conv_12, (1, 24, 56, 56): 9.3 dB after 31.0 dB before it

For the line beside a FAIL: the gate says that something is wrong, this says where it began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from edgekit.contract import InputSpec
from edgekit.converters.export import Exported, example_of
from edgekit.converters.quantize.escalate import open_net
from edgekit.converters.quantize.for_onnx import OnnxNet
from edgekit.converters.quantize.net import Operator, Values
from edgekit.converters.quantize.sensitivity import MOST_DB, sqnr_db
from edgekit.converters.traced import running, trace, weighted_nodes
from edgekit.frames import Image
from edgekit.preprocess import preprocess

# A float export is the same arithmetic: rounding leaves 90 dB and more. YOLOX-nano, which is ruined by its first two
# convolutions in INT8, has 23 dB after the first and 15 after the second.
FLOAT_DB, INT8_DB = 50.0, 15.0


@dataclass(frozen=True)
class Divergence:
    """The first tensor that is off while what it is made of is not.

    sqnr_db: of it, before_db: of the worst of what it is made of; 120 is "no error", and what the picture itself has.
    """

    tensor: str
    operator: str
    shape: tuple[int, ...]
    sqnr_db: float
    before_db: float

    def __str__(self) -> str:
        return (
            f"first diverging tensor: '{self.tensor}' of {self.operator}, {self.shape}: "
            f"{self.sqnr_db:.1f} dB after {self.before_db:.1f} dB before it"
        )


def int8_divergence(
    start: Exported, int8: Exported, tensors: Sequence[np.ndarray], least_db: float = INT8_DB
) -> Divergence | None:
    """The first tensor of an INT8 file (ONNX or TFLite) that parts from those of the float file it was made of.

    `tensors`: some pictures as the files take them. For OpenVINO give the ONNX files that its own are made of.
    """
    net = open_net(start)
    names = [name for operator in net.operators for name in operator.outputs]
    wanted = list(net.activations(tensors))
    return first_divergence(net.operators, wanted, list(net.values(int8, tensors, names)), least_db)


def export_divergence(
    module: nn.Module, spec: InputSpec, exported: Exported, images: Sequence[Image], least_db: float = FLOAT_DB
) -> Divergence | None:
    """The first convolution or product of a float ONNX file that parts from the module it was exported from.

    `spec`: of the module. `images`: as a camera gives them. The two are matched by the names of their weights, so what
    lies between two convolutions is put down to the second.
    """
    net = OnnxNet(exported)
    graph = trace(module, example_of(spec))
    nodes = {weight: last.name for weight, (_, last) in weighted_nodes(graph.graph).items()}
    outputs = {nodes[weight]: output for weight, output in net.weights.items() if weight in nodes}
    runs = [running(graph, torch.from_numpy(preprocess(image, spec)[0])) for image in images]
    wanted = [{outputs[node.name]: value.numpy() for node, value in run if node.name in outputs} for run in runs]
    got = list(net.activations([preprocess(image, exported.input)[0] for image in images]))
    return first_divergence(net.operators, wanted, got, least_db)


def first_divergence(
    operators: Sequence[Operator], wanted: Sequence[Values], got: Sequence[Values], least_db: float
) -> Divergence | None:
    """The first tensor under `least_db` whose operator takes none that is; None where there is no such tensor.

    `operators` in the file's order. A tensor that one side lacks passes on what it is made of.
    """
    known: dict[str, float] = {}
    for operator in operators:
        before = min((known[name] for name in operator.inputs if name in known), default=MOST_DB)
        for name in operator.outputs:
            known[name] = _similarity(name, wanted, got, before)
            if known[name] < least_db <= before:
                return Divergence(name, operator.name, wanted[0][name].shape, known[name], before)
    return None


def _similarity(name: str, wanted: Sequence[Values], got: Sequence[Values], otherwise: float) -> float:
    there = name in wanted[0] and name in got[0] and wanted[0][name].shape == got[0][name].shape
    return sqnr_db([{name: each[name]} for each in wanted], got) if there else otherwise
