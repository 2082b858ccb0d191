"""What a model expects of a picture, and what its outputs mean.

The contract is written once in the recipe, travels in the bundle's manifest and is what preprocessing, decoding,
calibration, evaluation and the camera loop go by. `InputSpec` describes the way in, one head class a family describes
the way out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from edgekit.errors import ContractError
from edgekit.schema import STRICT, TaggedBy

Triple: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class InputSpec:
    """How a frame becomes the tensor that a model takes.

    The frame is fitted to `width` x `height`, its colours ordered, and each channel becomes `(pixel * scale - mean) /
    std`, mean and std in `colour` order. `fit`: 'letterbox' keeps the shape and fills the rest with `pad_value`,
    centred or with the padding at the end (right and bottom); 'stretch' does not keep it; 'crop' scales the shorter
    side to size / `keep` and cuts the centre out.

    `dtype` is what goes over the wire. An artifact whose normalisation lies inside takes the raw pixel as 'uint8', or
    as 'int8' (pixel - 128); then scale, mean and std must be left alone.
    """

    __pydantic_config__ = STRICT

    width: int
    height: int
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    dtype: Literal["float32", "uint8", "int8"] = "float32"
    colour: Literal["RGB", "BGR"] = "RGB"
    fit: Literal["letterbox", "stretch", "crop"] = "letterbox"
    pad_value: int = 114
    pad_side: Literal["centre", "end"] = "centre"
    keep: float = 1.0
    interpolation: Literal["linear", "area", "nearest", "cubic"] = "linear"
    scale: float = 1 / 255
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"width and height must be at least 1; got {self.width} x {self.height}")
        if not 0 <= self.pad_value <= 255:
            raise ValueError(f"pad_value is a pixel, 0 to 255; got {self.pad_value}")
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep is a share of the shorter side, above 0 and at most 1; got {self.keep}")
        if self.scale <= 0 or min(self.std) <= 0:
            raise ValueError(f"scale and std must be above 0; got {self.scale} and {self.std}")
        plain = self.mean == (0.0, 0.0, 0.0) and self.std == (1.0, 1.0, 1.0) and self.scale in (1.0, 1 / 255)
        if self.dtype != "float32" and not plain:
            raise ValueError(f"{self.dtype} pixels go in raw: leave scale, mean and std alone, or use float32")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the tensor, one picture in it."""
        h, w = self.height, self.width
        return (1, 3, h, w) if self.layout == "NCHW" else (1, h, w, 3)

    @property
    def uniform(self) -> tuple[float, float] | None:
        """(factor, offset) such that each value is pixel * factor + offset; None where the channels differ."""
        if len(set(self.mean)) > 1 or len(set(self.std)) > 1:
            return None
        return self.scale / self.std[0], -self.mean[0] / self.std[0]

    def raw(self, dtype: Literal["uint8", "int8"], layout: Literal["NCHW", "NHWC"] | None = None) -> InputSpec:
        """The spec of an artifact that does this one's normalisation inside and takes raw pixels."""
        plain: dict[str, Any] = {"scale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        return replace(self, dtype=dtype, layout=layout or self.layout, **plain)


@dataclass(frozen=True)
class Softmax:
    """A classifier: one output, (1, classes). `logits`: apply softmax; off where the model already gives probabilities.

    `first` drops that many scores before the labels begin (TFLite's ImageNet models have a background class at 0).
    """

    __pydantic_config__ = STRICT

    kind: Literal["softmax"] = "softmax"
    logits: bool = True
    first: int = 0


@dataclass(frozen=True)
class Embedding:
    """An embedding model: one output, (1, size); the vector is scaled to length 1 unless `normalise` is off."""

    __pydantic_config__ = STRICT

    kind: Literal["embedding"] = "embedding"
    normalise: bool = True


@dataclass(frozen=True)
class _Limits:
    """What every detection head shares; may be changed at run time with `dataclasses.replace`.

    score: below it a candidate is dropped. max_detections: the best that many are kept.
    """

    __pydantic_config__ = STRICT

    score: float = 0.25
    max_detections: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.score <= 1 or self.max_detections < 1:
            raise ValueError(
                f"score must be in 0..1 and max_detections 1 or more; got {self.score} and {self.max_detections}"
            )


@dataclass(frozen=True)
class _Thresholds(_Limits):
    """And what the heads share whose boxes still overlap.

    iou: above it the weaker of two boxes of one class is dropped (`class_agnostic`: of any class). A candidate has
    one label, that of its best class.
    """

    iou: float = 0.5
    class_agnostic: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.iou <= 1:
            raise ValueError(f"iou must be in 0..1; got {self.iou}")


@dataclass(frozen=True)
class Ssd(_Thresholds):
    """SSD and SSDLite: class logits (1, anchors, classes + 1) and box regressions (1, anchors, 4), in that order.

    Anchors are torchvision's DefaultBoxGenerator: for feature map k of `grids[k]` (height, width) the scales s_k and
    sqrt(s_k * s_k+1) with ratio 1, then s_k in each ratio and its inverse, as parts of the input's sides; row by row,
    the anchors of one point next to each other. `steps` are the pixels between the points of each map where these are
    not the input's sides / the grid (SSD300-VGG: 8, 16, 32, 64, 100, 300). `variances` multiply the regression
    (torchvision's weights 10, 10, 5, 5 are variances 0.1, 0.1, 0.2, 0.2). Class 0 is background with activation
    'softmax'; there is none with 'sigmoid'. Liu et al., SSD: Single Shot MultiBox Detector, ECCV 2016.

    A recipe for one of torchvision's models may leave grids, scales and aspect_ratios out: they are the model's own.
    """

    kind: Literal["ssd"] = "ssd"
    grids: tuple[tuple[int, int], ...] = ()
    scales: tuple[float, ...] = ()
    aspect_ratios: tuple[tuple[float, ...], ...] = ()
    steps: tuple[float, ...] = ()
    variances: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    clip_anchors: bool = True
    activation: Literal["softmax", "sigmoid"] = "softmax"

    def __post_init__(self) -> None:
        super().__post_init__()
        maps = len(self.grids)
        to_be_filled = not (self.grids or self.aspect_ratios or self.scales)
        if not to_be_filled and (len(self.aspect_ratios) != maps or len(self.scales) != maps + 1):
            raise ValueError(
                "an ssd head needs grids, as many lists of aspect_ratios, and one more scale than grids; "
                f"got {maps}, {len(self.aspect_ratios)} and {len(self.scales)}"
            )
        if self.steps and len(self.steps) != maps:
            raise ValueError(f"an ssd head has one step a grid or none at all; got {len(self.steps)} for {maps} grids")


@dataclass(frozen=True)
class Yolo(_Thresholds):
    """Anchor-free YOLO v8, v9, v11 as exported without NMS: one output (1, 4 + classes, anchors), boxes decoded,
    scores after sigmoid.

    `boxes`: 'xywh' (centre) or 'xyxy', in pixels of the input, or as parts of it where `normalised` (Ultralytics'
    TFLite exports). The two parts may also come as two outputs, (1, 4, anchors) and (1, classes, anchors) in that
    order, which is what survives INT8: in one tensor, boxes up to 640 leave nothing of scores up to 1. The exports
    of v10 and YOLO26 that need no NMS are an `EndToEnd` head. https://docs.ultralytics.com/modes/export
    """

    kind: Literal["yolo"] = "yolo"
    boxes: Literal["xywh", "xyxy"] = "xywh"
    normalised: bool = False


@dataclass(frozen=True)
class YoloX(_Thresholds):
    """YOLOX with its grid still to be added: one output (1, anchors, 5 + classes), x, y, log w, log h in strides,
    then objectness and class scores, both after sigmoid; score = objectness * class score.

    The published models take BGR from 0 to 255, letterboxed with 114 at the end. Ge et al., YOLOX: Exceeding YOLO
    Series in 2021, arXiv 2107.08430, and yolox/utils/demo_utils.py of Megvii-BaseDetection/YOLOX.
    """

    kind: Literal["yolox"] = "yolox"
    strides: tuple[int, ...] = (8, 16, 32)


@dataclass(frozen=True)
class YoloV5(_Thresholds):
    """YOLO v5 and v7 with anchors: either one `decoded` output (1, anchors, 5 + classes), or one raw map per stride.

    Decoded rows are x, y, w, h (centre) in pixels of the input, objectness and class scores after sigmoid; score =
    objectness * class score. A raw map is (1, 3, h, w, 5 + classes) or (1, 3 * (5 + classes), h, w), before sigmoid.
    `anchors`: width, height pairs in pixels, one tuple a stride. https://github.com/ultralytics/yolov5/issues/6998
    """

    kind: Literal["yolov5"] = "yolov5"
    strides: tuple[int, ...] = (8, 16, 32)
    anchors: tuple[tuple[float, ...], ...] = (
        (10, 13, 16, 30, 33, 23),
        (30, 61, 62, 45, 59, 119),
        (116, 90, 156, 198, 373, 326),
    )
    decoded: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.anchors) != len(self.strides) or any(len(pairs) % 2 or not pairs for pairs in self.anchors):
            raise ValueError(
                "a yolov5 head has one tuple of width, height pairs a stride; "
                f"got {len(self.strides)} strides and tuples of {[len(pairs) for pairs in self.anchors]}"
            )


@dataclass(frozen=True)
class Gfl(_Thresholds):
    """NanoDet and PicoDet: class scores after sigmoid, and for each side of the box a distribution over 0..reg_max
    strides.

    Either one output (1, points, classes + 4 * (reg_max + 1)), or per stride a pair (1, points, classes) and
    (1, points, 4 * (reg_max + 1)), all classes first, then all regressions; the distributions before softmax, in the
    order left, top, right, bottom. `offset`: where in its cell a point lies (0 for NanoDet-Plus, 0.5 for PicoDet and
    the first NanoDet, which has no stride 64). Li et al., Generalized Focal Loss, NeurIPS 2020.
    """

    kind: Literal["gfl"] = "gfl"
    strides: tuple[int, ...] = (8, 16, 32, 64)
    reg_max: int = 7
    offset: float = 0.0


@dataclass(frozen=True)
class FastestDet(_Thresholds):
    """FastestDet: one map (1, 5 + classes, h, w) of objectness, x, y, w, h and classes; score = obj^0.6 * cls^0.4.

    The network itself applies sigmoid to the objectness and softmax to the classes; tanh for the centre's offset in
    cells and sigmoid for the sides as parts of the input are left to the decoder. The published model takes BGR / 255,
    stretched. `handle_preds` in utils/tool.py of https://github.com/dog-qiuqiu/FastestDet
    """

    kind: Literal["fastestdet"] = "fastestdet"


@dataclass(frozen=True)
class EndToEnd(_Limits):
    """A model whose boxes need no NMS: boxes (1, n, 4), scores (1, n), labels (1, n) and perhaps a count (1,).

    `outputs` names them in the model's order; TFLite_Detection_PostProcess is the default. `boxes`: 'yxyx' or 'xyxy',
    as parts of the input where `normalised`, else in its pixels. `first_label` is subtracted from the labels. The
    single output (1, n, 6) of YOLO v10 and YOLO26, and of Ultralytics' exports with nms=True, is `outputs = ["rows"]`:
    a row is a box, its score and its label.
    """

    kind: Literal["end2end"] = "end2end"
    outputs: tuple[Literal["boxes", "scores", "labels", "count", "rows"], ...] = ("boxes", "labels", "scores", "count")
    boxes: Literal["yxyx", "xyxy"] = "yxyx"
    normalised: bool = True
    first_label: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        named = sorted(self.outputs)
        if named not in (["rows"], ["boxes", "labels", "scores"], ["boxes", "count", "labels", "scores"]):
            raise ValueError(
                "outputs must name boxes, scores and labels once each, and perhaps count; or rows alone; "
                f"got {', '.join(self.outputs) or 'none'}"
            )


DetectionHead: TypeAlias = Ssd | Yolo | YoloX | YoloV5 | Gfl | FastestDet | EndToEnd
AnyHead: TypeAlias = Softmax | Embedding | Ssd | Yolo | YoloX | YoloV5 | Gfl | FastestDet | EndToEnd
# `HeadSpec` is what recipes and manifests hold; `kind` says which one it is.
HeadSpec: TypeAlias = Annotated[AnyHead, TaggedBy("kind")]

Task: TypeAlias = Literal["classify", "embed", "detect"]


def task_of(head: AnyHead) -> Task:
    """What a model with this head does."""
    if isinstance(head, Softmax):
        return "classify"
    return "embed" if isinstance(head, Embedding) else "detect"


Format: TypeAlias = Literal["onnx", "openvino", "tflite"]


@dataclass(frozen=True)
class Artifact:
    """A model file in memory, as engines take it. An engine never sees the file itself, so nobody can change it under
    its feet.

    `model` is the .onnx or .tflite file, or OpenVINO's .xml with its .bin in `weights`.
    """

    format: Format
    model: bytes
    weights: bytes = b""

    @classmethod
    def read(cls, path: Path | str) -> Artifact:
        """The file at `path`, by its ending; `ContractError` where it is none of the three or cannot be read."""
        path = Path(path)
        formats: dict[str, Format] = {".onnx": "onnx", ".xml": "openvino", ".tflite": "tflite"}
        if path.suffix not in formats:
            raise ContractError(f"{path}: a model file ends in {', '.join(formats)}")
        try:
            weights = path.with_suffix(".bin").read_bytes() if path.suffix == ".xml" else b""
            return cls(formats[path.suffix], path.read_bytes(), weights)
        except OSError as error:
            raise ContractError(f"{error.filename}: {error.strerror}") from error
