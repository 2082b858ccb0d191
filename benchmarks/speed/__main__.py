r"""The speed table: what edgekit promises of its own speed, and what comes out on this host.

    python -m edgekit.benchmarks.speed --bundle out/yolox-nano-320.ekb --bundle out/yolox-nano-640.ekb \
        --classifier out/grocery-0.35.ekb --markdown

Each figure is one of runs in turn, with the plain way beside it or with the bare engine. A promise that is not kept is
in the table as well; the exit code is 0 either way, since a slow or busy host is no fault in the code.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.speed import decode, loop, peak, planned, preprocess, startup
from edgekit.benchmarks.speed.promise import Promise, as_json, at_least, markdown, text
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import EdgekitError
from edgekit.files import write_text
from edgekit.measure import Ratio

FASTER_PREPROCESS, FASTER_DECODE = 8, 6
RECIPES = "edgekit build examples/recipes/yolox-nano-320.toml -o out/yolox-nano-320.ekb"


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    host = look_around(installed()).line()
    try:
        kept = list(_promises(asked.bundle, asked.classifier))
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return 1
    if asked.json:
        write_text(asked.json, as_json(kept, host))
    print(markdown(kept) if asked.markdown else text(kept), end="")
    print(f"\n{host}")
    return 0


def preprocess_promises(found: dict[str, Any]) -> list[Promise]:
    """The promise is about the naive path as tutorials have it, in double precision; `how` also tells how far the
    careful one in single precision is behind."""
    ms = found["median_ms"]
    return [
        Promise(
            what=f"preprocess 1280x720 to 320, {path}",
            target=f"at least {FASTER_PREPROCESS}x",
            result=_times(against["naive float64"]),
            kept=at_least(FASTER_PREPROCESS, Ratio(**against["naive float64"])),
            how=f"naive float64 {ms['naive float64']:.3f} ms, edgekit {ms[path]:.3f} ms; the same pixels; a careful "
            f"path in float32 {ms['naive float32']:.3f} ms, {_times(against['naive float32'])}",
        )
        for path, against in found["speedup"].items()
    ]


def decode_promises(found: dict[str, Any]) -> list[Promise]:
    ms = found["median_ms"]
    return [
        Promise(
            what=f"decode and NMS, YOLO v8 at {case}",
            target=f"at least {FASTER_DECODE}x",
            result=_times(ratio),
            kept=at_least(FASTER_DECODE, Ratio(**ratio)),
            how=f"transpose and NMS in NumPy {ms[f'{case}/naive']:.3f} ms, edgekit {ms[f'{case}/edgekit']:.3f} ms; "
            "identical keeps",
        )
        for case, ratio in found["speedup"].items()
    ]


def _promises(bundles: Sequence[Path], classifier: Path | None) -> Iterator[Promise]:
    for path in filter(None, (*bundles, classifier)):
        Bundle.open(path).close()  # a wrong path is said before minutes are spent
    _tell("preprocess")
    yield from preprocess_promises(preprocess.measure())
    _tell("decode")
    yield from decode_promises(decode.measure())
    for path in bundles:
        _tell(f"camera loop on {path}")
        yield from loop.promises(path)
    for path in bundles:
        _tell(f"cold start of {path}")
        yield from startup.promises(path)
    for path in filter(None, (*bundles, classifier)):
        _tell(f"share of INT8 peak of {path}")
        yield from peak.promises(path)
    if bundles and classifier is not None:
        _tell(f"plan of {bundles[0]} and {classifier}")
        yield from planned.promises(bundles[0], classifier)
    else:
        needs = "needs a detector's --bundle and a --classifier; the first detector is taken"
        yield Promise("planned cascade", "", "", "not measured", needs)
    if not bundles:
        for what in ("frame beyond the engine", "cold start"):
            yield Promise(what, "", "", "not measured", f"needs a detector's --bundle: {RECIPES}")


def _times(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.1f}x ({ratio['low']:.1f} to {ratio['high']:.1f})"


def _tell(stage: str) -> None:
    print(f"{stage} ...", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m edgekit.benchmarks.speed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--bundle", type=Path, action="extend", nargs="+", default=[], help="detectors' bundles (.ekb)")
    parser.add_argument("--classifier", type=Path, help="a classifier's bundle, to run behind the first detector")
    parser.add_argument("--json", type=Path, help="write the table to this file as JSON")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser


if __name__ == "__main__":
    sys.exit(main())
