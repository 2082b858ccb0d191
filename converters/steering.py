"""Where a module's own code is steered by what a picture shows: lines that no traced graph can hold."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_INTO_PYTHON = {getattr(torch.Tensor, name) for name in ("__bool__", "__int__", "__index__", "item", "tolist", "numpy")}


def steered_lines(module: nn.Module, example: torch.Tensor) -> tuple[str, ...]:
    """Each line, 'net.py:12', on which a tensor's value is taken into Python while `module` runs once."""
    with torch.no_grad(), _Watch() as watch:
        module(example)
    return tuple(watch.lines)


def own_line(stack: Iterable[traceback.FrameSummary]) -> str | None:
    """The innermost line of a stack that is not torch's."""
    own = [frame for frame in stack if not _is_torchs(frame.filename)]
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else None


def own_line_of(printed_stack: str) -> str | None:
    """The same of a stack as torch writes it into graphs and messages."""
    places = re.findall(r'File "([^"]+)", line (\d+)', printed_stack)
    return own_line(traceback.FrameSummary(file, int(line), "") for file, line in places)


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, None] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _INTO_PYTHON and (line := own_line(traceback.extract_stack()[:-1])):
            self.lines[line] = None
        return func(*args, **(kwargs or {}))


def _is_torchs(file: str) -> bool:
    return file.startswith("<") or Path(file).is_relative_to(Path(torch.__file__).parent)
