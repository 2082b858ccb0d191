"""Device-hours of the real supervisor in simulated time; a broken invariant names the seed that shows it again."""

from __future__ import annotations

import logging
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from edgekit.benchmarks.reliability import simulation

HOURS = 200


def _hour(seed: int) -> Counter[str]:
    return simulation.one_device(seed, 1.0)


def test_two_hundred_device_hours_break_no_promise():
    quiet = {"initializer": logging.disable, "initargs": (logging.CRITICAL,)}
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), **quiet) as pool:
        counts = sum(pool.map(_hour, range(1, HOURS + 1), chunksize=5), Counter())

    assert counts["camera faults"] > 10 * HOURS
    assert counts["engine faults"] > 5 * HOURS
    assert counts["clock jumps"] > HOURS
    assert counts["looks"] > 1_000 * HOURS
    assert counts["delivered"] > 100 * HOURS


def test_a_seed_replays_to_the_same_step():
    assert _hour(7) == _hour(7)
    assert _hour(7) != _hour(8)


def test_a_supervisor_that_believes_every_camera_is_found_out_in_every_device():
    wrong = simulation.control_counts(seed=1)

    assert wrong["broken"] == wrong["devices"]


def test_what_is_found_names_the_seed_and_the_moment():
    found = []
    for _ in range(2):
        with pytest.raises(simulation.Broken, match=r"seed 3, at \d+\.\d+ s: ") as broken:
            simulation.one_device(3, 0.5, wrong=True)
        found.append(str(broken.value))

    assert found[0] == found[1]


def test_the_rigs_figures_hold_the_control_too():
    figures = simulation.run(2, seed=11)

    assert figures.kept, figures
    assert figures.caught, figures.control
