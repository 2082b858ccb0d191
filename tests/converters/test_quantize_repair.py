"""What 8 bits broke is found by operator, put right by the least that helps, and every try is on record."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.contract import Format, InputSpec
from edgekit.converters.export import Exported, example_of
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.prune.cost import multiply_adds
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.coverage import Coverage, coverage_of
from edgekit.converters.quantize.escalate import Grade, Repair, open_net, quantize_until
from edgekit.converters.quantize.for_onnx import quantize_onnx
from edgekit.converters.quantize.for_tflite import quantize_tflite
from edgekit.converters.quantize.net import blocks_of, heads_of
from edgekit.converters.quantize.sensitivity import sensitivity, sqnr_db
from edgekit.converters.quantize.static import look, quantize_by
from edgekit.engines import open_session
from edgekit.errors import SettingsError
from edgekit.outcome import Outcome
from edgekit.plan import ENGINES, EnginePlan

Files = dict[Format, Exported]
PLAIN = Int8Settings()
every_format = pytest.mark.parametrize("target", ["onnx", "tflite"])


class Uneven(nn.Module):
    """Four convolutions. Half of the depthwise one's weights are a hundred times larger, on channels that are as much
    smaller and then unused: with one scale for all, what counts has two steps left, and no activation is to blame.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.before, self.depthwise = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.middle, self.after = nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1)
        with torch.no_grad():
            for layer in (self.before, self.depthwise, self.middle, self.after):
                layer.bias.zero_()
            self.before.bias.fill_(2)  # most of what the depthwise one takes is its mean, and so is most of its error
            self.before.weight[:4] /= 100
            self.before.bias[:4] /= 100
            self.depthwise.weight.abs_()
            self.depthwise.weight[:4] *= 100
            self.middle.weight[:, :4] = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(F.silu(self.middle(self.depthwise(self.before(x).relu()))))


@pytest.fixture(scope="module")
def uneven(spec: InputSpec) -> Files:
    net = Uneven().eval()
    return {"onnx": to_onnx(net, spec), "tflite": to_tflite(net, spec)}


def outputs(exported: Exported, seen: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
    artifact = exported.artifact
    with open_session(artifact, EnginePlan(ENGINES[artifact.format][0])) as session:
        return [dict(zip("ab", session.run(tensor), strict=False)) for tensor in seen]


def faithful(start: Exported, seen: list[np.ndarray], least_db: float) -> Callable[[Exported], Grade]:
    """A gate that passes what answers as float does, within so many dB."""
    wanted = outputs(start, seen)

    def judge(exported: Exported) -> Grade:
        got = sqnr_db(wanted, outputs(exported, seen))
        outcome: Outcome = "PASS" if got >= least_db else "FAIL"
        return Grade(outcome, got)

    return judge


@every_format
def test_a_block_is_a_convolution_and_what_follows_from_it_alone(target: Format, uneven: Files) -> None:
    net = open_net(uneven[target])
    blocks = [[name.rpartition("_")[0] for name in block.operators] for block in blocks_of(net.operators)]
    assert len(blocks) == 4
    assert blocks[2] == {"onnx": ["Conv", "Sigmoid", "Mul"], "tflite": ["CONV_2D", "LOGISTIC", "MUL"]}[target]
    assert len(heads_of(net.operators)) == 1


@every_format
def test_multiplications_are_counted(target: Format, uneven: Files) -> None:
    macs = [operator.macs for operator in open_net(uneven[target]).operators if operator.macs]
    height, width = 15, 19
    inner = (height - 2) * (width - 2)
    assert macs == [height * width * 27 * 8, height * width * 9 * 8, inner * 72 * 8, inner * 8 * 4]


class Products(nn.Module):
    """A transposed convolution, and a product of two activations."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 4, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.up(x).flatten(2)
        return rows @ rows.mT


@every_format
def test_multiplications_are_those_that_torch_counts(target: Format) -> None:
    net, spec = Products().eval(), InputSpec(16, 12)
    exported = {"onnx": to_onnx, "tflite": to_tflite}[target](net, spec)
    macs = [operator.macs for operator in open_net(exported).operators if operator.macs]
    assert macs == [3 * 192 * 8 * 16, 8 * 8 * 4 * 192]
    assert sum(macs) == multiply_adds(net, example_of(spec))


@every_format
def test_the_operator_that_eight_bits_ruin_is_found(
    target: Format, uneven: Files, raw_pictures: list[np.ndarray]
) -> None:
    net, coarse = open_net(uneven[target]), Int8Settings(per_channel=False)
    told: list[int] = []
    seen = look(net, raw_pictures[:8], coarse)
    ranking = sensitivity(net, seen, raw_pictures[:8], coarse, lambda stage, done, total: told.append(done))
    assert told == [1, 2, 3, 4]
    assert ranking[0].operator == {"onnx": "Conv_2", "tflite": "DEPTHWISE_CONV_2D_0"}[target]
    assert ranking[0].sqnr_db < 15 < 30 < ranking[1].sqnr_db
    assert ranking == sensitivity(net, seen, raw_pictures[:8], coarse)


@every_format
def test_corrected_biases_give_back_most_of_what_one_scale_for_all_channels_lost(
    target: Format, uneven: Files, raw_pictures: list[np.ndarray]
) -> None:
    quantize = {"onnx": quantize_onnx, "tflite": quantize_tflite}[target]
    wanted = outputs(uneven[target], raw_pictures[8:])

    def sqnr(correct: bool, per_channel: bool) -> float:
        settings = Int8Settings(per_channel=per_channel, correct_bias=correct)
        return sqnr_db(wanted, outputs(quantize(uneven[target], raw_pictures[:8], settings), raw_pictures[8:]))

    assert sqnr(True, per_channel=False) > sqnr(False, per_channel=False) + 6
    assert sqnr(True, per_channel=True) > sqnr(False, per_channel=True) - 1  # where there is nothing to give back


def test_a_convolution_kept_in_float_is_not_put_in_int8_by_the_engine(
    uneven: Files, raw_pictures: list[np.ndarray]
) -> None:
    """ONNX Runtime rounds the weights itself of a float convolution that takes and gives 8 bits, if it is let."""
    coarse = Int8Settings(per_channel=False, keep_float=("Conv_2",))
    int8 = quantize_onnx(uneven["onnx"], raw_pictures[:8], coarse)
    assert coverage_of(int8.artifact) == Coverage(3, 4)
    assert sqnr_db(*(outputs(each, raw_pictures[8:]) for each in (uneven["onnx"], int8))) > 30


@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_the_ruined_operator_goes_back_to_float_and_no_other(
    target: Format, uneven: Files, raw_pictures: list[np.ndarray]
) -> None:
    start = uneven["onnx" if target == "openvino" else target]
    judge = faithful(start, raw_pictures[8:], least_db=30)
    coarse = Int8Settings(per_channel=False)
    found = quantize_until(start, target, raw_pictures[:8], coarse, judge, Repair(("mixed",)))
    assert [attempt.grade.outcome for attempt in found.attempts] == ["FAIL", "PASS"]
    assert found.chosen.grade.outcome == "PASS"
    assert found.best.artifact.format == target
    assert coverage_of(found.best.artifact).int8 == 3
    assert 0 < found.chosen.in_float < 0.25


def test_the_settings_that_passed_make_the_same_file_again(uneven: Files, raw_pictures: list[np.ndarray]) -> None:
    judge = faithful(uneven["onnx"], raw_pictures[8:], least_db=30)
    found = quantize_until(uneven["onnx"], "onnx", raw_pictures[:8], Int8Settings(per_channel=False), judge)
    assert quantize_onnx(uneven["onnx"], raw_pictures[:8], found.settings) == found.best


def never(outcome: Outcome) -> Callable[[Exported], Grade]:
    return lambda exported: Grade(outcome, 0.0)


@pytest.mark.parametrize(
    ("outcome", "repair", "tried"),
    [
        ("PASS", Repair(), ["as asked"]),
        ("INCONCLUSIVE", Repair(), ["as asked"]),
        ("FAIL", Repair(("entropy", "bias")), ["as asked", "biases corrected", "entropy calibration"]),
        ("FAIL", Repair(attempts=2), ["as asked", "biases corrected"]),
        ("FAIL", Repair(("mixed",), most_float=0.1), ["as asked", "1 in float (Conv_2)"]),
        ("FAIL", Repair(()), ["as asked"]),
    ],
)
def test_what_is_tried_and_when_it_ends(
    outcome: Outcome, repair: Repair, tried: list[str], uneven: Files, raw_pictures: list[np.ndarray]
) -> None:
    coarse = Int8Settings(per_channel=False)
    found = quantize_until(uneven["onnx"], "onnx", raw_pictures[:4], coarse, never(outcome), repair)
    assert [attempt.what for attempt in found.attempts] == tried
    assert found.chosen is found.attempts[0]
    assert str(found.chosen) == f"as asked: {outcome}, 0.0000"


def test_what_failed_least_is_kept_where_nothing_passes(uneven: Files, raw_pictures: list[np.ndarray]) -> None:
    judge = faithful(uneven["onnx"], raw_pictures[8:], least_db=1000)
    coarse = Int8Settings(per_channel=False)
    found = quantize_until(uneven["onnx"], "onnx", raw_pictures[:8], coarse, judge, Repair(("bias", "mixed")))
    assert found.chosen.grade.outcome == "FAIL"
    assert found.chosen.grade.accuracy == max(attempt.grade.accuracy for attempt in found.attempts)
    assert found.attempts[0] is not found.chosen


def test_a_block_that_costs_too_much_is_passed_over_and_that_is_said(
    uneven: Files, raw_pictures: list[np.ndarray]
) -> None:
    """Conv_2, the depthwise one, is the worst; it is a tenth of all multiplications."""

    def tried(most_float: float) -> tuple[str, ...]:
        repair = Repair(("mixed",), most_float)
        coarse = Int8Settings(per_channel=False)
        found = quantize_until(uneven["onnx"], "onnx", raw_pictures[:8], coarse, lambda _: Grade("FAIL", 0.0), repair)
        return tuple(attempt.what for attempt in found.attempts)

    assert tried(0.15)[1] == "1 in float (Conv_2)"
    assert tried(0.05)[1] == "1 in float (Conv_6), but not Conv_2, Conv_3: more than 0.05 of all multiplications"
    assert tried(0.001) == ("as asked (no block goes to float, each is more than 0.001 of all multiplications)",)


def test_no_repair_helps_calibration_on_noise(spec: InputSpec, raw_pictures: list[np.ndarray]) -> None:
    """Its ranges are those of noise: what real pictures reach is cut off in every layer."""
    torch.manual_seed(0)
    layers = [layer for inside in (3, 8, 8, 8) for layer in (nn.Conv2d(inside, 8, 3), nn.ReLU())]
    start = to_onnx(nn.Sequential(*layers, nn.Conv2d(8, 4, 1)).eval(), spec)
    dice = np.random.default_rng(0)
    noise = [dice.integers(120, 136, each.shape).astype(np.uint8) for each in raw_pictures[:8]]
    judge = faithful(start, raw_pictures, least_db=25)
    assert judge(quantize_onnx(start, raw_pictures[:8])).outcome == "PASS"
    found = quantize_until(start, "onnx", noise, PLAIN, judge, Repair(("bias", "percentile", "mixed")))
    assert found.chosen.grade.outcome == "FAIL"


def test_a_format_that_int8_is_not_made_of_is_refused(uneven: Files) -> None:
    with pytest.raises(ValueError, match="INT8 for tflite is not made of a onnx file"):
        quantize_until(uneven["onnx"], "tflite", [], PLAIN, never("PASS"))
    with pytest.raises(SettingsError, match="no operator is named 'Swish_1'"):
        quantize_until(uneven["onnx"], "onnx", [], Int8Settings(keep_float=("Swish_1",)), never("PASS"))


@pytest.mark.parametrize("settings", [{"most_float": 0.0}, {"most_float": 1.5}, {"attempts": 0}])
def test_a_budget_that_is_none_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        Repair(**settings)  # type: ignore[arg-type]


def test_signal_to_noise_is_plain_arithmetic() -> None:
    wanted = [{"a": np.array([3.0, 5.0], np.float32), "b": np.array([0.0, 20.0], np.float32)}]
    got = [{"a": np.array([3.1, 4.9], np.float32), "b": np.array([1.0, 19.0], np.float32)}]
    assert sqnr_db(wanted, got) == 20.0  # noise 0.01 of a variance of 1, 1 of 100
    assert sqnr_db(wanted, wanted) == 120.0


def test_a_look_at_the_pictures_serves_every_setting(uneven: Files, raw_pictures: list[np.ndarray]) -> None:
    net = open_net(uneven["onnx"])
    seen = look(net, raw_pictures[:4], PLAIN)
    for settings in (PLAIN, Int8Settings(correct_bias=True), Int8Settings(per_channel=False, keep_float=("Conv_0",))):
        assert quantize_by(net, seen, settings) == quantize_onnx(uneven["onnx"], raw_pictures[:4], settings)
