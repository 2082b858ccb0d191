"""Ultralytics' loop: `YOLO.predict` on one picture after the other, and the boxes as Python numbers."""

from __future__ import annotations

from typing import Any

from serve import Loop, serve


def start(asked: dict[str, Any], picture: Any) -> tuple[Loop, dict[str, str]]:
    facts = {"floats": "f32"}
    if asked["engine"] == "openvino":
        import openvino

        _hold_to(asked["floats"], openvino, facts)
    elif asked["engine"] == "litert":
        from ai_edge_litert import interpreter

        _one_thread_of_litert(interpreter)
    else:
        import onnxruntime

        _one_thread_of_onnxruntime(onnxruntime)
    from torchvision_ops import import_torchvision

    nms = import_torchvision()
    import ultralytics

    model = ultralytics.YOLO(asked["model"], task="detect")
    settings = {"imgsz": asked["size"], "conf": asked["score"], "iou": asked["iou"], "max_det": asked["things"]}

    def loop(frame: Any) -> int:
        (result,) = model.predict(frame, device="cpu", verbose=False, **settings)
        return len(result.boxes.data.tolist())

    facts |= {"ultralytics": ultralytics.__version__, "nms": nms}
    return loop, facts


def _one_thread_of_onnxruntime(onnxruntime: Any) -> None:
    """It leaves the threads to ONNX Runtime, which counts the machine's cores and not those it may use."""

    class OneThread(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, model: str, options: Any = None, **more: Any) -> None:
            options = options or onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            super().__init__(model, options, **more)

    onnxruntime.InferenceSession = OneThread


def _one_thread_of_litert(interpreter: Any) -> None:
    """It asks LiteRT for a thread a core of the machine, but one."""

    class OneThread(interpreter.Interpreter):  # type: ignore[misc]
        def __init__(self, model_path: str, **more: Any) -> None:
            super().__init__(model_path, **more | {"num_threads": 1})

    interpreter.Interpreter = OneThread


def _hold_to(floats: str, openvino: Any, facts: dict[str, str]) -> None:
    """It leaves the precision to OpenVINO, which takes bfloat16 where the CPU has it and float32 elsewhere. facts: gets
    the one that the model was compiled for, which is done in the first prediction."""

    class Held(openvino.Core):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.set_property("CPU", {"INFERENCE_PRECISION_HINT": floats, "INFERENCE_NUM_THREADS": 1})

        def compile_model(self, *args: Any, **more: Any) -> Any:
            compiled = super().compile_model(*args, **more)
            facts["floats"] = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
            return compiled

    openvino.Core = Held


if __name__ == "__main__":
    serve(start)
