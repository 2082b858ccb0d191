"""A result as Markdown, for a README."""

from __future__ import annotations

from edgekit.benchmarks.report import tables
from edgekit.benchmarks.report.words import how_measured, where_measured
from edgekit.benchmarks.result import Result
from edgekit.page import Grid


def markdown(result: Result) -> str:
    """The tables of what its scenario measured, under what was measured where and whether it counts."""
    validity = result.validity
    reasons = "" if validity.valid else f": {'; '.join(validity.invalid)}"
    warnings = f" Warnings: {'; '.join(validity.warnings)}." if validity.warnings else ""
    allowed = f" Allowed by hand: {'; '.join(validity.allowed)}." if validity.allowed else ""
    standing = f"**{'VALID' if validity.valid else 'INVALID'}**{reasons}.{warnings}{allowed}"
    found = (tables.latency(result), tables.frames(result), tables.streams(result), tables.starts(result))
    grids = [_table(each) for each in found if each is not None and each.rows]
    not_run = [f"{name} was not run: {why}" for name, why in result.not_run.items()]
    said = f"{standing} {how_measured(result)} {where_measured(result)}"
    return "\n\n".join([_safe(said), *grids, *map(_safe, not_run)]) + "\n"


def _table(grid: Grid) -> str:
    marks = [":---" if place in grid.words or place == 0 else "---:" for place in range(len(grid.columns))]
    rows = [grid.columns, marks, *grid.rows]
    return "\n".join(f"| {' | '.join(_safe(cell).replace('|', '/') for cell in row)} |" for row in rows)


def _safe(text: str) -> str:
    """On one line, and no markup: a bundle's name and an engine's words come from elsewhere."""
    return " ".join(text.split()).replace("<", "&lt;")
