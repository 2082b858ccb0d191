"""What annotation files say: pictures with the class or the boxes in them, still under the file's own names.

One reader a format. Each yields a `Row` for a picture, or a `Fault` for a thing that cannot be right, so that a file's
faults can be told all at once. Boxes become `x0, y0, x1, y1` in pixels from the picture's top left corner.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from edgekit.errors import DataError
from edgekit.pictures import is_picture, read_picture

Corners: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Truth:
    """The class of a picture, or of one box in it: a name, or a number where the file gives numbers.

    crowd: a region in which things of the class are not told apart; what is found there counts neither way.
    area: in square pixels, where the file gives another than the box's own (COCO: that of the outline).
    """

    name: str | int
    box: Corners | None = None
    crowd: bool = False
    area: float | None = None


@dataclass(frozen=True)
class Row:
    """One picture: its file, its name in the data set, what is in it, and where that is written."""

    path: Path
    name: str
    truths: tuple[Truth, ...]
    written: str


@dataclass(frozen=True)
class Fault:
    """What is wrong, and where."""

    text: str


Rows: TypeAlias = Iterator[Row | Fault]


def read_folder(folder: Path) -> Rows:
    """Pictures without a word about them: good for calibration, not for evaluation."""
    for path in _pictures_in(folder):
        yield Row(path, path.relative_to(folder).as_posix(), (), str(path))


def read_imagefolder(folder: Path) -> Rows:
    """One folder a class, named after it; pictures may lie deeper within."""
    for path in _pictures_in(folder):
        name = path.relative_to(folder)
        if len(name.parts) == 1:
            yield Fault(f"{path}: lies beside the folders of the classes, not in one")
        else:
            yield Row(path, name.as_posix(), (Truth(name.parts[0]),), str(path))


def read_list(source: Path, root: Path | None, column: int) -> Rows:
    """A text file of lines `path, label, ...`; the label in `column` (the path is column 0) is a number or a name."""
    root = root or source.parent
    for number, line in enumerate(_text(source).splitlines(), 1):
        written = f"{source}:{number}"
        fields = [field.strip() for field in line.split(",")]
        if line.strip() and (len(fields) <= column or not fields[0] or not fields[column]):
            yield Fault(f"{written}: no label in column {column} of '{line.strip()}', expected 'path, label'")
        elif line.strip():
            yield from _there(Row(root / fields[0], fields[0], (Truth(_number_or_name(fields[column])),), written))


@dataclass(frozen=True)
class _CocoImage:
    id: int | str
    file_name: str
    width: float | None = None
    height: float | None = None


@dataclass(frozen=True)
class _CocoAnnotation:
    image_id: int | str
    category_id: int
    bbox: Corners
    iscrowd: int = 0
    area: float | None = None


@dataclass(frozen=True)
class _CocoCategory:
    id: int
    name: str


@dataclass(frozen=True)
class _Coco:
    images: tuple[_CocoImage, ...]
    annotations: tuple[_CocoAnnotation, ...]
    categories: tuple[_CocoCategory, ...]


def read_coco(source: Path, root: Path | None) -> Rows:
    """COCO's detection JSON (cocodataset.org/#format-data). Pictures without annotations are kept: nothing is there."""
    coco = _parse_coco(source)
    names = {category.id: category.name for category in coco.categories}
    truths: dict[int | str, list[Truth]] = {image.id: [] for image in coco.images}
    sizes = {image.id: (image.width or math.inf, image.height or math.inf) for image in coco.images}
    if len(truths) != len(coco.images):
        yield Fault(f"{len(coco.images) - len(truths)} images share the id of another")
    for i, each in enumerate(coco.annotations):
        written = f"annotations.{i}"
        if each.image_id not in truths:
            yield Fault(f"{written}: no image has the id {each.image_id!r}")
        elif each.category_id not in names:
            yield Fault(f"{written}: no category has the id {each.category_id}")
        else:
            x, y, width, height = each.bbox
            corners = (x, y, x + width, y + height)
            if fault := _wrong_box(corners, sizes[each.image_id]):
                yield Fault(f"{written}: {fault}")
            truths[each.image_id].append(Truth(names[each.category_id], corners, bool(each.iscrowd), each.area))
    for image in coco.images:
        path = (root or source.parent) / image.file_name
        yield from _there(Row(path, image.file_name, tuple(truths[image.id]), f"image {image.id!r}"))


def read_yolo(folder: Path) -> Rows:
    """One .txt a picture with lines `class x y width height`, centre and size as parts of the picture's sides.

    The .txt lies beside the picture, or under `labels` where the picture lies under `images`. A picture without one
    shows nothing that was asked for, as YOLO's own training takes it. Every picture is decoded for its size.
    """
    for path in _pictures_in(folder):
        source = _yolo_text(path)
        name = path.relative_to(folder).as_posix()
        try:
            height, width = read_picture(path).shape[:2]
            lines = _text(source).splitlines() if source.exists() else []
        except DataError as error:
            yield Fault(str(error))
            continue
        truths = [_yolo_truth(line, f"{source}:{n}", width, height) for n, line in enumerate(lines, 1) if line.strip()]
        yield from (each for each in truths if isinstance(each, Fault))
        yield Row(path, name, tuple(each for each in truths if isinstance(each, Truth)), str(source))


def read_voc(folder: Path, root: Path | None) -> Rows:
    """Pascal VOC: one .xml a picture, in `Annotations` with the pictures in `JPEGImages`, or beside their pictures.

    Corners are pixels counted from 1 and belong to the box (VOC2012 development kit), so 1..width covers a picture.
    'difficult' objects count neither way, as in VOC's own evaluation.
    """
    there = folder / "Annotations"
    sources = sorted((there if there.is_dir() else folder).glob("*.xml"))
    root = root or (folder / "JPEGImages" if there.is_dir() else folder)
    for source in sources:
        try:
            tree = ElementTree.fromstring(_text(source))
        except ElementTree.ParseError as error:
            yield Fault(f"{source}: not XML: {error}")
            continue
        truths = [_voc_truth(each, f"{source}: object {n}") for n, each in enumerate(tree.findall("object"), 1)]
        yield from (each for each in truths if isinstance(each, Fault))
        picture = tree.findtext("filename", "").strip()
        if not picture:
            yield Fault(f"{source}: no <filename>")
        else:
            kept = tuple(each for each in truths if isinstance(each, Truth))
            yield from _there(Row(root / picture, picture, kept, str(source)))


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text") from error


def _there(row: Row) -> Rows:
    yield row if row.path.is_file() else Fault(f"{row.written}: no picture {row.path}")


def _number_or_name(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text


def _wrong_box(corners: Corners, size: tuple[float, float]) -> str:
    """Why these corners are no box in a picture of this (width, height); empty where they are one."""
    x0, y0, x1, y1 = corners
    shown = ", ".join(f"{each:g}" for each in corners)
    if not all(map(math.isfinite, corners)) or x1 <= x0 or y1 <= y0:
        return f"the box {shown} has no area"
    if x0 >= size[0] or y0 >= size[1] or x1 <= 0 or y1 <= 0:
        return f"the box {shown} lies outside its picture of {size[0]:g} x {size[1]:g}"
    return ""


def _parse_coco(source: Path) -> _Coco:
    try:
        return TypeAdapter(_Coco).validate_json(_text(source))
    except ValidationError as error:
        raise refusal(source, [_coco_fault(each["loc"], each["msg"]) for each in error.errors()]) from error


def _coco_fault(location: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part) for part in location)
    return f"{where}: {message}" if where else message


def _yolo_text(picture: Path) -> Path:
    parts = list(picture.with_suffix(".txt").parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _yolo_truth(line: str, written: str, width: int, height: int) -> Truth | Fault:
    try:
        label, x, y, w, h = line.split()
        number, (cx, cy, bw, bh) = int(label), (float(x), float(y), float(w), float(h))
    except ValueError:
        return Fault(f"{written}: expected 'class x y width height', got '{line.strip()}'")
    if not all(0 <= part <= 1 for part in (cx, cy, bw, bh)):
        return Fault(f"{written}: x, y, width and height are parts of the picture, 0 to 1; got '{line.strip()}'")
    corners = ((cx - bw / 2) * width, (cy - bh / 2) * height, (cx + bw / 2) * width, (cy + bh / 2) * height)
    fault = _wrong_box(corners, (width, height))
    return Fault(f"{written}: {fault}") if fault else Truth(number, corners)


def _voc_truth(thing: ElementTree.Element, written: str) -> Truth | Fault:
    name = thing.findtext("name", "").strip()
    try:
        x0, y0, x1, y1 = (float(thing.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    except ValueError:
        return Fault(f"{written}: <bndbox> needs numbers for xmin, ymin, xmax and ymax")
    corners = (x0 - 1, y0 - 1, x1, y1)
    fault = _wrong_box(corners, (math.inf, math.inf)) if name else "no <name>"
    difficult = thing.findtext("difficult", "0").strip() == "1"
    return Fault(f"{written}: {fault}") if fault else Truth(name, corners, crowd=difficult)


def refusal(source: Path, faults: Iterable[str]) -> DataError:
    """One error for all that is wrong with a data set; the first ten are told, the rest counted."""
    told = list(faults)
    rest = f"; and {len(told) - 10} more" if len(told) > 10 else ""
    return DataError(f"{source}: {len(told)} fault{'s' * (len(told) > 1)}: {'; '.join(told[:10])}{rest}")


def _pictures_in(folder: Path) -> list[Path]:
    """Every picture in `folder` and below it, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if is_picture(path))
