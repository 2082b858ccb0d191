"""How many times as fast one bundle's model is as another's, in each engine that both have a variant for.

    python examples/compare_speed.py out/grocery-1.0.ekb out/grocery-0.35.ekb --before float --after int8

The two run in turn on one thread; what counts is CPU time, wall time stands beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edgekit.bundle import Bundle
from edgekit.converters.export import Exported
from edgekit.converters.latency import compare
from edgekit.plan import ENGINES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("before", "after"):
        parser.add_argument(f"{name}_bundle", type=Path)
        parser.add_argument(f"--{name}", choices=("float", "int8"), default="int8")
    parser.add_argument("--rounds", type=int, default=60)
    asked = parser.parse_args()
    with Bundle.open(asked.before_bundle) as before, Bundle.open(asked.after_bundle) as after:
        for format_ in ENGINES:
            pair = [variant(before, f"{format_}-{asked.before}"), variant(after, f"{format_}-{asked.after}")]
            if None not in pair:
                found = compare(*pair, rounds=asked.rounds)
                print(f"{found.engine}: {found.cpu} times as fast in CPU time, {found.wall} by the clock")


def variant(bundle: Bundle, name: str) -> Exported | None:
    """The artifact of that name as the engines take it; None where the bundle has none."""
    known = {each.name: each for each in bundle.manifest.variants}
    return Exported(bundle.artifact(known[name]), known[name].input) if name in known else None


if __name__ == "__main__":
    main()
