"""Profiles of boards, and how they are held against a machine."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from edgekit.errors import EngineMissing, ProfileError
from edgekit.host import Host
from edgekit.plan import ABILITIES, EnginePlan
from edgekit.profile import DeviceProfile, Figure, compare, detect_profile, profile_names, profile_within
from edgekit.runtime.store import Store
from edgekit.supervisor.settings import Unattended

BOARDS = (
    "coral-dev-board",
    "generic",
    "intel-core-ultra",
    "intel-n100",
    "jetson-agx-orin",
    "jetson-nano",
    "jetson-orin-nano",
    "jetson-orin-nx",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "raspberry-pi-zero-2w",
    "rk3588",
)
ALL = {"onnxruntime": "1.23", "openvino": "2026.4", "litert": "2.3", "tflite-runtime": "2.14"}

PI_5 = Host(
    arch="aarch64",
    cores=4,
    model="Raspberry Pi 5 Model B Rev 1.0",
    compatible=("raspberrypi,5-model-b", "brcm,bcm2712"),
    isa=frozenset({"asimd", "asimddp", "asimdhp", "crc32"}),
    memory_mb=8062,
    max_mhz=2400.0,
    temperatures_c={"cpu-thermal": 51.2},
)


def test_the_boards_of_the_shelf_are_all_there():
    assert profile_names() == BOARDS


@pytest.mark.parametrize("name", BOARDS)
def test_every_figure_says_where_it_comes_from(name):
    profile = DeviceProfile.load(name)
    assert profile.name == name
    values = [getattr(profile, each.name) for each in fields(profile)]
    figures = [each for each in [*values, profile.thermal.soft_c, profile.thermal.hard_c] if isinstance(each, Figure)]
    assert len(figures) >= 3
    assert all(len(each.source) > 10 for each in [*figures, *profile.published, *profile.accelerators])
    # "measured" would mean by us on the board, and none was at hand.
    assert not profile.run_on_hardware
    assert "measured" not in {each.provenance for each in figures}


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_can_run_the_variants_that_it_prefers(name):
    profile = DeviceProfile.load(name)
    for variant in profile.variants.value:
        assert profile.plan_for(variant.rpartition("-")[0], ALL).engine != "null"


def test_a_name_that_is_not_there_lists_those_that_are():
    with pytest.raises(ProfileError) as caught:
        DeviceProfile.load("rpi")
    assert str(caught.value) == f"no device profile named 'rpi'; there are: {', '.join(BOARDS)}"


def test_a_profile_of_ones_own_is_checked_key_by_key(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\nrun_on_hardware = true\nframe_budget = 50\nmatch = {}\n'
        'variants = { value = ["onnx-float"], provenance = "guessed", source = "me" }\n'
        'plans = { value = [{ engine = "litert", device = "npu" }], provenance = "inferred", source = "me" }\n'
    )
    with pytest.raises(ProfileError) as caught:
        DeviceProfile.read(path)
    message = str(caught.value)
    assert "unknown key 'frame_budget', did you mean 'frame_budget_ms'?" in message
    assert "'variants.provenance': input should be 'datasheet', 'measured', 'published' or 'inferred'" in message
    assert "litert runs on cpu, edgetpu; got device 'npu'" in message


@pytest.mark.parametrize(
    ("plans", "said"),
    [("[]", "plans and variants must name one at least"), ('[{ engine = "null" }]', "'null', which computes nothing")],
)
def test_a_profile_by_which_nothing_can_run_is_refused(tmp_path, plans, said):
    path = tmp_path / "mine.toml"
    path.write_text(
        'name = "mine"\ntitle = "Mine"\nrun_on_hardware = true\nmatch = {}\n'
        'frame_budget_ms = { value = 66.7, provenance = "inferred", source = "me" }\n'
        'variants = { value = ["onnx-float"], provenance = "inferred", source = "me" }\n'
        f'plans = {{ value = {plans}, provenance = "inferred", source = "me" }}\n'
    )
    with pytest.raises(ProfileError, match=said):
        DeviceProfile.read(path)


@pytest.mark.parametrize(
    ("name", "model_format", "there", "expected"),
    [
        ("raspberry-pi-5", "tflite", ALL, EnginePlan("litert", threads=3)),
        ("raspberry-pi-5", "tflite", {"tflite-runtime": "2.14"}, EnginePlan("tflite-runtime", threads=3)),
        ("raspberry-pi-5", "onnx", ALL, EnginePlan("onnxruntime", threads=3)),
        ("raspberry-pi-5", "onnx", {"openvino": "2026.4"}, EnginePlan("openvino", threads=3)),
        ("jetson-orin-nano", "onnx", ALL, EnginePlan("onnxruntime", device="tensorrt", precision="f16")),
        ("intel-n100", "openvino", ALL, EnginePlan("openvino", threads=3)),
    ],
)
def test_the_formats_own_engine_is_taken_where_it_is_there_and_else_one_that_opens_it(
    name, model_format, there, expected
):
    assert DeviceProfile.load(name).plan_for(model_format, there) == expected


def test_an_engine_or_a_device_can_be_asked_for_by_name():
    pi, jetson, ultra = (
        DeviceProfile.load(name) for name in ("raspberry-pi-5", "jetson-orin-nano", "intel-core-ultra")
    )
    assert pi.plan_for("onnx", ALL, engine="onnxruntime") == EnginePlan("onnxruntime", threads=3)
    assert jetson.plan_for("onnx", ALL, device="cuda") == EnginePlan("onnxruntime", device="cuda")
    assert jetson.plan_for("openvino", ALL, engine="openvino") == EnginePlan("openvino", threads=3)
    assert ultra.plan_for("openvino", ALL, device="npu") == EnginePlan("openvino", device="npu", precision="f16")
    assert DeviceProfile.load("generic").plan_for("openvino", ALL, engine="openvino", device="npu").precision == "f16"


def test_a_missing_engine_is_an_error_that_names_it():
    pi = DeviceProfile.load("raspberry-pi-zero-2w")
    with pytest.raises(EngineMissing, match="runs tflite files on litert or tflite-runtime; not installed"):
        pi.plan_for("tflite", {"onnxruntime": "1.23", "litert": None})
    with pytest.raises(
        EngineMissing, match="'raspberry-pi-zero-2w' does not open onnx files; onnxruntime and openvino"
    ):
        pi.plan_for("onnx", ALL)
    with pytest.raises(EngineMissing, match="litert does not open onnx files"):
        pi.plan_for("onnx", ALL, engine="litert")
    with pytest.raises(ValueError, match="litert runs on cpu, edgetpu; got device 'gpu'"):
        pi.plan_for("tflite", ALL, engine="litert", device="gpu")


def test_every_engine_can_compute_in_float32_on_the_cpu():
    assert all("f32" in devices["cpu"] for devices in ABILITIES.values())


@pytest.mark.parametrize(
    ("host", "name"),
    [
        (PI_5, "raspberry-pi-5"),
        (replace(PI_5, compatible=("raspberrypi,4-model-b", "brcm,bcm2711")), "raspberry-pi-4"),
        (replace(PI_5, compatible=("raspberrypi,model-zero-2-w", "brcm,bcm2837")), "raspberry-pi-zero-2w"),
        (
            replace(PI_5, compatible=("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234")),
            "jetson-orin-nano",
        ),
        (
            replace(PI_5, compatible=("nvidia,p3768-0000+p3767-0000", "nvidia,p3767-0000", "nvidia,tegra234")),
            "jetson-orin-nx",
        ),
        (replace(PI_5, compatible=("radxa,rock-5b", "rockchip,rk3588")), "rk3588"),
        (replace(PI_5, compatible=("google,imx8mq-phanbell", "fsl,imx8mq")), "coral-dev-board"),
        (Host("x86_64", cpu_model="Intel(R) N100"), "intel-n100"),
        (Host("x86_64", cpu_model="Intel(R) Core(TM) Ultra 7 258V"), "intel-core-ultra"),
        (Host("x86_64", cpu_model="AMD EPYC"), "generic"),
    ],
)
def test_a_board_is_recognised_by_what_it_calls_itself(host, name):
    assert detect_profile(host).name == name


def test_a_board_that_is_as_its_profile_says_differs_in_nothing():
    assert compare(DeviceProfile.load("raspberry-pi-5"), PI_5) == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"cores": 2}, "cores: expected 4, found 2"),
        ({"arch": "armv7l"}, "architecture: expected aarch64, found armv7l"),
        ({"isa": frozenset({"asimd"})}, "instructions: expected asimd asimddp asimdhp, found no asimddp asimdhp"),
        ({"max_mhz": 1500.0}, "clock: expected 2400 MHz, found 1500 MHz"),
        ({"max_mhz": None}, "clock: expected 2400 MHz, found unknown"),
        ({"memory_mb": 900}, "memory: expected 2048 or 4096 or 8192 or 16384 MB, found 900 MB"),
        ({"memory_mb": None}, "memory: expected 2048 or 4096 or 8192 or 16384 MB, found unknown"),
        (
            {"temperatures_c": {"gpu": 40.0}},
            "temperature: expected a sensor 'cpu-thermal', found unknown (zones: gpu)",
        ),
        ({"temperatures_c": {"cpu-thermal": None}}, "temperature: expected a sensor 'cpu-thermal', found unknown"),
    ],
)
def test_each_difference_is_named_and_an_unknown_is_one(change, line):
    (difference,) = compare(DeviceProfile.load("raspberry-pi-5"), replace(PI_5, **change))
    assert str(difference).startswith(line)


def test_another_board_is_named_by_its_own_name():
    differences = compare(DeviceProfile.load("raspberry-pi-4"), PI_5)
    assert str(differences[0]) == "board: expected raspberrypi,4-model-b, found Raspberry Pi 5 Model B Rev 1.0"


def test_the_slow_edition_of_a_board_is_found_out_by_its_clock():
    """A Raspberry Pi 4 of 1.25 GHz calls itself by the same name."""
    slow = replace(PI_5, compatible=("raspberrypi,4-model-b",), max_mhz=1250.0)
    assert [each.what for each in compare(DeviceProfile.load("raspberry-pi-4"), slow)] == ["clock"]


def test_the_generic_profile_expects_nothing():
    assert compare(DeviceProfile.load("generic"), Host("riscv64")) == ()


MINE = (
    'name = "mine"\ntitle = "Mine"\nrun_on_hardware = true\nmatch = {}\n'
    'variants = { value = ["tflite-int8"], provenance = "inferred", source = "me" }\n'
    'plans = { value = [{ engine = "litert" }], provenance = "inferred", source = "me" }\n'
    'frame_budget_ms = { value = 50.0, provenance = "inferred", source = "me" }\n'
)


def test_a_profile_can_be_a_file_wherever_it_has_a_name(tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text(MINE)
    (tmp_path / "mine").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    for named in ("mine.toml", "./mine", str(tmp_path / "mine.toml")):
        assert DeviceProfile.load(named).title == "Mine"
    with pytest.raises(ProfileError, match="no device profile named 'mine'"):
        DeviceProfile.load("mine")


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        (None, None),
        ("raspberry-pi-5", "raspberry-pi-5"),
        ("mine.toml", "/etc/store/mine.toml"),
        ("boards/mine.toml", "/etc/store/boards/mine.toml"),
        ("/srv/mine.toml", "/srv/mine.toml"),
    ],
)
def test_a_profiles_file_lies_beside_the_settings_that_name_it(named, meant):
    assert profile_within(named, Path("/etc/store")) == meant


@pytest.mark.parametrize(
    ("kind", "tables"),
    [
        (Store, '[source]\naddress = "scene:x"\n'),
        (Unattended, '[[cameras]]\nname = "aisle"\naddress = "scene:x"\n[sinks.jsonl]\npath = "-"\n'),
    ],
)
def test_a_store_file_may_name_a_profile_of_its_own(kind, tables, tmp_path):
    (tmp_path / "store.toml").write_text(f'profile = "mine.toml"\n{tables}[detector]\nbundle = "a.ekb"\n')
    assert kind.read(tmp_path / "store.toml").profile == str(tmp_path / "mine.toml")
