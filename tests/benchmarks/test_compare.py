"""Faster, slower or the same: only between alike runs, and only what is more than chance and drift."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import typer
from made import BOARD, executed, frames, noise, result, samples
from typer.testing import CliRunner

from edgekit.benchmarks.compare import compare, compare_variants
from edgekit.benchmarks.difference import change
from edgekit.benchmarks.result import Start
from edgekit.benchmarks.scenario import Camera, ColdStart, Streams
from edgekit.benchmarks.watch import Validity
from edgekit.cli.compare import compare as command
from edgekit.errors import ResultError
from edgekit.measure import Ratio

CAMERA = Camera(fps=15, seconds=60)


def whole(median, seed, cpu=None, spread=0.02, **more):
    wall = noise(median, spread, seed=seed)
    return executed(whole=samples(wall, cpu and noise(cpu, 0.02, seed=seed)), **more)


def changed(before, after, **more):
    return [each.change for each in compare(result(before), result(after), **more).differences]


@pytest.mark.parametrize(
    ("after", "least", "said"),
    [
        (10.0, 0.05, "same"),
        (11.0, 0.05, "slower"),
        (9.0, 0.05, "faster"),
        (10.3, 0.05, "same"),
        (10.3, 0.01, "slower"),
        (10.5, 0.05, "unclear"),
    ],
)
def test_a_difference_counts_from_the_smallest_that_was_asked_for(after, least, said):
    assert changed(whole(10.0, 1), whole(after, 2), least=least) == [said]


@pytest.mark.parametrize(
    ("low", "high", "drifted", "said"),
    [
        (1.06, 1.09, 0.0, "slower"),
        (1.06, 1.09, 0.08, "unclear"),
        (0.90, 0.94, 0.0, "faster"),
        (0.99, 1.01, 0.0, "same"),
        (0.99, 1.01, 0.08, "unclear"),  # it may have hidden a difference as well
        (0.90, 1.10, 0.0, "unclear"),
    ],
)
def test_a_machine_that_drifted_by_more_than_the_difference_tells_nothing(low, high, drifted, said):
    assert change(Ratio(1.0, low, high), 0.05, drifted) == said


def test_a_run_that_slowed_down_on_its_way_is_unclear_and_says_why():
    throttled = samples([*noise(10, 0.02, 100), *noise(13, 0.02, 100)])
    (found,) = compare(result(executed(whole=throttled)), result(whole(14.0, 1))).differences

    assert (found.change, found.why[:24]) == ("unclear", "one of the runs drifted ")


@pytest.mark.parametrize(("threads", "said"), [(1, "unclear"), (2, "slower")])
def test_cpu_time_of_one_thread_denies_what_a_neighbour_did_to_wall_time(threads, said):
    before, after = whole(10.0, 1, threads=threads), whole(13.0, 2, cpu=10.0, threads=threads)
    (found,) = compare(result(before), result(after)).differences

    assert found.change == said
    if said == "unclear":
        assert found.why == "slower in wall time, same in CPU time: others had the core in one of the two"


def test_too_few_rounds_are_no_proof():
    few = [executed(whole=samples(noise(median, 0.001, 50))) for median in (10, 20)]

    assert changed(*few) == ["unclear"]


def test_variants_of_one_result_are_compared_round_by_round_whatever_the_clock_did():
    drifting = [1 + i / 200 for i in range(200)]
    a, b = ([ms * slow for ms, slow in zip(noise(m, 0.02, seed=m), drifting, strict=True)] for m in (100, 104))
    two = result(executed("onnx-float", whole=samples(a)), executed("onnx-int8", whole=samples(b)))

    (found,) = compare_variants(two).differences
    assert (found.variant, found.change) == ("onnx-int8", "slower")
    assert [each.change for each in compare_variants(two, "onnx-int8").differences] == ["faster"]
    with pytest.raises(ResultError, match="variant 'tflite' and another one are to be compared; there are: onnx-float"):
        compare_variants(two, "tflite")


def test_a_tail_that_grew_is_slower_where_the_median_stayed_the_same():
    times, stalling = noise(10, 0.02, 9000), noise(10, 0.02, 9000, seed=1)
    stalling[::30] = [60.0] * 300
    before, after = (result(executed(frames=frames(each)), scenario=CAMERA) for each in (times, stalling))
    found = compare(before, after)

    assert [(each.percent, each.change) for each in found.differences] == [(50, "same"), (99, "slower")]
    assert found.exit_code == 1


def test_an_unclear_tail_alone_leaves_the_exit_code_at_same():
    before, after = (
        result(executed(frames=frames(noise(10, 0.3, 900, seed=seed))), scenario=CAMERA) for seed in (1, 3)
    )
    found = compare(before, after, least=0.1)

    assert [(each.percent, each.change) for each in found.differences] == [(50, "same"), (99, "unclear")]
    assert found.exit_code == 0


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (4, 4, "same"),
        (4, 5, "unclear"),
        (4, 6, "faster"),
        (4, 2, "slower"),
        (2, 1, "unclear"),
        (1, 0, "slower"),
        (0, 1, "faster"),
        (20, 22, "unclear"),
        (20, 17, "slower"),
    ],
)
def test_stream_density_is_good_to_one_camera_and_to_a_tenth_of_many(before, after, said):
    before, later = (result(executed(streams=streams), scenario=Streams()) for streams in (before, after))

    assert [each.change for each in compare(before, later).differences] == [said]


@pytest.mark.parametrize(
    ("earlier", "later", "said"),
    [
        ((1.0, 1.1, 1.0, 1.2, 1.1), (1.3, 1.4, 1.3, 1.5, 1.4), "slower"),
        ((1.3, 1.4, 1.3, 1.5, 1.4), (1.0, 1.1, 1.0, 1.2, 1.1), "faster"),
        ((1.0, 1.1, 1.0, 1.2, 1.1), (1.0, 1.4, 1.3, 1.5, 1.4), "unclear"),
        ((1.0, 1.1, 1.0, 1.35, 1.1), (1.3, 1.4, 1.3, 1.5, 1.4), "unclear"),
        ((1.0, 1.1, 1.0, 1.2, 1.1), (1.4,) * 4, "unclear"),
    ],
)
def test_cold_starts_differ_where_none_of_them_overlap(earlier, later, said):
    def starts(seconds):
        return result(executed(starts=tuple(Start(s, 0.3, 0.2, 0.4, 90.0) for s in seconds)), scenario=ColdStart())

    assert [each.change for each in compare(starts(earlier), starts(later)).differences] == [said]


UNLIKE = {
    "governor 'performance' and 'powersave'": {"environment": replace(BOARD, governor="powersave")},
    "cpu 'Raspberry Pi 5 Model B Rev 1.0' and 'unknown'": {"environment": replace(BOARD, cpu=None)},
    "isa 'asimddp asimdhp' and 'unknown'": {"environment": replace(BOARD, isa=())},
    "numpy '2.4.6' and 'unknown'": {"environment": replace(BOARD, versions={**BOARD.versions, "numpy": None})},
    "profile 'raspberry-pi-5' and 'generic'": {"profile": "generic"},
    "classifier 'none' and 'sku bbbb'": {"classifier": ("sku", "bbbb")},
    "scenario ": {"scenario": CAMERA},
}


@pytest.mark.parametrize(("said", "other"), UNLIKE.items(), ids=lambda value: str(value)[:12])
def test_unlike_runs_are_refused_by_name_unless_that_is_allowed(said, other):
    before, after = result(whole(10.0, 1)), result(whole(10.0, 2), **other)

    with pytest.raises(ResultError, match="--allow-unlike") as raised:
        compare(before, after)

    assert said in str(raised.value)
    assert said in "; ".join(compare(before, after, allow_unlike=True).unlike)


@pytest.mark.parametrize(
    ("name", "value"), [("engine", "onnxruntime 1.32"), ("precision", "bf16"), ("threads", 2), ("spinning", True)]
)
def test_a_variant_that_ran_in_another_way_is_unlike(name, value):
    with pytest.raises(ResultError, match=f"{name} of onnx-int8"):
        compare(result(whole(10.0, 1)), result(replace(whole(10.0, 2), **{name: value})))


def test_another_bundle_at_another_temperature_is_what_one_compares():
    warm = replace(BOARD, temperatures_c={"cpu-thermal": 70.0}, load=0.4, mhz=(2399.0,))

    assert compare(result(whole(10.0, 1)), result(whole(10.0, 2), digest="b" * 64, environment=warm)).exit_code == 0


def test_what_neither_result_tells_is_said():
    known, mute = (
        compare(result(whole(10.0, 1), environment=board), result(whole(10.0, 2), environment=board)).unknown
        for board in (BOARD, replace(BOARD, governor=None, isa=()))
    )

    assert set(mute) - set(known) == {"governor", "isa"}


def test_a_tail_that_cpu_time_denies_is_not_slower():
    """A neighbour had the core in the second run: 10 ms of CPU time in both."""
    before, after = (whole(ms, seed, cpu=10.0) for ms, seed in ((10.0, 1), (13.0, 2)))
    found = compare(result(before), result(after))

    assert {each.change for each in found.differences} == {"unclear"}
    assert found.exit_code == 2


def test_of_an_invalid_run_nothing_is_said():
    throttled = result(whole(20.0, 2), validity=Validity(invalid=("the board throttled",)))
    found = compare(result(whole(10.0, 1)), throttled)

    assert [each.why for each in found.differences] == ["the run after is invalid: the board throttled"]
    assert found.exit_code == 2


def test_runs_with_nothing_in_common_cannot_be_compared():
    with pytest.raises(ResultError, match="no figure of the same variant: onnx-int8 and tflite"):
        compare(result(whole(10.0, 1)), result(whole(10.0, 1, variant="tflite")))


def test_variants_of_one_of_them_only_are_named():
    both = result(whole(10.0, 2), whole(10.0, 3, variant="tflite"))

    assert compare(result(whole(10.0, 1)), both).left_out == ("tflite",)


@pytest.fixture
def files(tmp_path):
    def write(name, held):
        (tmp_path / name).write_text(held.text(), encoding="utf-8")
        return str(tmp_path / name)

    return write


def run(*arguments):
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)


def test_the_command_prints_a_table_and_its_exit_code_says_what_came_of_it(files):
    before, after = files("a.json", result(whole(10.0, 1))), files("b.json", result(whole(12.0, 2)))

    slower, faster = run(before, after), run(after, before)

    assert (slower.exit_code, faster.exit_code) == (1, 0)
    assert "slower" in slower.stdout
    assert run(before, after, "--least", "0.3").exit_code == 0


def test_the_command_s_json_holds_every_interval(files):
    before, after = files("a.json", result(whole(10.0, 1))), files("b.json", result(whole(12.0, 2)))
    told = json.loads(run(before, after, "--json").stdout)

    assert told["exit_code"] == 1
    assert told["differences"][0]["wall"]["low"] > 1.15


def test_the_command_compares_the_variants_of_one_file(files):
    two = files("a.json", result(whole(10.0, 1), whole(12.0, 1, variant="onnx-float")))

    assert run(two).exit_code == 1
    assert run(two, "--against", "onnx-float").exit_code == 0
    assert run(two, two, "--against", "onnx-float").exit_code == 2  # a mistake; `edgekit` makes 64 of it
