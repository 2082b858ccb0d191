"""Which measurements may be shown: tables of what a host did meanwhile, good and bad together."""

from __future__ import annotations

from dataclasses import replace

import pytest
from boards import BOARDS

from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.result import Executed
from edgekit.benchmarks.validity import judge
from edgekit.benchmarks.watch import Look, Validity
from edgekit.host import Host
from edgekit.measure import Samples

QUIET = Samples((2.0,) * 10, (1.98,) * 10, (), 10)
ONE = Executed("onnx-int8", "onnxruntime 1.31.1", "cpu", "f32", 1, False, engine_only=QUIET, whole=QUIET)


@pytest.fixture
def pi(tmp_path):
    """A Raspberry Pi 5 at rest, and a look at it while it is measured."""
    return environment("raspberry-pi-5", tmp_path)


def environment(name, root):
    board = BOARDS[name]
    return look_around({}, Host.probe(board.write(root), arch=board.arch))


def seconds(environment, count=60, **change):
    """So many good looks, each with that change."""
    good = Look(
        0.0,
        mhz=environment.limit_mhz,
        temperatures_c={"cpu-thermal": 61.0},
        throttled=(),
        memory_pressure=0.0,
        others_cpu=0.02,
        swapped_pages_s=0.0,
    )
    return [replace(good, at_s=float(i), **change) for i in range(1, count + 1)]


def waited(index):
    taken = Samples((2.0 * index,) * 10, (2.0,) * 10, (), 10)
    return replace(ONE, engine_only=taken, whole=None)


@pytest.mark.parametrize("name", ["raspberry-pi-5", "jetson-orin-nano", "intel-n100", "rk3588"])
def test_a_board_that_ran_steadily_is_valid_without_a_word(name, tmp_path):
    before = environment(name, tmp_path)
    assert judge(before, seconds(before), [ONE]) == Validity()


@pytest.mark.parametrize(
    ("complaint", "said"),
    [
        ("under-voltage", "under-voltage in 1 of 60 looks"),
        ("throttled", "throttled in 1 of 60 looks"),
        ("cpufreq-cpu0 (cooling_device4) slowed by heat", "cpufreq-cpu0 (cooling_device4) slowed by heat in 1 of 60"),
        ("over-current (oc3)", "over-current (oc3) in 1 of 60 looks"),
        ("under-voltage since boot", "under-voltage between two looks"),
    ],
)
def test_one_throttle_makes_a_run_invalid_and_no_flag_allows_it(pi, complaint, said):
    looks = seconds(pi)
    looks[30] = replace(looks[30], throttled=(complaint,))
    (why,) = judge(pi, looks, [ONE], allow_noisy=True).invalid
    assert why.startswith(said)


def test_a_throttle_is_said_once_though_its_sticky_bit_is_set_too(pi):
    looks = seconds(pi)
    looks[30] = replace(looks[30], throttled=("throttled", "throttled since boot"))
    looks[31:] = [replace(look, throttled=("throttled since boot",)) for look in looks[31:]]
    assert judge(pi, looks, [ONE]).invalid == ("throttled in 1 of 60 looks",)


def test_what_happened_before_the_run_is_a_warning(pi):
    before = replace(pi, throttled=("under-voltage since boot",))
    validity = judge(before, seconds(before, throttled=("under-voltage since boot",)), [ONE])
    assert validity == Validity(warnings=("before it began: under-voltage since boot",))


def test_a_bit_that_was_cleared_and_is_set_again_is_of_this_run(pi):
    """The kernel clears the sticky bits when it asks the firmware."""
    before = replace(pi, throttled=("under-voltage since boot",))
    looks = seconds(before)
    looks[40] = replace(looks[40], throttled=("under-voltage since boot",))
    assert judge(before, looks, [ONE]).invalid == ("under-voltage between two looks",)


@pytest.mark.parametrize(
    ("slow", "governor", "invalid", "warned"),
    [
        (0, "performance", False, False),
        (1, "performance", False, False),  # one of 100 may fall into a change of the clock
        (2, "performance", True, False),
        (2, "ondemand", False, True),
        (100, None, False, True),
    ],
)
def test_a_clock_that_falls_under_the_performance_governor_is_throttling(pi, slow, governor, invalid, warned):
    before = replace(pi, governor=governor)
    looks = seconds(before, 100)
    looks[:slow] = [replace(look, mhz=(2400.0, 2400.0, 2400.0, 1500.0)) for look in looks[:slow]]
    validity = judge(before, looks, [ONE])
    text = f"the clock was below 98 % of its 2400 MHz in {slow} of 100 looks; the fastest core's median was 2400 MHz"
    assert (text in validity.invalid, text in validity.warnings) == (invalid, warned)


def test_a_core_is_held_against_its_own_limit(tmp_path):
    """The little cores of an RK3588 run at 1800 MHz at best."""
    before = environment("rk3588", tmp_path)
    little = seconds(before, mhz=(1500.0,) * 4 + (2400.0,) * 4)
    assert judge(before, seconds(before), [ONE]).valid
    assert not judge(before, little, [ONE]).valid


def test_cores_that_went_are_said_and_the_others_are_still_judged(pi):
    looks = seconds(pi)
    looks[5:7] = [replace(look, mhz=(2400.0, 2400.0)) for look in looks[5:7]]
    assert judge(pi, looks, [ONE]) == Validity(warnings=("cores came or went in 2 of 60 looks",))


def test_on_x86_a_low_clock_of_the_fastest_core_is_a_warning_and_a_throttle_makes_it_invalid(tmp_path):
    before = environment("intel-n100", tmp_path)
    slow = judge(before, seconds(before, mhz=(2400.0, 800.0, 800.0, 800.0)), [ONE])
    assert slow.valid
    assert "the fastest core's median was 2400 MHz" in slow.warnings[0]
    assert judge(before, seconds(before, mhz=(3400.0, 800.0, 800.0, 800.0)), [ONE]) == Validity()  # three are idle
    looks = seconds(before)
    looks[3] = replace(looks[3], throttled=("package throttled",))
    assert judge(before, looks, [ONE]).invalid == ("package throttled in 1 of 60 looks",)


@pytest.mark.parametrize(
    ("index", "severity"), [(1.0, None), (1.1, None), (1.11, "warning"), (1.5, "warning"), (1.51, "noisy")]
)
def test_a_model_that_waited_for_its_core_is_flagged_and_then_refused(pi, index, severity):
    text = f"onnx-int8 waited for its cores: wall over CPU time is {index:.2f}"
    refused = judge(pi, seconds(pi), [ONE, waited(index)])
    allowed = judge(pi, seconds(pi), [ONE, waited(index)], allow_noisy=True)
    assert refused.invalid == ((text,) if severity == "noisy" else ())
    assert refused.warnings == ((text,) if severity == "warning" else ())
    assert (allowed.invalid, allowed.allowed) == ((), (text,) if severity == "noisy" else ())


def test_an_accelerator_is_waited_for_by_design(pi):
    assert judge(pi, seconds(pi), [replace(waited(9.0), device="cuda")]) == Validity()


@pytest.mark.parametrize(
    ("others", "threads", "severity"),
    [(0.1, 4, None), (0.5, 1, "warning"), (0.5, 3, "warning"), (0.5, 4, "noisy"), (3.5, 1, "noisy")],
)
def test_neighbours_who_leave_too_few_cores_are_refused(pi, others, threads, severity):
    validity = judge(pi, seconds(pi, others_cpu=others), [replace(ONE, threads=threads)])
    said = f"other processes kept {others:.1f} of 4 cores busy"
    assert [text.startswith(said) for text in validity.invalid] == ([True] if severity == "noisy" else [])
    assert [text.startswith(said) for text in validity.warnings] == ([True] if severity == "warning" else [])


def test_neighbours_of_one_minute_are_not_diluted_by_nine_others(pi):
    looks = seconds(pi, 600)
    looks[-60:] = [replace(look, others_cpu=4.0) for look in looks[-60:]]
    assert judge(pi, looks, [ONE]).invalid == (
        "other processes kept 4.0 of 4 cores busy for a minute, and 1 thread were measured",
    )


@pytest.mark.parametrize(
    ("change", "valid", "said"),
    [
        ({"memory_pressure": 0.5}, True, None),
        ({"memory_pressure": 4.0}, True, "memory pressure of up to 4 %"),
        ({"memory_pressure": 11.0}, False, "memory pressure of up to 11 %"),
        ({"swapped_pages_s": 5.0}, True, "up to 5 pages a second were swapped"),
        ({"swapped_pages_s": 2000.0}, False, "up to 2000 pages a second were swapped"),
    ],
)
def test_memory_that_ran_short_is_said(pi, change, valid, said):
    looks = seconds(pi)
    looks[7] = replace(looks[7], **change)
    validity = judge(pi, looks, [ONE], allow_noisy=True)
    assert validity.valid == valid
    told = [*validity.invalid, *validity.warnings]
    assert [text.startswith(said) for text in told] == ([True] if said else [])


def test_a_host_that_tells_nothing_is_valid_and_says_what_was_not_measured(tmp_path):
    before = look_around({}, Host.probe(tmp_path, arch="x86_64"))
    validity = judge(before, [Look(1.0), Look(2.0)], [ONE])
    unknown = "heat, clocks, governor, throttling, other processes, memory pressure"
    assert validity == Validity(warnings=(f"not measured on this host: {unknown}",))


def test_a_run_that_nobody_watched_says_so(pi):
    assert judge(pi, [], [ONE]).warnings == ("the host was not watched",)


def test_another_governor_and_a_power_mode_are_warnings(tmp_path):
    before = environment("jetson-orin-nano", tmp_path)
    low = replace(before, governor="schedutil", limit_mhz=(960.0,) * 6, power_mode="7W")
    governor, mode = judge(low, seconds(low), [ONE]).warnings
    assert "the governor is schedutil" in governor
    assert mode == "before it began: the clock is limited to 960 of 1510 MHz (power mode 7W)"
