"""torchvision's SSD detectors as edgekit exports them: raw class logits and box regressions out, the anchors in the
head.

Resizing, normalisation, decoding and suppression of `torchvision.models.detection.SSD` stay outside of the artifact;
`edgekit.preprocess` and `edgekit.decode` do them on the device.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.contract import InputSpec, Ssd
from edgekit.errors import ConversionError


class RawSsd(nn.Module):
    """The network of a torchvision SSD: (1, 3, h, w) normalised in; logits (1, anchors, classes + 1) and regressions
    (1, anchors, 4) out.
    """

    def __init__(self, ssd: Any) -> None:
        super().__init__()
        self.backbone, self.head = ssd.backbone, ssd.head

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.head(_feature_maps(self.backbone, x))
        return out["cls_logits"], out["bbox_regression"]


def raw_ssd(ssd: Any, spec: InputSpec, head: Ssd) -> tuple[RawSsd, Ssd]:
    """The network of `ssd` without its transform and its postprocessing, and `head` with its anchors filled in.

    `ssd` is a torchvision SSD in eval mode. `ConversionError` where `spec` normalises other than the model's own
    transform, where `head` holds anchors that are not the model's, or the anchors are none of a DefaultBoxGenerator.
    """
    _check_normalisation(ssd.transform, spec)
    anchors = _anchors(ssd, spec)
    if head.grids:
        _check_anchors(head, anchors)
    return RawSsd(ssd), replace(head, **anchors)


def _anchors(ssd: Any, spec: InputSpec) -> dict[str, Any]:
    """The fields of an `Ssd` head that the model itself knows."""
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator

    made = ssd.anchor_generator
    if not isinstance(made, DefaultBoxGenerator):
        raise ConversionError(f"an SSD's anchors must come from a DefaultBoxGenerator; got {type(made).__name__}")
    with torch.no_grad():
        maps = _feature_maps(ssd.backbone, torch.zeros(1, 3, spec.height, spec.width))
    return {
        "grids": tuple((int(each.shape[2]), int(each.shape[3])) for each in maps),
        "scales": tuple(float(scale) for scale in made.scales),
        "aspect_ratios": tuple(tuple(float(ratio) for ratio in ratios) for ratios in made.aspect_ratios),
        "variances": tuple(1.0 / float(weight) for weight in ssd.box_coder.weights),
        "clip_anchors": bool(made.clip),
        "steps": tuple(float(step) for step in made.steps or ()),
        "activation": "softmax",
    }


def _feature_maps(backbone: nn.Module, x: Tensor) -> list[Tensor]:
    found = backbone(x)
    return [found] if isinstance(found, Tensor) else list(found.values())


def _check_normalisation(transform: Any, spec: InputSpec) -> None:
    """torchvision's transform takes pixels in 0..1; both are compared as factor and offset of a pixel in 0..255."""
    own = [(1 / 255 / std, -mean / std) for mean, std in zip(transform.image_mean, transform.image_std, strict=True)]
    asked = [(spec.scale / std, -mean / std) for mean, std in zip(spec.mean, spec.std, strict=True)]
    if not torch.allclose(torch.tensor(own), torch.tensor(asked), rtol=1e-4, atol=1e-6):
        raise ConversionError(
            "the model was made for other pixels than [input] describes: its own transform has "
            f"mean {transform.image_mean} and std {transform.image_std} of pixels * 1/255; "
            f"[input] has scale {spec.scale:.6g}, mean {list(spec.mean)} and std {list(spec.std)}. "
            "Write the model's figures into [input], or give image_mean and image_std in the model's arguments"
        )


def _check_anchors(head: Ssd, anchors: dict[str, Any]) -> None:
    wrong = [
        f"{name} {given}, the model has {value}"
        for name, value in anchors.items()
        if not _same(given := getattr(head, name), value)
    ]
    if wrong:
        raise ConversionError(
            f"the head's anchors are not the model's: {'; '.join(wrong)}. "
            "Leave grids, scales and aspect_ratios out, they are taken from the model"
        )


def _same(a: Any, b: Any) -> bool:
    """Equal, but for what is lost when a number is written down."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return abs(a - b) <= 1e-6 if isinstance(a, float) else bool(a == b)
