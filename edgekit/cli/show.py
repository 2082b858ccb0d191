"""How the commands speak: tables and progress on stderr or stdout, plain where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

Tell: TypeAlias = Callable[[str, int, int], None]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """A table on stdout, numbers to the right; the first `left` columns are text."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    out.print(grid, soft_wrap=not out.is_terminal)


@contextmanager
def progress() -> Iterator[Tell]:
    """A function (stage, done, total) that draws one bar a stage on stderr; one line a stage where it is no terminal."""
    if not err.is_terminal:
        yield _lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err) as bars:
        tasks = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield tell


def _lines() -> Tell:
    seen: set[str] = set()

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in seen:
            seen.add(stage)
            err.print(stage, soft_wrap=True)

    return tell


def share(value: float | None) -> str:
    """0.7312 as '73.12 %'."""
    return "not measured" if value is None else f"{value * 100:.2f} %"


def size(bytes_: int) -> str:
    """In megabytes, as files are sold."""
    return f"{bytes_ / 1e6:.2f} MB"
