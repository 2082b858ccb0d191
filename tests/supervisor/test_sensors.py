"""A board's heat, memory and complaints, from trees of files like those of /proc and /sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.supervisor.sensors import Reading, read_sensors

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
MEMINFO = "MemTotal:        8256000 kB\nMemFree:         1000000 kB\nMemAvailable:    5242880 kB\n"
PRESSURE = "some avg10=12.34 avg60=4.00 avg300=1.00 total=123\nfull avg10=1.00 avg60=0.50 avg300=0.10 total=45\n"


def board(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def zones(*each: tuple[str, str]) -> dict[str, str]:
    folder = "sys/class/thermal/thermal_zone"
    types = {f"{folder}{i}/type": kind + "\n" for i, (kind, _) in enumerate(each)}
    return types | {f"{folder}{i}/temp": heat + "\n" for i, (_, heat) in enumerate(each)}


def test_a_raspberry_pi_tells_everything(tmp_path):
    files = {"proc/meminfo": MEMINFO, "proc/pressure/memory": PRESSURE, THROTTLED: "50005\n"}
    reading = read_sensors(board(tmp_path, files | zones(("cpu-thermal", "81250"))), "cpu-thermal")
    assert reading == Reading(
        heat_c=81.25,
        memory_available_mb=5120.0,
        memory_pressure=12.34,
        throttled=("under-voltage", "throttled", "under-voltage since boot", "throttled since boot"),
    )


def test_what_the_board_does_not_tell_is_none_and_not_zero(tmp_path):
    assert read_sensors(tmp_path) == Reading(None, None, None, None)


@pytest.mark.parametrize("damaged", ["", "n/a\n", "nan\n", "inf\n", "some\n", "MemAvailable: kB\n", "some avg10=x\n"])
def test_a_sensor_that_is_there_and_says_nothing_is_none(tmp_path, damaged):
    files = dict.fromkeys(("proc/meminfo", "proc/pressure/memory", THROTTLED), damaged)
    assert read_sensors(board(tmp_path, files | zones(("cpu-thermal", damaged.strip())))) == Reading()


def test_a_sensor_whose_driver_refuses_is_none(tmp_path):
    """Reading fails with EINVAL, EOPNOTSUPP or EAGAIN on real boards; a folder in its place fails with EISDIR."""
    for name in ("proc/meminfo", "proc/pressure/memory", THROTTLED, "sys/class/thermal/thermal_zone0/temp"):
        (tmp_path / name).mkdir(parents=True)
    assert read_sensors(tmp_path) == Reading()


def test_the_named_zone_is_read_though_another_is_hotter(tmp_path):
    root = board(tmp_path, zones(("acpitz", "95000"), ("x86_pkg_temp", "61000")))
    assert read_sensors(root, "x86_pkg_temp").heat_c == 61.0


def test_without_a_name_the_hottest_zone_counts_and_a_silent_one_does_not(tmp_path):
    root = board(tmp_path, zones(("cpu", "61000"), ("gpu", "72500"), ("wifi", "")))
    assert read_sensors(root).heat_c == 72.5


def test_a_zone_that_is_not_there_is_unknown_though_others_are(tmp_path):
    assert read_sensors(board(tmp_path, zones(("cpu", "61000"))), "soc-thermal").heat_c is None


@pytest.mark.parametrize(("text", "heat"), [("0", 0.0), ("-5500", -5.5)])
def test_a_cold_store_has_a_temperature_too(tmp_path, text, heat):
    assert read_sensors(board(tmp_path, zones(("cpu", text)))).heat_c == heat


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0\n", ()),
        ("0x0\n", ()),
        ("2\n", ("frequency capped",)),
        ("8\n", ("soft temperature limit",)),
        ("80000\n", ("soft temperature limit since boot",)),
        ("20002\n", ("frequency capped", "frequency capped since boot")),
        ("100\n", ()),  # a bit that nobody has given a meaning
    ],
)
def test_each_bit_of_the_firmware_has_its_name(tmp_path, text, says):
    assert read_sensors(board(tmp_path, {THROTTLED: text})).throttled == says


def test_the_firmware_is_found_where_newer_device_trees_put_it(tmp_path):
    path = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"
    assert read_sensors(board(tmp_path, {path: "4\n"})).throttled == ("throttled",)


def test_this_very_machine_can_be_read():
    reading = read_sensors()
    assert reading.memory_available_mb is None or reading.memory_available_mb > 0
    assert reading.memory_pressure is None or 0 <= reading.memory_pressure <= 100
