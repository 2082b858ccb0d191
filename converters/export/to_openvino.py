"""A torch module as OpenVINO IR in float32: by way of ONNX, so that both engines run the same graph."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from edgekit.contract import Artifact, InputSpec
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.engines.ov import import_openvino
from edgekit.errors import ConversionError


def to_openvino(module: nn.Module, spec: InputSpec, *, raw: bool = True) -> Exported:
    """The module as IR; input and outputs, errors and `raw` as for `to_onnx`."""
    return as_openvino(to_onnx(module, spec, raw=raw))


def as_openvino(exported: Exported) -> Exported:
    """An exported ONNX file, float or QDQ, as IR. Weights stay as they are: nothing is rounded to float16 here.

    What OpenVINO would work out at every load is worked out here once: YOLOX-nano's 1983 operators become 618, and
    loading takes 0.15 instead of 0.27 CPU-s. Float outputs are the same to the last bit. Those of INT8 are not, so
    this file is evaluated by itself.
    """
    if exported.artifact.format != "onnx":
        raise ValueError(f"as_openvino takes ONNX; got {exported.artifact.format}")
    openvino = import_openvino()
    from openvino._offline_transformations import apply_fused_names_cleanup, apply_moc_transformations

    try:
        model = openvino.Core().read_model(exported.artifact.model)
        apply_moc_transformations(model, cf=True)  # as openvino.convert_model does
        apply_fused_names_cleanup(model)  # names with OpenVINO's own count in them, see _name
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot read this ONNX file: {str(error).strip().splitlines()[-1]}") from error
    _name(model)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        path = Path(folder) / "model.xml"
        openvino.serialize(model, path, path.with_suffix(".bin"))
        return Exported(Artifact.read(path), exported.input)


def _name(model: Any) -> None:
    """Names operators by kind and place, and drops the names of those that were folded into them: OpenVINO's own names
    count all operators that the process ever made ('Constant_6310').
    """
    for index, operator in enumerate(model.get_ordered_ops()):
        if operator.get_type_name() not in ("Parameter", "Result"):
            operator.set_friendly_name(f"{operator.get_type_name()}_{index}")
        facts = operator.get_rt_info()
        for fact in [fact for fact in facts if fact.startswith("fused_names")]:
            del facts[fact]
