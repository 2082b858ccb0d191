"""Whether the harness can be trusted: known costs, planted stalls and simulated neighbours, and the wrong ways of
measuring that must be caught by them. `python -m edgekit.benchmarks.selftest` prints the table."""
