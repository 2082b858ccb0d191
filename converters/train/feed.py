"""The training pictures, batch by batch: what a batch holds follows from seed, epoch and place alone.

So a run that was killed goes on with the very pictures that it would have seen, whatever the number of threads that
prepare them and whatever the cache holds.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgekit.contract import InputSpec
from edgekit.converters.data import Dataset
from edgekit.converters.train.batch import Batch, Mixed
from edgekit.converters.train.settings import Loop
from edgekit.converters.train.vary import boxes_in_input, cut, draw, to_tensor
from edgekit.frames import Image

_ORDER, _VARIED, _MIXED = 0, 1, 2  # what is drawn, so that no two draws share their numbers
_AHEAD = 2  # batches prepared before they are asked for


def generator(seed: int, what: int, *where: int) -> np.random.Generator:
    """The generator of one draw: no state is carried from one to the next, so none has to be saved."""
    return np.random.default_rng([seed, what, *where])


class Pictures:
    """The pictures of a data set, each decoded once while `cache_mb` lasts."""

    def __init__(self, dataset: Dataset, cache_mb: int) -> None:
        self.dataset = dataset
        self._room = cache_mb * 2**20
        self._held: dict[int, Image] = {}
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> Image:
        """(h, w, 3) uint8 BGR, not to be written to; `PictureError` names a file that cannot be decoded."""
        if (held := self._held.get(place)) is not None:
            return held
        image = self.dataset.samples[place].image()
        with self._lock:
            if place not in self._held and image.nbytes <= self._room:
                self._room -= image.nbytes
                self._held[place] = image
        return image


@dataclass(frozen=True, eq=False)
class _Ready:
    tensor: Tensor
    teacher: Tensor | None
    boxes: Tensor
    classes: Tensor


class Feed:
    """Batches of `dataset` by `spec`, and by `teacher` as well where that is given, varied and shuffled by `seed`.

    An epoch leaves out the pictures that do not fill a last batch, others each time; a data set smaller than a batch is
    one batch.
    """

    def __init__(
        self, dataset: Dataset, spec: InputSpec, loop: Loop, seed: int, teacher: InputSpec | None = None
    ) -> None:
        self.dataset, self.spec, self.loop, self.seed = dataset, spec, loop, seed
        self.teacher = None if teacher == spec else teacher
        self._pictures = Pictures(dataset, loop.cache_mb)

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return max(1, len(self.dataset) // self.loop.batch)

    def epoch(self, epoch: int, workers: int | None = None) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0; the next are prepared in threads while this one is learnt from."""
        order = generator(self.seed, _ORDER, epoch).permutation(len(self.dataset)).tolist()
        size = self.loop.batch
        chosen = [order[step * size : (step + 1) * size] for step in range(self.steps)]
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            for step, futures in enumerate(_ahead(pool, chosen, lambda place: self._ready(epoch, place))):
                yield self._batch(chosen[step], [each.result() for each in futures], epoch, step)

    def _ready(self, epoch: int, place: int) -> _Ready:
        sample = self.dataset.samples[place]
        drawn = draw(self.loop.augment, generator(self.seed, _VARIED, epoch, place))
        single = ~sample.crowd
        image, boxes, seen = cut(self._pictures[place], sample.boxes[single], drawn)
        tensor, placement = to_tensor(image, self.spec, drawn)
        teacher = to_tensor(image, self.teacher, drawn)[0] if self.teacher else None
        classes = sample.labels[single][seen]
        return _Ready(
            tensor, teacher, torch.from_numpy(boxes_in_input(boxes, placement, self.spec)), torch.from_numpy(classes)
        )

    def _batch(self, places: Sequence[int], ready: list[_Ready], epoch: int, step: int) -> Batch:
        images = torch.cat([each.tensor for each in ready])
        teacher = torch.cat([each.teacher for each in ready if each.teacher is not None]) if self.teacher else None
        if self.dataset.holds == "boxes":
            boxes = torch.nn.utils.rnn.pad_sequence([each.boxes for each in ready], batch_first=True)
            classes = torch.nn.utils.rnn.pad_sequence([each.classes for each in ready], True, padding_value=-1)
            return Batch(images, boxes=boxes, classes=classes, teacher=teacher)
        labels = torch.tensor([self.dataset.samples[place].label for place in places])
        batch = Batch(images, labels, teacher=teacher)
        return mixed(batch, self.loop.mixup, generator(self.seed, _MIXED, epoch, step)) if self.loop.mixup else batch


def mixed(batch: Batch, strength: float, rng: np.random.Generator) -> Batch:
    """The batch with each picture blended with another of it, one share for all, as in mixup's own code."""
    if batch.labels is None:
        raise ValueError("mixup is for pictures with one class each")
    share = float(rng.beta(strength, strength))
    others = torch.from_numpy(rng.permutation(len(batch.labels)))

    def blend(images: Tensor) -> Tensor:
        return share * images + (1 - share) * images[others]

    teacher = None if batch.teacher is None else blend(batch.teacher)
    return Batch(blend(batch.images), batch.labels, mixed=Mixed(batch.labels[others], share), teacher=teacher)


def _ahead(
    pool: ThreadPoolExecutor, batches: list[list[int]], prepare: Callable[[int], _Ready]
) -> Iterator[list[Future[_Ready]]]:
    waiting: deque[list[Future[_Ready]]] = deque()
    try:
        for places in batches:
            waiting.append([pool.submit(prepare, place) for place in places])
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
    finally:  # left early: nobody waits for what is still to come
        for future in (each for futures in waiting for each in futures):
            future.cancel()
