"""The command line as a person meets it: one line for each mistake, an exit code that says what happened."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from tiny import golden_bundle

COMMANDS = ("build", "inspect", "verify", "run", "bench", "plan", "profiles", "doctor")


def edgekit(*arguments, cwd=None):
    command = [sys.executable, "-m", "edgekit", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return golden_bundle(tmp_path_factory.mktemp("bundles") / "tiny.ekb")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    done = edgekit(command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_help_names_the_tables_of_a_store_file():
    told = edgekit("run", "--help").stdout
    assert all(table in told for table in ("[[cameras]]", "[source]", "[web]"))


def test_the_version_is_printed():
    from edgekit import __version__

    assert edgekit("--version").stdout == f"edgekit {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("inspect", "nowhere.ekb"), "nowhere.ekb: No such file or directory", 1),
        (("verify", "nowhere.ekb"), "nowhere.ekb: No such file or directory", 1),
        (("bench", "nowhere.ekb"), "nowhere.ekb: No such file or directory", 1),
        (("run", "nowhere.toml"), "nowhere.toml: No such file or directory", 1),
        (("profiles", "rpi"), "no device profile named 'rpi'; there are: ", 1),
        (("profiles", "show", "rpi"), "no device profile named 'rpi'; there are: ", 1),
        (("profiles", "none.toml"), "none.toml: No such file or directory", 1),
        (("profiles", "probe", "-o", "board.yaml"), "a profile's file ends in .toml; got board.yaml", 64),
        (("doctor", "--profile", "rpi"), "no device profile named 'rpi'; there are: ", 1),
        (("paint",), "No such command", 64),
        (("bench",), "Missing argument", 64),
        (("bench", "a.ekb", "--rounds", "0"), "Invalid value", 64),
        (("bench", "a.ekb", "--json", "nowhere/b.json"), "there is no folder nowhere to write to", 1),
        (("bench", "estimate", "a.ekb", "--seconds", "inf"), "Invalid value", 64),
        (("profiles", "probe", "--seconds", "inf"), "Invalid value", 64),
        (("plan", "a.ekb", "--budget-s", "inf"), "Invalid value", 64),
        (("verify", "a.ekb", "--engine", "null"), "Invalid value", 64),
        (("service", "install", "nowhere.toml", "--print"), "nowhere.toml: No such file or directory", 1),
        (("inspect", "a.ekb", "--json", "--classes", "framework"), "cannot be had at once", 64),
    ],
)
def test_a_mistake_is_said_on_stderr_and_in_the_exit_code(arguments, message, code, tmp_path):
    done = edgekit(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_file_that_is_no_bundle_is_one_clear_line(tmp_path):
    (tmp_path / "cart.ekb").write_bytes(b"not a zip")
    done = edgekit("inspect", "cart.ekb", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "edgekit: cart.ekb: not a bundle, or one that was cut short: File is not a zip file"
    ]


def test_inspect_prints_the_proof(bundle):
    done = edgekit("inspect", bundle)
    assert done.returncode == 0, done.stderr
    for expected in ("tiny, release 1", "onnx-float", "tflite-float", "PASS", "not measured"):
        assert expected in done.stdout


@pytest.mark.parametrize(
    ("stdout", "code", "message"),
    [(">&-", 0, ""), (">/dev/full", 1, "No space left on device"), ("| true", 1, "")],
)
def test_a_stdout_that_takes_nothing_is_no_traceback(bundle, stdout, code, message):
    command = f'"{sys.executable}" -c "from edgekit.cli import main; main()" inspect "{bundle}" {stdout}'
    script = f"{command}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == bool(message)


def test_inspect_as_json_is_only_json(bundle):
    found = json.loads(edgekit("inspect", bundle, "--json").stdout)
    assert found["name"] == "tiny"
    assert len(found["digest"]) == 64
    assert [variant["name"] for variant in found["variants"]] == ["onnx-float", "tflite-float"]


def test_verify_exits_by_what_it_found(bundle, tmp_path):
    done = edgekit("verify", bundle, "--profile", "intel-n100")
    assert done.returncode == 0
    assert "golden vectors, profile 'intel-n100'" in done.stdout
    wrong = golden_bundle(tmp_path / "wrong.ekb", outputs=lambda output: output + 1)
    done = edgekit("verify", wrong)
    assert done.returncode == 1
    assert "differs" in done.stdout
    assert edgekit("verify", bundle, "--engine", "tflite-runtime").returncode == 2


def test_bench_keeps_every_sample_and_gives_no_percentile_without_enough_of_them(bundle, tmp_path):
    done = edgekit("bench", bundle, "--rounds", 2, "--json", tmp_path / "b.json", "--html", tmp_path / "b.html")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "b.json").read_text())
    assert [len(variant["engine_only"]["wall_ms"]) for variant in found["variants"]] == [20, 20]
    assert found["variants"][0]["engine"].startswith("onnxruntime ")
    assert found["environment"]["versions"]["numpy"]
    assert "n/a" in done.stdout  # p90 of 20 runs
    assert f"profile '{found['profile']}'" in done.stdout
    page = (tmp_path / "b.html").read_text()
    assert page.count("<svg") >= 4  # the histogram, the tail, the front and the stages at least
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_bench_of_one_variant_as_json_on_stdout(bundle):
    found = json.loads(edgekit("bench", bundle, "--rounds", 1, "--variant", "tflite-float", "--json", "-").stdout)
    assert [variant["variant"] for variant in found["variants"]] == ["tflite-float"]


def test_bench_of_a_variant_that_is_not_there_names_those_that_are(bundle):
    done = edgekit("bench", bundle, "--variant", "onnx-int8")
    assert done.returncode == 1
    assert "no variant 'onnx-int8'; there are: onnx-float, tflite-float" in done.stderr


def test_a_video_of_another_kind_is_a_mistake_in_the_command_line(tmp_path):
    (tmp_path / "store.toml").write_text('[source]\naddress = "scene:x"\n[detector]\nbundle = "a.ekb"\n')
    done = edgekit("run", tmp_path / "store.toml", "--video", "seen.avi")
    assert done.returncode == 64
    assert "must end in .mp4" in done.stderr


def test_every_profile_is_listed_and_one_is_shown():
    from edgekit.profile import profile_names

    done = edgekit("profiles", "raspberry-pi-5")
    assert done.returncode == 0
    assert "not measured on this board" in done.stdout
    listed = edgekit("profiles").stdout
    assert all(name in listed for name in profile_names())


def test_a_profile_is_probed_and_then_named_by_its_file(tmp_path):
    done = edgekit("profiles", "probe", "--seconds", "0.1", "-o", "mine.toml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "edgekit doctor --profile mine.toml" in done.stderr
    shown = edgekit("profiles", "show", "mine.toml", cwd=tmp_path).stdout
    assert "(mine): run on hardware" in shown
    assert edgekit("profiles", "mine.toml", cwd=tmp_path).stdout == shown


def test_doctor_runs_every_engine_that_is_installed():
    done = edgekit("doctor", "--profile", "generic")
    assert done.returncode == 0, done.stderr
    columns, *rows = [line.split() for line in done.stdout.splitlines()[-5:]]
    assert columns == ["engine", "device", "floats", "result", "threads", "error"]
    (row,) = [row for row in rows if row[0] == "onnxruntime"]
    assert row[2:5] == ["cpu", "f32", "ok"]
