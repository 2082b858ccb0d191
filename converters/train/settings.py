"""What the training steps of a recipe can be told: how long, how fast, how the pictures are varied, who teaches.

    [[steps]]
    kind = "train"
    epochs = 12
    frozen = { "features" = 1, "features.0" = 3 }
    augment = { area = [0.3, 1.0], flip = 0.5 }

`Train` begins from general weights, `FineTune` mends a model that is already good, `Distill` learns from a better one.
All three share one loop and its settings; only the defaults differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from edgekit import schema
from edgekit.contract import HeadSpec, InputSpec, Task
from edgekit.converters.load import ModelSpec
from edgekit.converters.quantize import Int8Settings
from edgekit.schema import STRICT


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How a picture is varied before the model sees it in training, anew in each epoch.

    area: the share of the picture that a random part of it keeps, from and to; [1, 1] keeps all of it.
    aspect: how much wider or narrower than the picture that part may be: 1.33 is from 3:4 to 4:3 of its shape.
    flip: how often it is mirrored. 0 by default: a carton's print has a direction, and no camera sees it mirrored.
    brightness, contrast, saturation: how far each may be changed, 0.3 is by a factor from 0.7 to 1.3. hue: of the
    colour circle, at most 0.5; 0 by default, since colour tells a lemon from a lime.
    """

    __pydantic_config__ = STRICT

    area: tuple[float, float] = (0.3, 1.0)
    aspect: float = 1.33
    flip: float = 0.0
    brightness: float = 0.3
    contrast: float = 0.1
    saturation: float = 0.1
    hue: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"area is two shares of the picture, above 0, the smaller first; got {self.area}")
        if self.aspect < 1:
            raise ValueError(f"aspect is a factor of 1 or more; got {self.aspect}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip is how often a picture is mirrored, 0 to 1; got {self.flip}")
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is how far its factor may be from 1, 0 to below 1; got {getattr(self, name)}")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue is a part of the colour circle, 0 to 0.5; got {self.hue}")


@dataclass(frozen=True, kw_only=True)
class CosFace:
    """How an embedding learns: a vector for each product, and a picture's must be nearer to its own by a margin.

    Wang et al., CosFace: Large Margin Cosine Loss for Deep Face Recognition, CVPR 2018. The products' vectors exist
    during training only. scale: by which cosines are multiplied before softmax; margin: of the cosine.
    """

    __pydantic_config__ = STRICT

    scale: float = 30.0
    margin: float = 0.3

    def __post_init__(self) -> None:
        if self.scale <= 0 or not 0 <= self.margin < 1:
            raise ValueError(f"scale must be above 0 and margin in 0 to below 1; got {self.scale} and {self.margin}")


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What every training step can be told.

    epochs: passes over the training pictures. batch: pictures a step.
    rate: the peak learning rate of `optimizer`; it rises over the first `warmup` epochs and falls to 0 along a cosine
        (Loshchilov and Hutter, SGDR, ICLR 2017). weight_decay: of weights, not of biases and norms.
    clip: gradients longer than this are cut to it.
    frozen: a module's name = for how many epochs it stays as it is, batch norms included; of nested names the longer
        one decides. `{ "features" = 1, "features.0" = 3 }` unfreezes stage by stage.
    label_smoothing: of classifiers. mixup: two pictures are blended in shares drawn from Beta(mixup, mixup), 0 for
        never (Zhang et al., ICLR 2018); for classifiers.
    ema: the model that is kept is a running average of the trained one, with this much of the past in it after each
        step (Polyak and Juditsky, 1992); 0 keeps the trained one itself.
    keep: which epoch's model: the 'best' by the validation pictures, the last where there are none; or the 'last'.
    patience: epochs without a better validation figure after which training stops; None for never.
    metric: how an embedding learns.
    cache_mb: decoded pictures kept in memory; those beyond are decoded anew in each epoch.
    """

    __pydantic_config__ = STRICT

    epochs: int = 12
    batch: int = 32
    optimizer: Literal["sgd", "adamw"] = "sgd"
    rate: float = 0.02
    weight_decay: float = 4e-4
    warmup: float = 1.0
    clip: float = 10.0
    frozen: Mapping[str, int] = field(default_factory=dict)
    augment: Augment = field(default_factory=Augment)
    label_smoothing: float = 0.1
    mixup: float = 0.0
    ema: float = 0.98
    keep: Literal["best", "last"] = "best"
    patience: int | None = None
    metric: CosFace = field(default_factory=CosFace)
    cache_mb: int = 1024

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ValueError(f"epochs must be at least 1 and batch 2; got {self.epochs} and {self.batch}")
        if self.rate <= 0 or self.clip <= 0:
            raise ValueError(f"rate and clip must be above 0; got {self.rate} and {self.clip}")
        if not 0 <= self.warmup <= self.epochs:
            raise ValueError(f"warmup is counted in epochs, 0 to {self.epochs}; got {self.warmup}")
        if self.weight_decay < 0 or self.mixup < 0 or self.cache_mb < 0:
            raise ValueError(
                "weight_decay, mixup and cache_mb must be 0 or more; "
                f"got {self.weight_decay}, {self.mixup} and {self.cache_mb}"
            )
        if not 0 <= self.label_smoothing < 1 or not 0 <= self.ema < 1:
            raise ValueError(
                f"label_smoothing and ema must be in 0 to below 1; got {self.label_smoothing} and {self.ema}"
            )
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is a number of epochs, at least 1; got {self.patience}")
        if any(epochs < 0 for epochs in self.frozen.values()):
            raise ValueError(f"frozen is a number of epochs for each module, 0 or more; got {dict(self.frozen)}")


# What a setting is for; a model that does another task never looks at it.
_TASKS: Mapping[str, Task] = {
    "label_smoothing": "classify",
    "mixup": "classify",
    "temperature": "classify",
    "metric": "embed",
}


def without_effect(step: Loop, task: Task) -> tuple[str, ...]:
    """Settings of `step` that are not the usual ones and that training for `task` would ignore."""
    usual = {
        each.name: each.default if each.default_factory is MISSING else each.default_factory() for each in fields(step)
    }
    return tuple(
        name for name, meant in _TASKS.items() if meant != task and name in usual and getattr(step, name) != usual[name]
    )


def deciding(step: object) -> dict[str, Any]:
    """What of a step's settings decides what comes of it, as it stands in a recipe: all but the size of a cache."""
    return {name: value for name, value in schema.dump(step).items() if name != "cache_mb"}


@dataclass(frozen=True, kw_only=True)
class Train(Loop):
    """Transfer learning: from general weights (the model's `start`) to the recipe's labels."""

    kind: Literal["train"] = "train"


@dataclass(frozen=True, kw_only=True)
class FineTune(Loop):
    """Short and at a low rate: brings a model back to its accuracy after something was taken out of it.

    int8: train under simulated INT8 of these settings, such as `{ calibration = "percentile" }`, so that the weights
        learn to live with it (Jacob et al., CVPR 2018); None trains in float.
    """

    kind: Literal["finetune"] = "finetune"
    int8: Int8Settings | None = None
    epochs: int = 4
    rate: float = 0.004
    warmup: float = 0.25
    augment: Augment = field(default_factory=lambda: Augment(area=(0.5, 1.0)))


@dataclass(frozen=True, kw_only=True)
class Distill(Loop):
    """The model learns from the labels and from a better model's answers to the same pictures.

    teacher: a trained model. teacher_head, teacher_input: its contract, where that is not the recipe's.
    temperature: by which both models' logits are divided, so that the teacher's second thoughts count too. alpha: the
        teacher's part of the loss, the labels' is the rest. Hinton et al., Distilling the Knowledge in a Neural
        Network, 2015, arXiv 1503.02531.
    features: pairs of module names, the model's and the teacher's, whose outputs are to be alike as well, through a
        1x1 convolution that is thrown away afterwards (Romero et al., FitNets, ICLR 2015); feature_weight: their part
        beside the rest, which counts 1.
    """

    kind: Literal["distill"] = "distill"
    teacher: ModelSpec
    teacher_head: HeadSpec | None = None
    teacher_input: InputSpec | None = None
    temperature: float = 4.0
    alpha: float = 0.7
    features: tuple[tuple[str, str], ...] = ()
    feature_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature <= 0 or not 0 <= self.alpha <= 1 or self.feature_weight < 0:
            raise ValueError(
                "temperature must be above 0, alpha in 0..1 and feature_weight 0 or more; "
                f"got {self.temperature}, {self.alpha} and {self.feature_weight}"
            )
        if self.feature_weight != 1.0 and not self.features:
            raise ValueError("feature_weight is of features, and none are named; leave it out")
        if self.teacher.start is not None:
            raise ValueError("a teacher has learnt already: give it weights, not start")
