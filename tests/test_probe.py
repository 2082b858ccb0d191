"""A profile that is written on the board itself: what it says of each board, and that it is read as it was written."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from boards import BOARDS

from edgekit.host import Host
from edgekit.plan import EnginePlan
from edgekit.probe import Copied, as_text, copy_memory, describe
from edgekit.profile import DeviceProfile, Thermal, compare

COPIED = Copied(6.04, 1200, 32)
TODAY = date(2026, 11, 26)


@pytest.fixture(params=sorted(BOARDS))
def host(request, tmp_path):
    board = BOARDS[request.param]
    return Host.probe(board.write(tmp_path), arch=board.arch)


def probed(name, root):
    board = BOARDS[name]
    return describe(Host.probe(board.write(root), arch=board.arch), COPIED, name, TODAY)


def test_a_written_profile_is_read_as_it_was(host, tmp_path):
    written = describe(host, COPIED, today=TODAY)
    (tmp_path / "mine.toml").write_text(as_text(written), encoding="utf-8")
    assert DeviceProfile.load(str(tmp_path / "mine.toml")) == written


def test_the_board_that_it_was_written_on_differs_in_nothing(host):
    profile = describe(host)
    assert compare(profile, host) == ()
    assert profile.match.recognises(host)


def test_measured_figures_say_where_when_and_by_which_edgekit(tmp_path):
    from edgekit import __version__

    profile = probed("raspberry-pi-5", tmp_path)
    here = f"this host, 2026-11-26, edgekit {__version__}"
    for figure, value in (
        (profile.cores, 4),
        (profile.clock_mhz, 2400),
        (profile.isa, ("asimd", "asimddp", "asimdhp")),
    ):
        assert figure is not None
        assert (figure.value, figure.provenance, figure.source) == (value, "measured", here)
    assert profile.memcpy_gb_s is not None
    assert profile.memcpy_gb_s.value == 6.0
    assert profile.memcpy_gb_s.source == f"{here}: the median of 1200 copies of 32 MB by one thread"
    assert profile.run_on_hardware


@pytest.mark.parametrize(
    ("name", "sold"),
    [("raspberry-pi-zero-2w", 512), ("coral-dev-board", 1024), ("raspberry-pi-5", 8192), ("jetson-agx-orin", 65536)],
)
def test_memory_is_the_size_that_the_board_is_sold_with(name, sold, tmp_path):
    memory = probed(name, tmp_path).memory_mb
    assert memory is not None
    assert (memory.value, memory.provenance) == ((sold,), "inferred")


@pytest.mark.parametrize(
    ("name", "first", "engines"),
    [
        ("raspberry-pi-5", EnginePlan("litert", 3), 4),
        ("raspberry-pi-zero-2w", EnginePlan("litert", 3), 2),  # half a gigabyte is too little for the others
        ("rk3588", EnginePlan("litert", 4), 4),  # one thread for each big core
        ("intel-n100", EnginePlan("openvino", 3), 4),
        ("intel-core-ultra", EnginePlan("openvino", 12), 4),
    ],
)
def test_the_thread_plan_is_inferred_from_the_cores(name, first, engines, tmp_path):
    profile = probed(name, tmp_path)
    assert profile.plans.provenance == "inferred"
    assert profile.plans.value[0] == first
    assert len(profile.plans.value) == engines
    installed = {plan.engine: "1" for plan in profile.plans.value}
    for variant in profile.variants.value:
        assert profile.plan_for(variant.rpartition("-")[0], installed).threads == first.threads


def test_the_trips_of_the_kernel_are_the_thermal_limits(tmp_path):
    thermal = probed("coral-dev-board", tmp_path).thermal
    assert thermal.zone == "cpu-thermal"
    assert (thermal.soft_c.value, thermal.hard_c.value) == (75.0, 90.0)


def test_what_a_container_does_not_tell_stays_unknown():
    profile = describe(Host("x86_64"), name="box")
    unknown = (profile.cores, profile.isa, profile.clock_mhz, profile.memory_mb, profile.memcpy_gb_s)
    assert unknown == (None,) * 5
    assert profile.thermal == Thermal()
    assert profile.threads == 2
    assert not profile.match.recognises(Host("x86_64", cpu_model="Intel(R) N100"))


def test_a_name_with_quotes_and_umlauts_is_written_and_read(tmp_path):
    odd = replace(describe(Host("x86_64", cpu_model='"Käse"\t\\ \x7f')), title='"Käse"\t\\ \x7f')
    (tmp_path / "odd.toml").write_text(as_text(odd), encoding="utf-8")
    assert DeviceProfile.read(tmp_path / "odd.toml") == odd


def test_a_copy_of_known_cost_gives_its_rate():
    """Each look at the clock is 4 ms after the last."""
    ticks = iter(range(10_000))
    copied = copy_memory(seconds=0.1, megabytes=8, clock=lambda: next(ticks) * 0.004)
    assert copied.gb_s == pytest.approx(8 / 1e3 / 0.004)
    assert (copied.megabytes, copied.copies) == (8, 9)


def test_memory_is_copied_on_this_machine():
    copied = copy_memory(seconds=0.05, megabytes=4)
    assert copied.copies >= 1
    assert 0.05 < copied.gb_s < 1000


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"seconds": 1, "megabytes": 0}])
def test_a_copy_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="seconds must be above 0 and megabytes at least 1"):
        copy_memory(**wrong)
