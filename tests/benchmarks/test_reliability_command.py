"""The command that runs the rigs: its JSON, and what its exit code says."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgekit.benchmarks.reliability.__main__ import RIGS, Rig, exit_code, run_rig

COMMAND = [sys.executable, "-m", "edgekit.benchmarks.reliability"]


def test_a_rig_that_is_well_gives_its_figures_on_stdout_and_its_progress_on_stderr():
    ended = subprocess.run([*COMMAND, "writer_kill", "--times", "20", "--seed", "3"], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    (figures,) = json.loads(ended.stdout)["rigs"]
    assert (figures["rig"], figures["times"], figures["seed"]) == ("writer_kill", 20, 3)
    assert figures["kept"]
    assert figures["caught"]
    assert "writer_kill: kept, its control caught" in ended.stderr


def test_the_figures_go_into_a_file_instead(tmp_path):
    out = tmp_path / "figures.json"
    ended = subprocess.run([*COMMAND, "writer_kill", "--times", "20", "--out", out], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert json.loads(out.read_text())["rigs"][0]["kept"]


@pytest.mark.parametrize(
    "line",
    [
        ["no_such_rig"],
        ["writer_kill", "--times", "0"],
        ["--nonsense"],
        ["camera_faults", "--clips", "no/such/folder"],
        ["writer_kill", "--hours-each", "10"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_64(line):
    ended = subprocess.run([*COMMAND, *line], capture_output=True, text=True)

    assert ended.returncode == 64
    assert ended.stdout == ""


def test_a_rig_whose_tool_is_absent_is_not_run_and_says_what_to_install(capsys):
    result = run_rig("broker", Rig(5, 200, lambda: "mosquitto is not installed: apt-get install mosquitto"), 5, 1)

    assert result == {"rig": "broker", "not_run": "mosquitto is not installed: apt-get install mosquitto"}
    assert "apt-get install mosquitto" in capsys.readouterr().err


def test_a_rig_takes_what_it_alone_knows():
    line = ["simulation", "--times", "2", "--hours-each", "2", "--fault-every-s", "600"]
    ended = subprocess.run([*COMMAND, *line], capture_output=True, text=True)

    assert ended.returncode == 0, ended.stderr
    (figures,) = json.loads(ended.stdout)["rigs"]
    assert (figures["times"], figures["counts"]["devices"]) == (2, 1)


WELL = {"kept": True, "caught": True}
CASES = {
    "all well": ([WELL, WELL], 0),
    "a promise broken": ([WELL, {"kept": False, "caught": True}], 1),
    "a control not caught": ([{"kept": True, "caught": False}], 1),
    "one not run": ([WELL, {"not_run": "no broker"}], 2),
    "one broken and one not run": ([{"kept": False, "caught": True}, {"not_run": "no broker"}], 1),
}


@pytest.mark.parametrize(("results", "code"), CASES.values(), ids=CASES)
def test_the_exit_code(results, code):
    assert exit_code(results) == code


def test_each_rig_in_the_table_is_there_and_takes_the_same_three_things():
    import inspect
    from importlib import import_module

    for name, rig in RIGS.items():
        if rig.missing() is None:
            run = import_module(f"edgekit.benchmarks.reliability.{name}").run
            assert list(inspect.signature(run).parameters)[:3] == ["times", "seed", "progress"]
        assert rig.tests <= rig.long
