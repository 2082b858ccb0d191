"""What the commands of this folder share: `--help` is the module's own page, and an error is one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import Any

from edgekit.benchmarks.speed.promise import Promise, text
from edgekit.errors import EdgekitError

# What argparse is told of bundles that are measured one after the other.
BUNDLES: dict[str, Any] = {"nargs": "+", "metavar": "bundle", "help": "a bundle (.ekb); each is measured"}


def asked(page: str | None, **arguments: dict[str, Any]) -> argparse.Namespace:
    """The command's positional arguments, in order, with what argparse is told of each."""
    spec = sys.modules["__main__"].__spec__
    parser = argparse.ArgumentParser(
        prog=f"python -m {spec.name}" if spec else None,
        description=page,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, how in arguments.items():
        parser.add_argument(name, **how)
    return parser.parse_args()


def tell(promises: Iterable[Promise]) -> None:
    """Print each as soon as it was measured; a bundle that cannot be is one line, and exit code 1."""
    try:
        for each in promises:
            print(text([each]), end="", flush=True)
    except EdgekitError as error:
        sys.exit(str(error))
