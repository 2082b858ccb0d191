"""Some pictures as the module takes them, with their truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
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

    def to(self, device: torch.device) -> Batch:
        """The same there, pixels with their channels last, as the training loop keeps its convolutions."""

        def there(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device)

        mixed = None if self.mixed is None else replace(self.mixed, labels=self.mixed.labels.to(device))
        images = self.images.to(device, memory_format=torch.channels_last)
        return Batch(images, there(self.labels), there(self.boxes), there(self.classes), mixed, there(self.teacher))


# From a module's outputs, in its order, and the batch they answer to, what is to be made small: a scalar tensor.
Loss: TypeAlias = Callable[[tuple[Tensor, ...], Batch], Tensor]
