"""YOLOX-nano, which 8 bits ruin by its first two convolutions: the repair finds them by itself."""

from __future__ import annotations

from pathlib import Path

from edgekit.contract import InputSpec, YoloX
from edgekit.converters.data import DataSpec, open_dataset
from edgekit.converters.evaluate import evaluate
from edgekit.converters.export import Exported
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.load import ModelSpec, load_model
from edgekit.converters.quantize import Int8Settings
from edgekit.converters.quantize.escalate import Grade, Repair, quantize_until
from edgekit.engines import open_session
from edgekit.plan import EnginePlan
from edgekit.tasks import make_task

RECIPES = Path(__file__).resolve().parents[2] / "examples" / "recipes"
SPEC = InputSpec(224, 224, colour="BGR", fit="letterbox", pad_side="end", scale=1.0)


def test_its_first_two_convolutions_go_to_float_and_its_boxes_come_back(data: Path) -> None:
    labels = tuple((data / "models" / "coco.names").read_text().splitlines())
    model = ModelSpec(
        torch="yolox_at:build", arguments={"file": str(data / "models" / "yolox_nano_coco.onnx"), "size": 224}
    )
    loaded = load_model(model, RECIPES, SPEC, YoloX())
    start = to_onnx(loaded.module, SPEC)
    fruit = open_dataset(DataSpec("coco", str(data / "fruit_det" / "train.json"), images=48), labels, ".", 0)
    drinks = DataSpec("coco", str(data / "beverage" / "train.json"), images=8, ignore=("can",))
    tensors = open_dataset(drinks, labels, ".", 0).tensors(start.input)

    def ap(exported: Exported) -> float:
        with open_session(exported.artifact, EnginePlan("onnxruntime")) as session:
            return evaluate(make_task(session, exported.input, loaded.head, labels), fruit).figures()["ap"]

    reference = ap(start)

    def judge(exported: Exported) -> Grade:
        reached = ap(exported)
        return Grade("PASS" if reached >= reference - 0.03 else "FAIL", reached)

    found = quantize_until(start, "onnx", tensors, Int8Settings(), judge, Repair(("mixed",)))
    assert found.attempts[0].grade.accuracy < reference - 0.1
    assert found.chosen.grade.outcome == "PASS"
    assert {each.operator for each in found.sensitive[:2]} == {"Conv_7", "Conv_10"}
    assert len(found.attempts) <= 4
