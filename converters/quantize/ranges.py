"""The range of every activation over a calibration set, by one definition for every target.

An engine's own calibrator is not used: ONNX Runtime's takes minima past NaN, so that a broken model becomes a quantized
one, and keeps all activations of all pictures in memory; ai-edge-quantizer's knows only a moving average.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout

import numpy as np

from edgekit.converters.quantize import Int8Settings
from edgekit.errors import ConversionError

Ranges = dict[str, tuple[float, float]]


def ranges_of(seen: Iterable[Mapping[str, np.ndarray]], settings: Int8Settings) -> Ranges:
    """(low, high) of each activation; `seen` gives all activations by name, one picture at a time.

    `ConversionError` where one of them holds NaN or infinity: INT8 would hide it.
    """
    ways: dict[str, Callable[[Iterable[Mapping[str, np.ndarray]]], Ranges]] = {
        "minmax": _extremes,
        "percentile": lambda pictures: _by_histogram(pictures, "percentile", bins=2048),
        "entropy": lambda pictures: _by_histogram(pictures, "entropy", bins=128),
    }
    return ways[settings.calibration](seen)


def _ends(name: str, values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ConversionError(f"'{name}' goes from {low} to {high} in calibration: the float model itself is broken")
    return low, high


def _extremes(seen: Iterable[Mapping[str, np.ndarray]]) -> Ranges:
    ranges: Ranges = {}
    for activations in seen:
        for name, values in activations.items():
            low, high = _ends(name, values)
            before = ranges.get(name, (low, high))
            ranges[name] = min(low, before[0]), max(high, before[1])
    return ranges


def _by_histogram(seen: Iterable[Mapping[str, np.ndarray]], method: str, bins: int) -> Ranges:
    """ONNX Runtime's histograms, with its own numbers of bins; they print a line a picture."""
    from onnxruntime.quantization.calibrate import HistogramCollector

    collector = HistogramCollector(
        method=method, symmetric=False, num_bins=bins, num_quantized_bins=128, percentile=99.999, scenario="same"
    )
    for activations in seen:
        for name, values in activations.items():
            _ends(name, values)
        with redirect_stdout(io.StringIO()):
            collector.collect({name: [values] for name, values in activations.items()})
    with redirect_stdout(io.StringIO()):
        found = collector.compute_collection_result()
    return {name: (float(ends[0]), float(ends[1])) for name, ends in found.items()}
