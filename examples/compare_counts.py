"""Holds the counts of a run against a timeline of true ones: on how many frames do they agree?

    edgekit run examples/bottles.toml
    python examples/compare_counts.py out/bottles.jsonl bottle-detection.timeline.json --label bottle

The timeline is JSON with a list of counts, one a frame, under 'median15'.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt


def counts(lines: Path, label: str, frames: int) -> npt.NDArray[np.int64]:
    """How many things of that label each frame shows, from the JSON lines of `edgekit run`."""
    found = np.zeros(frames, np.int64)
    for line in lines.read_text().splitlines():
        seen = json.loads(line)
        found[seen["frame"]] = sum(thing["label"] == label for thing in seen["detections"])
    return found


def median(values: npt.NDArray[np.int64], window: int) -> npt.NDArray[np.float64]:
    """The median of each value and its neighbours, `window` in all, an odd number."""
    padded = np.pad(values, window // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, window), axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("lines", type=Path)
    parser.add_argument("timeline", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--window", type=int, default=15, help="frames of the median (default: 15)")
    options = parser.parse_args()
    truth = np.array(json.loads(options.timeline.read_text())["median15"])
    found = counts(options.lines, options.label, len(truth))
    print(f"{(found == truth).mean():.1%} of {len(truth)} frames agree as they are")
    print(f"{(median(found, options.window) == truth).mean():.1%} agree after a median of {options.window}")


if __name__ == "__main__":
    main()
