"""Ultralytics' loop: `YOLO.predict` on one picture after the other, and the boxes as Python numbers."""

from __future__ import annotations

from typing import Any

from serve import Loop, serve


def start(asked: dict[str, Any], picture: Any) -> tuple[Loop, dict[str, str]]:
    if asked["engine"] == "openvino":
        import openvino

        _hold_to(asked["floats"], openvino)
    else:
        import onnxruntime

        _on_one_thread(onnxruntime)
    from torchvision_ops import import_torchvision

    nms = import_torchvision()
    import ultralytics

    model = ultralytics.YOLO(asked["model"], task="detect")
    settings = {"imgsz": asked["size"], "conf": asked["score"], "iou": asked["iou"], "max_det": asked["things"]}

    def loop(frame: Any) -> int:
        (result,) = model.predict(frame, device="cpu", verbose=False, **settings)
        return len(result.boxes.data.tolist())

    return loop, {"ultralytics": ultralytics.__version__, "floats": asked["floats"], "nms": nms}


def _on_one_thread(onnxruntime: Any) -> None:
    """It leaves the threads to ONNX Runtime, which counts the machine's cores and not those it may use."""

    class OneThread(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: str, options: Any = None, **more: Any) -> None:
            options = options or onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            super().__init__(model, options, **more)

    onnxruntime.InferenceSession = OneThread


def _hold_to(floats: str, openvino: Any) -> None:
    """It leaves the precision to OpenVINO, which takes bfloat16 where the CPU has it and float32 elsewhere."""

    class Held(openvino.Core):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_property("CPU", {"INFERENCE_PRECISION_HINT": floats, "INFERENCE_NUM_THREADS": 1})

    openvino.Core = Held


if __name__ == "__main__":
    serve(start)
