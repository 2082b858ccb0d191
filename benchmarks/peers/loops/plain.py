"""The script that tutorials have: ONNX Runtime, the picture normalised by NumPy, the answers read row by row."""

from __future__ import annotations

from typing import Any

from serve import Loop, serve


def start(asked: dict[str, Any], picture: Any) -> tuple[Loop, dict[str, str]]:
    import cv2
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(asked["model"], options, providers=["CPUExecutionProvider"])
    name, size = session.get_inputs()[0].name, asked["size"]

    def loop(frame: Any) -> int:
        height, width = frame.shape[:2]
        longer = max(height, width)
        square = np.zeros((longer, longer, 3), np.uint8)
        square[:height, :width] = frame
        image = cv2.cvtColor(cv2.resize(square, (size, size)), cv2.COLOR_BGR2RGB) / 255.0
        tensor = np.transpose(image, (2, 0, 1))[None].astype(np.float32)
        rows = np.transpose(session.run(None, {name: tensor})[0][0])
        boxes, scores, labels = [], [], []
        for row in rows:
            best = row[4:].max()
            if best >= asked["score"]:
                x, y, w, h = row[:4] * (longer / size)
                boxes.append([float(x - w / 2), float(y - h / 2), float(w), float(h)])
                scores.append(float(best))
                labels.append(int(row[4:].argmax()))
        kept = cv2.dnn.NMSBoxes(boxes, scores, asked["score"], asked["iou"])
        return len([(boxes[i], scores[i], labels[i]) for i in kept][: asked["things"]])

    return loop, {"onnxruntime": onnxruntime.__version__, "floats": "f32"}


if __name__ == "__main__":
    serve(start)
