"""Many looks through real children leave nothing behind."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgekit.benchmarks.reliability import leak


def test_very_many_looks_and_new_children_leave_memory_threads_and_files_as_they_were():
    pytest.importorskip("onnxruntime")
    figures = leak.run(100_000)

    assert figures.counts["looks"] >= 100_000
    assert figures.counts["kills"] >= 10
    assert figures.kept, figures
    assert figures.control["supervisor_grown_mb"] > leak.LIMIT_MB
    assert figures.control["supervisor_handles_more"] > 0
    assert figures.caught, figures.control


SCALE = """
import os
from edgekit.benchmarks.reliability import leak

before = leak.weigh(os.getpid())
kept = bytearray(b"x" * (16 << 20))
ring = os.memfd_create("edgekit front")
os.pwrite(ring, bytes(4 << 20), 0)
after = leak.weigh(os.getpid())
print(after.memory_mb - before.memory_mb, after.handles - before.handles, after.shared_mb - before.shared_mb, len(kept))
"""


def test_the_scale_sees_memory_handles_and_shared_memory():
    # In a process of its own: this one may have as much left over from tests before.
    told = subprocess.run([sys.executable, "-c", SCALE], capture_output=True, text=True, check=True).stdout
    memory_mb, handles, shared_mb, _ = map(float, told.split())

    assert 15 < memory_mb < 40
    assert handles == 1
    assert shared_mb == pytest.approx(4, abs=0.1)
