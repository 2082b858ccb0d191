"""The framework's own module behind the engines' interface, so that whatever runs a bundle can run it too."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch

from edgekit.contract import InputSpec
from edgekit.engines import Outputs, Session, TensorInfo
from edgekit.plan import EnginePlan


class ModuleSession(Session):
    """The framework itself behind the engines' interface: the reference that every artifact is held against.

    `module` answers with a tuple of tensors, as `load_model` gives it.
    """

    def __init__(self, module: torch.nn.Module, spec: InputSpec) -> None:
        self.engine = f"torch {torch.__version__}"
        self.plan = EnginePlan("null")
        self.precision, self.threads = "f32", torch.get_num_threads()
        self.input, self.outputs = TensorInfo("image", spec.dtype, spec.shape), ()
        self._module = module
        self._device = next((each.device for each in module.parameters()), torch.device("cpu"))

    def run(self, tensor: npt.NDArray[Any]) -> Outputs:
        with torch.no_grad():
            outputs = self._module(torch.from_numpy(tensor).to(self._device))
        return tuple(each.cpu().numpy() for each in outputs)

    def close(self) -> None:
        pass
