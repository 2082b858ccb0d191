"""Makes a YOLO of Ultralytics with seeded weights, as ONNX and as OpenVINO's IR: fit to be timed, and for nothing else.

Nothing is downloaded: the net comes from Ultralytics' own description. What decides the cost of a frame is made like a
trained net's: the sizes of its activations, and how many anchors pass.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from ultralytics import YOLO, settings


def main(name: str, size: int, folder: Path) -> None:
    settings.update({"sync": False})
    torch.manual_seed(0)
    model = YOLO(f"{name}.yaml")
    _look_trained(model.model)
    for kind, to in (("onnx", f"{name}-{size}.onnx"), ("openvino", f"{name}-{size}_openvino_model")):
        made = model.export(format=kind, imgsz=size, device="cpu", **({"opset": 17} if kind == "onnx" else {}))
        shutil.move(made, folder / to)


def _look_trained(net: Any) -> None:
    """Activations of usual size, and class scores of which one anchor in twenty passes a threshold of 0.25."""
    net.train()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean of what it sees, whatever it began with
    blots = torch.nn.functional.interpolate(torch.rand(8, 3, 20, 20), 320, mode="bicubic").clamp(0, 1)
    last = [branch[-1] for branch in net.model[-1].cv3]
    seen: dict[Any, torch.Tensor] = {}
    hooks = [layer.register_forward_hook(lambda layer, _, logits: seen.update({layer: logits})) for layer in last]
    with torch.no_grad():
        net(blots)
        net.eval()
        for layer in last:
            layer.bias.zero_()
        net(blots)
        for layer in last:
            layer.weight /= seen[layer].std()
        net(blots)
        best = torch.cat([seen[layer].amax(dim=1).flatten() for layer in last])
        for layer in last:
            layer.bias.fill_(torch.logit(torch.tensor(0.25)) - best.quantile(0.95))
    for hook in hooks:
        hook.remove()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
