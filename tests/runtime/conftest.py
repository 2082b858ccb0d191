"""What the loop's tests share lies beside them: painted pictures, an RTSP camera, tiny bundles."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's importlib mode leaves sys.path alone, so that tests may share names; helpers then have to be found by us.
sys.path.insert(0, str(Path(__file__).parent))
