"""A machine's own account of itself, from trees of files like those of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.host import Host, Trip

CPUINFO_PI = "".join(
    f"processor\t: {core}\nFeatures\t: fp asimd crc32 asimddp\nCPU part\t: 0xd0b\n\n" for core in range(4)
)


@pytest.fixture
def pi(tmp_path: Path) -> Path:
    """What a Raspberry Pi 5 shows."""
    files = {
        "proc/cpuinfo": CPUINFO_PI + "Model\t\t: Raspberry Pi 5 Model B Rev 1.0\n",
        "proc/meminfo": "MemTotal:        8256000 kB\nMemFree:         5000000 kB\n",
        "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
        "proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51250\n",
        "sys/class/thermal/thermal_zone0/trip_point_0_type": "critical\n",
        "sys/class/thermal/thermal_zone0/trip_point_0_temp": "110000\n",
        "sys/class/thermal/thermal_zone0/trip_point_1_type": "active\n",
        "sys/class/thermal/thermal_zone0/trip_point_1_temp": "50000\n",
        "sys/class/thermal/thermal_zone0/trip_point_2_type": "passive\n",
        "sys/class/thermal/thermal_zone0/trip_point_2_temp": "-274000\n",  # not set
    }
    for core in range(4):
        folder = f"sys/devices/system/cpu/cpu{core}/cpufreq/"
        files |= {folder + "cpuinfo_max_freq": "2400000\n", folder + "scaling_cur_freq": f"{1500000 + core}\n"}
        files |= {folder + "scaling_governor": "ondemand\n"}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_a_board_tells_what_it_is(pi):
    host = Host.probe(pi, arch="aarch64")
    assert (host.arch, host.cores, host.memory_mb) == ("aarch64", 4, 8062)
    assert host.model == "Raspberry Pi 5 Model B Rev 1.0"
    assert host.compatible == ("raspberrypi,5-model-b", "brcm,bcm2712")
    assert {"asimd", "asimddp"} <= host.isa
    assert (host.max_mhz, host.governor, host.mhz[0]) == (2400.0, "ondemand", 1500.0)
    assert host.temperatures_c == {"cpu-thermal": 51.25}
    assert host.trips == {"cpu-thermal": (Trip("critical", 110.0), Trip("active", 50.0))}


def test_what_a_container_hides_is_unknown_and_not_zero(tmp_path):
    host = Host.probe(tmp_path, arch="x86_64")
    assert (host.cores, host.cpu_model, host.model, host.memory_mb, host.max_mhz, host.governor) == (None,) * 6
    assert (host.compatible, host.isa, host.mhz, host.temperatures_c) == ((), frozenset(), (), {})


@pytest.mark.parametrize("text", ["", "n/a\n"])
def test_a_sensor_that_is_there_and_says_nothing_is_none(pi, text):
    (pi / "sys/class/thermal/thermal_zone0/temp").write_text(text)
    assert Host.probe(pi).temperatures_c == {"cpu-thermal": None}


def test_a_temperature_below_zero_is_a_temperature(pi):
    (pi / "sys/class/thermal/thermal_zone0/temp").write_text("-5500\n")
    assert Host.probe(pi).temperatures_c == {"cpu-thermal": -5.5}


def test_two_zones_of_one_type_are_both_read(pi):
    second = pi / "sys/class/thermal/thermal_zone1"
    second.mkdir()
    (second / "type").write_text("cpu-thermal\n")
    (second / "temp").write_text("60000\n")
    assert Host.probe(pi).temperatures_c == {"cpu-thermal": 51.25, "cpu-thermal (thermal_zone1)": 60.0}


def test_only_what_every_core_can_do_counts(pi):
    """A thread may land on any core of a board whose cores differ."""
    (pi / "proc/cpuinfo").write_text("processor: 0\nFeatures: asimd asimddp\n\nprocessor: 1\nFeatures: asimd\n")
    assert Host.probe(pi).isa == {"asimd"}


def test_the_fastest_core_gives_the_clock(pi):
    (pi / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").write_text("1800000\n")
    assert Host.probe(pi).max_mhz == 2400.0


def test_this_very_machine_can_be_read():
    host = Host.probe()
    assert host.arch
    assert host.cores is None or host.cores >= 1
    assert 0 not in host.temperatures_c.values()
