"""Some pictures as the module takes them, with their truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mixed:
    """What was blended into a batch's pictures. labels: (n,) int64, of the other picture; share: the first one's."""

    labels: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class Batch:
    """images: (n, 3, h, w) float32, normalised by the recipe's InputSpec.

    labels: (n,) int64 classes of whole pictures; None for a detector.
    boxes: (n, m, 4) float32 xyxy in pixels of the input, and classes: (n, m) int64, -1 where a picture has fewer than
    m boxes; None for a classifier.
    mixed: where mixup has blended the pictures.
    teacher: the same pictures by a teacher's own InputSpec, where it has one.
    """

    images: Tensor
    labels: Tensor | None = None
    boxes: Tensor | None = None
    classes: Tensor | None = None
    mixed: Mixed | None = None
    teacher: Tensor | None = None


# From a module's outputs, in its order, and the batch they answer to, what is to be made small: a scalar tensor.
Loss: TypeAlias = Callable[[tuple[Tensor, ...], Batch], Tensor]
