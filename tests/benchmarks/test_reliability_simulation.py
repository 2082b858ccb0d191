"""Device-hours of the real supervisor in simulated time; a broken invariant names the seed that shows it again."""

from __future__ import annotations

import pytest

from edgekit.benchmarks.reliability import simulation

HOURS = 200


@pytest.mark.timeout(1200)  # minutes on a quiet host; a crowded one may take its time
def test_two_hundred_device_hours_break_no_promise():
    figures = simulation.run(HOURS, seed=1)
    counts = figures.counts

    assert figures.kept, figures.notes
    assert figures.caught, figures.control
    assert counts["devices"] == HOURS
    assert counts["camera faults"] > 10 * HOURS
    assert counts["engine faults"] > 5 * HOURS
    assert counts["clock jumps"] > HOURS
    assert counts["looks"] > 1_000 * HOURS
    assert counts["delivered"] > 100 * HOURS


def test_a_seed_replays_to_the_same_step():
    assert simulation.one_device(7, 1.0) == simulation.one_device(7, 1.0)
    assert simulation.one_device(7, 1.0) != simulation.one_device(8, 1.0)


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


def test_devices_may_live_longer_with_faults_that_are_rarer():
    figures = simulation.run(2, seed=11, hours_each=2.0, fault_every_s=1200.0)

    assert figures.kept, figures.notes
    assert figures.counts["devices"] == 1
    cameras, hours = 3, 2
    assert 0 < figures.counts["camera faults"] < 2 * cameras * hours * 3600 / 1200
