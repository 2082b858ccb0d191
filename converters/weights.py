"""Trained weights from a file into a torch module, every mismatch named at once."""

from __future__ import annotations

import argparse
import hashlib
import pickle
import re
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import ConversionError
from edgekit.files import replacing

# Where training scripts put the weights in a checkpoint, and what wrappers write before every name.
_INSIDE = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # DataParallel and DistributedDataParallel; torch.compile
_SHOWN = 5
# What torch's reader raises on damaged files; found by cutting and overwriting bytes at random in 2400 of them.
DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors`, `.pt` or `.pth` file by name, on the CPU whatever device they were saved on.

    Nothing in the file is executed. A checkpoint's `state_dict`, `model_state_dict` or `model` is taken out of it, the
    prefixes of DataParallel and torch.compile are cut off. `ConversionError` where the file is missing, damaged, holds
    objects other than tensors, or values that are not finite.
    """
    if not path.is_file():
        raise ConversionError(f"{path}: no such weights file")
    if path.suffix not in (".safetensors", ".pt", ".pth"):
        raise ConversionError(f"{path}: weights are a .safetensors, .pt or .pth file")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _unwrap(_read_pickle(path))
    weights = _without_prefix(_only_tensors(state, path))
    broken = [name for name, value in weights.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise ConversionError(f"{path}: NaN or infinity in {_some(broken)}")
    return weights


def write_weights(module: nn.Module, path: Path) -> None:
    """The module's tensors by name as safetensors at `path`, whole or not at all; what `read_weights` reads."""
    content = as_safetensors(module.state_dict())
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def as_safetensors(tensors: Mapping[str, Tensor]) -> bytes:
    """The file's content; a tensor that two layers share is in it under both names."""
    from safetensors.torch import save

    dense = torch.contiguous_format
    # Copies, since safetensors refuses tensors that lie in the same memory.
    return save({name: value.detach().cpu().clone(memory_format=dense) for name, value in tensors.items()})


def tensors_digest(module: nn.Module) -> str:
    """SHA-256 of the module's tensors and their names, the same on every device."""
    whole = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        whole.update(name.encode())
        whole.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()


def fit_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Puts `weights` into `module`; `ConversionError` lists the missing, the unexpected and the differently shaped."""
    own = module.state_dict()
    shapes = _of_another_shape(own, weights)
    fitting = {name: value for name, value in weights.items() if name not in own or value.shape == own[name].shape}
    # torch itself decides what is missing: a batch norm may lack its counter of batches.
    missing, unexpected = module.load_state_dict(fitting, strict=False)
    missing = [name for name in missing if name not in weights]
    faults = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    found = [f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        raise ConversionError(f"{source} does not fit {type(module).__name__}: {'; '.join(found)}")


def start_from(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> tuple[str, ...]:
    """Puts what of `weights` fits into `module` by name and shape, and says of the rest why it was not taken.

    `ConversionError` where nothing fits: then it is another architecture's file, not a start.
    """
    own = module.state_dict()
    fitting = {name: value for name, value in weights.items() if name in own and value.shape == own[name].shape}
    if not fitting:
        raise ConversionError(
            f"{source}: none of its {len(weights)} tensors fits {type(module).__name__} by name and shape; "
            f"it has {_some(weights)}, the model {_some(own)}"
        )
    module.load_state_dict(fitting, strict=False)
    rest = {
        "of another shape": _of_another_shape(own, weights),
        "unknown to the model": [name for name in weights if name not in own],
        "as initialised": [name for name in own if name not in fitting],
    }
    taken = f"{source}: {len(fitting)} of {len(weights)} tensors taken"
    return taken, *(f"{len(names)} {why}: {_some(names)}" for why, names in rest.items() if names)


def _of_another_shape(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    return [
        f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
        for name, value in weights.items()
        if name in own and value.shape != own[name].shape
    ]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConversionError(f"{path}: damaged or no safetensors file: {error}") from error


def _read_pickle(path: Path) -> Any:
    """Tensors and plain containers only; and `argparse.Namespace`, which holds nothing else, because torchvision's
    training scripts put one into each checkpoint.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGE as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused is None:
            raise ConversionError(f"{path}: damaged or no torch file: {_first_line(error)}") from error
        raise ConversionError(
            f"{path}: holds a {refused[1]}, and only tensors are loaded; save them alone: "
            "torch.save(model.state_dict(), path)"
        ) from error


def _unwrap(found: Any) -> Any:
    for key in _INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            return found[key]
    return found


def _only_tensors(state: Any, path: Path) -> dict[str, Tensor]:
    if not isinstance(state, Mapping) or not state:
        raise ConversionError(f"{path}: weights are tensors by name; it holds {_kind(state)}")
    others = [f"{name} ({_kind(value)})" for name, value in state.items() if not isinstance(value, Tensor)]
    if others:
        raise ConversionError(f"{path}: weights are tensors by name; no tensors are {_some(others)}")
    return dict(state)


def _without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in weights):
            return _without_prefix({name.removeprefix(prefix): value for name, value in weights.items()})
    return weights


def _kind(value: object) -> str:
    return "nothing" if isinstance(value, Mapping) and not value else f"a {type(value).__name__}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
