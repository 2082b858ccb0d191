"""The prunings of one net, from the mildest to the harshest, found by what they leave."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from edgekit.contract import InputSpec
from edgekit.converters.export import example_of, outputs_of
from edgekit.converters.prune.channels import Plan, cut, difference, prunable, wire
from edgekit.converters.prune.cost import multiply_adds
from edgekit.converters.prune.gradients import Gradients
from edgekit.converters.prune.importance import plan_of, worth_of
from edgekit.converters.prune.settings import Prune
from edgekit.errors import ConversionError

_HARSHEST = 256  # the share of channels that goes is counted in parts of this many


@dataclass(frozen=True, eq=False)
class Pruned:
    """One pruning of a net: the channels that went, the net without them, and its share of the multiply-adds."""

    plan: Plan
    module: nn.Module
    macs: int
    share: float


class Search:
    """Traces `module` and ranks its channels once; `refused`: layers that stay whole, with the reason.

    `gradients`: called on the traced copy, for the importance that goes by them.
    """

    def __init__(self, module: nn.Module, step: Prune, spec: InputSpec, gradients: Gradients | None = None) -> None:
        self.module, self.step, self.example = module, step, example_of(spec)
        outputs_of(module, self.example)
        self.macs = multiply_adds(module, self.example)
        self._wired = wire(module, self.example)
        channels, refused = prunable(self._wired, self.example, step.keep)
        if gradients is not None:
            gradients(self._wired.module)
        self._worth, self.refused = {}, refused
        for layer in channels:
            worth = worth_of(self._wired, layer, step.importance)
            if worth is None:
                self.refused[layer] = f"nothing tells the {step.importance} of its channels"
            else:
                self._worth[layer] = worth
        self._harshest = self._pruned(_HARSHEST)
        if not self._harshest.plan:
            raise ConversionError(
                f"prune: nothing can go: none of the {len(self._worth)} layers that could give channels has more than "
                f"{step.round_to}, and round_to leaves as many{self._others()}"
            )

    @property
    def least(self) -> float:
        """The share of the multiply-adds that the harshest pruning leaves."""
        return self._harshest.share

    def at_most(self, share: float) -> Pruned:
        """The mildest pruning that leaves at most this share of the multiply-adds, checked by computing with it."""
        if self.least > share:
            raise ConversionError(
                f"prune: {share:g} of the multiply-adds cannot be reached: {self.least:.2f} stay with "
                f"{self.step.round_to} channels in every layer that can be pruned{self._others()}"
            )
        mild, harsh, best = 0, _HARSHEST, self._harshest
        while harsh - mild > 1:
            middle = (mild + harsh) // 2
            found = self._pruned(middle)
            if found.share <= share:
                harsh, best = middle, found
            else:
                mild = middle
        wrong = difference(self._wired, best.module, best.plan, self.example)
        if wrong is not None:
            raise ConversionError(f"prune: the channels of {', '.join(best.plan)} cannot go together: {wrong}")
        return best

    def _pruned(self, gone: int) -> Pruned:
        plan = plan_of(self._worth, gone / _HARSHEST, self.step.round_to, across=self.step.across)
        module = cut(self.module, plan, self.example)
        macs = multiply_adds(module, self.example)
        return Pruned(plan, module, macs, macs / self.macs)

    def _others(self) -> str:
        if not self.refused:
            return ""
        layer, reason = next(iter(self.refused.items()))
        return f"; {len(self.refused)} stay whole, such as '{layer}': {reason}"
