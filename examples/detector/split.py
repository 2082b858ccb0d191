"""Parts a COCO file in two, for data that comes without an evaluation part: every fourth picture by name is held out.

    python examples/detector/split.py ../shared/data/fruit_det/train.json out/fruit

writes out/fruit/train.json and out/fruit/valid.json. Pictures stay where they are; a recipe names their folder as
`root`. The same file gives the same parts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--every", type=int, default=4)
    args = parser.parse_args()
    coco = json.loads(args.file.read_text())
    names = sorted(image["file_name"] for image in coco["images"])
    held_out = set(names[:: args.every])
    args.out.mkdir(parents=True, exist_ok=True)
    for part, kept in (("train", set(names) - held_out), ("valid", held_out)):
        chosen = part_of(coco, kept)
        (args.out / f"{part}.json").write_text(json.dumps(chosen))
        print(f"{args.out / part}.json: {len(chosen['images'])} pictures, {len(chosen['annotations'])} boxes")


def part_of(coco: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The pictures of these names with their boxes, all else as it was."""
    images = [image for image in coco["images"] if image["file_name"] in names]
    ids = {image["id"] for image in images}
    boxes = [box for box in coco["annotations"] if box["image_id"] in ids]
    return {**coco, "images": images, "annotations": boxes}


if __name__ == "__main__":
    main()
