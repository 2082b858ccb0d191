"""Ultralytics' loop: `YOLO.predict` on one picture after the other, and the boxes as Python numbers."""

from __future__ import annotations

from typing import Any

from serve import Loop, serve


def start(asked: dict[str, Any], picture: Any) -> tuple[Loop, dict[str, str]]:
    if asked["engine"] == "openvino":
        import openvino

        _in_f32(openvino)
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

    return loop, {"ultralytics": ultralytics.__version__, "floats": "f32", "nms": nms}


def _on_one_thread(onnxruntime: Any) -> None:
    """It leaves the threads to ONNX Runtime, which counts the machine's cores and not those it may use."""

    class OneThread(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: str, options: Any = None, **more: Any) -> None:
            options = options or onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            super().__init__(model, options, **more)

    onnxruntime.InferenceSession = OneThread


def _in_f32(openvino: Any) -> None:
    """It leaves the precision to OpenVINO, which takes bfloat16 where the CPU has it: another model, and no peer."""

    class InF32(openvino.Core):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})

    openvino.Core = InF32


if __name__ == "__main__":
    serve(start)
