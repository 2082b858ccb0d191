"""A broker and a device that are killed in turn lose nothing, and devices that do it wrongly are seen to."""

from __future__ import annotations

import pytest

from edgekit.benchmarks.reliability.broker import run
from edgekit.benchmarks.reliability.mosquitto import find_mosquitto


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto is not installed: apt-get install mosquitto")
def test_five_kills_of_the_broker_and_five_of_the_device_lose_nothing() -> None:
    rounds: list[int] = []
    figures = run(5, seed=1, progress=rounds.append)
    assert rounds == [1, 2, 3, 4, 5]
    assert figures.kept, figures
    assert figures.counts["stored"] > 50
    assert figures.counts["lost"] == figures.counts["duplicates"] == 0
    assert figures.caught, figures
