"""The limits of `edgekit bench`: an option of the command line for each, and what comes of them.

@group.command("run")
@with_limits
def run(..., *, limits: Limits) -> None:
    limits.check(scenario)
    ...
    tell_verdicts(verdict(found, limits))
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import typer

from edgekit.benchmarks.limits import Limits

if TYPE_CHECKING:
    from edgekit.benchmarks.verdict import Verdict

T = TypeVar("T")


def with_limits(command: Callable[..., T]) -> Callable[..., T]:
    """A typer command whose keyword parameter `limits` is replaced by an option for each of them.

    `--p99-ms 33 --max-drop 0.01` calls it with Limits(p99_ms=33.0, max_drop=0.01). A limit that makes no sense is a
    mistake in the command line.
    """
    kinds, names = get_type_hints(Limits), [each.name for each in fields(Limits)]
    options = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=typer.Option(None, help=each.metadata["help"], rich_help_panel="Limits"),
            annotation=kinds[each.name],
        )
        for each in fields(Limits)
    ]

    @functools.wraps(command)
    def wrapped(**given: Any) -> T:
        try:
            limits = Limits(**{name: given.pop(name) for name in names})
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        return command(**given, limits=limits)

    signature = inspect.signature(command, eval_str=True)
    others = [each for name, each in signature.parameters.items() if name != "limits"]
    wrapped.__signature__ = signature.replace(parameters=[*others, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*others, *options)}
    return wrapped


def tell_verdicts(verdicts: Sequence[Verdict], to_stdout: bool = True) -> None:
    """Print what the limits say of each variant, on stdout or stderr, and leave with the exit code 0, 1 or 2 of the
    worst. Without a verdict nothing is said."""
    from edgekit.benchmarks.verdict import exit_code
    from edgekit.cli import show

    if not verdicts:
        return
    console = show.out if to_stdout else show.err
    for each in verdicts:
        console.print(f"{each.variant}: {each.outcome}", soft_wrap=True)
        for line in (*each.findings, *each.notes):
            console.print(f"  {line}", soft_wrap=True)
    raise typer.Exit(exit_code(verdicts))
