"""Where a training stands after an epoch, on the disk: whole or not there at all, and never another training's."""

from __future__ import annotations

import hashlib
import io
import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.converters.steps import StepContext
from edgekit.converters.train.settings import Loop, deciding
from edgekit.converters.weights import DAMAGE, tensors_digest
from edgekit.files import replacing

_log = logging.getLogger(__name__)
_NAME = "training.pt"
_FORMAT = 1  # of what is in it: counted up when `Progressed` changes

State = dict[str, Tensor]


@dataclass
class Progressed:
    """A training after `epochs` of them. No random numbers: every draw follows from seed, epoch and place.

    kept: the model that would come out now, as it was after `kept_epoch` epochs, and its validation figure.
    best_figure: the highest so far; stale: epochs since.
    """

    epochs: int
    model: State
    averaged: State
    loss: State
    optimizer: dict[str, Any]
    kept: State
    kept_epoch: int
    kept_figure: float | None
    best_figure: float | None
    stale: int
    train_loss: float


def fingerprint(context: StepContext, loop: Loop, *models: nn.Module) -> str:
    """Of all that decides how a training goes: settings, contract, the pictures' contents, seed, and the weights of the
    model that it begins from and of its teacher."""
    data = [each.digest() if each is not None else None for each in (context.training, context.validation)]
    told = [_FORMAT, deciding(loop), asdict(context.input), asdict(context.head), context.labels, data, context.seed]
    told += [tensors_digest(model) for model in models]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def save(folder: Path, key: str, progressed: Progressed) -> None:
    """Durable when it returns; a kill or a full disk before that leaves the epoch before."""
    content = io.BytesIO()  # torch says of a full disk that a position was unexpected
    torch.save({"key": key, **vars(progressed)}, content)
    with replacing(folder / _NAME) as temporary:
        temporary.write_bytes(content.getbuffer())


def load(folder: Path, key: str) -> Progressed | None:
    """Where the training of this `key` stands; None, and a warning, where another one's is there."""
    path = folder / _NAME
    if not path.is_file():
        return None
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        _log.warning("%s is damaged (%s): training begins anew", path, type(error).__name__)
        return None
    if held.pop("key") != key:
        _log.warning("%s is of other settings, data or weights: training begins anew", path)
        return None
    return Progressed(**held)
