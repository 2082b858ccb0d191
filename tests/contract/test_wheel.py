"""The wheel holds one import name, the three linked rooms, the profiles, and nothing that was not meant."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory):
    pytest.importorskip("build", reason="the wheel is built where the dev extra is installed")
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_brings_one_name_into_site_packages(wheel_names):
    assert {name.partition("/")[0] for name in wheel_names if ".dist-info" not in name} == {"edgekit"}


@pytest.mark.parametrize("folder", ["converters", "benchmarks"])
def test_every_module_of_a_linked_room_is_in_the_wheel(wheel_names, folder):
    here = {f"edgekit/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.py")}
    assert here
    assert here - wheel_names == {name for name in here if "/peers/" in name}


def test_every_device_profile_is_in_the_wheel(wheel_names):
    here = {f"edgekit/device_profiles/{path.name}" for path in (ROOT / "device_profiles").glob("*.toml")}
    assert here
    assert here <= wheel_names


def test_the_schema_of_results_and_every_baseline_are_in_the_wheel(wheel_names):
    here = {f"edgekit/{path.relative_to(ROOT)}" for path in (ROOT / "benchmarks").rglob("*.json")}
    assert "edgekit/benchmarks/result.schema.json" in here
    assert here <= wheel_names


def test_the_wheel_says_that_it_is_typed(wheel_names):
    assert "edgekit/py.typed" in wheel_names
