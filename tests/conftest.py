"""Where the tests find real data, and what they do without it."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# torch.export logs every step to this logger; collected by pytest for its reports, that makes exports ten times slower
logging.getLogger("torch.__trace").setLevel(logging.WARNING)

# No test leaves compiled models in the user's cache, or finds there what another one compiled.
os.environ["EDGEKIT_COMPILED"] = ""

# What a test says in its reason that goes without a program of the system.
MISSING = (
    "mosquitto is not installed",
    "no chromium",
    "no systemd is installed",
    "libseccomp is not installed",
    "no openssl",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where the tools are said to be there (`EDGEKIT_TOOLS=required`, as .ci/run does), going without one is a
    failure."""
    report = yield
    if report.skipped and os.environ.get("EDGEKIT_TOOLS") == "required":
        missing = [each for each in MISSING if each in str(report.longrepr)]
        if missing:
            report.outcome = "failed"
            report.longrepr = f"its tools are required here: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: `EDGEKIT_DATA`, or `shared/data` beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("EDGEKIT_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data is absent: no folder {folder}; set EDGEKIT_DATA")
    return folder
