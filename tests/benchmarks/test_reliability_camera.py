"""Three hundred faults of network cameras that play the real clips, against the real capture children."""

from __future__ import annotations

from pathlib import Path

from edgekit.benchmarks.reliability import camera_faults


def test_every_fault_of_a_camera_is_seen_in_time_and_every_camera_comes_back(data: Path) -> None:
    found = camera_faults.run(300, seed=1, clips=data / "video", cameras=16)
    assert found.counts["faults"] == 300
    assert found.counts["not seen"] == found.counts["seen late"] == found.counts["stuck"] == 0, found.notes
    assert found.counts["back late"] == 0, found.notes
    assert found.caught, "cameras that are believed whatever they show must be found out"


def test_a_rendered_shelf_does_where_there_is_no_clip() -> None:
    found = camera_faults.run(11, seed=2, cameras=4)
    assert found.counts["not seen"] == found.counts["seen late"] == found.counts["stuck"] == 0, found.notes
