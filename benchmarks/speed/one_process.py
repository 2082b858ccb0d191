"""The loop in one process, as a program that `unattended` compares with: a line an answer, with when it was there.

    python -m edgekit.benchmarks.speed.one_process store.toml

It runs a [source] store file as `edgekit run` does. A line is like an event: the observation as `data`, and as
`monotonic` when its JSON was there, which is what somebody in this process could have done something with.
"""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

from edgekit.runtime.store import Store
from edgekit.sinks.jsonl import JsonLines


def main(path: Path) -> None:
    """Until the source ends or Ctrl-C comes."""
    store = Store.read(path)
    assert store.output.jsonl is not None
    with (
        store.open() as pipeline,
        closing(pipeline.observe(store.source.open())) as observations,  # which closes the source, and its thread
        JsonLines(store.output.jsonl) as lines,
    ):
        for observation in observations:
            line = observation.to_json()
            lines.write(f'{{"monotonic": {time.monotonic():.6f}, "data": {line}}}')


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(0)
