"""The limits of `edgekit bench` as options of the command line: one for each field of `Limits`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar, get_type_hints

import typer

from edgekit.benchmarks.limits import Limits

T = TypeVar("T")


def with_limits(command: Callable[..., T]) -> Callable[..., T]:
    """A typer command whose keyword parameter `limits` is replaced by an option for each of them.

        @with_limits
        def bench(bundle: ..., *, limits: Limits) -> None: ...

    `edgekit bench --p99-ms 33 --max-drop 0.01` calls it with Limits(p99_ms=33.0, max_drop=0.01). A limit that makes no
    sense is a mistake in the command line.
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
