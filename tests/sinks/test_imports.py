"""The sinks are light: a client loads where it is opened."""

from __future__ import annotations

import subprocess
import sys


def test_the_sinks_and_the_relay_load_no_client_no_opencv_and_no_pydantic() -> None:
    code = (
        "import sys, edgekit.relay, edgekit.sinks.callback, edgekit.sinks.jsonl, edgekit.sinks.mqtt\n"
        "import edgekit.sinks.webhook\n"
        "print(sorted({'cv2', 'paho', 'pydantic'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
