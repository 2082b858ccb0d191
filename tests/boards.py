"""The boards of device_profiles/ as their /proc and /sys show them: trees of files for tests without hardware.

Names and units of the files are the kernel's (Documentation/ABI/testing/sysfs-class-thermal, -class-powercap,
-devices-system-cpu; Documentation/admin-guide/pm/cpufreq.rst; Documentation/hwmon); each builder names what is
particular to its board. Values are of a board at rest with nothing to complain of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CPU = "sys/devices/system/cpu"
THERMAL = "sys/class/thermal"
HWMON = "sys/class/hwmon"
RAPL = "sys/class/powercap"
NVPMODEL = "var/lib/nvpmodel/status"
THROTTLED = {
    "raspberry-pi-zero-2w": "sys/devices/platform/soc/soc:firmware/get_throttled",
    "raspberry-pi-4": "sys/devices/platform/soc/soc:firmware/get_throttled",
    "raspberry-pi-5": "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",
}

A53 = "fp asimd evtstrm crc32 cpuid"
A76 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
A78AE = f"{A76} uscat ilrcpc flagm paca pacg"
INTEL = "fpu vme sse4_2 avx f16c rdrand avx2 bmi2 erms sha_ni umip avx_vnni"


@dataclass(frozen=True)
class Board:
    """arch: as `platform.machine()` says it. files: by path below the root."""

    arch: str
    files: Mapping[str, str]

    def write(self, root: Path) -> Path:
        """Under `root`, which comes back."""
        return write(root, self.files)


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Make or replace those files; a value of '!' makes a file that cannot be read."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text == "!":  # EISDIR, an OSError as a driver's EAGAIN and EINVAL are
            path.mkdir(exist_ok=True)
        else:
            path.write_text(text)
    return root


def pi(name: str, model: str, soc: str, features: str, khz: int, memory_kb: int) -> Board:
    """Raspberry Pi OS, 64 bits: one cpufreq policy, one zone, the firmware's flags in hexadecimal without 0x
    (raspberrypi/linux drivers/firmware/raspberrypi.c), and the supply's alarm (drivers/hwmon/raspberrypi-hwmon.c)."""
    files = (
        cpuinfo(4, {"BogoMIPS": "108.00", "Features": features})
        | device_tree(model, *soc.split())
        | memory(memory_kb)
        | cpufreq([khz] * 4, "performance")
        | zone(0, "cpu-thermal", 51_250, critical=110_000)
        | {THROTTLED[name]: "0\n", f"{HWMON}/hwmon1/name": "rpi_volt\n", f"{HWMON}/hwmon1/in0_lcrit_alarm": "0\n"}
    )
    if name == "raspberry-pi-5":  # the fan's steps are cooling states too
        files |= cooling(0, "pwm-fan", 2, 4)
    return Board("aarch64", files)


def jetson_nano() -> Board:
    """JetPack 4: NVIDIA's own INA3221 driver, milliwatts a rail (Jetson Linux Developer Guide 32, "Software-Based Power
    Consumption Modeling"); the PMIC's zone always says 100 degrees."""
    rails = "sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    kinds = ("AO-therm", "CPU-therm", "GPU-therm", "PLL-therm", "PMIC-Die", "thermal-fan-est")
    files = (
        cpuinfo(4, {"model name": "ARMv8 Processor rev 1 (v8l)", "Features": "fp asimd evtstrm aes pmull sha1 crc32"})
        | device_tree(
            "NVIDIA Jetson Nano Developer Kit",
            "nvidia,p3449-0000-b00+p3448-0000-b00",
            "nvidia,jetson-nano",
            "nvidia,tegra210",
        )
        | memory(4_059_272)
        | cpufreq([1_479_000] * 4, "performance")
        | nvpmodel(0, "MAXN", "5W")
        | cooling(0, "pwm-fan", 0, 10)
        | {f"{rails}/rail_name_{i}": f"POM_5V_{name}\n" for i, name in enumerate(("IN", "GPU", "CPU"))}
        | {f"{rails}/in_power{i}_input": f"{mw}\n" for i, mw in enumerate((2416, 82, 492))}
    )
    for i, kind in enumerate(kinds):
        files |= zone(i, kind, 100_000 if kind == "PMIC-Die" else 35_500 + 500 * i)
    return Board("aarch64", files)


def orin(model: str, module: str, cores: int, khz: int, memory_kb: int, modes: Sequence[str], rails: str) -> Board:
    """JetPack 6: Linux's INA3221 driver, millivolts and milliamperes a rail, with a label for the sum of shunts too;
    over-current counters; alerts among the cooling devices; zones of sleeping accelerators that cannot be read (Jetson
    Linux Developer Guide 36, "Platform Power and Performance")."""
    ina, oc = f"{HWMON}/hwmon1", f"{HWMON}/hwmon3"
    files = (
        cpuinfo(cores, {"model name": "ARMv8 Processor rev 1 (v8l)", "Features": A78AE})
        | device_tree(model, f"nvidia,p3768-0000+{module}", f"nvidia,{module}", "nvidia,tegra234")
        | memory(memory_kb)
        | cpufreq([khz] * cores, "performance")
        | nvpmodel(0, *modes)
        | cooling(0, "pwm-fan", 1, 3)
        | cooling(1, "cpu-throttle-alert", 0, 2)
        | cooling(2, "gpu-throttle-alert", 0, 2)
        | cooling(3, "hot-surface-alert", 1, 1)
        | cooling(4, "cpufreq-cpu0", 0, 14)
        | cooling(5, "devfreq-17000000.gpu", 0, 10)
        | {f"{ina}/name": "ina3221\n", f"{ina}/in7_label": "sum of shunt voltages\n"}
        | {f"{oc}/name": "soctherm_oc\n"}
        | {f"{oc}/oc{i}_event_cnt": "0\n" for i in (1, 2, 3)}
        | {f"{oc}/oc{i}_throt_en": "1\n" for i in (1, 2, 3)}
    )
    for i, label in enumerate(rails.split(), start=1):
        files |= {f"{ina}/in{i}_label": f"{label}\n", f"{ina}/in{i}_input": "4984\n", f"{ina}/curr{i}_input": "1856\n"}
    for i, kind in enumerate(("cpu", "gpu", "cv0", "cv1", "cv2", "soc0", "soc1", "soc2", "tj")):
        files |= zone(i, f"{kind}-thermal", "!" if kind.startswith("cv") else 48_500 + 250 * i)
    return Board("aarch64", files)


def intel(model: str, cores: int, khz: Sequence[int], microwatts: int) -> Board:
    """intel_pstate, a zone of the package, throttle counters a core (arch/x86: thermal/therm_throt.c), and RAPL, whose
    counters are root's alone since Linux 5.10; here they can be read."""
    flags = {"vendor_id": "GenuineIntel", "model name": model, "flags": INTEL}
    files = (
        cpuinfo(cores, flags)
        | memory(16_190_212)
        | cpufreq(khz, "performance")
        | zone(0, "acpitz", 27_800)
        | zone(1, "x86_pkg_temp", 52_000, passive=-274_000)
        | cooling(0, "Processor", 0, 3)
        | cooling(1, "intel_powerclamp", -1, 50)
        | rapl("intel-rapl:0", "package-0", microwatts)
        | rapl("intel-rapl:0:0", "core", microwatts // 2)
    )
    for core in range(cores):
        counts = f"{CPU}/cpu{core}/thermal_throttle"
        files |= {f"{counts}/core_throttle_count": "0\n", f"{counts}/package_throttle_count": "0\n"}
    return Board("x86_64", files)


def coral() -> Board:
    """Mendel Linux; the trips are those of torvalds/linux arch/arm64/boot/dts/freescale/imx8mq-phanbell.dts."""
    files = (
        cpuinfo(4, {"Features": "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"})
        | device_tree("Freescale i.MX8MQ Phanbell", "google,imx8mq-phanbell", "fsl,imx8mq")
        | memory(1_004_228)
        | cpufreq([1_500_000] * 4, "performance")
        | zone(0, "cpu-thermal", 47_000, active=65_000, passive=75_000, critical=90_000)
        | zone(1, "gpu-thermal", 46_000)
        | cooling(0, "thermal-cpufreq-0", 0, 2)
        | cooling(1, "gpio-fan", 0, 1)
    )
    return Board("aarch64", files)


def rk3588() -> Board:
    """Four A55 and four A76, a cpufreq policy for the first and for each pair of the others; zones as Rockchip's kernel
    names them (armbian/linux-rockchip rk3588s.dtsi)."""
    kinds = ("soc", "bigcore0", "bigcore1", "littlecore", "center", "gpu", "npu")
    files = (
        cpuinfo(8, {"Features": A76})
        | device_tree("Radxa ROCK 5B", "radxa,rock-5b", "rockchip,rk3588")
        | memory(8_131_396)
        | cpufreq([1_800_000] * 4 + [2_400_000] * 4, "performance")
        | cooling(0, "thermal-cpufreq-0", 0, 6)
        | cooling(1, "thermal-devfreq-0", 0, 7)
    )
    for i, kind in enumerate(kinds):
        files |= zone(i, f"{kind}-thermal", 44_300 + 100 * i, passive=85_000, critical=115_000)
    return Board("aarch64", files)


def cpuinfo(cores: int, entries: Mapping[str, str]) -> dict[str, str]:
    block = "".join(f"{key}\t: {value}\n" for key, value in entries.items())
    return {"proc/cpuinfo": "".join(f"processor\t: {core}\n{block}\n" for core in range(cores))}


def device_tree(model: str, *compatible: str) -> dict[str, str]:
    """Strings that end in NUL (Devicetree Specification 0.4, 2.2.4)."""
    return {
        "proc/device-tree/model": f"{model}\0",
        "proc/device-tree/compatible": "".join(f"{each}\0" for each in compatible),
    }


def memory(kilobytes: int) -> dict[str, str]:
    """With PSI, as kernels since 4.20 have it, and a system that does nothing."""
    return {
        "proc/meminfo": f"MemTotal:       {kilobytes:8} kB\nMemFree:        {kilobytes // 2:8} kB\n"
        f"MemAvailable:   {kilobytes * 3 // 4:8} kB\n",
        "proc/pressure/memory": pressure(0.0),
        "proc/pressure/cpu": pressure(0.0),
        "proc/loadavg": "0.10 0.05 0.01 1/150 4242\n",
        "proc/vmstat": "nr_free_pages 1000\npswpin 0\npswpout 0\n",
        "proc/stat": cpu_time(1000),
    }


def pressure(avg10: float) -> str:
    full = "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    return f"some avg10={avg10:.2f} avg60=0.00 avg300=0.00 total=123\n{full}"


def cpu_time(user: int, steal: int = 0) -> str:
    """The first lines of /proc/stat: user nice system idle iowait irq softirq steal guest guest_nice, in ticks."""
    return f"cpu  {user} 0 0 90000 10 300 40 {steal} 0 0\ncpu0 {user} 0 0 90000 10 300 40 {steal} 0 0\nintr 1\n"


def process(pid: int, ticks: int, resident: int, children: str = "", waited: int = 0) -> dict[str, str]:
    """/proc/PID: utime 14th, cutime 16th, rss 24th of the fields of stat (proc_pid_stat(5)); a name with a bracket."""
    fields = f"S 1 {pid} {pid} 0 -1 4194304 0 0 0 0 {ticks} 0 {waited} 0 20 0 1 0 5 9999 {resident} 99 0"
    return {
        f"proc/{pid}/stat": f"{pid} (a (b) c) {fields}\n",
        f"proc/{pid}/task/{pid}/children": children,
    }


def cpufreq(khz: Sequence[int], governor: str) -> dict[str, str]:
    files = {}
    for core, most in enumerate(khz):
        folder = f"{CPU}/cpu{core}/cpufreq"
        files |= {f"{folder}/{name}": f"{most}\n" for name in ("cpuinfo_max_freq", "scaling_max_freq")}
        files |= {f"{folder}/scaling_cur_freq": f"{most}\n", f"{folder}/scaling_governor": f"{governor}\n"}
    return files


def zone(number: int, kind: str, thousandths: int | str, **trips: int) -> dict[str, str]:
    folder = f"{THERMAL}/thermal_zone{number}"
    files = {f"{folder}/type": f"{kind}\n", f"{folder}/temp": thousandths if thousandths == "!" else f"{thousandths}\n"}
    for i, (name, at) in enumerate(trips.items()):
        files |= {f"{folder}/trip_point_{i}_type": f"{name}\n", f"{folder}/trip_point_{i}_temp": f"{at}\n"}
    return files


def cooling(number: int, kind: str, state: int, most: int) -> dict[str, str]:
    folder = f"{THERMAL}/cooling_device{number}"
    return {f"{folder}/type": f"{kind}\n", f"{folder}/cur_state": f"{state}\n", f"{folder}/max_state": f"{most}\n"}


def nvpmodel(mode: int, *names: str) -> dict[str, str]:
    """What `nvpmodel` keeps: the mode in four digits, and the table of modes by number and name."""
    table = "".join(f"< POWER_MODEL ID={i} NAME={name} >\nCPU_ONLINE CORE_1 1\n\n" for i, name in enumerate(names))
    return {NVPMODEL: f"pmode:{mode:04}", "etc/nvpmodel.conf": f"# a comment\n{table}< PM_CONFIG DEFAULT=0 >\n"}


def rapl(folder: str, name: str, energy: int) -> dict[str, str]:
    folder = f"{RAPL}/{folder}"
    files = {f"{folder}/name": f"{name}\n", f"{folder}/energy_uj": f"{energy}\n"}
    return files | {f"{folder}/max_energy_range_uj": "262143328850\n"}


BOARDS: Mapping[str, Board] = {
    "raspberry-pi-zero-2w": pi(
        "raspberry-pi-zero-2w",
        "Raspberry Pi Zero 2 W Rev 1.0",
        "raspberrypi,model-zero-2-w brcm,bcm2837",
        A53,
        1_000_000,
        437_032,
    ),
    "raspberry-pi-4": pi(
        "raspberry-pi-4",
        "Raspberry Pi 4 Model B Rev 1.5",
        "raspberrypi,4-model-b brcm,bcm2711",
        A53,
        1_800_000,
        3_885_396,
    ),
    "raspberry-pi-5": pi(
        "raspberry-pi-5",
        "Raspberry Pi 5 Model B Rev 1.0",
        "raspberrypi,5-model-b brcm,bcm2712",
        A76,
        2_400_000,
        8_256_000,
    ),
    "jetson-nano": jetson_nano(),
    "jetson-orin-nano": orin(
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        "p3767-0005",
        6,
        1_510_400,
        7_802_340,
        ("15W", "25W", "MAXN_SUPER", "7W"),
        "VDD_IN VDD_CPU_GPU_CV VDD_SOC",
    ),
    "jetson-orin-nx": orin(
        "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
        "p3767-0000",
        8,
        1_984_000,
        16_035_124,
        ("MAXN", "10W", "15W", "25W"),
        "VDD_IN VDD_CPU_GPU_CV VDD_SOC",
    ),
    "jetson-agx-orin": orin(
        "NVIDIA Jetson AGX Orin Developer Kit",
        "p3701-0005",
        12,
        2_201_600,
        64_349_232,
        ("MAXN", "15W", "30W", "50W"),
        "VDD_GPU_SOC VDD_CPU_CV VIN_SYS_5V0",
    ),
    "intel-n100": intel("Intel(R) N100", 4, [3_400_000] * 4, 5_000_000),
    "intel-core-ultra": intel(
        "Intel(R) Core(TM) Ultra 7 155H",
        22,
        [4_800_000] * 12 + [3_800_000] * 8 + [2_500_000] * 2,
        262_143_000_000,
    ),
    "coral-dev-board": coral(),
    "rk3588": rk3588(),
}
