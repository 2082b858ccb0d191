"""SSD models of torchvision without weights that see things all the same."""

from __future__ import annotations

import torch
from torch import nn

from edgekit.contract import InputSpec


def confident(build, **arguments) -> nn.Module:
    """An untrained SSD whose last layers are spread so far that it sees things."""
    torch.manual_seed(0)
    limits = {"score_thresh": 0.6, "nms_thresh": 0.45, "detections_per_img": 1000}
    ssd = build(weights=None, weights_backbone=None, num_classes=2, **limits, **arguments).eval()
    with torch.no_grad():
        picture, _ = ssd.transform([torch.rand(3, 20, 20)])  # stretched to patches of colour
        maps = ssd.backbone(picture.tensors).values()
        for part, spread in ((ssd.head.classification_head, 2.0), (ssd.head.regression_head, 1.0)):
            for block, features in zip(part.module_list, maps, strict=True):
                last = block if isinstance(block, nn.Conv2d) else block[-1]
                last.weight.mul_(spread / block(features).std())
    return ssd


def own_spec(ssd: nn.Module) -> InputSpec:
    """The InputSpec that says what the model's own transform does."""
    (height, width), transform = ssd.transform.fixed_size, ssd.transform
    return InputSpec(width, height, fit="stretch", mean=tuple(transform.image_mean), std=tuple(transform.image_std))
