"""Static INT8, one file a target, calibrated on the pictures that the caller gives and on nothing else.

Each quantizer takes a float file (`to_onnx`, `to_tflite`) and tensors as that file takes them, which
`preprocess(image, exported.input)` makes. Normalising stays in float before the first INT8 operator: feeding it the
bytes themselves won 2 % in ONNX Runtime, lost 10 % in OpenVINO, and is not exact where mean and std fall between two
steps, as ImageNet's do.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from edgekit.contract import InputSpec
from edgekit.converters.steps import Count
from edgekit.errors import ConversionError, SettingsError
from edgekit.schema import STRICT

Calibration: TypeAlias = Iterable[np.ndarray]
Calibrator: TypeAlias = Literal["minmax", "percentile", "entropy"]


@dataclass(frozen=True)
class Int8Settings:
    """How activations and weights become 8 bits.

    per_channel: one scale for each output channel of the weights. Without it a depthwise net is ruined (MobileNetV2's
    top-1 fell from 0.73 to 0.009); the option is there for accelerators that know nothing else.
    calibration: where an activation's range comes from. 'minmax': the least and the greatest value seen; 'percentile':
    the middle 99.999 % of all values; 'entropy': the range that loses least information (Migacz, 8-bit Inference with
    TensorRT, GTC 2017).
    keep_float: operators that stay in float, by name ('Conv_3' in ONNX, 'CONV_2D_3' in TFLite) or pattern ('*Swish_*').
    What follows the last convolution on the way to an output (box arithmetic, sigmoid, concatenation) always does.
    correct_bias: take back, in each output channel's bias, what rounding the weights does to it on average.
    """

    __pydantic_config__ = STRICT

    per_channel: bool = True
    calibration: Calibrator = "minmax"
    keep_float: tuple[str, ...] = ()
    correct_bias: bool = False

    def keeps(self, operator: str) -> bool:
        """Whether the operator of this name was asked to stay in float."""
        return any(fnmatch.fnmatchcase(operator, pattern) for pattern in self.keep_float)


def checked(calibration: Calibration, spec: InputSpec, progress: Count | None) -> Iterator[np.ndarray]:
    """Each tensor of the calibration set, held against `spec` and counted; `ConversionError` where there is none."""
    total = len(calibration) if isinstance(calibration, Sized) else 0
    done = 0
    for tensor in calibration:
        if tensor.shape != spec.shape or tensor.dtype != spec.dtype:
            raise ValueError(
                f"calibration tensors are what the float file takes, {spec.shape} {spec.dtype}; "
                f"number {done} is {tensor.shape} {tensor.dtype}"
            )
        if not np.isfinite(tensor).all():
            raise ConversionError(f"calibration tensor {done} holds NaN or infinity")
        yield tensor
        done += 1
        if progress is not None:
            progress(done, total)
    if not done:
        raise ConversionError("the calibration set is empty: INT8 ranges come from pictures, a hundred or more")


def check_patterns(settings: Int8Settings, operators: Iterable[str]) -> None:
    """`SettingsError` for a `keep_float` pattern that means no operator of this model."""
    names = list(operators)
    for pattern in settings.keep_float:
        if not fnmatch.filter(names, pattern):
            kinds = ", ".join(sorted({name.rpartition("_")[0] for name in names}))
            raise SettingsError(f"keep_float: no operator is named '{pattern}'; there are {kinds}, numbered from 0")
