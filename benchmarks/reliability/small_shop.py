"""A whole shop in a folder: pictures for its cameras, a detector small enough to be written down, and its settings.

The detector is a real model that runs in a real engine: it finds the red and the blue cells of a grid. It has three
weak spots that lie in its own arithmetic, so that a picture can hurt it as pictures hurt real models: it takes the
logarithm of a number that a dim picture makes negative, has a hundred times as much to compute for a hazy one, and asks
for 2 GB at once for a glaring one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np

from edgekit.benchmarks.reliability.onnx_file import Array, Node, onnx_model
from edgekit.bundle import Evidence, Manifest, Variant, write_bundle
from edgekit.contract import InputSpec, Yolo
from edgekit.frames import Image
from edgekit.runtime.settings import ModelSettings
from edgekit.sinks.jsonl import JsonlSettings
from edgekit.supervisor.camera import HealthSettings
from edgekit.supervisor.engine import EngineSettings
from edgekit.supervisor.ladder import LadderSettings
from edgekit.supervisor.settings import CameraSettings, EventSettings, SinkSettings, Unattended

Light: TypeAlias = Literal["calm", "dim", "hazy", "glaring"]
Precision: TypeAlias = Literal["int8", "float"]
Breach: TypeAlias = Literal["another shape", "one output more"]

VARIANTS = ("onnx-int8", "onnx-float")  # in the order in which the profile prefers them
COLUMNS, ROWS = 6, 4  # of the grid
_GREY: dict[Light, int] = {
    "calm": 110,
    "dim": 30,
    "hazy": 165,
    "glaring": 245,
}  # of 255; under 10 a camera counts as DARK
_BLACK, _DIM, _HAZY, _GLARING = 0.05, 0.2, 0.55, 0.8  # brightness, of 1
_SIDE = 2560  # of a square matrix: its square takes 34 GFLOP, for which two fast cores need two frame budgets
_MUCH = 2**29  # float32 numbers: 2 GB, more than the rigs let a child have and less than hurts a host
_PICTURES = 50  # then they begin anew
_NOISE = 8
_LABELS = ("red", "blue")
_COLOURS = ((20, 20, 235), (235, 20, 20))


class SmallShop:
    """The shop in `folder`, which must be there; `settings` are for `run_unattended`.

    light: changes what a camera shows. breach, repair: put a bundle in its place whose model does not keep its
    contract, and the good one back. The file is replaced, never written to: whoever has it open keeps what it opened.
    cell: the side of a cell in pixels, which says how large pictures are and how long a look takes.
    """

    def __init__(
        self,
        folder: Path,
        engine: EngineSettings,
        *,
        cell: int = 16,
        cameras: int = 1,
        fps: float = 20.0,
        observations: Literal["changes", "all"] = "all",
    ) -> None:
        self.folder = folder
        self.events = folder / "events.jsonl"
        self._cell = cell
        for light in _GREY:
            _write_pictures(folder / light, light, cell)
        names = [f"camera-{number}" for number in range(cameras)]
        for name in names:
            self.light(name, "calm")
        self.repair()
        self.settings = Unattended(
            # Pictures from a file come again; the rigs here are about other things than frozen cameras.
            cameras=tuple(CameraSettings(n, str(folder / n), fps, health=HealthSettings(frozen_s=0)) for n in names),
            detector=ModelSettings(folder / "detector.ekb"),
            device="rig",
            profile="generic",
            state=folder / "state",
            track=False,
            engine=engine,
            ladder=LadderSettings(missed_high=1.1),  # a host that is busy with rigs is no reason to look less often
            events=EventSettings(observations=observations),
            sinks=SinkSettings(jsonl=JsonlSettings(str(self.events), sync=False)),
            largest_frame=(COLUMNS * cell, ROWS * cell),
        )

    def light(self, camera: str, light: Light) -> None:
        """From its next picture on, the camera shows this."""
        new = self.folder / f"{camera}.new"
        new.symlink_to(light, target_is_directory=True)
        os.replace(new, self.folder / camera)

    def breach(self, variant: str, breach: Breach) -> None:
        """From the next start on, this variant's model does not give what its bundle says."""
        write_detector(self.folder / "detector.ekb", self._cell, {variant: breach})

    def repair(self) -> None:
        write_detector(self.folder / "detector.ekb", self._cell)


def write_detector(path: Path, cell: int, breaches: Mapping[str, Breach] = MappingProxyType({})) -> None:
    """The bundle at `path`: both variants run in ONNX Runtime, with the weights in INT8 or in float."""
    spec = InputSpec(COLUMNS * cell, ROWS * cell)
    files, variants = {}, []
    for name in VARIANTS:
        precision: Precision = "int8" if name == "onnx-int8" else "float"
        variants.append(Variant(name, "onnx", precision, spec, f"{name}/model.onnx"))
        files[f"{name}/model.onnx"] = _model(precision, cell, breaches.get(name))
    manifest = Manifest("cells", 1, spec, Yolo(score=0.3), _LABELS, tuple(variants), Evidence(0, {}, {}))
    write_bundle(path, manifest, files)


def _model(precision: Precision, cell: int, breach: Breach | None) -> bytes:
    """Scores are how much redder than blue a cell is, and how much bluer than red; boxes are the cells."""
    pool = {"kernel_shape": [cell, cell], "strides": [cell, cell]}
    boxes = _boxes(cell)
    cells = boxes.shape[2]
    nodes = [
        Node("AveragePool", ["image"], "means", pool),
        Node("Conv", ["means", "red_blue"], "difference"),
        Node("Relu", ["difference"], "map"),
        Node("Reshape", ["map", "flat"], "scores"),
        Node("Concat", ["cells", "scores"], "cells_and_scores", {"axis": 1}),
        *_weak_spots(),
        Node("Add", ["cells_and_scores", "weak_spots"], "found"),
    ]
    red_blue = np.array([[1, 0, -1], [-1, 0, 1]], np.float32).reshape(2, 3, 1, 1)
    constants: dict[str, Array] = {"cells": boxes, "flat": np.array([1, 2, cells]), **_LIMITS}
    if precision == "float":
        constants["red_blue"] = red_blue
    else:
        nodes.insert(0, Node("DequantizeLinear", ["red_blue_int8", "step"], "red_blue"))
        constants |= {"red_blue_int8": (red_blue * 127).astype(np.int8), "step": np.array(1 / 127, np.float32)}
    outputs: dict[str, tuple[int, ...]] = {"found": (1, 6, cells)}
    if breach == "another shape":
        outputs = {"scores": (1, 2, cells)}
    elif breach == "one output more":
        outputs["map"] = (1, 2, ROWS, COLUMNS)
    return onnx_model(nodes, constants, {"image": (1, 3, ROWS * cell, COLUMNS * cell)}, outputs)


_LIMITS: dict[str, Array] = {
    "black": np.array(_BLACK, np.float32),
    "dim": np.array(_DIM, np.float32),
    "hazy": np.array(_HAZY, np.float32),
    "glaring": np.array(_GLARING, np.float32),
    "side": np.array([_SIDE, _SIDE], np.float32),
    "much": np.array([_MUCH], np.float32),
    "nothing": np.array(0, np.float32),
}


def _weak_spots() -> Iterator[Node]:
    """0 for most pictures; NaN between `black` and `dim`; long in coming above `hazy`, and much too large above
    `glaring`."""
    yield Node("ReduceMean", ["image"], "light", {"keepdims": 0})
    yield Node("Sub", ["light", "black"], "above_black")
    yield Node("Sub", ["light", "dim"], "above_dim")
    yield Node("Mul", ["above_black", "above_dim"], "between")
    yield Node("Log", ["between"], "log")
    yield Node("Mul", ["log", "nothing"], "zero_or_nan")
    yield from _zeros_above("hazy", "side", "square")
    yield Node("MatMul", ["square", "square"], "squared")
    yield Node("ReduceSum", ["squared"], "zero_in_time", {"keepdims": 0})
    yield from _zeros_above("glaring", "much", "heap")
    yield Node("ReduceSum", ["heap"], "zero_in_memory", {"keepdims": 0})
    yield Node("Add", ["zero_or_nan", "zero_in_time"], "first_two")
    yield Node("Add", ["first_two", "zero_in_memory"], "weak_spots")


def _zeros_above(limit: str, shape: str, output: str) -> Iterator[Node]:
    """Zeros of that shape where the light is above the limit; else there are none."""
    yield Node("Sub", ["light", limit], f"above_{limit}")
    yield Node("Relu", [f"above_{limit}"], f"{limit}_much")
    yield Node("Ceil", [f"{limit}_much"], f"{limit}_or_not")
    yield Node("Mul", [f"{limit}_or_not", shape], f"{output}_size")
    yield Node("Cast", [f"{output}_size"], f"{output}_shape", {"to": 7})
    yield Node("ConstantOfShape", [f"{output}_shape"], output)


def _boxes(cell: int) -> Array:
    """(1, 4, cells): centre x, centre y, width and height of each."""
    columns, rows = np.meshgrid(np.arange(COLUMNS), np.arange(ROWS))
    centres = (np.stack([columns.ravel(), rows.ravel()]) + 0.5) * cell
    return np.concatenate([centres, np.full_like(centres, cell)]).astype(np.float32)[None]


def _write_pictures(folder: Path, light: Light, cell: int) -> None:
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(_PICTURES):
        cv2.imwrite(str(folder / f"{number:03}.bmp"), _picture(draw, _GREY[light], cell))


def _picture(draw: np.random.Generator, grey: int, cell: int) -> Image:
    picture: Any = np.full((ROWS * cell, COLUMNS * cell, 3), grey, np.int16)
    for place in draw.choice(ROWS * COLUMNS, 3, replace=False).tolist():
        row, column = divmod(place, COLUMNS)
        picture[row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = _COLOURS[place % 2]
    noisy = picture + draw.integers(-_NOISE, _NOISE + 1, picture.shape)
    return np.asarray(noisy.clip(0, 255), np.uint8)
