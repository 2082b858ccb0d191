"""Structured pruning: whole channels go, so that every engine is faster for it, and the artifact is measured to prove
it.

    done = run_prune(module, Prune(macs=0.6), context)
    done.module, done.figures["macs_share"], done.measured["speedup"]

Zeros among the weights won nothing in any engine. Whole channels win, if what stays is a multiple of 16: eight 3x3
convolutions of 64 channels were 30 % slower with 61 and 1.76 times as fast with 48 (ONNX Runtime).
"""

from __future__ import annotations

from edgekit.converters.prune.settings import Prune
from edgekit.converters.prune.step import run_prune

__all__ = ["Prune", "run_prune"]
