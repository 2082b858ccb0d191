"""Where the tests find real data, and what they do without it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# torch.export logs every step to this logger; collected by pytest for its reports, that makes exports ten times slower
logging.getLogger("torch.__trace").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data: `EDGEKIT_DATA`, or `shared/data` beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("EDGEKIT_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"real data is absent: no folder {folder}; set EDGEKIT_DATA")
    return folder
