"""Estimates: what they are made from, how wide their band is, and where none is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny import golden_bundle

from edgekit.benchmarks.anchors import anchors, estimate_by_published
from edgekit.benchmarks.baselines import Baseline, Measured
from edgekit.benchmarks.estimate import Estimate, Roofline, estimate, estimates, fit, left_out
from edgekit.benchmarks.probe import DenseInt8, Probe, probe
from edgekit.benchmarks.speed import peak
from edgekit.benchmarks.work import Work, count, work_of
from edgekit.bundle import Bundle
from edgekit.doctor import tiny_model
from edgekit.errors import EngineError, ProfileError, ResultError
from edgekit.measure import Rounds, Samples
from edgekit.profile import DeviceProfile, profile_names

PROBE = Probe(50.0, 200.0, 20.0)
TRUE = Roofline(mac_ms=0.02, element_ms=0.3)  # 50 GMAC/s and 3.3 G values/s
SIZES = [(300e6, 7e6), (100e6, 4e6), (60e6, 3e6), (20e6, 2e6), (240e6, 11e6)]


def model(work, off=1.0, engine="onnxruntime", precision="int8", roofline=TRUE):
    ms = roofline.ms(work) * off
    return Measured("net", "128x128", engine, "1.0", precision, work, ms, ms, ms, 400, "ab" * 32)


def works(family="depthwise"):
    return [Work(int(macs), int(elements), family) for macs, elements in SIZES]


def baseline(*measured):
    return Baseline("generic", "a host", "2026-11-26", "in turn", PROBE, measured)


@pytest.mark.parametrize("truth", [TRUE, Roofline(0.02, 0.0), Roofline(0.0, 0.3), Roofline(0.02, 0.3, 0.05)])
def test_a_roofline_is_found_again_in_what_it_gave(truth):
    found = fit([model(work, roofline=truth) for work in works()])
    assert found.mac_ms == pytest.approx(truth.mac_ms, abs=1e-9)
    assert found.element_ms == pytest.approx(truth.element_ms, abs=1e-9)
    assert found.call_ms == pytest.approx(truth.call_ms, abs=1e-9)


def test_no_rate_is_ever_negative():
    measured = [replace(model(work), quick_ms=1 / work.elements * 1e7) for work in works()]
    found = fit(measured)
    assert min(found.mac_ms, found.element_ms, found.call_ms) >= 0


def test_the_band_is_as_wide_as_the_worst_model_that_was_left_out():
    off = [1.0, 1.2, 0.9, 1.0, 1.1]
    measured = [model(work, each) for work, each in zip(works(), off, strict=True)]
    errors = left_out(measured)
    found = estimate(works()[0], "onnxruntime", "int8", PROBE, baseline(*measured))
    assert found.high_ms / found.ms == pytest.approx(1 / min(errors))
    assert found.low_ms / found.ms == pytest.approx(1 / max(errors))
    assert found.low_ms < found.ms < found.high_ms
    assert "5 estimates of models there that were left out" in found.how


def test_a_model_is_estimated_from_the_others_and_never_from_itself():
    measured = [model(work, 3.0 if i == 1 else 1.0) for i, work in enumerate(works())]
    assert left_out(measured)[1] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("here", "times"),
    [(PROBE, 1), (Probe(50.0, 400.0, 20.0), 1 / 2), (Probe(1.0, 100.0, 90.0), 2)],
)
def test_a_host_of_twice_the_speed_takes_half_the_time(here, times):
    held = baseline(*map(model, works()))
    assert estimate(works()[0], "onnxruntime", "int8", here, held).ms == pytest.approx(TRUE.ms(works()[0]) * times)


@pytest.mark.parametrize(
    ("work", "engine", "here", "said"),
    [
        (works("dense")[0], "onnxruntime", PROBE, "no estimate for a dense net in int8 on onnxruntime: .* holds 0"),
        (works()[0], "openvino", PROBE, "on openvino: its error is checked on 5 models .* holds 0"),
        (works()[0], "onnxruntime", Probe(50.0, None, 20.0), "was not probed, which OpenVINO does"),
    ],
)
def test_where_the_error_is_not_known_there_is_no_estimate(work, engine, here, said):
    with pytest.raises(ResultError, match=said):
        estimate(work, engine, "int8", here, baseline(*map(model, works())))


def test_every_variant_of_a_bundle_gets_its_estimate_or_the_reason_why_not(tmp_path):
    pytest.importorskip("openvino")
    with Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as bundle:
        family = work_of(bundle).family
        held = baseline(*(model(work, precision="float") for work in works(family)))
        found = estimates(bundle, PROBE, held)
    assert isinstance(found["onnx-float"], Estimate)
    assert "float on litert" in found["tflite-float"]
    assert "holds 0" in found["tflite-float"]


def test_every_family_of_the_kept_baseline_that_can_be_estimated_was_checked_to_within_a_fifth():
    held = Baseline.load("generic")
    for precision in ("float", "int8"):
        for engine in ("onnxruntime", "openvino", "litert"):
            named = [each for each in held.measured if (each.engine, each.precision) == (engine, precision)]
            errors = left_out([each for each in named if each.work.family == "depthwise"])
            assert len(errors) >= 5
            assert min(errors) > 4 / 5
            assert max(errors) < 5 / 4


def test_a_board_is_estimated_by_what_was_published_of_the_family_there():
    pi = DeviceProfile.load("raspberry-pi-5")
    measured = [model(work, each) for work, each in zip(works()[:2], (1.0, 1.5), strict=True)]
    rates = [each.work.macs / each.quick_ms for each in measured]
    found = estimate_by_published(Work(150_000_000, 0, "depthwise"), "int8", pi, baseline(*measured))
    assert found.ms == pytest.approx(3.98 / 2)  # MobileNetV2's 300 M multiply-adds take 3.98 ms
    assert found.high_ms / found.ms == pytest.approx(max(rates) / min(rates))
    assert "learn.arm.com" in found.how
    assert "not checked on this board" in found.how


@pytest.mark.parametrize(
    ("family", "precision", "name", "error", "said"),
    [
        ("depthwise", "float", "raspberry-pi-5", ProfileError, "none was published there; of known work are: Mob"),
        ("dense", "int8", "intel-n100", ProfileError, "of known work are: none"),
        ("dense", "int8", "raspberry-pi-5", ResultError, "does not hold two"),
    ],
)
def test_a_board_without_such_a_figure_gets_no_estimate(family, precision, name, error, said):
    held = baseline(*map(model, works()))
    with pytest.raises(error, match=said):
        estimate_by_published(Work(1, 1, family), precision, DeviceProfile.load(name), held)


def test_every_anchor_is_a_published_figure_with_its_source():
    found = [each for name in profile_names() for each in anchors(DeviceProfile.load(name))]
    assert len(found) >= 5
    assert all(each.published.source and each.gmac_s > 0 for each in found)


def test_work_is_counted_as_by_hand(tmp_path):
    pytest.importorskip("openvino")
    onnx = pytest.importorskip("onnx")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    weights = {"depthwise": (3, 1, 3, 3), "dense": (8, 3, 1, 1), "product": (8, 5)}
    constants = [make.make_tensor(n, kind, s, [0.1] * _count(s)) for n, s in weights.items()]
    nodes = [
        make.make_node("Conv", ["image", "depthwise"], ["a"], group=3, pads=[1, 1, 1, 1]),
        make.make_node("Relu", ["a"], ["b"]),
        make.make_node("Conv", ["b", "dense"], ["c"]),
        make.make_node("GlobalAveragePool", ["c"], ["d"]),
        make.make_node("Flatten", ["d"], ["e"]),
        make.make_node("MatMul", ["e", "product"], ["f"]),
    ]
    ends = [make.make_tensor_value_info("image", kind, (1, 3, 4, 4)), make.make_tensor_value_info("f", kind, (1, 5))]
    graph = make.make_graph(nodes, "small", ends[:1], ends[1:], constants)
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    artifact = replace(tiny_model("onnxruntime")[0], model=made.SerializeToString())

    found = count(artifact)

    assert found.macs == 3 * 16 * 9 + 8 * 16 * 3 + 8 * 5
    assert found.elements == (48 + 48) + (48 + 128) + (8 + 5)
    assert found.family == "depthwise"


def _count(shape):
    product = 1
    for side in shape:
        product *= side
    return product


def test_a_probe_knows_what_one_core_can_do():
    pytest.importorskip("openvino")
    found = probe(seconds=0.05)
    assert min(found.f32_gmac_s, found.int8_gmac_s, found.memcpy_gb_s) > 0.1
    assert max(found.f32_gmac_s, found.int8_gmac_s, found.memcpy_gb_s) < 5000


def use(family="depthwise", ms=1.0):
    dense = Samples((4.0,) * 12, (4.0,) * 12, (), 4)
    taken = Samples((ms,) * 12, (ms,) * 12, (), 4)
    return peak.Use("onnx-int8", "onnxruntime 1.31.1", Work(DenseInt8.macs // 8, 1, family), taken, dense)


@pytest.mark.parametrize(
    ("found", "isa", "kept"),
    [
        (use(ms=1.0), {"avx512_vnni"}, "met"),  # an eighth of the work in a quarter of the time: half the peak
        (use(ms=2.0), {"avx_vnni"}, "not met"),
        (use(ms=1.0), {"avx2"}, "not promised"),
        (use("dense"), {"avx_vnni"}, "not promised"),
    ],
)
def test_the_share_of_the_peak_is_promised_to_depthwise_nets_on_vnni_cores(found, isa, kept):
    line = peak.promise("cart", found, frozenset(isa))
    assert line.kept == kept
    assert line.result.startswith("50.0%" if found.taken.wall_ms[0] == 1 else "25.0%")


def test_what_a_neighbour_slows_down_does_not_lower_the_share():
    found = use()
    slowed = tuple(ms * (1 if i % 4 == 0 else 3) for i, ms in enumerate(found.taken.cpu_ms))  # 3 of 4 runs of a round
    busy = replace(found, taken=replace(found.taken, wall_ms=slowed, cpu_ms=slowed))
    assert busy.share == found.share


def test_a_peak_that_is_not_computed_in_int8_is_not_measured(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    monkeypatch.setattr("edgekit.benchmarks.probe._kernels", lambda compiled: ["f16"])
    with pytest.raises(EngineError, match="INT8 convolutions in f16 on this CPU"):
        DenseInt8()


def test_the_share_of_the_peak_is_measured_in_turn_with_the_dense_net(tmp_path):
    pytest.importorskip("openvino")
    with Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as bundle:
        (found,) = peak.measure(bundle, {"onnx-float": "onnxruntime"}, Rounds(rounds=2, block=2, warm_up=1))
        assert found.work == work_of(bundle)
    assert 0 < found.share.median < 1
    assert len(found.taken.wall_ms) == len(found.dense.wall_ms) == 4
