"""What every engine looks like from outside, and the checks that all of them share.

A `Session` is one model, loaded in one engine, ready to run. It serves one thread at a time; two threads take two
sessions.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType, TracebackType
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from edgekit.errors import ContractError, EngineMissing
from edgekit.plan import EngineName, EnginePlan

Tensor: TypeAlias = npt.NDArray[Any]
Outputs: TypeAlias = tuple[Tensor, ...]
S = TypeVar("S", bound="Session")

# What `pip install 'edgekit[...]'` brings each engine.
EXTRAS: dict[EngineName, str] = {
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "litert": "tflite",
    "tflite-runtime": "tflite-legacy",
}


@dataclass(frozen=True)
class TensorInfo:
    """A model's input or output as its file describes it; None stands for a side that the file leaves open."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sides = ", ".join("any" if side is None else str(side) for side in self.shape)
        return f"{self.dtype} ({sides})"

    def fits(self, tensor: Tensor) -> bool:
        return (
            tensor.dtype == self.dtype
            and tensor.ndim == len(self.shape)
            and all(side in (None, given) for side, given in zip(self.shape, tensor.shape, strict=True))
        )


class Session(Protocol):
    """A model in an engine. Use it in a `with`, or `close()` it.

    engine: name and version, 'onnxruntime 1.23.2'. plan: what was asked for. precision: what the engine computes
    float models in, as it says itself once the model is loaded: 'f32', 'bf16', 'f16'. threads: as really set.
    input, outputs: what the file says of its tensors, outputs in the model's own order.
    """

    engine: str
    plan: EnginePlan
    precision: str
    threads: int
    input: TensorInfo
    outputs: tuple[TensorInfo, ...]

    def run(self, tensor: Tensor) -> Outputs:
        """The model's outputs, in the model's order. They belong to the caller: the next run does not touch them.

        `ContractError` where the tensor is not what the model takes, `EngineError` where the engine fails.
        """
        ...

    def close(self) -> None:
        """Give the engine's memory back; a closed session must not run again."""
        ...

    def __enter__(self: S) -> S:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def check_tensor(tensor: Tensor, expected: TensorInfo) -> Tensor:
    """`tensor`, in one piece of memory as engines want it; `ContractError` where it is not `expected`."""
    if not expected.fits(tensor):
        raise ContractError(f"input '{expected.name}' takes {expected}; got {tensor.dtype} {tensor.shape}")
    return np.ascontiguousarray(tensor)


def only_input(inputs: Sequence[TensorInfo]) -> TensorInfo:
    """A model of ours takes one picture and nothing else."""
    if len(inputs) != 1:
        names = ", ".join(f"'{each.name}' {each}" for each in inputs)
        raise ContractError(f"a model takes one input, the picture; this one takes {len(inputs)}: {names}")
    return inputs[0]


def import_engine(engine: EngineName, module: str, load: Callable[[str], ModuleType] = importlib.import_module) -> Any:
    """The engine's own module; `EngineMissing` says what to install. What edgekit itself lacks is not hidden."""
    install = f"pip install 'edgekit[{EXTRAS[engine]}]'"
    try:
        return load(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "edgekit":
            raise
        if missing == module.partition(".")[0]:
            raise EngineMissing(f"{engine} is not installed: {install}") from error
        raise EngineMissing(f"{engine} is installed but needs '{missing}': {install}") from error
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # pybind11 makes an ImportError of a Ctrl-C
            raise KeyboardInterrupt from error
        raise EngineMissing(f"{engine} is installed but does not load here ({error}): {install}") from error


def said(error: Exception) -> str:
    """An engine's complaint in one line, without the places in C++ that OpenVINO begins with."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(line for line in lines if line and not line.startswith("Exception from"))


def closed() -> ValueError:
    """What `run` raises after `close`."""
    return ValueError("this session is closed")
