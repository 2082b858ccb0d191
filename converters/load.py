"""The trained model that a recipe names, as a torch module: one normalised picture in, raw outputs out."""

from __future__ import annotations

import difflib
import importlib
import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgekit.contract import AnyHead, InputSpec, Ssd
from edgekit.converters.export import example_of, outputs_of
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.converters.torchvision_ssd import raw_ssd
from edgekit.converters.weights import fit_weights, read_weights, start_from
from edgekit.errors import ConversionError
from edgekit.schema import STRICT

logger = logging.getLogger(__name__)

_NUMBERS = {"tensor(float16)": np.float16, "tensor(double)": np.float64}  # what else a file may take pictures in
_IMPORTED = 0.02  # of an output's span: float16 files stay below, a mistaken operator does not
_DOWNLOADING = ("weights", "weights_backbone", "pretrained", "pretrained_backbone")


@dataclass(frozen=True)
class ModelSpec:
    """Where a trained model comes from: one of three, paths relative to the recipe's folder.

    torch: 'my_models:build', a module beside the recipe (or installed) and in it a function or a class that makes the
    model. torchvision: one of its classifiers or detectors, 'mobilenet_v2'. onnx: a file, which holds its own weights.
    weights: a .safetensors, .pt or .pth file of tensors by name, every one of them the model's. start: such a file to
    begin a training from; what fits by name and shape is taken, the rest stays as the maker initialised it.
    arguments: passed to what makes the model.
    """

    __pydantic_config__ = STRICT

    torch: str | None = None
    torchvision: str | None = None
    onnx: str | None = None
    weights: str | None = None
    start: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in ("torch", "torchvision", "onnx") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a model is one of torch, torchvision and onnx; got {' and '.join(given) or 'none'}")
        if self.torch is not None and not re.fullmatch(r"\w+(\.\w+)*:\w+", self.torch):
            raise ValueError(f"torch is 'module:function', as in 'my_models:build'; got '{self.torch}'")
        if self.weights is not None and self.start is not None:
            raise ValueError("a model has its weights or a start for training, not both")
        if self.torchvision is not None and self.weights is None and self.start is None:
            raise ValueError(
                "torchvision gives the architecture alone, edgekit downloads nothing; "
                'add weights = "file", or start = "file" to train from'
            )
        if self.onnx is not None and (self.weights is not None or self.start is not None or self.arguments):
            raise ValueError("an onnx file holds its own weights and takes no arguments; leave both out")


@dataclass(frozen=True)
class LoadedModel:
    """`module`: in eval mode, float32 (1, 3, h, w) normalised by the recipe's InputSpec in, a tuple of tensors out.
    `head`: the recipe's, with what the model itself knows filled in. `notes`: what of a `start` was taken.
    """

    module: nn.Module
    head: AnyHead
    notes: tuple[str, ...] = ()


class RawOutputs(nn.Module):
    """`model` with its tensor, or its list of tensors, as a tuple."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.model(x)
        return (found,) if isinstance(found, torch.Tensor) else tuple(found)


def load_model(spec: ModelSpec, folder: Path | str, input: InputSpec, head: AnyHead) -> LoadedModel:  # noqa: A002
    """The model of `spec`, tried once on a picture by `input`; `ConversionError` says what is wrong with it.

    An SSD of torchvision is taken out of its transform and postprocessing, and its anchors go into the head. Its other
    detectors serve as teachers (`build_module`) and are refused here.
    """
    module, notes = _built(spec, Path(folder), input)
    detector = _torchvision_detector(module)
    if detector == "SSD":
        if not isinstance(head, Ssd):
            raise ConversionError(f"a torchvision SSD needs [head] kind = \"ssd\"; got '{head.kind}'")
        module, head = raw_ssd(module, input, head)
    elif detector:
        raise ConversionError(
            f"torchvision's {detector} can be trained and can teach, but is not exported; of torchvision's detectors "
            "the SSD family is: ssdlite320_mobilenet_v3_large, ssd300_vgg16"
        )
    _try(module.eval(), input)
    if spec.onnx is not None:
        _check_import(Path(folder) / spec.onnx, module, input)
    return LoadedModel(module if detector == "SSD" else RawOutputs(module).eval(), head, notes)


def build_module(spec: ModelSpec, folder: Path, input: InputSpec) -> nn.Module:  # noqa: A002
    """The model as its maker made it, with its weights, in eval mode and float32; also what a teacher is loaded by."""
    return _built(spec, folder, input)[0]


def _built(spec: ModelSpec, folder: Path, input: InputSpec) -> tuple[nn.Module, tuple[str, ...]]:  # noqa: A002
    if spec.onnx is not None:
        return _from_onnx(folder / spec.onnx, input), ()
    if spec.torchvision is not None:
        module = _from_torchvision(spec.torchvision, spec.arguments)
    else:
        module = _from_torch(str(spec.torch), spec.arguments, folder)
    if spec.weights is not None:
        path = folder / spec.weights
        fit_weights(module, read_weights(path), str(path))
    if spec.start is None:
        return module.float().eval(), ()
    notes = start_from(module, read_weights(folder / spec.start), spec.start)
    return module.float().eval(), notes


def _from_onnx(path: Path, spec: InputSpec) -> nn.Module:
    from edgekit.converters.onnx_to_torch import import_onnx

    if not path.is_file():
        raise ConversionError(f"{path}: no such onnx file")
    return import_onnx(path, spec.shape)


def _check_import(path: Path, module: nn.Module, spec: InputSpec) -> None:
    """Holds the torch module that a file became against ONNX Runtime, on one picture.

    `ConversionError` names the first output that differs. A file that ONNX Runtime cannot run goes unchecked; in one of
    float16 the two compute by other numbers, so the gap that is allowed is wide.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as ort

    options, example = onnxruntime.SessionOptions(), example_of(spec)
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (taken,) = session.get_inputs()
        picture = example.numpy().astype(_NUMBERS.get(taken.type, np.float32))
        wanted = session.run(None, {taken.name: picture})
    except (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.NotImplemented, ort.RuntimeException) as error:
        logger.warning("%s: not held against ONNX Runtime, which does not run it: %s", path, error)
        return
    for output, theirs, ours in zip(session.get_outputs(), wanted, outputs_of(module, example), strict=True):
        span = float(np.ptp(theirs)) if theirs.size else 0.0
        if theirs.dtype.kind == "f" and (gap := _gap(ours.numpy(), theirs)) > _IMPORTED * max(span, 1e-6):
            raise ConversionError(
                f"{path}: output '{output.name}' is not what ONNX Runtime gives: {gap:.3g} apart where it spans "
                f"{span:.3g}; an operator was not imported as it should be, please report it with the file"
            )


def _gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).max(initial=0)) if ours.shape == theirs.shape else np.inf


def _from_torchvision(name: str, arguments: dict[str, Any]) -> nn.Module:
    models = import_torchvision().models
    detectors = models.list_models(module=models.detection)
    known = models.list_models(module=models) + detectors
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3) or ["mobilenet_v2", "ssdlite320_mobilenet_v3_large"]
        raise ConversionError(
            f"no torchvision classifier or detector named '{name}'; there are: {', '.join(near)}, ..."
        )
    asked = [each for each in _DOWNLOADING if each in arguments]
    if asked:
        raise ConversionError(f"edgekit downloads nothing: take {' and '.join(asked)} out of arguments, give a file")
    bare = {"weights": None, "weights_backbone": None} if name in detectors else {"weights": None}
    try:
        module: nn.Module = models.get_model(name, **bare, **arguments)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"torchvision's {name} cannot be made with {arguments}: {error}") from error
    return module


def _from_torch(path: str, arguments: dict[str, Any], folder: Path) -> nn.Module:
    """What the builder raises goes through as it is: the fault is in the caller's code, the traceback leads there."""
    import_torchvision()  # so that the builder's own `import torchvision` works too
    with _first_on_path(folder):
        build = _builder(path, folder)
        try:
            inspect.signature(build).bind(**arguments)
        except TypeError as error:
            raise ConversionError(f"{path}{inspect.signature(build)} does not take {arguments}: {error}") from error
        module = build(**arguments)
    if not isinstance(module, nn.Module):
        raise ConversionError(f"{path} must return a torch.nn.Module; it returned a {type(module).__name__}")
    return module


def _builder(path: str, folder: Path) -> Callable[..., object]:
    name, _, attribute = path.partition(":")
    top = name.partition(".")[0]
    if (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file():
        # A recipe built earlier in this process may have brought a module of the same name from its own folder.
        for stale in [each for each in sys.modules if each.partition(".")[0] == top]:
            del sys.modules[stale]
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConversionError(f"no module '{error.name}' in {folder} or installed, as torch = '{path}' asks") from error
    found: Callable[..., object] | None = getattr(module, attribute, None)
    if found is None or not callable(found):
        near = difflib.get_close_matches(attribute, [each for each in dir(module) if each[0] != "_"], n=3)
        raise ConversionError(
            f"module '{name}' has no function '{attribute}'" + (f"; there is {', '.join(near)}" * bool(near))
        )
    return found


@contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder.resolve()))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))


def _torchvision_detector(module: nn.Module) -> str | None:
    """'SSD' for its family, the class's name for torchvision's other detectors, None for any other module."""
    if "torchvision" not in sys.modules:
        return None
    import_torchvision()
    from torchvision.models.detection.fcos import FCOS
    from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
    from torchvision.models.detection.retinanet import RetinaNet
    from torchvision.models.detection.ssd import SSD

    if isinstance(module, SSD):
        return "SSD"
    others = (RetinaNet, FCOS, GeneralizedRCNN)
    return type(module).__name__ if isinstance(module, others) else None


def _try(module: nn.Module, spec: InputSpec) -> None:
    """One forward pass, so that a model that does not fit its contract is refused before anything is exported."""
    try:
        outputs_of(module, example_of(spec))
    except (RuntimeError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConversionError(f"the model does not take a {spec.shape} float32 picture: {first}") from error
