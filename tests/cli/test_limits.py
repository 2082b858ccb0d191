"""The limits of a verdict as options of a command, one for each."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from made import executed, noise, result, samples
from typer.testing import CliRunner

from edgekit.benchmarks.limits import Limits
from edgekit.benchmarks.verdict import verdict
from edgekit.benchmarks.watch import Validity
from edgekit.cli.limits import tell_verdicts, with_limits


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


@pytest.mark.parametrize(
    ("limits", "code", "lines"),
    [
        (Limits(p50_ms=11), 0, ["onnx-int8: PASS", "  PASS: p50 of the frame time 10.01 ms"]),
        (Limits(p50_ms=9), 1, ["onnx-int8: FAIL", "  FAIL: p50 of the frame time 10.01 ms"]),
        (Limits(p99_ms=11), 2, ["onnx-int8: INCONCLUSIVE", "  INCONCLUSIVE: p99 of the frame time not measured"]),
    ],
)
def test_a_verdict_is_a_line_a_limit_and_an_exit_code(limits, code, lines, capsys):
    with pytest.raises(typer.Exit) as left:
        tell_verdicts(verdict(result(executed(whole=samples(noise(10, 0.02, 200)))), limits))

    assert left.value.exit_code == code
    for printed, expected in zip(capsys.readouterr().out.splitlines(), lines, strict=True):
        assert printed.startswith(expected)


def test_why_a_run_is_invalid_stands_under_its_verdict_on_stderr_where_stdout_is_json(capsys):
    invalid = result(executed(whole=samples(noise(10, 0.02, 200))), validity=Validity(invalid=("it throttled",)))
    with pytest.raises(typer.Exit):
        tell_verdicts(verdict(invalid, Limits(p50_ms=11)), to_stdout=False)

    out, err = capsys.readouterr()
    assert not out
    assert "  the run is invalid: it throttled" in err


def test_without_a_limit_there_is_no_verdict(capsys):
    tell_verdicts(())

    assert capsys.readouterr().out == ""
