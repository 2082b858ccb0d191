"""Makes a YOLO of Ultralytics with seeded weights, for its three engines: fit to be timed, and for nothing else.

Nothing is downloaded: the net comes from Ultralytics' own description. What decides the cost of a frame is made like a
trained net's: the sizes of its activations, and how many anchors pass.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ultralytics import YOLO, settings


def main(name: str, size: int, folder: Path, pictures: Path) -> None:
    settings.update({"sync": False})
    torch.manual_seed(0)
    model = YOLO(f"{name}.yaml")
    _look_trained(model.model, _frames(pictures, size))
    kinds = {"onnx": ".onnx", "openvino": "_openvino_model", "litert": ".tflite"}
    for kind, suffix in kinds.items():
        made = model.export(format=kind, imgsz=size, device="cpu", **({"opset": 17} if kind == "onnx" else {}))
        shutil.move(made, folder / f"{name}-{size}{suffix}")


def _frames(folder: Path, size: int) -> torch.Tensor:
    """Four frames as a camera's, tiled with twelve pictures each and letterboxed, (4, 3, size, size) from 0 to 1."""
    frames, paths = np.full((4, size, size, 3), 114, np.uint8), iter(sorted(folder.rglob("*.jpg")))
    height = size * 9 // 16
    for frame in frames:
        tiles = [cv2.resize(_read(next(paths)), (320, 240)) for _ in range(12)]
        whole = np.vstack([np.hstack(tiles[row : row + 4]) for row in (0, 4, 8)])
        top = (size - height) // 2
        frame[top : top + height] = cv2.resize(whole, (size, height))
    return torch.from_numpy(frames[..., ::-1].transpose(0, 3, 1, 2) / np.float32(255))


def _read(path: Path) -> Any:
    picture = cv2.imread(str(path))
    if picture is None:
        raise SystemExit(f"{path} is no picture that OpenCV reads")
    return picture


def _look_trained(net: Any, pictures: torch.Tensor) -> None:
    """Activations of usual size, and class scores of which one anchor in twenty passes a threshold of 0.25."""
    net.train()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of what it sees, whatever it began with
    last = [branch[-1] for branch in net.model[-1].cv3]
    seen: dict[Any, torch.Tensor] = {}
    hooks = [layer.register_forward_hook(lambda layer, _, logits: seen.update({layer: logits})) for layer in last]
    with torch.no_grad():
        net(pictures)
        net.eval()
        for layer in last:
            layer.bias.zero_()
        net(pictures)
        for layer in last:
            layer.weight /= seen[layer].std()
        net(pictures)
        best = torch.cat([seen[layer].amax(dim=1).flatten() for layer in last])
        for layer in last:
            layer.bias.fill_(torch.logit(torch.tensor(0.25)) - best.quantile(0.95))
    for hook in hooks:
        hook.remove()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
