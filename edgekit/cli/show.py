"""How the commands speak: tables on stdout, progress on stderr, plain where there is no terminal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from edgekit.errors import SettingsError

Tell: TypeAlias = Callable[[str, int, int], None]

_QUIET_S = 60.0  # where there is no terminal, after which a stage that goes on has a line again
_WIDE = 400  # a table in a file or a pipe is as wide as its cells

_terminal = sys.stdout is not None and sys.stdout.isatty()  # None where the caller has closed it
out = Console(highlight=False, markup=False, emoji=False, width=None if _terminal else _WIDE)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """A table on stdout, numbers to the right; the first `left` columns are text."""
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for i, column in enumerate(columns):
        grid.add_column(column, justify="left" if i < left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    out.print(grid)


@contextmanager
def progress() -> Iterator[Tell]:
    """A function (stage, done, total) that draws a bar a stage on stderr; where that is no terminal it writes a line a
    stage, and once a minute how much is done and how long the rest may take."""
    if not err.is_terminal:
        yield lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Not rich's ten times a second: drawing takes the cores from what the bench measures.
    with Progress(*columns, console=err, refresh_per_second=2) as bars:
        tasks = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield tell


@contextmanager
def counter(what: str) -> Iterator[Callable[[], None]]:
    """A function that counts one more on stderr, for work of unknown length; silent where stderr is no terminal."""
    if not err.is_terminal:
        yield lambda: None
        return
    with Progress(TextColumn("{task.completed} {task.description}"), TimeElapsedColumn(), console=err) as bars:
        task = bars.add_task(what, total=None)
        yield lambda: bars.advance(task)


def lines(clock: Callable[[], float] = time.monotonic) -> Tell:
    """What `progress` gives where there is no terminal. clock: in seconds."""
    began: dict[str, tuple[float, int]] = {}  # when each stage was first heard of, and how much of it was done then
    told_at = clock()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal told_at
        now = clock()
        if stage not in began:
            began[stage] = now, done
            err.print(stage, soft_wrap=True)
        elif now - told_at < _QUIET_S or done >= total:
            return
        else:
            since, first = began[stage]
            left = f", {duration((now - since) * (total - done) / (done - first))} left" if done > first else ""
            err.print(f"{stage}: {done} of {total}{left}", soft_wrap=True)
        told_at = now

    return tell


def check_place(path: Path) -> None:
    """`SettingsError` where no file can be written to `path`: said before the work of minutes, not after it."""
    folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if not folder.is_dir():
        raise SettingsError(f"{path}: there is no folder {folder} to write to")
    if path.is_dir():
        raise SettingsError(f"{path}: is a folder, not a file to write")
    if path.exists() and not path.is_file():
        raise SettingsError(f"{path}: is a device or a pipe, not a file to write")
    if not os.access(folder, os.W_OK):
        raise SettingsError(f"{path}: the folder {folder} may not be written to")


def figure(value: float | None) -> str:
    """Four places, which is what a hundred to ten thousand pictures can tell; '-' for what was not measured."""
    return "-" if value is None else f"{value:.4f}"


def duration(seconds: float) -> str:
    """'40 s', '3 min 20 s' or '2 h 5 min': as much as an estimate is good for."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def size(bytes_: int) -> str:
    """In megabytes, as files are sold."""
    return f"{bytes_ / 1e6:.2f} MB"
