"""Labelled pictures in: five formats, one truth, and every fault named before a model sees a picture."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit import schema
from edgekit.converters.data import DataSpec, open_dataset
from edgekit.errors import DataError, SettingsError

FRUIT = ("apple", "banana", "orange")
VOC = """<annotation><filename>{picture}</filename>{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>
<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"""


def picture(path: Path, width: int = 40, height: int = 20, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), shade, np.uint8))
    return path


def imagefolder(folder: Path, **counts: int) -> DataSpec:
    for name, count in counts.items():
        for i in range(count):
            picture(folder / "shop" / name / f"{i}.png", shade=i)
    return DataSpec("imagefolder", "shop")


def listed(folder: Path, text: str) -> DataSpec:
    for name in ("a", "b", "c"):
        picture(folder / f"{name}.png", shade=ord(name))
    (folder / "test.txt").write_text(text)
    return DataSpec("list", "test.txt")


def coco(folder: Path, annotations: list[dict[str, object]], **changes: object) -> DataSpec:
    picture(folder / "a.png"), picture(folder / "b.png")
    whole = {
        "images": [{"id": i, "file_name": f"{name}.png", "width": 40, "height": 20} for i, name in enumerate("ab")],
        "categories": [{"id": 7, "name": "banana"}, {"id": 9, "name": "pear"}],
        "annotations": annotations,
    }
    (folder / "boxes.json").write_text(json.dumps({**whole, **changes}))
    return DataSpec("coco", "boxes.json")


def yolo(folder: Path, text: str) -> DataSpec:
    picture(folder / "shop/images/a.png")
    (folder / "shop/labels").mkdir()
    (folder / "shop/labels/a.txt").write_text(text)
    return DataSpec("yolo", "shop")


def voc(folder: Path, *objects: str) -> DataSpec:
    picture(folder / "shop/JPEGImages/a.png")
    (folder / "shop/Annotations").mkdir()
    (folder / "shop/Annotations/a.xml").write_text(VOC.format(picture="a.png", objects="".join(objects)))
    return DataSpec("voc", "shop")


def test_folders_are_numbered_by_the_labels_and_not_by_the_alphabet(tmp_path: Path) -> None:
    shop = open_dataset(imagefolder(tmp_path, apple=1, banana=2), ("banana", "apple"), tmp_path)
    assert [(sample.name, sample.label) for sample in shop.samples] == [
        ("apple/0.png", 1), ("banana/0.png", 0), ("banana/1.png", 0),
    ]  # fmt: skip


def test_a_list_gives_the_label_of_the_column_that_was_asked_for(tmp_path: Path) -> None:
    spec = listed(tmp_path, "a.png, 2, 0\n\nb.png, 1, 1\n")
    assert [sample.label for sample in open_dataset(spec, FRUIT, tmp_path).samples] == [2, 1]
    assert [s.label for s in open_dataset(replace(spec, column=2), FRUIT, tmp_path).samples] == [0, 1]


def test_numbers_and_names_of_a_list_go_by_the_classes_that_the_recipe_names(tmp_path: Path) -> None:
    spec = replace(listed(tmp_path, "a.png, 0\nb.png, plantain\n"), classes=("orange",), rename={"plantain": "banana"})
    assert [sample.label for sample in open_dataset(spec, FRUIT, tmp_path).samples] == [2, 1]


def test_coco_boxes_are_corners_and_a_picture_without_boxes_is_kept(tmp_path: Path) -> None:
    crowd = {"image_id": 0, "category_id": 7, "bbox": [1, 2, 10, 5], "iscrowd": 1, "area": 12.5}
    shop = open_dataset(coco(tmp_path, [crowd]), FRUIT, tmp_path)
    first, empty = shop.samples
    assert first.boxes.tolist() == [[1, 2, 11, 7]]
    assert (first.labels.tolist(), first.crowd.tolist(), first.areas.tolist()) == ([1], [True], [12.5])
    assert len(empty.boxes) == 0


def test_yolo_boxes_become_pixels_of_their_picture(tmp_path: Path) -> None:
    (sample,) = open_dataset(yolo(tmp_path, "1 0.5 0.5 0.5 0.2\n"), FRUIT, tmp_path).samples
    np.testing.assert_allclose(sample.boxes, [[10, 8, 30, 12]], rtol=1e-6)
    assert sample.labels.tolist() == [1]


def test_voc_pixels_are_counted_from_one_and_difficult_objects_count_neither_way(tmp_path: Path) -> None:
    whole = OBJECT.format(name="apple", difficult=0, x0=1, y0=1, x1=40, y1=20)
    hard = OBJECT.format(name="orange", difficult=1, x0=5, y0=5, x1=9, y1=9)
    (sample,) = open_dataset(voc(tmp_path, whole, hard), FRUIT, tmp_path).samples
    assert sample.boxes.tolist() == [[0, 0, 40, 20], [4, 4, 9, 9]]
    assert (sample.labels.tolist(), sample.crowd.tolist()) == ([0, 2], [False, True])


def test_the_same_boxes_in_coco_yolo_and_voc_are_the_same_truth(tmp_path: Path) -> None:
    specs = {
        "coco": coco(tmp_path / "1", [{"image_id": 0, "category_id": 7, "bbox": [10, 8, 20, 4]}]),
        "yolo": yolo(tmp_path / "2", "1 0.5 0.5 0.5 0.2"),
        "voc": voc(tmp_path / "3", OBJECT.format(name="banana", difficult=0, x0=11, y0=9, x1=30, y1=12)),
    }
    for (kind, spec), folder in zip(specs.items(), ("1", "2", "3"), strict=True):
        sample = open_dataset(spec, FRUIT, tmp_path / folder).samples[0]
        np.testing.assert_allclose(sample.boxes, [[10, 8, 30, 12]], rtol=1e-6, err_msg=kind)
        np.testing.assert_allclose(sample.areas, [80], rtol=1e-6, err_msg=kind)


def test_a_class_without_a_label_is_an_error_until_it_is_renamed_or_ignored(tmp_path: Path) -> None:
    boxes = [{"image_id": i, "category_id": kind, "bbox": [0, 0, 9, 9]} for i, kind in ((0, 7), (0, 9), (1, 9))]
    spec = coco(tmp_path, boxes)
    with pytest.raises(DataError, match="class 'pear' is not among the model's labels; rename it or ignore it"):
        open_dataset(spec, FRUIT, tmp_path)
    renamed = open_dataset(replace(spec, rename={"pear": "apple"}), FRUIT, tmp_path)
    assert [sample.labels.tolist() for sample in renamed.samples] == [[1, 0], [0]]
    ignored = open_dataset(replace(spec, ignore=("pear",)), FRUIT, tmp_path)
    assert [sample.labels.tolist() for sample in ignored.samples] == [[1], []]
    assert ignored.ignored == 2


def test_pictures_of_an_ignored_class_are_left_out_and_counted(tmp_path: Path) -> None:
    spec = replace(imagefolder(tmp_path, apple=2, pear=3), ignore=("pear",))
    shop = open_dataset(spec, FRUIT, tmp_path)
    assert (len(shop), shop.ignored) == (2, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.png, 3\n", "test.txt:1: class 3, but the model has 3 labels, 0 to 2"),
        ("a.png, -1\n", "test.txt:1: class -1"),
        ("a.png, 0\nb.png\n", "test.txt:2: no label in column 1 of 'b.png'"),
        ("a.png, aple\n", r"class 'aple' is not among the model's labels \(nearest: 'apple'\)"),
        ("gone.png, 0\n", "test.txt:1: no picture .*gone.png"),
        ("a.png, 0\na.png, 1\n", "test.txt:2: a.png was there before, at .*test.txt:1"),
        ("\n", "no pictures"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(listed(tmp_path, text), FRUIT, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [1, 1, 0, 5]}, "annotations.0: the box 1, 1, 1, 6 has no area"),
        ({"bbox": [1, 1, float("nan"), 5]}, "annotations.0: the box 1, 1, nan, 6 has no area"),
        ({"bbox": [50, 1, 5, 5]}, "lies outside its picture of 40 x 20"),
        ({"image_id": 5}, "annotations.0: no image has the id 5"),
        ({"category_id": 5}, "annotations.0: no category has the id 5"),
        ({"bbox": [1, 2, 3]}, "annotations.0.bbox.3: "),
        ({"bbox": "wide"}, "annotations.0.bbox: "),
    ],
)
def test_what_is_wrong_with_coco_boxes_is_told_with_its_place(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    box = {"image_id": 0, "category_id": 7, "bbox": [0, 0, 5, 5]}
    with pytest.raises(DataError, match=message):
        open_dataset(coco(tmp_path, [{**box, **changes}]), FRUIT, tmp_path)


def test_coco_that_is_not_json_or_holds_no_boxes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no boxes in any picture"):
        open_dataset(coco(tmp_path, []), FRUIT, tmp_path)
    (tmp_path / "boxes.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"boxes\.json: 1 fault: Invalid JSON"):
        open_dataset(DataSpec("coco", "boxes.json"), FRUIT, tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 0.5 0.5 0.5", "a.txt:1: expected 'class x y width height', got '1 0.5 0.5 0.5'"),
        ("1 0.5 0.5 wide 1", "a.txt:1: expected 'class x y width height'"),
        ("1.5 0.5 0.5 0.1 0.1", "a.txt:1: expected 'class x y width height'"),
        ("1 20 10 9 9", "a.txt:1: x, y, width and height are parts of the picture"),
        ("1 nan 0.5 0.1 0.1", "a.txt:1: x, y, width and height are parts of the picture"),
        ("1 0.5 0.5 0 0.1", "a.txt:1: the box 20, 9, 20, 11 has no area"),
        ("3 0.5 0.5 0.1 0.1", "class 3, but the model has 3"),
    ],
)
def test_what_is_wrong_with_a_yolo_line_is_told_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_dataset(yolo(tmp_path, line), FRUIT, tmp_path)


def test_broken_voc_files_are_named(tmp_path: Path) -> None:
    spec = voc(tmp_path, OBJECT.format(name="apple", difficult=0, x0="left", y0=1, x1=4, y1=4))
    (tmp_path / "shop/Annotations/b.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"2 faults.*a.xml: object 1: <bndbox> needs numbers.*b.xml: not XML"):
        open_dataset(spec, FRUIT, tmp_path)


def test_all_faults_are_counted_and_ten_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_dataset(listed(tmp_path, "".join(f"gone{i}.png, 0\n" for i in range(25))), FRUIT, tmp_path)
    assert "25 faults" in str(caught.value)
    assert str(caught.value).count("no picture") == 10
    assert str(caught.value).endswith("and 15 more")


@pytest.mark.parametrize("kind", ["imagefolder", "yolo", "voc", "folder"])
def test_a_folder_that_is_not_there_is_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder"):
        open_dataset(schema.parse(DataSpec, {"format": kind, "path": "nowhere"}, "data"), FRUIT, tmp_path)


def test_pictures_that_cannot_be_decoded_are_counted_and_named_truncated_ones_too(tmp_path: Path) -> None:
    spec = listed(tmp_path, "a.png, 0\nb.png, 1\nc.png, 2\nd.jpg, 0\n")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    (tmp_path / "d.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b.png").write_bytes(b"not a picture")
    (tmp_path / "c.png").write_bytes(b"")
    shop = open_dataset(spec, FRUIT, tmp_path)
    assert [fault.split("/")[-1].split(":")[0] for fault in shop.unreadable()] == ["b.png", "c.png", "d.jpg"]
    with pytest.raises(
        DataError, match=r"3 faults: .*b.png: not a picture.*c.png: empty file.*d.jpg: a JPEG that was cut short"
    ):
        shop.check_readable()
    with pytest.raises(DataError, match=r"b\.png"):
        list(shop.pictures())


def test_pictures_come_in_order_with_their_samples(tmp_path: Path) -> None:
    shop = open_dataset(imagefolder(tmp_path, apple=7), FRUIT, tmp_path)
    assert [(sample.name, int(image[0, 0, 0])) for sample, image in shop.pictures()] == [
        (f"apple/{i}.png", i) for i in range(7)
    ]


def test_a_picture_is_turned_upright_as_exif_says(tmp_path: Path) -> None:
    picture(tmp_path / "shop/apple/a.jpg", width=40, height=20)
    path = tmp_path / "shop/apple/a.jpg"
    plain = path.read_bytes()
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" + b"\0\0\0\0"  # orientation 6
    exif = b"Exif\0\0" + tiff
    path.write_bytes(plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + plain[2:])
    (sample,) = open_dataset(DataSpec("imagefolder", "shop"), FRUIT, tmp_path).samples
    assert sample.image().shape == (40, 20, 3)


def test_a_limited_draw_gives_each_class_its_turn_and_is_the_same_each_time(tmp_path: Path) -> None:
    spec = replace(imagefolder(tmp_path, apple=9, banana=2, orange=5), images=8)
    shop = open_dataset(spec, FRUIT, tmp_path, seed=1)
    assert Counter(sample.label for sample in shop.samples) == {0: 3, 1: 2, 2: 3}
    names = [sample.name for sample in shop.samples]
    assert names == sorted(names)
    assert names == [sample.name for sample in open_dataset(spec, FRUIT, tmp_path, seed=1).samples]
    assert names != [sample.name for sample in open_dataset(spec, FRUIT, tmp_path, seed=2).samples]


@pytest.mark.parametrize("seed", range(5))
def test_a_draw_of_boxes_does_not_miss_the_rare_class(tmp_path: Path, seed: int) -> None:
    spec = yolo(tmp_path, "0 0.5 0.5 0.5 0.2\n1 0.5 0.5 0.5 0.2")
    for i in range(9):
        picture(tmp_path / f"shop/images/{i}.png")
        (tmp_path / f"shop/labels/{i}.txt").write_text("0 0.5 0.5 0.5 0.2")
    drawn = open_dataset(spec, FRUIT, tmp_path).draw(2, seed)
    assert [sample.labels.tolist() for sample in drawn.samples if sample.name == "images/a.png"] == [[0, 1]]
    assert len(drawn) == 2


def test_the_digest_changes_with_names_pixels_and_truth_and_not_with_the_place(tmp_path: Path) -> None:
    def digest(where: str, text: str, shade: int = 97) -> str:
        (tmp_path / where).mkdir()
        spec = listed(tmp_path / where, text)
        picture(tmp_path / where / "a.png", shade=shade)
        return open_dataset(spec, FRUIT, tmp_path / where).digest()

    same = digest("1", "a.png, 0\nb.png, 1\n")
    assert same == digest("2", "a.png, 0\nb.png, 1\n")
    others = [digest("3", "a.png, 0\nb.png, 2\n"), digest("4", "a.png, 0\nc.png, 1\n")]
    others += [digest("5", "a.png, 0\nb.png, 1\n", shade=98), digest("6", "b.png, 1\na.png, 0\n")]
    assert len({same, *others}) == 5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"format": "voc", "path": ".", "classes": ["a"]}, "classes is for list, yolo; format is 'voc'"),
        ({"format": "coco", "path": ".", "column": 2}, "column is for list; format is 'coco'"),
        ({"format": "yolo", "path": ".", "root": "x"}, "root is for list, coco, voc; format is 'yolo'"),
        ({"format": "list", "path": ".", "images": 0}, "images must be at least 1; got 0"),
        ({"format": "list", "path": ".", "colum": 2}, "unknown key 'colum', did you mean 'column'?"),
        ({"format": "tfrecord", "path": "."}, "'format': .*coco"),
    ],
)
def test_a_data_table_with_a_mistake_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        schema.parse(DataSpec, table, "evaluation")


def test_the_grocery_lists_hold_what_they_are_said_to_hold(data: Path) -> None:
    names = [line.split(",")[0] for line in (data / "grocery/classes.csv").read_text().splitlines()[1:]]
    for part, size in (("train", 2640), ("test", 1265)):
        assert len(open_dataset(DataSpec("list", f"grocery/{part}.txt"), names, data)) == size
    with pytest.raises(DataError, match="class 43, but the model has 43 labels, 0 to 42"):
        open_dataset(DataSpec("list", "grocery/test.txt"), names[:43], data)


def test_three_fruit_land_on_their_places_among_the_80_labels_of_coco(data: Path) -> None:
    names = (data / "models/coco.names").read_text().split("\n")[:80]
    fruit = open_dataset(DataSpec("coco", "fruit_det/train.json"), names, data)
    labels = Counter(names[label] for sample in fruit.samples for label in sample.labels)
    assert (len(fruit), labels) == (240, {"apple": 156, "banana": 169, "orange": 140})
