"""Labelled pictures in: the recipe's data table, and the data set that it names, under the model's own labels.

    cart = open_dataset(DataSpec("coco", "fruit/train.json"), labels=("apple", "banana", "orange"), folder=".")
    for sample, image in cart.pictures():
        ...

Nothing is left out in silence. A class that the model has no label for is an error, unless the recipe renames or
ignores it; a picture that cannot be decoded is an error that names it.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from edgekit.contract import InputSpec
from edgekit.converters.annotations import (
    Fault,
    Row,
    Rows,
    Truth,
    read_coco,
    read_folder,
    read_imagefolder,
    read_list,
    read_voc,
    read_yolo,
    refusal,
)
from edgekit.errors import DataError
from edgekit.frames import FloatArray, Image, IntArray
from edgekit.pictures import read_picture
from edgekit.preprocess import Tensor, preprocess
from edgekit.schema import STRICT

DataFormat: TypeAlias = Literal["folder", "imagefolder", "list", "coco", "yolo", "voc"]
_CLASSIFY: tuple[DataFormat, ...] = ("imagefolder", "list")
_AHEAD = 2  # pictures decoded before they are asked for


@dataclass(frozen=True)
class DataSpec:
    """Where labelled pictures lie, and which of them are meant. Paths are relative to the recipe's folder.

    format: 'imagefolder' (a folder a class), 'list' (lines of `path, label`), 'coco' (JSON), 'yolo' (a .txt a picture),
        'voc' (an .xml a picture), or 'folder': pictures without labels, for calibration only.
    path: the folder of an 'imagefolder', 'yolo', 'voc' or 'folder', the file of a 'list' or 'coco'.
    root: the folder that the pictures' paths begin in, where it is not the annotation file's ('list', 'coco', 'voc').
    images: at most this many pictures, drawn by the recipe's seed so that each class has its turn.
    classes: what the numbers of a 'list' or 'yolo' stand for, from 0; without it they number the model's labels.
    column: of a 'list', which field is the label; the path is 0.
    rename: the data's name for a class = the model's label for it.
    ignore: classes of the data that the model does not know: their pictures (or boxes) are left out, and counted.
    """

    __pydantic_config__ = STRICT

    format: DataFormat
    path: str
    root: str | None = None
    images: int | None = None
    classes: tuple[str, ...] = ()
    column: int = 1
    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images is not None and self.images < 1:
            raise ValueError(f"images must be at least 1; got {self.images}")
        if self.column < 1:
            raise ValueError(f"column counts from 0, the path, so a label is in 1 or more; got {self.column}")
        for key, given, formats in (
            ("root", self.root is not None, ("list", "coco", "voc")),
            ("classes", bool(self.classes), ("list", "yolo")),
            ("column", self.column != 1, ("list",)),
            ("rename", bool(self.rename), ("imagefolder", "list", "coco", "yolo", "voc")),
            ("ignore", bool(self.ignore), ("imagefolder", "list", "coco", "yolo", "voc")),
        ):
            if given and self.format not in formats:
                raise ValueError(f"{key} is for {', '.join(formats)}; format is '{self.format}'")


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture and what is known of it.

    name: how the data set calls it. label: its class, None for pictures with boxes or without labels.
    boxes: (n, 4) float32 xyxy in pixels of the picture; labels: (n,) int64; crowd: (n,) bool, regions that count
    neither way; areas: (n,) float32 square pixels, by which COCO tells small from large.
    """

    path: Path
    name: str
    label: int | None
    boxes: FloatArray
    labels: IntArray
    crowd: np.typing.NDArray[np.bool_]
    areas: FloatArray

    def image(self) -> Image:
        """(height, width, 3) uint8 BGR, upright; DataError naming the file where it cannot be decoded."""
        return read_picture(self.path)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Pictures with their truth, in the data set's order. `ignored`: pictures (of classes) or boxes that were left out
    because the recipe ignores their class."""

    source: Path
    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    holds: Literal["classes", "boxes", "pictures"]
    ignored: int = 0

    def __len__(self) -> int:
        return len(self.samples)

    def pictures(self) -> Iterator[tuple[Sample, Image]]:
        """Every sample with its image; the next are decoded in a thread while this one is at work."""
        with ThreadPoolExecutor(1) as pool:
            ahead: deque[tuple[Sample, Future[Image]]] = deque()
            for sample in self.samples:
                ahead.append((sample, pool.submit(sample.image)))
                if len(ahead) > _AHEAD:
                    first, image = ahead.popleft()
                    yield first, image.result()
            yield from ((sample, image.result()) for sample, image in ahead)

    def tensors(self, spec: InputSpec) -> list[Tensor]:
        """Every picture as a model takes it, each of `spec`'s shape and dtype: what INT8 is calibrated on."""
        return [preprocess(image, spec)[0] for _, image in self.pictures()]

    def draw(self, count: int, seed: int) -> Dataset:
        """At most `count` of the samples, drawn one of each class in turn, and left in the data set's order.

        A picture of several classes stands for the rarest of them; pictures that show nothing are a class of their own.
        """
        often = Counter(label for sample in self.samples for label in _classes(sample))
        groups: dict[int, list[int]] = {}
        for place in np.random.default_rng(seed).permutation(len(self)).tolist():
            rarest = min(_classes(self.samples[place]), key=lambda label: (often[label], label))
            groups.setdefault(rarest, []).append(place)
        turns = sorted((turn, group, place) for group, places in groups.items() for turn, place in enumerate(places))
        drawn = sorted(place for _, _, place in turns[:count])
        return replace(self, samples=tuple(self.samples[place] for place in drawn))

    def unreadable(self) -> tuple[str, ...]:
        """Decode every picture, and say of each that cannot be: which file, and why."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return tuple(fault for fault in pool.map(_reading_fault, self.samples) if fault)

    def check_readable(self) -> None:
        """DataError that counts and names the pictures that cannot be decoded; nothing where all can."""
        if faults := self.unreadable():
            raise refusal(self.source, faults)

    def digest(self) -> str:
        """SHA-256 over names, file contents and truth, in order: equal for equal data, wherever it lies."""
        whole = hashlib.sha256()
        for sample in self.samples:
            whole.update(f"{sample.name}\0{_file_digest(sample.path)}\0{sample.label}\0{len(sample.boxes)}\0".encode())
            for array in (sample.boxes, sample.labels, sample.crowd, sample.areas):
                whole.update(np.ascontiguousarray(array).tobytes())
        return whole.hexdigest()


def open_dataset(spec: DataSpec, labels: Sequence[str], folder: Path | str, seed: int = 0) -> Dataset:
    """The data set that `spec` names, with its classes numbered as in `labels`; paths begin in `folder`.

    `seed` decides which pictures are drawn where the spec asks for some of them only.
    Raises DataError with everything that is wrong with it, ten faults at most: missing files, classes without a label,
    boxes without area, lines that cannot be read. Pictures are not decoded yet, but for YOLO; see `check_readable`.
    """
    source = Path(folder, spec.path)
    read = list(_read(spec, source, None if spec.root is None else Path(folder, spec.root)))
    rows = [each for each in read if isinstance(each, Row)]
    faults = [each.text for each in read if isinstance(each, Fault)]
    numbers = _label_numbers(spec, rows, labels)
    faults += [each.text for each in numbers.values() if isinstance(each, Fault)] + _listed_twice(rows)
    if faults:
        raise refusal(source, faults)
    known = {name: number for name, number in numbers.items() if isinstance(number, int)}
    samples = [_sample(row, known) for row in rows if _is_asked_for(row, known, spec.format)]
    if not samples or (spec.format in ("coco", "yolo", "voc") and not any(len(each.boxes) for each in samples)):
        raise DataError(f"{source}: {'no pictures' if not samples else 'no boxes in any picture'}")
    holds: Literal["classes", "boxes", "pictures"] = "classes" if spec.format in _CLASSIFY else "boxes"
    ignored = sum(truth.name not in known for row in rows for truth in row.truths)
    whole = Dataset(source, tuple(samples), tuple(labels), "pictures" if spec.format == "folder" else holds, ignored)
    return whole if spec.images is None else whole.draw(spec.images, seed)


def _read(spec: DataSpec, source: Path, root: Path | None) -> Rows:
    if spec.format in ("list", "coco"):
        return read_list(source, root, spec.column) if spec.format == "list" else read_coco(source, root)
    if not source.is_dir():
        raise DataError(f"{source}: no such folder, and format is '{spec.format}'")
    if spec.format == "voc":
        return read_voc(source, root)
    return {"yolo": read_yolo, "imagefolder": read_imagefolder, "folder": read_folder}[spec.format](source)


def _label_numbers(spec: DataSpec, rows: list[Row], labels: Sequence[str]) -> dict[str | int, int | Fault | None]:
    """For each class in the data, its place in `labels`, None where it is ignored, or what is wrong with it."""
    first = {truth.name: row.written for row in reversed(rows) for truth in row.truths}
    return {name: _label_number(spec, name, labels, first[name]) for name in sorted(first, key=str)}


def _label_number(spec: DataSpec, given: str | int, labels: Sequence[str], written: str) -> int | Fault | None:
    if isinstance(given, int):
        names = spec.classes or labels
        if not 0 <= given < len(names):
            there = f"`classes` names {len(names)}" if spec.classes else f"the model has {len(names)} labels"
            return Fault(f"{written}: class {given}, but {there}, 0 to {len(names) - 1}")
        if not spec.classes and not spec.rename and not spec.ignore:
            return given
        given = names[given]
    if given in spec.ignore:
        return None
    name = spec.rename.get(given, given)
    if name in labels:
        return list(labels).index(name)
    near = difflib.get_close_matches(name, labels, n=1)
    hint = f" (nearest: '{near[0]}')" if near else ""
    return Fault(f"{written}: class '{name}' is not among the model's labels{hint}; rename it or ignore it")


def _listed_twice(rows: list[Row]) -> list[str]:
    first: dict[str, str] = {}
    again = [(row, first.setdefault(row.name, row.written)) for row in rows]
    return [f"{row.written}: {row.name} was there before, at {at}" for row, at in again if at != row.written]


def _is_asked_for(row: Row, known: Mapping[str | int, int], format_: DataFormat) -> bool:
    return format_ not in _CLASSIFY or row.truths[0].name in known


def _sample(row: Row, known: Mapping[str | int, int]) -> Sample:
    boxed: list[tuple[Truth, tuple[float, ...]]] = [
        (truth, truth.box) for truth in row.truths if truth.box is not None and truth.name in known
    ]
    boxes = np.array([box for _, box in boxed], np.float32).reshape(-1, 4)
    own = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    areas = [own[i] if truth.area is None else truth.area for i, (truth, _) in enumerate(boxed)]
    return Sample(
        path=row.path,
        name=row.name,
        label=known[row.truths[0].name] if row.truths and row.truths[0].box is None else None,
        boxes=boxes,
        labels=np.array([known[truth.name] for truth, _ in boxed], np.int64),
        crowd=np.array([truth.crowd for truth, _ in boxed], np.bool_),
        areas=np.array(areas, np.float32),
    )


def _classes(sample: Sample) -> set[int]:
    own = {-1} if sample.label is None else {sample.label}
    return set(sample.labels.tolist()) or own


def _reading_fault(sample: Sample) -> str:
    try:
        sample.image()
    except DataError as error:
        return str(error)
    return ""


def _file_digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
