"""Published detectors on photographs: preprocessing and decoding together find what their authors say they find.

AP50 of apple, banana and orange on the first sixty pictures of fruit_det; nothing was trained on it. Over all 240 it
is 0.60 (FastestDet), 0.70 (YOLOX-nano) and 0.65 (SSD MobileNet v1).
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from edgekit.contract import EndToEnd, FastestDet, InputSpec, YoloX
from edgekit.decode import decode_detections
from edgekit.preprocess import preprocess

PICTURES = 60
FASTESTDET = InputSpec(352, 352, colour="BGR", fit="stretch"), FastestDet(score=0.01)
YOLOX = InputSpec(416, 416, colour="BGR", fit="letterbox", pad_side="end", scale=1.0), YoloX(score=0.01)
SSD = InputSpec(300, 300, layout="NHWC", fit="stretch").raw("uint8"), EndToEnd(score=0.01)


def detector(run, spec, head, labels):
    """What `edgekit.tasks.Detector` does, over a bare engine."""

    def detect(image):
        tensor, placement = preprocess(image, spec)
        found = decode_detections(run(tensor), head, spec, len(labels))
        return replace(found, boxes=placement.to_frame(found.boxes))

    return detect


def onnx(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tensor: session.run(None, {name: tensor})


def tflite(path):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()

    def run(tensor):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tensor)
        interpreter.invoke()
        return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]

    return run


def names(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def ap50(detect, labels, folder: Path, pictures: int) -> float:
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    truth = json.loads((folder / "train.json").read_text())
    category = {labels.index(each["name"]): each["id"] for each in truth["categories"]}
    some = sorted(truth["images"], key=lambda each: each["file_name"])[:: len(truth["images"]) // pictures][:pictures]
    results = []
    for each in some:
        found = detect(cv2.imread(str(folder / each["file_name"])))
        for (x0, y0, x1, y1), score, label in zip(found.boxes.tolist(), found.scores, found.labels, strict=True):
            if int(label) in category:
                box = [x0, y0, x1 - x0, y1 - y0]
                results.append(
                    {"image_id": each["id"], "category_id": category[int(label)], "bbox": box, "score": float(score)}
                )
    if not results:
        return 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        ground = coco.COCO()
        ground.dataset = truth
        ground.createIndex()
        scoring = cocoeval.COCOeval(ground, ground.loadRes(results), "bbox")
        scoring.params.imgIds = [each["id"] for each in some]
        scoring.evaluate()
        scoring.accumulate()
        scoring.summarize()
    return float(scoring.stats[1])


def score(data: Path, model: str, labels: str, contract, pictures: int = PICTURES) -> float:
    known = names(data / "models" / labels)
    engine = (onnx if model.endswith("onnx") else tflite)(data / "models" / model)
    return ap50(detector(engine, *contract, known), known, data / "fruit_det", pictures)


def test_fastestdet_finds_fruit(data):
    assert score(data, "fastestdet_coco.onnx", "coco.names", FASTESTDET) > 0.64


def test_yolox_nano_finds_fruit(data):
    assert score(data, "yolox_nano_coco.onnx", "coco.names", YOLOX) > 0.70


def test_ssd_mobilenet_finds_fruit_by_its_own_nms(data):
    assert score(data, "ssd_mobilenet_v1_coco_uint8.tflite", "ssd_labelmap.txt", SSD) > 0.66


@pytest.mark.parametrize("wrong", [{"colour": "RGB"}, {"scale": 1 / 255}], ids=["colours swapped", "scaled to 1"])
def test_a_contract_that_is_wrong_in_one_word_costs_points(data, wrong):
    """The control: without it the scores above would prove little."""
    spec, head = YOLOX
    assert score(data, "yolox_nano_coco.onnx", "coco.names", (replace(spec, **wrong), head)) < 0.55
