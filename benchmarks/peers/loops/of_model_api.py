"""OpenVINO Model API's loop: its YOLOv8 wrapper, called on one picture after the other."""

from __future__ import annotations

from typing import Any

from serve import Loop, serve


def start(asked: dict[str, Any], picture: Any) -> tuple[Loop, dict[str, str]]:
    import openvino
    from model_api.adapters import OpenvinoAdapter
    from model_api.models import YOLO11, YOLOv8

    plugin = {"INFERENCE_PRECISION_HINT": asked["floats"], "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    adapter = OpenvinoAdapter(openvino.Core(), asked["model"], device="CPU", plugin_config=plugin)
    wrapper = YOLO11 if "yolo11" in asked["model"] else YOLOv8
    settings = {"confidence_threshold": asked["score"], "iou_threshold": asked["iou"]}
    labels = [str(label) for label in range(asked["classes"])]
    shape = {"resize_type": "fit_to_window_letterbox", "pad_value": 114, "reverse_input_channels": True}
    scale = {"scale_values": [255.0, 255.0, 255.0]}
    model = wrapper(adapter, {**settings, **shape, **scale, "labels": labels}, preload=True)

    def loop(frame: Any) -> int:
        found = model(frame)
        return len(getattr(found, "objects", None) or found.bboxes)

    floats = adapter.compiled_model.get_property("INFERENCE_PRECISION_HINT").to_string()
    return loop, {"openvino": openvino.__version__, "floats": floats}


if __name__ == "__main__":
    serve(start)
