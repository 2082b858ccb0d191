"""The watcher beside a measurement: on trees of real boards that change under it, and on this very machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from boards import BOARDS, CPU, HWMON, RAPL, THERMAL, THROTTLED, cooling, cpu_time, pressure, process, write

from edgekit.benchmarks.processes import family
from edgekit.benchmarks.watch import Counters, Sensors, Watcher, take_look

PID = 4242
TICKS_S, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def looks(root, *changes, seconds=1.0):
    """A look after each change of the tree; the watched process is PID, if there is one."""
    sensors, taken = Sensors.find(root, PID), []
    before = Counters.read(sensors, 0.0)
    for i, change in enumerate(changes, start=1):
        now = Counters.read(Sensors.find(write(root, change), PID), i * seconds)
        taken.append(take_look(sensors, before, now))
        before = now
    return taken


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_board_tells_its_heat_clocks_memory_and_complaints(name, tmp_path):
    (look,) = looks(BOARDS[name].write(tmp_path), {"proc/pressure/cpu": pressure(42.5)})
    assert len(look.mhz) == int(BOARDS[name].files["proc/cpuinfo"].count("processor"))
    assert max(heat for heat in look.temperatures_c.values() if heat is not None) > 27
    assert look.throttled == (None if name == "jetson-nano" else ())
    assert (look.cpu_pressure, look.memory_pressure, look.load) == (42.5, 0.0, 0.1)
    assert look.memory_available_mb is not None
    assert (look.rss_mb, look.others_cpu) == (None, None)  # the tree has no such process


def test_an_empty_root_gives_unknowns(tmp_path):
    (look,) = looks(tmp_path, {})
    assert (look.throttled, look.memory_pressure, look.cpu_pressure, look.memory_available_mb) == (None,) * 4
    assert (look.rss_mb, look.load, look.others_cpu, look.swapped_pages_s) == (None,) * 4
    assert (look.mhz, look.temperatures_c, look.power_w) == ((), {}, {})


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("raspberry-pi-5", {THROTTLED["raspberry-pi-5"]: "1\n"}, ("under-voltage",)),
        ("raspberry-pi-4", {f"{HWMON}/hwmon1/in0_lcrit_alarm": "1\n"}, ("under-voltage",)),
        ("rk3588", cooling(0, "thermal-cpufreq-0", 1, 6), ("thermal-cpufreq-0 (cooling_device0) slowed by heat",)),
        ("jetson-orin-nano", {f"{HWMON}/hwmon3/oc3_event_cnt": "8\n"}, ("over-current (oc3)",)),
        ("intel-n100", {f"{CPU}/cpu3/thermal_throttle/core_throttle_count": "1\n"}, ("core throttled",)),
    ],
)
def test_a_throttle_shows_in_the_look_in_which_it_came(name, change, said, tmp_path):
    before, during, after = looks(BOARDS[name].write(tmp_path), {}, change, BOARDS[name].files)
    assert (before.throttled, during.throttled, after.throttled) == ((), said, ())


def test_a_counter_tells_of_what_it_counts_during_the_measurement(tmp_path):
    """Each core by itself: one that was hot last week hides none, and one that goes and comes back is no throttling."""
    root = BOARDS["intel-n100"].write(tmp_path)
    first, last = (f"{CPU}/cpu{core}/thermal_throttle/core_throttle_count" for core in (0, 3))
    write(root, {first: "500\n"})
    (quiet,) = looks(root, {})
    (throttled,) = looks(root, {last: "1\n"})
    (root / first).unlink()
    (gone,) = looks(root, {})
    (back,) = looks(root, {first: "500\n"})
    assert [look.throttled for look in (quiet, throttled, gone, back)] == [(), ("core throttled",), (), ()]


def test_rapl_gives_the_mean_power_since_the_last_look_and_its_counter_turns_over(tmp_path):
    root = BOARDS["intel-n100"].write(tmp_path)
    nearly, turned = (
        {f"{RAPL}/intel-rapl:0/energy_uj": "262143328000\n"},
        {f"{RAPL}/intel-rapl:0/energy_uj": "11999150\n"},
    )
    _, look = looks(root, nearly, turned, seconds=2.0)
    assert look.power_w == {"package-0": 6.0, "package-0/core": 0.0}


def test_a_counter_that_only_root_may_read_is_unknown(tmp_path):
    root = BOARDS["intel-n100"].write(tmp_path)
    energy = root / f"{RAPL}/intel-rapl:0/energy_uj"
    energy.unlink()
    energy.mkdir()  # an OSError, as PermissionError is; the tests may run as root
    (look,) = looks(root, {})
    assert look.power_w == {"package-0/core": 0.0}


@pytest.mark.parametrize(
    ("name", "watts"),
    [
        ("jetson-nano", {"POM_5V_IN": 2.416, "POM_5V_GPU": 0.082, "POM_5V_CPU": 0.492}),
        ("jetson-orin-nx", dict.fromkeys(("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), 4.984 * 1.856)),
        ("jetson-agx-orin", dict.fromkeys(("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"), 4.984 * 1.856)),
    ],
)
def test_a_jetsons_rails_are_read_in_watts_by_their_names(name, watts, tmp_path):
    (look,) = looks(BOARDS[name].write(tmp_path), {})
    assert look.power_w == pytest.approx(watts)


def test_a_zone_that_cannot_be_read_is_none_and_the_others_are_read(tmp_path):
    (look,) = looks(BOARDS["jetson-orin-nano"].write(tmp_path), {f"{THERMAL}/thermal_zone8/temp": "63781\n"})
    assert look.temperatures_c["cv0-thermal"] is None
    assert look.temperatures_c["tj-thermal"] == 63.781


def test_what_we_and_our_children_use_is_ours_and_the_rest_is_the_others(tmp_path):
    root = write(BOARDS["raspberry-pi-4"].write(tmp_path), process(PID, 0, 100, "77 ") | process(77, 0, 50))
    busy = {"proc/stat": cpu_time(1000 + 3 * TICKS_S)}
    (look,) = looks(root, busy | process(PID, TICKS_S, 300, "77 ") | process(77, TICKS_S // 2, 100))
    assert look.others_cpu == 1.5
    assert look.rss_mb == 400 * PAGE / 2**20


def test_the_time_of_a_child_that_has_ended_stays_ours(tmp_path):
    root = write(BOARDS["raspberry-pi-4"].write(tmp_path), process(PID, 0, 100, "77 ") | process(77, TICKS_S, 50))
    ended = process(PID, 0, 100, "", waited=2 * TICKS_S)
    (look,) = looks(root, {"proc/stat": cpu_time(1000 + TICKS_S)} | ended)
    assert look.others_cpu == 0.0


def test_with_an_orphan_that_took_its_time_along_the_others_are_unknown(tmp_path):
    root = write(BOARDS["raspberry-pi-4"].write(tmp_path), process(PID, 0, 100, "77 ") | process(77, TICKS_S, 50))
    (look,) = looks(root, process(PID, 0, 100))
    assert look.others_cpu is None


def test_what_a_hypervisor_takes_away_counts_as_others(tmp_path):
    root = write(BOARDS["intel-n100"].write(tmp_path), process(PID, 0, 100))
    (look,) = looks(root, {"proc/stat": cpu_time(1000, steal=2 * TICKS_S)})
    assert look.others_cpu == 2.0


def test_a_kernel_that_lists_no_children_is_asked_for_parents(tmp_path):
    ours = process(PID, 0, 100) | process(77, 0, 50)
    ours["proc/77/stat"] = ours["proc/77/stat"].replace(" S 1 ", f" S {PID} ")
    root = write(tmp_path, {path: text for path, text in ours.items() if "children" not in path})
    for pid in (PID, 77):
        (root / f"proc/{pid}/task/{pid}").mkdir(parents=True)
    (look,) = looks(root, {})
    assert look.rss_mb == 150 * PAGE / 2**20


def test_pages_that_were_swapped_are_counted_by_the_second(tmp_path):
    vmstat = {"proc/vmstat": "pswpin 30\npswpout 10\n"}
    (look,) = looks(BOARDS["raspberry-pi-zero-2w"].write(tmp_path), vmstat, seconds=4.0)
    assert look.swapped_pages_s == 10.0


def test_rates_over_a_moment_are_unknown(tmp_path):
    root = write(BOARDS["intel-n100"].write(tmp_path), process(PID, 0, 100))
    (look,) = looks(root, {"proc/stat": cpu_time(1001)}, seconds=0.01)
    assert (look.others_cpu, look.swapped_pages_s, look.power_w) == (None, None, {})


def test_the_watcher_looks_while_the_block_runs_and_once_at_its_end():
    with Watcher(every_s=0.1) as watcher:
        while len(watcher.looks) < 3:
            time.sleep(0.01)
        before_the_end = len(watcher.looks)
    looks = watcher.looks
    assert len(looks) > before_the_end
    assert [look.at_s for look in looks] == sorted(look.at_s for look in looks)
    time.sleep(0.15)
    assert watcher.looks == looks


def test_a_block_that_fails_ends_the_watching_and_its_error_comes_through():
    with pytest.raises(KeyError), Watcher(every_s=0.05) as watcher:
        raise KeyError("the measurement's own")
    assert len(watcher.looks) == 1


def test_a_process_that_is_not_ours_is_a_neighbour():
    spin = "import time; end = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    subprocess.run(["sh", "-c", '"$0" -c "$1" &', sys.executable, spin], check=True)  # an orphan once sh has ended
    with Watcher(every_s=0.5) as watcher:
        time.sleep(1.2)
    assert max(look.others_cpu for look in watcher.looks if look.others_cpu is not None) > 0.1


def test_the_cpu_time_of_this_process_and_a_child_of_its_is_what_the_system_says():
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    ours, times = family(Path("/"), os.getpid()), os.times()
    assert ours is not None
    assert ours.cpu_s == pytest.approx(sum(times[:4]), abs=0.05)
    assert ours.rss_mb > 10


def test_a_look_at_a_board_of_22_cores_costs_less_than_a_hundredth_of_a_core(tmp_path):
    with Watcher(BOARDS["intel-core-ultra"].write(tmp_path), every_s=0.02) as watcher:
        time.sleep(0.4)
    assert watcher.cpu_s / len(watcher.looks) < 0.01


@pytest.mark.parametrize("every_s", [0.0, -1.0])
def test_a_watcher_that_never_rests_is_refused(every_s):
    with pytest.raises(ValueError, match="every_s must be above 0"):
        Watcher(every_s=every_s)
