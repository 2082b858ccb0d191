"""What a result is held against: figures of the same model at the same size, each with its source, and no verdict."""

from __future__ import annotations

import pytest
from tiny import golden_bundle

from edgekit.benchmarks.baselines import Baseline, against_baseline, baseline_names
from edgekit.benchmarks.baselines.__main__ import interference_of, measure
from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.probe import Probe
from edgekit.benchmarks.result import Executed, Result
from edgekit.benchmarks.scenario import SingleStream
from edgekit.errors import ResultError
from edgekit.measure import Rounds, Samples
from edgekit.profile import DeviceProfile, profile_names

HOST = Environment("aarch64", "Raspberry Pi 5", 4, 4, ("asimddp",), 8192, None, (), {}, 0.1, "Linux", {})


def result(profile, count=100):
    taken = Samples((4.1,) * count, (4.0,) * count, (), 10)
    variants = (Executed("tflite-int8", "litert 2.3.0", "cpu", "f32", 3, False, engine_only=taken),)
    return Result("cart", "ab" * 32, profile, "2026-11-26T01:00:00+00:00", SingleStream(), HOST, variants)


def test_a_result_stands_beside_what_was_published_of_its_model_on_its_board():
    here, published = against_baseline(result("raspberry-pi-5"), "MobileNetV2", "224x224")
    assert (here.whose, here.ms, here.engine) == ("this result", 4.1, "litert 2.3.0, 3 threads")
    assert (published.whose, published.ms, published.precision) == ("published", 3.98, "int8")
    assert "learn.arm.com" in published.source
    assert str(published).startswith("published: MobileNetV2 224x224, ExecuTorch XNNPACK, int8: 3.98 ms (")


@pytest.mark.parametrize(
    ("profile", "model", "size"),
    [
        ("raspberry-pi-5", "MobileNetV2", "192x192"),  # another size
        ("raspberry-pi-5", "MobileNetV2 0.35", "224x224"),  # another model
        ("intel-n100", "MobileNetV2", "224x224"),  # nothing was published of the board
    ],
)
def test_nothing_is_put_beside_another_model_or_size(profile, model, size):
    assert against_baseline(result(profile), model, size) == []


def test_a_result_with_too_few_samples_is_not_measured_beside_others():
    assert against_baseline(result("raspberry-pi-5", count=3), "MobileNetV2", "224x224")[0].ms is None


def test_of_a_board_of_the_readers_own_nothing_is_known():
    assert against_baseline(result("attic"), "MobileNetV2", "224x224") == []


def test_a_result_stands_beside_what_edgekit_measured_with_its_profile():
    kept = Baseline.load("generic").measured[0]
    rows = against_baseline(result("generic"), kept.model, kept.input)
    measured = [row for row in rows if row.whose == "measured by edgekit"]
    assert kept.wall_ms in [row.ms for row in measured]  # as that of this result is
    assert all(Baseline.load("generic").host in row.source for row in measured)
    assert all(Baseline.load("generic").how in row.source for row in measured)
    assert "4.00 ms of CPU time" in rows[0].source


def test_a_baseline_is_not_made_where_others_had_the_cores_unless_that_is_allowed():
    quiet, crowded = (Samples((wall,) * 10, (4.0,) * 10, (), 10) for wall in (4.1, 8.0))

    assert interference_of([quiet], allow_noisy=False) == pytest.approx(1.025)
    assert interference_of([quiet, crowded], allow_noisy=True) == pytest.approx(2.0)
    with pytest.raises(ResultError, match=r"was up to 2\.00, and 1\.5 is the most for a baseline"):
        interference_of([quiet, crowded], allow_noisy=False)


def test_every_baseline_is_of_a_profile_and_tells_its_host_and_its_samples():
    assert set(baseline_names()) <= set(profile_names())
    for name in baseline_names():
        held = Baseline.load(name)
        assert (held.profile, bool(held.host), bool(held.how)) == (name, True, True)
        assert all(each.samples >= 64 and 0 < each.quick_ms <= each.cpu_ms for each in held.measured)
        keys = [(each.model, each.input, each.engine, each.precision) for each in held.measured]
        assert len(set(keys)) == len(keys)


def test_a_profile_without_a_baseline_says_which_have_one():
    with pytest.raises(ResultError, match="with profile 'jetson-nano'; there are baselines of: generic"):
        Baseline.load("jetson-nano")


def test_a_baseline_that_was_tampered_with_says_what_is_wrong(tmp_path):
    (tmp_path / "generic.json").write_text('{"profile": "generic"}', encoding="utf-8")
    with pytest.raises(ResultError, match=r"generic\.json: 'host' is missing"):
        Baseline.read(tmp_path / "generic.json")


def test_a_baseline_is_measured_of_every_variant_of_a_bundle(tmp_path):
    pytest.importorskip("openvino")
    bundle = golden_bundle(tmp_path / "tiny.ekb")
    few, probed = Rounds(rounds=2, block=2, warm_up=1), Probe(50.0, 200.0, 20.0)
    held = measure(DeviceProfile.load("generic"), [("tiny net", bundle)], probed, few, allow_noisy=True)
    assert [(each.model, each.input, each.engine) for each in held.measured] == [
        ("tiny net", "16x16", "onnxruntime"),
        ("tiny net", "16x16", "litert"),
    ]
    assert all(0 < each.quick_ms <= each.cpu_ms and each.samples == 4 and each.work.macs > 0 for each in held.measured)
    assert held.probe == probed
