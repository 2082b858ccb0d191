"""Where in a picture a classifier finds its answer: Grad-CAM for a torch module, occlusion for anything that answers.

Grad-CAM (Selvaraju et al., ICCV 2017) needs gradients, which an INT8 file in its engine does not have. Occlusion
(Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014) needs none: parts of the picture
are covered and what the answer's probability loses is noted. So two models are compared by occlusion, both through
their own sessions, and Grad-CAM stands beside it where there is a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from edgekit.contract import InputSpec, Softmax
from edgekit.frames import Classification, FloatArray, Image
from edgekit.preprocess import Placement, preprocess

CELLS = 8  # a side; a patch covers 2 x 2 of them, so that one session is run 49 times a picture


@dataclass(frozen=True, eq=False)
class Saliency:
    """values: (height, width) of the picture, in the method's own unit, 0 where nothing counts or what is there speaks
    against the answer. grid: rows and columns that the method tells apart; between them values are interpolated."""

    values: FloatArray
    grid: tuple[int, int]


def occlusion(classify: Callable[[Image], Classification], image: Image, label: int) -> Saliency:
    """Where covering the picture with its mean colour makes `label` less probable, and by how much.

    Each cell of an 8 x 8 grid has the mean loss of the patches that cover it; what makes the label more probable counts
    as 0.
    """
    height, width = image.shape[:2]
    rows, columns = (np.linspace(0, side, CELLS + 1).round().astype(int) for side in (height, width))
    whole = float(classify(image).scores[label])
    lost, covered = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS))
    colour = image.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    for row, column in np.ndindex(CELLS - 1, CELLS - 1):
        hidden = image.copy()
        hidden[rows[row] : rows[row + 2], columns[column] : columns[column + 2]] = colour
        under = slice(row, row + 2), slice(column, column + 2)
        lost[under] += whole - float(classify(hidden).scores[label])
        covered[under] += 1
    cells = np.maximum(lost / covered, 0).astype(np.float32)
    smooth = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    return Saliency(np.asarray(smooth, np.float32), (CELLS, CELLS))


def grad_cam(module: nn.Module, spec: InputSpec, head: Softmax, image: Image, label: int) -> Saliency | None:
    """Which places of the last feature map speak for `label`; None where the module has no map to look at.

    The map is the last output of a layer that is more than one pixel high and wide and on the way to the answer. Its
    channels are weighted by the mean gradient of the label's output, logit or probability as the module gives it.
    """
    tensor, placement = preprocess(image, spec)
    maps: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(_keep(maps)) for layer in module.modules() if layer is not module]
    try:
        with torch.enable_grad():
            picture = torch.from_numpy(tensor.copy()).requires_grad_()
            outputs = module(picture)
    finally:
        for hook in hooks:
            hook.remove()
    output = (outputs if isinstance(outputs, torch.Tensor) else outputs[0])[0, head.first + label]
    gradients = torch.autograd.grad(output, maps, allow_unused=True) if maps else ()
    on_the_way = [pair for pair in zip(maps, gradients, strict=True) if pair[1] is not None]
    if not on_the_way:
        return None
    features, gradient = on_the_way[-1]
    weights = gradient.mean((2, 3), keepdim=True)
    cam = (weights * features).sum(1)[0].clamp(min=0).detach().numpy()
    return Saliency(_on_picture(cam, spec, placement), cam.shape)


def _keep(maps: list[torch.Tensor]) -> Callable[[nn.Module, object, object], None]:
    def keep(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
            maps.append(output)

    return keep


def _on_picture(cam: FloatArray, spec: InputSpec, placement: Placement) -> FloatArray:
    """From the input's pixels to the picture's: padding is cut off, and what a crop never saw is 0."""
    on_input = cv2.resize(cam, (spec.width, spec.height), interpolation=cv2.INTER_LINEAR)
    to_input = np.array([[placement.scale_x, 0, placement.left], [0, placement.scale_y, placement.top]], np.float64)
    size = placement.frame_width, placement.frame_height
    found = cv2.warpAffine(on_input, to_input, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(found, np.float32)
