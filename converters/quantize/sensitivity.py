"""Which operators 8 bits hurt most: each block is put in INT8 alone, and the network's ends are held against float's.

Alone, not all but it: where several blocks are each bad enough to ruin the outputs, taking one of them back changes
little. YOLOX-nano in INT8 has 2.0 dB left at its ends; with the worst eight by the one ranking in float it has 11.6, by
the other 7.6. Its worst two, without which INT8 keeps its AP, are the same by both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.net import Block, FloatNet, Values, blocks_of, heads_of
from edgekit.converters.quantize.static import Seen
from edgekit.converters.steps import Progress

_PICTURES = 2  # evenly spread over the calibration set; 20 CPU-s for the 113 blocks of YOLOX-nano
MOST_DB = 120.0  # what stands for "no error at all"


@dataclass(frozen=True)
class LayerSensitivity:
    """What one block in INT8 does to the network.

    operator: its convolution or product. operators: that and what follows from it alone, for `keep_float`.
    sqnr_db: signal to quantization noise at the network's ends, over pictures, all ends weighing the same; the lower
    the worse. macs: of the block.
    """

    operator: str
    operators: tuple[str, ...]
    sqnr_db: float
    macs: int


def sensitivity(
    net: FloatNet,
    seen: Seen,
    tensors: Sequence[np.ndarray],
    settings: Int8Settings,
    progress: Progress | None = None,
) -> tuple[LayerSensitivity, ...]:
    """Every block that `settings` puts in INT8, the most sensitive first; equals in the file's order.

    `tensors`: the calibration set, of which two pictures are run. `seen`: what calibration saw on all of it.
    """
    tell = progress or (lambda stage, done, total: None)
    some = spread(tensors, _PICTURES)
    ends = heads_of(net.operators)
    wanted = [{name: values[name] for name in ends} for values in net.activations(some)]
    whole = net.quantized(seen.ranges, settings)
    blocks = [block for block in blocks_of(net.operators) if not settings.keeps(block.name)]
    found = []
    for done, block in enumerate(blocks, 1):
        got = list(net.values(net.alone(whole, seen.ranges, settings, block.operators), some, ends))
        found.append(_sensitivity(block, sqnr_db(wanted, got)))
        tell("looking for sensitive operators", done, len(blocks))
    return tuple(sorted(found, key=lambda each: each.sqnr_db))


def sqnr_db(wanted: Sequence[Values], got: Sequence[Values]) -> float:
    """Signal to noise of the tensors of `wanted`, all of them weighing the same, over pictures; at most 120 dB.

    The signal is a tensor's variance: a mean far from zero carries nothing.
    """
    noise = float(np.mean([_noise(*pair, name) for pair in zip(wanted, got, strict=True) for name in pair[0]]))
    return round(min(MOST_DB, -10 * math.log10(max(noise, 1e-12))), 2)


def spread(tensors: Sequence[np.ndarray], count: int) -> list[np.ndarray]:
    """`count` of them, evenly from first to last."""
    places = np.linspace(0, len(tensors) - 1, min(count, len(tensors))).round().astype(int)
    return [tensors[place] for place in places]


def _noise(wanted: Values, got: Values, name: str) -> float:
    signal = float(wanted[name].var(dtype=np.float64))
    error = float(np.square(wanted[name] - got[name], dtype=np.float64).mean())
    return error / signal if signal else float(error > 0)


def _sensitivity(block: Block, sqnr: float) -> LayerSensitivity:
    return LayerSensitivity(block.name, block.operators, sqnr, block.macs)
