"""The one file that goes to the shop: a model in several formats, its contract, and the proof that its accuracy held.

A bundle is a zip archive that is never unpacked. `manifest.json` holds the contract, the variants, the evidence and the
SHA-256 and size of every other file; the bundle's digest is the SHA-256 of the manifest. Only `measured.json`, the
times of the host that built it, lies outside the digest: the same recipe, data and seed give the same digest on any
day.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgekit import schema
from edgekit.contract import Artifact, Format, HeadSpec, InputSpec, Task, task_of
from edgekit.errors import BundleError
from edgekit.files import replacing
from edgekit.frames import Image
from edgekit.outcome import Outcome

SCHEMA = 1
MANIFEST = "manifest.json"
MEASURED = "measured.json"
CLASSES = "evidence/classes.json"
_LARGEST_MANIFEST = 16 << 20  # bytes; read before anything is known about the file


@dataclass(frozen=True)
class FileEntry:
    """A file inside the bundle: its SHA-256 in hex and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Variant:
    """One artifact of the model: `name` such as 'onnx-int8', and `input`, what goes over the wire to it."""

    name: str
    format: Format
    precision: Literal["float", "int8"]
    input: InputSpec
    model: str
    weights: str | None = None


@dataclass(frozen=True)
class VariantEvidence:
    """What was found when a variant was run against the framework and the evaluation set, in its own engine.

    figures: accuracy, such as top1 or ap50. parity: agreement with the framework's own outputs on a few evaluation
    pictures. golden_error: the relative error on the first of them, the golden frames, which `verify` holds other hosts
    against. int8_convolutions: how many of how many run in INT8 kernels. attempts: the ways in which it was quantized
    until it passed, a line each. in_float: how many operators of each kind stayed in float.
    """

    engine: str
    outcome: Outcome
    reasons: tuple[str, ...]
    figures: dict[str, float]
    parity: dict[str, float]
    golden_error: float
    int8_convolutions: tuple[int, int] | None = None
    attempts: tuple[str, ...] = ()
    in_float: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StepEvidence:
    """A step that changed the model itself before it was exported.

    settings: as the recipe has them. figures: what the step says of itself, such as its share of the multiply-adds.
    accuracy: of the model after it, by the framework on the evaluation set. macs: its multiply-adds for one picture.
    """

    kind: str
    settings: dict[str, Any]
    figures: dict[str, float]
    accuracy: dict[str, float]
    macs: int
    parameters: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Ratio:
    """How many times as long as another one a variant takes, and the ends of the interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """The proof: figures of the framework and of each variant, the digests of the data, and the tools' versions.

    loaded: what of a `start` file the model took. start: its figures before the first of its `steps`. compression: what
    the gate said of the steps together. audit: what is known of the pictures that it was made by, `warnings` what is
    wrong with them. allowed: what somebody let pass that edgekit would have refused.
    """

    images: int
    framework: dict[str, float]
    variants: dict[str, VariantEvidence]
    data: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()
    start: dict[str, float] = field(default_factory=dict)
    steps: tuple[StepEvidence, ...] = ()
    compression: tuple[str, ...] = ()
    audit: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself. `input` is the model's own contract; a variant may take the same pixels in
    another form."""

    name: str
    release: int
    input: InputSpec
    head: HeadSpec
    labels: tuple[str, ...]
    variants: tuple[Variant, ...]
    evidence: Evidence
    golden: int = 0
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def task(self) -> Task:
        return task_of(self.head)


@dataclass(frozen=True, eq=False)
class Golden:
    """A frame and the framework's raw outputs for it: what every variant on every host must come back with.

    fitted: the frame as the model was shown it, at the input's size, BGR: what `preprocess.fit` gave where the bundle
    was built. None in a bundle that holds none.
    """

    image: Image
    outputs: tuple[npt.NDArray[np.float32], ...]
    fitted: Image | None = None


class Bundle:
    """A bundle on disk, open for reading. Files are read one by one and checked against the manifest when they are."""

    def __init__(self, path: Path, manifest: Manifest, digest: str, archive: zipfile.ZipFile) -> None:
        self.path = path
        self.manifest = manifest
        self.digest = digest
        self._archive = archive

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """The bundle at `path`; `BundleError` says what is wrong with it. Use `verify` to check every byte."""
        path = Path(path)
        try:
            archive = zipfile.ZipFile(path)
        except OSError as error:
            raise BundleError(f"{path}: {error.strerror or error}") from error
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise BundleError(f"{path}: not a bundle, or one that was cut short: {error}") from error
        try:
            text = _read(archive, path, MANIFEST, _LARGEST_MANIFEST)
            manifest = _parse_manifest(path, text)
            _check_names(path, archive, manifest)
        except BundleError:
            archive.close()
            raise
        return cls(path, manifest, hashlib.sha256(text).hexdigest(), archive)

    def __enter__(self) -> Bundle:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._archive.close()

    def variant(self, name: str) -> Variant:
        """The variant of that name; `BundleError` names those that exist."""
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        there = ", ".join(variant.name for variant in self.manifest.variants)
        raise BundleError(f"{self.path} has no variant '{name}'; there are: {there}")

    def evidence(self, variant: Variant) -> VariantEvidence:
        """What was found of a variant when the bundle was built."""
        found = self.manifest.evidence.variants.get(variant.name)
        if found is None:
            raise BundleError(f"{self.path}: the manifest holds no evidence of variant '{variant.name}'")
        return found

    def artifact(self, variant: Variant) -> Artifact:
        """The model file of a variant, its digest checked."""
        weights = self.read(variant.weights) if variant.weights else b""
        return Artifact(variant.format, self.read(variant.model), weights)

    def read(self, name: str) -> bytes:
        """A file of the bundle, its digest checked; `BundleError` where it is not what the manifest says."""
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path} lists no file '{name}'")
        content = _read(self._archive, self.path, name, entry.size)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(f"{self.path}: '{name}' is damaged: its digest is not the one in the manifest")
        return content

    def golden(self) -> list[Golden]:
        """The golden frames with the framework's outputs."""
        return [self._golden(i) for i in range(self.manifest.golden)]

    def classes(self, variant: str) -> list[dict[str, Any]]:
        """What was found of each class, by a variant or by the 'framework': recall, precision, F1, or AP and recall."""
        if CLASSES not in self.manifest.files:
            raise BundleError(f"{self.path} holds no figures by class")
        found: dict[str, list[dict[str, Any]]] = json.loads(self.read(CLASSES))
        if variant not in found:
            raise BundleError(f"{self.path} has no variant '{variant}'; there are: {', '.join(found)}")
        return found[variant]

    def measured(self) -> dict[str, Any]:
        """The times that the building host measured; empty where none were taken. Not covered by the digest."""
        if MEASURED not in self._archive.namelist():
            return {}
        text = _read(self._archive, self.path, MEASURED, _LARGEST_MANIFEST)
        return schema.parse_json(dict[str, Any], text, f"{self.path}: '{MEASURED}'", BundleError)

    def slower(self) -> dict[str, float]:
        """The INT8 variants that took longer than float in their own engine, beyond doubt, on the host that built the
        bundle, and how many times as long; empty where nothing was measured."""
        found = self.measured().get("against_float", {})
        ratios = schema.parse(dict[str, _Ratio], found, f"{self.path}: '{MEASURED}': against_float", BundleError)
        return {name: ratio.median for name, ratio in ratios.items() if ratio.low > 1}

    def verify(self) -> None:
        """Read and check every file; `BundleError` at the first that is damaged."""
        for name in self.manifest.files:
            self.read(name)

    def _golden(self, i: int) -> Golden:
        fitted, spec = f"golden/{i}.fitted.png", self.manifest.input
        shown = self._picture(fitted) if fitted in self.manifest.files else None
        if shown is not None and shown.shape[:2] != (spec.height, spec.width):
            raise BundleError(f"{self.path}: '{fitted}' is not of the input's size, {spec.width}x{spec.height}")
        names = sorted(name for name in self.manifest.files if name.startswith(f"golden/{i}.output_"))
        outputs = tuple(np.load(io.BytesIO(self.read(name)), allow_pickle=False) for name in names)
        return Golden(self._picture(f"golden/{i}.png"), outputs, shown)

    def _picture(self, name: str) -> Image:
        import cv2

        image = cv2.imdecode(np.frombuffer(self.read(name), np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise BundleError(f"{self.path}: '{name}' is not a picture")
        return np.asarray(image, np.uint8)


def write_bundle(
    path: Path | str, manifest: Manifest, files: Mapping[str, bytes], measured: Mapping[str, Any] | None = None
) -> str:
    """Write `files` and the manifest, completed with their digests, to `path`, whole or not at all: the digest."""
    entries = {name: FileEntry(hashlib.sha256(files[name]).hexdigest(), len(files[name])) for name in sorted(files)}
    text = canonical({**schema.dump(manifest), "files": schema.dump(entries)})
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _add(archive, MANIFEST, text)
        for name in sorted(files):
            _add(archive, name, files[name])
        if measured is not None:
            _add(archive, MEASURED, canonical(measured))
    return hashlib.sha256(text).hexdigest()


def golden_files(golden: list[Golden]) -> dict[str, bytes]:
    """The bundle's files for these golden frames: lossless pictures, and one .npy an output."""
    import cv2

    files: dict[str, bytes] = {}
    for i, each in enumerate(golden):
        files[f"golden/{i}.png"] = cv2.imencode(".png", each.image)[1].tobytes()
        if each.fitted is not None:
            files[f"golden/{i}.fitted.png"] = cv2.imencode(".png", each.fitted)[1].tobytes()
        for k, output in enumerate(each.outputs):
            buffer = io.BytesIO()
            np.save(buffer, output, allow_pickle=False)
            files[f"golden/{i}.output_{k:02}.npy"] = buffer.getvalue()
    return files


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON that is the same, byte for byte, for the same content in the same order; NaN is a ValueError."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False).encode()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980, so that the same content gives the same archive
    small = name.endswith((".json", ".npy"))
    archive.writestr(entry, content, zipfile.ZIP_DEFLATED if small else zipfile.ZIP_STORED)


def _read(archive: zipfile.ZipFile, path: Path, name: str, limit: int) -> bytes:
    """At most `limit` bytes of a file: what the archive's own directory says of sizes is not believed."""
    try:
        with archive.open(name) as file:
            content = file.read(limit + 1)
    except KeyError as error:
        raise BundleError(f"{path}: not a bundle: it has no '{name}'") from error
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"{path}: '{name}' cannot be read: {error}") from error
    if len(content) > limit:
        raise BundleError(f"{path}: '{name}' is larger than the {limit} bytes it may have")
    return content


def _parse_manifest(path: Path, text: bytes) -> Manifest:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: '{MANIFEST}' is not JSON: {error}") from error
    version = found.get("schema") if isinstance(found, dict) else None
    if version != SCHEMA:
        raise BundleError(f"{path}: written in bundle schema {version!r}; this edgekit reads schema {SCHEMA}")
    return schema.parse_json(Manifest, text, str(path), BundleError)


def _check_names(path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise BundleError(f"{path}: the archive holds a name twice")
    missing = sorted(set(manifest.files) - set(names))
    strange = sorted(set(names) - set(manifest.files) - {MANIFEST, MEASURED})
    if missing or strange:
        raise BundleError(f"{path}: missing files {missing}, files that the manifest does not list {strange}")
    for variant in manifest.variants:
        if not {variant.model, variant.weights} <= {*manifest.files, None}:
            raise BundleError(f"{path}: the manifest lists no file of variant '{variant.name}'")
