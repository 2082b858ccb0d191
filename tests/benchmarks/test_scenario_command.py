"""`edgekit bench` and its scenarios: what goes to stdout, what is refused, and that nothing given is ignored."""

from __future__ import annotations

import json

import pytest
from tiny import golden_bundle
from typer.testing import CliRunner

from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import Camera
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
    assert "tiny: camera" in page.read_text(encoding="utf-8")
    assert json.loads(done.stdout)["schema"] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fps", 10], "'single-stream' has no --fps; it is of camera, streams, sustained"),
        (["--scenario", "camera", "--rounds", 3], "'camera' has no --rounds; it is of single-stream"),
        (["--scenario", "streams", "--minutes", 10], "'streams' has no --minutes; it is of sustained"),
        (["--scenario", "camera", "--fps", 0], "fps must be above 0; got 0"),
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
