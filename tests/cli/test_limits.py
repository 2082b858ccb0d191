"""The limits of a verdict as options of a command, one for each."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from edgekit.benchmarks.limits import Limits
from edgekit.cli.limits import with_limits


@pytest.fixture
def run():
    app, seen = typer.Typer(), []

    @app.command()
    @with_limits
    def bench(bundle: str, rounds: Annotated[int, typer.Option()] = 20, *, limits: Limits) -> None:
        """Measure it."""
        seen.append((bundle, rounds, limits))

    def invoke(*arguments):
        return CliRunner().invoke(app, arguments), seen

    return invoke


def test_limits_are_given_by_name(run):
    done, seen = run("cart.ekb", "--p99-ms", "33", "--max-drop", "0.01", "--min-streams", "4", "--rounds", "70")

    assert done.exit_code == 0
    assert seen == [("cart.ekb", 70, Limits(p99_ms=33.0, max_drop=0.01, min_streams=4))]


def test_no_limit_is_given_where_none_was_asked_for(run):
    assert run("cart.ekb")[1] == [("cart.ekb", 20, Limits())]


@pytest.mark.parametrize("wrong", [("--p99-ms", "0"), ("--max-drop", "1.5"), ("--min-streams", "2.5")])
def test_a_limit_that_makes_no_sense_is_a_mistake_in_the_command_line(run, wrong):
    done, seen = run("cart.ekb", *wrong)

    assert done.exit_code == 2  # of which `edgekit` makes 64
    assert not seen


def test_every_limit_has_a_line_of_help(run):
    shown = run("--help")[0].stdout

    assert "Measure it." in shown
    assert all(f"--{name.replace('_', '-')}" in shown for name in Limits.__dataclass_fields__)
