"""edgekit beside its peers on the same model file: Ultralytics, OpenVINO's Model API and benchmark_app, a plain script.

    python -m edgekit.benchmarks.peers --install --place out/peers

Each peer runs in an environment of its own, which --install makes; without it nothing is installed. The model is a YOLO
with seeded weights. Blocks of frames run in turn, every process on the same core, and CPU time is what is compared.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.peers import benchmark_app, figures
from edgekit.benchmarks.peers.environments import MODEL_API, PLAIN, ULTRALYTICS, python_of
from edgekit.benchmarks.peers.field import Pythons, field
from edgekit.benchmarks.peers.models import Model, build, export
from edgekit.benchmarks.peers.pipe import in_turn
from edgekit.benchmarks.speed.promise import as_json, markdown, text
from edgekit.engines import installed
from edgekit.errors import EdgekitError
from edgekit.files import write_text
from edgekit.measure import Rounds


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    host = look_around(installed()).line()
    kept = []
    try:
        python = {
            each: python_of(each, asked.place / "envs", asked.install) for each in (PLAIN, MODEL_API, ULTRALYTICS)
        }
        pythons = Pythons(python[PLAIN], python[MODEL_API], python[ULTRALYTICS])
        for size in asked.size or (320, 640):
            model = Model(asked.model, size, asked.place)
            export(model, pythons.ultralytics)
            build(model)
            with TemporaryDirectory() as scratch:
                peers = field(model, pythons, Path(scratch), asked.floats)
                measured = in_turn(peers, Rounds(asked.rounds, block=10), asked.starts, _tell)
            print(f"\n{model.name} at {size}\n{_table(figures.rows(measured))}")
            print(benchmark_app.line(model, pythons.model_api.with_name("benchmark_app"), asked.floats))
            kept += figures.promises(measured, size)
    except EdgekitError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"\n{markdown(kept) if asked.markdown else text(kept)}\n{host}")
    if asked.json:
        write_text(asked.json, as_json(kept, host))
    return 0


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (figures.COLUMNS, ("---",) * len(figures.COLUMNS), *rows))


def _tell(done: int, total: int) -> None:
    print(f"\rround {done} of {total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _absolute(path: str) -> Path:
    """A peer runs elsewhere. Not resolved: what a virtual environment calls python is a link to another one's."""
    return Path(path).absolute()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m edgekit.benchmarks.peers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", default="yolov8n", help="a detector that Ultralytics describes: yolov8n, yolo11n")
    parser.add_argument("--size", type=int, action="extend", nargs="+", help="sides of its input; 320 and 640")
    parser.add_argument("--place", type=_absolute, default="out/peers", help="environments, models and bundles")
    parser.add_argument("--install", action="store_true", help="make the environments that are missing: 2 GB, by pip")
    parser.add_argument("--floats", choices=("f32", "bf16"), default="f32", help="what OpenVINO computes in, for all")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of ten frames each")
    parser.add_argument("--starts", type=int, default=3, help="fresh processes of each")
    parser.add_argument("--markdown", action="store_true", help="print the promises as Markdown")
    parser.add_argument("--json", type=Path, help="write the promises to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
