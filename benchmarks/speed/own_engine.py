"""Which engine a variant is measured in: the one that made its format."""

from __future__ import annotations

from edgekit.bundle import Variant
from edgekit.engines import ENGINES, installed
from edgekit.errors import EngineMissing
from edgekit.plan import EngineName


def own_engine(variant: Variant) -> EngineName:
    """The first installed engine that opens the variant; a profile may well prefer another (OpenVINO for ONNX)."""
    there = installed()
    able = ENGINES[variant.format]
    for engine in able:
        if there[engine] is not None:
            return engine
    raise EngineMissing(f"{variant.name} runs on {' or '.join(able)}; not installed: try 'edgekit doctor'")
