"""Every board of device_profiles/ from what its /proc and /sys show: recognised, read, held against its profile."""

from __future__ import annotations

import pytest
from boards import BOARDS, CPU, HWMON, NVPMODEL, THERMAL, THROTTLED, cooling, cpufreq, pressure, write

from edgekit.host import Host, unsteady
from edgekit.profile import DeviceProfile, compare, detect_profile, profile_names


@pytest.fixture(params=sorted(BOARDS))
def name(request):
    return request.param


@pytest.fixture
def root(name, tmp_path):
    return BOARDS[name].write(tmp_path)


def probe(name, root):
    return Host.probe(root, arch=BOARDS[name].arch)


def test_there_is_a_tree_for_every_profile():
    assert sorted(BOARDS) == [each for each in profile_names() if each != "generic"]


def test_a_board_is_recognised_and_differs_from_its_profile_in_nothing(name, root):
    host = probe(name, root)
    assert detect_profile(host).name == name
    assert compare(DeviceProfile.load(name), host) == ()


def test_a_board_that_rests_spoils_no_measurement(name, root):
    host = probe(name, root)
    assert unsteady(host) == ()
    assert host.throttled == (None if name == "jetson-nano" else ())  # JetPack 4 has no file that would tell
    assert len(host.mhz) == len(host.limit_mhz) == host.cores
    assert any(heat is not None for heat in host.temperatures_c.values())
    assert host.memory_pressure == 0.0


def test_another_governor_is_said(name, root):
    write(root, {f"{CPU}/cpu1/cpufreq/scaling_governor": "ondemand\n"})
    host = probe(name, root)
    assert host.governor == "ondemand, performance"
    (said,) = unsteady(host)
    assert "the governor is ondemand, performance" in said


PI_4, PI_5, ZERO = (THROTTLED[f"raspberry-pi-{each}"] for each in ("4", "5", "zero-2w"))
PACKAGE = f"{CPU}/cpu2/thermal_throttle/package_throttle_count"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("raspberry-pi-4", {PI_4: "50000\n"}, ["under-voltage since boot", "throttled since boot"]),
        ("raspberry-pi-5", {PI_5: "2\n"}, ["frequency capped"]),
        ("raspberry-pi-zero-2w", {ZERO: "80008\n"}, ["soft temperature limit", "soft temperature limit since boot"]),
        ("raspberry-pi-5", {f"{HWMON}/hwmon1/in0_lcrit_alarm": "1\n"}, ["under-voltage"]),
        ("jetson-orin-nx", {f"{HWMON}/hwmon3/oc1_event_cnt": "3\n"}, ["under-voltage (oc1) since boot"]),
        ("jetson-orin-nx", {f"{HWMON}/hwmon3/oc3_event_cnt": "9\n", f"{HWMON}/hwmon3/oc3_throt_en": "0\n"}, []),
        ("jetson-agx-orin", cooling(1, "cpu-throttle-alert", 1, 2), ["cpu-throttle-alert (cooling_device1)"]),
        ("rk3588", cooling(0, "cpufreq-cpu0", 2, 6), ["cpufreq-cpu0 (cooling_device0)"]),
        ("coral-dev-board", cooling(0, "thermal-cpufreq-0", 1, 2), ["thermal-cpufreq-0 (cooling_device0)"]),
        ("intel-n100", {PACKAGE: "7\n"}, ["package throttled since boot"]),
        ("intel-core-ultra", cooling(1, "intel_powerclamp", 20, 50), ["intel_powerclamp (cooling_device1)"]),
    ],
)
def test_what_slows_a_board_down_is_found(name, change, said, tmp_path):
    host = probe(name, write(BOARDS[name].write(tmp_path), change))
    assert host.throttled is not None
    assert [each.removesuffix(" slowed by heat") for each in host.throttled] == said
    assert unsteady(host) == host.throttled


@pytest.mark.parametrize(("alarm", "said"), [("0\n", None), ("1\n", ("under-voltage",))])
def test_an_alarm_that_is_silent_does_not_mean_that_nothing_throttles(alarm, said, tmp_path):
    """Linux's own kernel has a Raspberry Pi's alarm and not its firmware's flags."""
    root = BOARDS["raspberry-pi-4"].write(tmp_path)
    (root / PI_4).unlink()
    assert probe("raspberry-pi-4", write(root, {f"{HWMON}/hwmon1/in0_lcrit_alarm": alarm})).throttled == said


def test_a_fan_that_turns_is_no_complaint(tmp_path):
    root = BOARDS["raspberry-pi-5"].write(tmp_path)
    assert (root / f"{THERMAL}/cooling_device0/cur_state").read_text() == "2\n"
    assert probe("raspberry-pi-5", root).throttled == ()


def test_a_jetsons_power_mode_has_its_name_and_limits_the_clock(tmp_path):
    root = BOARDS["jetson-orin-nano"].write(tmp_path)
    limits = {f"{CPU}/cpu{core}/cpufreq/scaling_max_freq": "960000\n" for core in range(6)}
    host = probe("jetson-orin-nano", write(root, {NVPMODEL: "pmode:0003", **limits}))
    assert host.power_mode == "7W"
    assert unsteady(host) == ("the clock is limited to 960 of 1510 MHz (power mode 7W)",)


@pytest.mark.parametrize(("status", "said"), [("pmode:0009", "9"), ("", None), ("pmode:", None)])
def test_a_power_mode_without_a_name_is_its_number(status, said, tmp_path):
    root = BOARDS["jetson-nano"].write(tmp_path)
    assert probe("jetson-nano", write(root, {NVPMODEL: status})).power_mode == said


def test_memory_that_tasks_wait_for_is_said(name, root):
    write(root, {"proc/pressure/memory": pressure(12.5)})
    assert unsteady(probe(name, root)) == ("memory pressure is 12 %: tasks wait for memory",)


def test_big_and_little_cores_are_told_apart(tmp_path):
    host = probe("rk3588", BOARDS["rk3588"].write(tmp_path))
    assert (host.cores, host.fastest_cores, host.max_mhz) == (8, 4, 2400.0)


def test_big_cores_that_differ_a_little_are_all_big(tmp_path):
    """An RK3588's two pairs come in different bins, and Intel favours some of its fast cores."""
    root = write(tmp_path, cpufreq([1_800_000] * 4 + [2_256_000] * 2 + [2_304_000] * 2, "performance"))
    assert Host.probe(root).fastest_cores == 4


def test_cores_are_in_the_order_of_their_numbers(tmp_path):
    """cpu10 comes behind cpu9, and not behind cpu1."""
    root = write(tmp_path, cpufreq([1000_000 + core for core in range(12)], "performance"))
    assert Host.probe(root).limit_mhz == tuple(1000.0 + core / 1000 for core in range(12))


def test_a_container_with_nothing_in_it_gives_unknowns(tmp_path):
    host = Host.probe(tmp_path, arch="x86_64")
    assert (host.throttled, host.memory_pressure, host.power_mode, host.container) == (None,) * 4
    assert (host.limit_mhz, host.fastest_cores) == ((), None)
    assert unsteady(host) == ()
    assert detect_profile(host).name == "generic"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({".dockerenv": ""}, "docker"),
        ({"run/.containerenv": ""}, "podman"),
        ({"run/systemd/container": "lxc\n"}, "lxc"),
    ],
)
def test_a_container_that_says_so_is_one(files, said, tmp_path):
    assert Host.probe(write(tmp_path, files)).container == said


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"proc/self/cgroup": "0::/shop.slice\n", "sys/fs/cgroup/shop.slice/cpu.max": "50000 100000\n"}, 0.5),
        (
            {
                "proc/self/cgroup": "0::/shop.slice/cart.service\n",
                "sys/fs/cgroup/shop.slice/cart.service/cpu.max": "max 100000\n",
                "sys/fs/cgroup/shop.slice/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/cpu.max": "400000 100000\n",
            },
            1.5,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, 2.0),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"sys/fs/cgroup/cpu.max": "\n"}, None),
    ],
)
def test_a_quota_of_the_cgroup_is_said(files, cores, tmp_path):
    host = Host.probe(write(BOARDS["intel-n100"].write(tmp_path), files))
    assert host.cpu_quota == cores
    assert [each.partition(":")[0] for each in unsteady(host)] == ([f"a quota of {cores:g} cores"] if cores else [])
