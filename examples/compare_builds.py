"""Whether one build's model is better than another's: both held against each other picture by picture.

    python examples/compare_builds.py out/grocery-0.35.steps out/grocery-0.35-distilled.steps

Each argument is the folder that `edgekit build` keeps its finished steps in; the model after the last step counts. Both
must have been judged on the same pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgekit.converters.finished import read_score
from edgekit.converters.paired import chance_of_loss, detection_intervals, found_interval, outcomes
from edgekit.converters.report.report import accuracy_of
from edgekit.converters.scores import DetectionScore, Score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    folders = parser.parse_args()
    before, after = last_score(folders.before), last_score(folders.after)
    paired = outcomes(before, after)
    if isinstance(before, DetectionScore) and isinstance(after, DetectionScore):
        figure, interval = "AP", detection_intervals(before, after)["ap"]
    else:
        figure, interval = "top-1", found_interval(paired)
    likely = f", 95 % interval {-interval[1]:+.4f} to {-interval[0]:+.4f}" if interval else ""
    print(
        f"{figure} {accuracy_of(before):.4f} -> {accuracy_of(after):.4f} on {before.images} pictures: "
        f"{accuracy_of(after) - accuracy_of(before):+.4f}{likely}; {paired.won} won, {paired.lost} lost, "
        f"by chance {chance_of_loss(paired.better, paired.worse):.2g}"
    )


def last_score(folder: Path) -> Score:
    """Of the model after the last step: the newest score of the highest number."""
    found = sorted(folder.glob("*/score-*.json"), key=lambda path: (path.parent.name, path.stat().st_mtime))
    if not found:
        raise SystemExit(f"{folder}: holds no score; give the folder of finished steps of a build")
    return read_score(found[-1])


if __name__ == "__main__":
    main()
