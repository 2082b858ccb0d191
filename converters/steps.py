"""What every step on the trained model is given, and what it gives back: a float torch module in, one out.

A step trains, distils, prunes or fine-tunes; it never sees the evaluation set. The contract (input, head, labels) is
the same before and after it, so that steps come in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from edgekit.contract import AnyHead, InputSpec
from edgekit.converters.data import Dataset

# told (what is being done, how much of it is done, how much there is)
Progress: TypeAlias = Callable[[str, int, int], None]
# The same for one thing alone; there is 0 where nobody knows.
Count: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class StepContext:
    """Where a step works.

    training: pictures to learn from. validation: to stop and to choose by; None where the recipe has none.
    seed: of every draw. folder: where paths of the recipe begin. scratch: a folder of the step's own, there from its
    first run until it is done, so that a step that was killed goes on from its last checkpoint.
    """

    input: InputSpec
    head: AnyHead
    labels: tuple[str, ...]
    training: Dataset | None
    validation: Dataset | None
    seed: int
    folder: Path
    scratch: Path
    tell: Progress
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Stepped:
    """What came of a step. module: in eval mode on the CPU, same inputs and outputs as before.

    figures: what the step says of itself, the same for the same recipe, data and seed: they go into the evidence.
    measured: times of this host, which do not. notes: lines for the reader, such as why training stopped.
    """

    module: nn.Module
    figures: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
