"""`edgekit bench` and its scenarios: what goes to stdout, what is refused, and that nothing given is ignored."""

from __future__ import annotations

import json

import pytest
from tiny import golden_bundle
from typer.testing import CliRunner

from edgekit.benchmarks import validity
from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import Camera
from edgekit.benchmarks.watch import Validity
from edgekit.cli import app
from edgekit.cli.bench import group


@pytest.fixture
def bundle(tmp_path):
    return str(golden_bundle(tmp_path / "tiny.ekb"))


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_a_bundle_needs_no_subcommand_and_a_subcommand_no_bundle(bundle):
    done = bench(bundle, "--rounds", "2", "--variant", "onnx-float")
    assert done.exit_code == 0, done.output
    assert "onnx-float" in done.stdout
    assert bench("run", bundle, "--rounds", "2").exit_code == 0

    @group.command("of-a-test")
    def _() -> None:
        print("called")

    try:
        assert bench("of-a-test").stdout == "called\n"
    finally:
        group.registered_commands.pop()


def test_the_result_alone_is_on_stdout_and_holds_the_scenario_that_was_asked_for(bundle, tmp_path):
    page = tmp_path / "camera.html"
    asked = ("--scenario", "camera", "--fps", 40, "--seconds", 0.5)
    done = bench(bundle, *asked, "--source", "scene:shelf?frames=4", "--json", "-", "--html", page)
    assert done.exit_code == 0, done.output
    found = Result.parse(done.stdout, "stdout")
    assert found.scenario == Camera(fps=40, seconds=0.5)
    assert [each.frames.arrived for each in found.variants] == [20, 20]
    assert "shelf" in found.source
    assert "tiny under load" in page.read_text(encoding="utf-8")
    assert found.looks
    assert json.loads(done.stdout)["schema"] == 2


@pytest.mark.parametrize(("limit", "code", "outcome"), [(10_000, 0, "PASS"), (0.000001, 1, "FAIL")])
def test_a_limit_decides_the_exit_code_and_stands_on_the_page(bundle, tmp_path, monkeypatch, limit, code, outcome):
    """Whatever else this host does: what makes a run invalid has its own tests."""
    monkeypatch.setattr(validity, "judge", lambda *_: Validity())
    page = tmp_path / "cart.html"
    done = bench(bundle, "--variant", "onnx-float", "--rounds", 7, "--p50-ms", limit, "--html", page)

    assert done.exit_code == code, done.output
    assert f"onnx-float: {outcome}" in done.output
    assert f"{limit:g} ms is the limit" in page.read_text(encoding="utf-8")


def test_a_limit_that_the_scenario_does_not_measure_is_refused_before_anything_runs(bundle):
    done = bench(bundle, "--min-streams", 4)
    assert done.exit_code == 2  # of which `edgekit` makes 64
    assert "min_streams" in done.output


def test_a_result_is_compared_and_written_as_markdown(bundle, tmp_path):
    first, tables = tmp_path / "first.json", tmp_path / "first.md"
    assert bench(bundle, "--rounds", 3, "--json", first, "--markdown", tables).exit_code == 0
    assert "onnx-float, frame to event | 30 |" in tables.read_text(encoding="utf-8")

    done = bench("compare", first)
    assert done.exit_code in (0, 1, 2), done.output  # the two are different engines
    assert "tflite-float" in done.output


def test_a_model_of_a_family_that_nobody_measured_gets_no_estimate(bundle):
    done = bench("estimate", bundle, "--seconds", 0.5)
    assert done.exit_code == 0, done.output
    assert "onnx-float: no estimate" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fps", 10], "'single-stream' has no --fps; it is of camera, streams, sustained"),
        (["--scenario", "camera", "--rounds", 3], "'camera' has no --rounds; it is of single-stream"),
        (["--scenario", "streams", "--minutes", 10], "'streams' has no --minutes; it is of sustained"),
        (["--scenario", "camera", "--fps", 0], "fps must be above 0 and finite; got 0"),
        (["--scenario", "camera", "--fps", "inf"], "fps must be above 0 and finite; got inf"),
        (["--scenario", "camera", "--seconds", "inf"], "seconds must be above 0 and finite; got inf"),
        (["--scenario", "streams", "--window-s", "nan"], "window_s must be above 0 and finite; got nan"),
        (["--scenario", "sustained", "--minutes", "inf"], "minutes must be above 0 and finite; got inf"),
        (["--scenario", "sustained", "--fps", "inf"], "fps must be above 0 and finite; got inf"),
        (["--scenario", "sustained", "--minutes", 5], "takes ten minutes to warm up; got minutes = 5"),
        (["--scenario", "sustained", "--variant", "a", "--variant", "b"], "'sustained' measures one --variant"),
        (["--scenario", "cold-start", "--source", "a.mp4"], "no --classifier, no --source"),
        (["--scenario", "burst"], "'burst' is not one of"),
    ],
)
def test_a_setting_that_a_scenario_does_not_have_is_never_ignored(bundle, arguments, said):
    done = bench(bundle, *arguments)
    assert done.exit_code == 2  # which `edgekit` turns into 64
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert done.stdout == ""


def test_help_is_that_of_the_run():
    shown = bench("--help").stdout
    for word in ("--scenario", "single-stream", "camera", "streams", "cold-start", "sustained", "Ctrl-C"):
        assert word in shown
