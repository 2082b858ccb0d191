"""What a recipe's steps have finished, kept on disk, so that no hour of training is spent twice.

    shelf = Finished(Path("cart.steps"))
    with shelf.locked():
        found = shelf.find("train", key)

A step is known by a key: the digest of all that decides what comes of it. One that was killed leaves its scratch folder
and no entry; one that is done is there whole, by fsync and rename, and is checked when it is read.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from edgekit import schema
from edgekit.bundle import canonical
from edgekit.converters.scores import Score
from edgekit.converters.weights import as_safetensors
from edgekit.errors import ConversionError
from edgekit.files import replacing, write_text

_MODEL, _ENTRY, _SCRATCH = "model.safetensors", "step.json", "scratch"


@dataclass(frozen=True)
class Entry:
    """What a finished step said of itself, and the SHA-256 of the tensors beside it. seconds: what it took here."""

    sha256: str
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Score:
    score: Score


class Finished:
    """A folder of finished steps; made when the first of them begins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """For one build at a time; `ConversionError` while another one is at work in the folder."""
        handle = _lock(_made(self.folder))
        try:
            yield
        finally:
            os.close(handle)  # and with it goes the lock, also where the process was killed

    def find(self, name: str, key: str) -> Entry | None:
        """What the step left, None where it has not finished."""
        path = self._place(name, key) / _ENTRY
        return schema.parse_json(Entry, path.read_bytes(), str(path)) if path.exists() else None

    def tensors(self, name: str, key: str, entry: Entry) -> dict[str, Tensor]:
        """The model's tensors after the step; `ConversionError` where the file is not what was written."""
        from safetensors.torch import load

        path = self._place(name, key) / _MODEL
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise ConversionError(f"{path}: is damaged; remove {path.parent} and build again")
        return load(content)

    def keep(self, name: str, key: str, tensors: Mapping[str, Tensor], entry: Entry) -> Entry:
        """Write a step's model and then its entry, with the digest of the model; its scratch folder goes."""
        place = _made(self._place(name, key))
        content = as_safetensors(tensors)
        with replacing(place / _MODEL) as temporary:
            temporary.write_bytes(content)
        whole = replace(entry, sha256=hashlib.sha256(content).hexdigest())
        write_text(place / _ENTRY, canonical(schema.dump(whole)).decode())
        shutil.rmtree(place / _SCRATCH, ignore_errors=True)
        return whole

    def scratch(self, name: str, key: str) -> Path:
        """A folder of the step's own while it is not finished."""
        return _made(self._place(name, key) / _SCRATCH)

    def score(self, name: str, key: str, data: str) -> Score | None:
        """The score of the step's model on the pictures with digest `data`, None where it was not taken."""
        path = self._score_place(name, key, data)
        return read_score(path) if path.exists() else None

    def keep_score(self, name: str, key: str, data: str, score: Score) -> None:
        _made(self._place(name, key))
        write_text(self._score_place(name, key, data), canonical(schema.dump(_Score(score))).decode())

    def _place(self, name: str, key: str) -> Path:
        return self.folder / f"{name}-{key[:16]}"

    def _score_place(self, name: str, key: str, data: str) -> Path:
        return self._place(name, key) / f"score-{data[:16]}.json"


def _made(folder: Path) -> Path:
    """The folder, there now; `ConversionError` where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConversionError(f"{folder}: {error.strerror}") from error
    return folder


def _lock(folder: Path) -> int:
    """The open file that holds the lock; `ConversionError` where another build holds it."""
    try:
        handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise ConversionError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        busy = isinstance(error, BlockingIOError)
        why = "another build is at work in it; wait, or name another" if busy else f"cannot be locked: {error.strerror}"
        raise ConversionError(f"{folder}: {why}") from error
    return handle


def read_score(path: Path) -> Score:
    """The score in a file that `keep_score` wrote; `SettingsError` where it is another."""
    return schema.parse_json(_Score, path.read_bytes(), str(path)).score
