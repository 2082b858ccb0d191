"""The self-test of the harness: what it promises where time is simulated, and that every wrong way is caught."""

from __future__ import annotations

import gc

import pytest

from edgekit.benchmarks.selftest import checks, scenarios
from edgekit.benchmarks.selftest.host import NoisyHost, StallingHost


@pytest.fixture(autouse=True)
def _small_heap():
    """`interleave` collects garbage before it begins, which takes a tenth of a second in a test run's heap."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    "check",
    [
        lambda: checks.itself_beside_neighbours(40),
        lambda: checks.ten_per_cent(40),
        lambda: checks.itself_later(40),
        checks.stall,
        lambda: checks.burst_bounds(100),
        scenarios.omission,
        lambda: scenarios.density(30),
    ],
    ids=["itself", "ten per cent", "later", "stall", "bursts", "omission", "density"],
)
def test_a_check_on_simulated_time_holds_and_catches_its_control(check):
    found = check()

    assert (found.outcome, found.caught) == ("PASS", True), found


def test_a_check_on_real_time_catches_its_control_however_busy_the_host_is():
    assert checks.known_cost().caught


def test_the_noisy_host_is_the_same_for_the_same_seed_and_its_cpu_time_never_exceeds_wall_time():
    hosts = [NoisyHost(3), NoisyHost(3), NoisyHost(4)]
    for host in hosts:
        for _ in range(500):
            host.engine(2.0)()

    assert hosts[0].now() == hosts[1].now() != hosts[2].now()
    assert all(wall >= cpu > 0 for wall, cpu in (host.now() for host in hosts))


def test_the_stalling_host_stalls_once_in_so_many_runs():
    host = StallingHost(2.0, 50.0, 4)
    for _ in range(8):
        host.run()

    assert host.now() == (116_000_000, 16_000_000)
