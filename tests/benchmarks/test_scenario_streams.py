"""The search for stream density, against devices whose capacity is known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from null_subject import FILM, null_subject

from edgekit.benchmarks.scenario import Streams
from edgekit.benchmarks.scenarios.clock import FakeTime
from edgekit.benchmarks.scenarios.streams import run_streams, search

FPS = 15.0


def device(cameras: float, noise=lambda: 1.0):
    """A device that has the time for so many cameras, each window more or less by the noise."""
    return lambda streams: (min(FPS, FPS * cameras * noise() / streams),) * streams


def played(*rates: float):
    """Windows in order, each with the rate of all cameras."""
    left: Iterator[float] = iter(rates)
    return lambda streams: (next(left),) * streams


@pytest.mark.parametrize("first", [0, 1, 6, 7, 20, 64])
@pytest.mark.parametrize(("capacity", "density"), [(0.9, 0), (1.0, 1), (6.0, 6), (6.6, 6), (6.7, 7), (60.0, 63)])
def test_the_density_of_a_quiet_device_is_found_from_wherever_the_search_begins(capacity, density, first):
    found, windows = search(device(capacity), Streams(), first)
    assert found == density
    assert all(len(window.fps) == window.streams for window in windows)


@pytest.mark.parametrize("capacity", [1.2, 2.0, 4.4, 8.0])
def test_ten_per_cent_of_noise_moves_the_density_by_one_camera_at_most(capacity):
    """As windows differ on a shared host, evenly within 10 %, and the guess where to begin as well: 200 runs."""
    quiet, _ = search(device(capacity), Streams())
    found = []
    for seed in range(200):
        chance = np.random.default_rng(seed)
        noise = partial(chance.uniform, 0.9, 1.1)
        found.append(search(device(capacity, noise), Streams(), int(capacity * noise()))[0])
    assert {abs(each - quiet) for each in found} <= {0, 1}


@pytest.mark.parametrize(
    ("rates", "held"),
    [
        pytest.param([15, 15], True, id="two windows in a row that pass"),
        pytest.param([14, 14], False, id="two that fail"),
        pytest.param([15, 14, 15, 15], True, id="one that fails in between is no verdict"),
        pytest.param([14, 15, 14, 14], False, id="nor is one that passes"),
        pytest.param([15, 14, 15, 14, 15], False, id="now and then is not held"),
        pytest.param([14.25, 14.15], True, id="the second window may lie 0.1 below the limit of 14.25"),
        pytest.param([14.2, 14.15, 14.15], True, id="the first may not"),
        pytest.param([14.25, 14.14, 14.14], False, id="and none may lie further below"),
    ],
)
def test_one_camera_is_judged_by_windows_in_a_row(rates, held):
    found, windows = search(played(*rates), Streams(most=1))
    assert found == held
    assert [window.fps[0] for window in windows] == rates


def test_every_camera_must_hold_its_rate():
    def one_is_starved(streams):
        return (FPS,) * (streams - 1) + (FPS if streams < 3 else 13.0,)

    assert search(one_is_starved, Streams())[0] == 2


def test_the_search_goes_down_to_what_the_rate_was_enough_for():
    _, windows = search(device(5.0), Streams(), first=40)
    assert [window.streams for window in windows] == [40, 40, 5, 5, 6, 6]


def test_more_cameras_than_asked_for_are_not_tried():
    found, windows = search(device(50.0), Streams(most=4), first=30)
    assert (found, [window.streams for window in windows]) == (4, [4, 4])


@pytest.mark.parametrize(("cost_ms", "capacity"), [(80, 0.83), (30, 2.2), (11, 6.06), (4, 16.7)])
def test_the_whole_way_finds_what_an_engine_has_the_time_for(cost_ms, capacity):
    quiet, _ = search(device(capacity), Streams())
    for seed in range(3):
        fake, chance = FakeTime(), np.random.default_rng(seed)
        noisy = null_subject(cost_ms, lambda seconds: fake.sleep(seconds * chance.normal(1, 0.1)))  # noqa: B023
        (executed,) = run_streams(Streams(window_s=2), [noisy], FILM, fake.clock)
        assert abs(executed.streams - quiet) <= 1
        last = [window for window in executed.windows if window.streams == executed.streams + 1]
        assert not last[-1].passed
