"""The training loop: any module, any loss, from its last finished epoch on.

After each epoch all that the next one needs is on the disk, and every draw follows from the seed and the place where it
is drawn. So a run that is killed and started again gives the same weights, to the bit, as one that was not: on the CPU
with the same number of threads, on a GPU as far as torch has deterministic kernels for the model.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgekit.contract import task_of
from edgekit.converters.memory import enough_memory
from edgekit.converters.steps import StepContext, Stepped
from edgekit.converters.train import checkpoint
from edgekit.converters.train.batch import Batch, Loss
from edgekit.converters.train.checkpoint import Progressed, State
from edgekit.converters.train.feed import Feed, generator
from edgekit.converters.train.frozen import set_mode
from edgekit.converters.train.settings import Loop
from edgekit.errors import ConversionError

_DROPOUT = 3  # what is drawn in a step; see feed.py

# The figure by which epochs are compared, of a model in eval mode: the higher the better.
Validate: TypeAlias = Callable[[nn.Module], float]


def fit(
    step: str,
    model: nn.Module,
    loss: Loss,
    loop: Loop,
    context: StepContext,
    feed: Feed,
    validate: Validate | None,
    teacher: nn.Module | None = None,
) -> Stepped:
    """Trains `model` in place, by `loss`, and gives it back in eval mode on the CPU with the weights that are kept.

    `step` begins every message. A loss that is a module is trained as well, and goes with the checkpoint. `validate`:
    None where there is nothing to choose by; then the last epoch is kept. `teacher`: what the loss asks, if it does; a
    checkpoint counts for this teacher only.
    `ConversionError`: the loss is not finite, the memory does not suffice, or a setting asks for what is not there.
    """
    if loop.patience is not None and validate is None:
        raise ConversionError(f"{step}: patience needs [validation] pictures; add them or leave patience out")
    started = time.perf_counter()
    with _deterministic():
        key = checkpoint.fingerprint(context, loop, model, *([teacher] if teacher else []))
        run = _Run(step, model, loss, loop, context, feed, key)
        while not run.is_done:
            run.train_epoch()
            run.judge(validate)
            run.save()
        run.finish()
    return Stepped(model, run.figures(), {"training_s": round(time.perf_counter() - started, 1)}, run.notes())


def pace(done: float, warmup: float, total: float) -> float:
    """The learning rate as a part of its peak, `done` epochs after the beginning: a line up, then a cosine to 0."""
    if done < warmup:
        return done / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / max(total - warmup, 1e-9))


def follow(averaged: nn.Module, model: nn.Module, decay: float, steps: int) -> None:
    """One step of the running average, over weights and buffers; in the first steps it forgets faster.

    decay is at most (1 + steps) / (10 + steps), as in TensorFlow's ExponentialMovingAverage, so that what the weights
    were before training is soon out of it.
    """
    keep = min(decay, (1 + steps) / (10 + steps))
    for mean, now in zip(_tensors(averaged), _tensors(model), strict=True):
        if mean.is_floating_point():
            mean.lerp_(now.detach(), 1 - keep)
        else:
            mean.copy_(now)


class _Run:
    """One training between its checkpoints."""

    def __init__(
        self, step: str, model: nn.Module, loss: Loss, loop: Loop, context: StepContext, feed: Feed, key: str
    ) -> None:
        self.step, self.loop, self.context, self.feed, self.key = step, loop, context, feed, key
        self.model = _placed(model, context.device, torch.channels_last)
        self.loss = loss.to(context.device) if isinstance(loss, nn.Module) else loss
        self.averaged = copy.deepcopy(self.model).eval().requires_grad_(False)
        set_mode(self.model, loop.frozen, 0, step)
        self.optimizer = _optimizer(self.model, self.loss, loop)
        self.at = Progressed(0, {}, {}, {}, {}, {}, 0, None, None, 0, 0.0)
        self.measure = "ap" if task_of(context.head) == "detect" else "top1"
        if (found := checkpoint.load(context.scratch, self.key)) is not None:
            self._restore(found)

    @property
    def is_done(self) -> bool:
        patience = self.loop.patience
        return self.at.epochs >= self.loop.epochs or (patience is not None and self.at.stale >= patience)

    def train_epoch(self) -> None:
        epoch, steps = self.at.epochs, self.feed.steps
        stage = f"training epoch {epoch + 1} of {self.loop.epochs}"
        set_mode(self.model, self.loop.frozen, epoch, self.step)
        total = 0.0
        for i, batch in enumerate(self.feed.epoch(epoch)):
            # Half a step on, so that the first is not at rate 0.
            rate = self.loop.rate * pace(epoch + (i + 0.5) / steps, self.loop.warmup, self.loop.epochs)
            torch.manual_seed(int(generator(self.context.seed, _DROPOUT, epoch, i).integers(2**63)))
            total += self._learn(batch, rate, f"step {i + 1} of epoch {epoch + 1}")
            if self.loop.ema:
                follow(self.averaged, self.model, self.loop.ema, epoch * steps + i)
            self.context.tell(stage, i + 1, steps)
            self.context.tell("training", epoch * steps + i + 1, self.loop.epochs * steps)  # the time left of it all
        self.at.epochs, self.at.train_loss = epoch + 1, total / steps

    def _learn(self, batch: Batch, rate: float, where: str) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        size = "x".join(map(str, batch.images.shape))
        with enough_memory(self.step, f" for a batch of {size} pixels; lower batch"):
            batch = batch.to(self.context.device)
            loss = self.loss(self.model(batch.images), batch)
            self.optimizer.zero_grad()
            loss.backward()
            length = nn.utils.clip_grad_norm_(self.model.parameters(), self.loop.clip)
            value = float(loss.detach())
            if not math.isfinite(value) or not math.isfinite(float(length)):
                raise ConversionError(
                    f"{self.step}: the loss is {value:g} and its gradient {float(length):g} at {where}; try a lower "
                    f"rate (it is {self.loop.rate:g}), a longer warmup ({self.loop.warmup:g}) or a smaller clip"
                )
            self.optimizer.step()
        return value

    def judge(self, validate: Validate | None) -> None:
        """Keep this epoch's model where it is the best so far, or the last is asked for."""
        model = self.averaged if self.loop.ema else self.model
        figure = None if validate is None else validate(model.eval())
        best = self.at.best_figure
        better = best is None or figure is None or figure > best
        self.at.stale = 0 if better else self.at.stale + 1
        if better:
            self.at.best_figure = figure
        if better or self.loop.keep == "last":
            self.at.kept, self.at.kept_epoch, self.at.kept_figure = _state(model), self.at.epochs, figure

    def save(self) -> None:
        self.at.model, self.at.averaged = _state(self.model), _state(self.averaged)
        self.at.loss = _state(self.loss) if isinstance(self.loss, nn.Module) else {}
        self.at.optimizer = self.optimizer.state_dict()
        checkpoint.save(self.context.scratch, self.key, self.at)

    def _restore(self, found: Progressed) -> None:
        self.at = found
        self.model.load_state_dict(found.model)
        self.averaged.load_state_dict(found.averaged)
        self.optimizer.load_state_dict(found.optimizer)
        if isinstance(self.loss, nn.Module):
            self.loss.load_state_dict(found.loss)

    def finish(self) -> None:
        self.model.load_state_dict(self.at.kept)
        _placed(self.model, torch.device("cpu"), torch.contiguous_format).eval().requires_grad_(True).zero_grad()

    def figures(self) -> dict[str, float]:
        found: dict[str, float] = {"epochs": self.at.epochs, "train_loss": round(self.at.train_loss, 6)}
        if self.at.kept_figure is not None:
            figure = round(self.at.kept_figure, 6)
            found |= {"kept_epoch": self.at.kept_epoch, f"validation_{self.measure}": figure}
        return found

    def notes(self) -> tuple[str, ...]:
        if self.at.epochs >= self.loop.epochs:
            return ()
        return (
            f"stopped after epoch {self.at.epochs}: validation {self.measure} did not rise for {self.at.stale} epochs",
        )


def _optimizer(model: nn.Module, loss: Loss, loop: Loop) -> torch.optim.Optimizer:
    """Decay pulls weights, and neither biases nor norms (Goyal et al., arXiv 1706.02677, section 5.3)."""
    learnt = [*model.parameters(), *(loss.parameters() if isinstance(loss, nn.Module) else ())]
    groups = [
        {"params": [each for each in learnt if each.ndim > 1], "weight_decay": loop.weight_decay},
        {"params": [each for each in learnt if each.ndim <= 1], "weight_decay": 0.0},
    ]
    if loop.optimizer == "adamw":
        return torch.optim.AdamW(groups, loop.rate)
    return torch.optim.SGD(groups, loop.rate, momentum=0.9, nesterov=True)


def _tensors(model: nn.Module) -> list[Tensor]:
    """Weights and buffers, each once, also where two layers share one."""
    return [*model.parameters(), *model.buffers()]


def _placed(model: nn.Module, device: torch.device, order: torch.memory_format) -> nn.Module:
    """On the device, pixels in this order of memory: convolutions train faster with their channels last."""
    model.to(device)
    for each in _tensors(model):
        if each.ndim == 4:
            each.data = each.data.contiguous(memory_format=order)
    return model


def _state(module: nn.Module) -> State:
    """A copy that does not move when training goes on."""
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}


@contextmanager
def _deterministic() -> Iterator[None]:
    """Kernels that add in a fixed order, and the process's generator left as it was."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Or every fresh tensor is filled with NaN first, which is for finding faults.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
