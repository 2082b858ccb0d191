"""What a recipe says of a prune step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgekit.contract import Format
from edgekit.converters.prune.importance import Importance
from edgekit.schema import STRICT


@dataclass(frozen=True)
class Prune:
    """Takes out the channels that matter least, as many as it takes to reach one of two goals.

    macs: at most this share of the multiply-adds stays (0.6). speedup: the exported file is at least this many times
    as fast, by the lower end of its interval; the mildest pruning that reaches it is searched by measuring, so another
    host may choose otherwise, and only with `macs` do the same recipe, data and seed give the same weights.
    round_to: what stays of a layer is a multiple of this; engines compute 16 channels or so at once.
    importance: 'taylor' (what the training loss would change without the channel, to first order; Molchanov et al.,
        2019), 'magnitude' (L1 of the filters that make it; Li et al., 2017), 'group-norm' (squares of all weights that
        make, pass or read it; Fang et al., 2023), 'bn-scale' (its batch norm's factor; Liu et al., 2017). Only
        'taylor' needs training pictures. It was far the best: a MobileNetV2 with 0.6 of its multiply-adds and its batch
        norms' statistics taken anew, but nothing trained, was right on 44 of 100 products (60 with all of them); by
        'group-norm' on 1.
    across: channels of all layers are ranked together; otherwise each layer gives the same share.
    keep: layers by name or pattern ('model.backbone.0.*') that give none.
    measure, precision: the file that has to be faster, in its own engine with one thread, on the host that builds.
        Another host may say otherwise: the same pruned INT8 was slower on a Xeon with AMX and faster on an EPYC. Where
        the target is another machine, measure = "none" prunes to `macs` unmeasured, and the bundle says so.
    """

    __pydantic_config__ = STRICT

    kind: Literal["prune"] = "prune"
    macs: float | None = None
    speedup: float | None = None
    round_to: int = 16
    importance: Importance = "taylor"
    across: bool = True
    keep: tuple[str, ...] = ()
    measure: Format | Literal["none"] = "onnx"
    precision: Literal["int8", "float"] = "int8"

    def __post_init__(self) -> None:
        if (self.macs is None) == (self.speedup is None):
            raise ValueError("a prune step has one goal: macs = 0.6 or speedup = 1.5")
        if self.macs is not None and not 0 < self.macs < 1:
            raise ValueError(f"macs is the share of the multiply-adds that may stay, between 0 and 1; got {self.macs}")
        if self.speedup is not None and self.speedup <= 1:
            raise ValueError(f"speedup must be more than 1, which is as fast as before; got {self.speedup}")
        if self.measure == "none" and self.speedup is not None:
            raise ValueError('a speedup has to be measured: with measure = "none" say macs = 0.6')
        if self.round_to < 1:
            raise ValueError(f"round_to must be at least 1; got {self.round_to}")
