"""Prints the table of the self-test.

    python -m edgekit.benchmarks.selftest

Exit codes: 0 every check holds and every wrong control was caught; 1 one does not, or was not; 2 all do that this host
is quiet enough for.
"""

from __future__ import annotations

import sys

from edgekit.benchmarks.selftest.check import Check
from edgekit.benchmarks.selftest.checks import checks
from edgekit.outcome import EXIT_CODES, worst


def main() -> int:
    found: list[Check] = []
    for each in checks():
        found.append(each)
        print(f"{each.outcome}: {each.what} {each.promise}: {each.found}")
        print(f"    control, {'caught' if each.caught else 'NOT CAUGHT'}: {each.control}")
    caught = all(each.caught for each in found)
    return EXIT_CODES[worst(each.outcome for each in found) if caught else "FAIL"]


if __name__ == "__main__":
    sys.exit(main())
