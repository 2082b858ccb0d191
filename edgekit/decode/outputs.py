"""Raw outputs held against the contract: the right number of them, in the right shapes, with real numbers inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgekit.errors import ContractError
from edgekit.frames import FloatArray

Outputs: TypeAlias = Sequence[npt.NDArray[Any]]
Shape: TypeAlias = tuple[int | None, ...]

# A quantized sigmoid may end a step above 1. What lies further out was never a probability.
_SLACK = 0.02


def expect(outputs: Outputs, shapes: Sequence[Shape], head: str) -> list[FloatArray]:
    """The outputs as float32 without their batch of one, if they have these shapes; None is any size.

    `head` begins the message of the ContractError: what kind of head wants these shapes, and why.
    """
    fits = len(outputs) == len(shapes) and all(map(_fits, outputs, shapes))
    if not fits:
        raise ContractError(f"{head} expects {_shown(shapes)}; the model gave {_shown([o.shape for o in outputs])}")
    raw = [output.dtype for output in outputs if output.dtype.kind != "f"]
    if raw:
        raise ContractError(f"{head} expects floats; the model gave {raw[0]}, which its engine has to dequantize")
    return [np.asarray(output[0], np.float32) for output in outputs]


def probabilities(scores: npt.NDArray[Any], head: str) -> None:
    """ContractError unless all of these are in 0..1. NaN is in no range, so it fails as well."""
    if not scores.size:
        return
    low, high = float(scores.min()), float(scores.max())
    if low >= -_SLACK and high <= 1 + _SLACK:
        return
    finite(scores, head, "scores")
    raise ContractError(f"{head}: scores run from {low:.3g} to {high:.3g}, expected 0..1; are they before activation?")


def finite(values: npt.NDArray[Any], head: str, what: str) -> None:
    """ContractError if any of these is NaN or infinite."""
    good = np.isfinite(values)
    if not good.all():
        raise ContractError(f"{head}: {values.size - int(good.sum())} of {values.size} {what} are NaN or infinite")


def _fits(output: npt.NDArray[Any], shape: Shape) -> bool:
    return output.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, output.shape, strict=True))


def _shown(shapes: Sequence[Shape]) -> str:
    each = [f"({', '.join('n' if size is None else str(size) for size in shape)})" for shape in shapes]
    return f"{len(each)} output{'s' * (len(each) != 1)} {', '.join(each)}".rstrip()
