"""Bundles of two models that are small enough to be written down here, and really run in an engine: a detector that
looks for red and blue in a grid of 20 x 20 cells, and a classifier of mean colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from painted import LABELS, PRODUCTS

from edgekit.bundle import Evidence, Manifest, Variant, write_bundle
from edgekit.contract import AnyHead, InputSpec, Softmax, Yolo

WIDTH, HEIGHT, CELL = 160, 120, 20


def write_detector(path: Path) -> Path:
    """Scores are how much redder than blue a cell is, and how much bluer than red; boxes are the cells."""
    red_blue = np.array([[1, 0, -1], [-1, 0, 1]], np.float32).reshape(2, 3, 1, 1)
    columns, rows = np.meshgrid(np.arange(WIDTH // CELL), np.arange(HEIGHT // CELL))
    centres = (np.stack([columns.ravel(), rows.ravel()]) + 0.5) * CELL
    cells = np.concatenate([centres, np.full_like(centres, CELL)]).astype(np.float32)[None]
    nodes = [
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[CELL, CELL], strides=[CELL, CELL]),
        helper.make_node("Conv", ["means", "red_blue"], ["difference"]),
        helper.make_node("Relu", ["difference"], ["map"]),
        helper.make_node("Reshape", ["map", "flat"], ["scores"]),
        helper.make_node("Concat", ["cells", "scores"], ["found"], axis=1),
    ]
    constants = {"red_blue": red_blue, "cells": cells, "flat": np.array([1, 2, cells.shape[2]], np.int64)}
    spec = InputSpec(WIDTH, HEIGHT)
    return _write(path, nodes, constants, spec, "found", (1, 6, cells.shape[2]), Yolo(score=0.3), LABELS)


def write_classifier(path: Path) -> Path:
    weights = np.array([[9, 0, -9], [-9, 0, 9], [0, 0, 0]], np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["means"]),
        helper.make_node("Flatten", ["means"], ["colour"]),
        helper.make_node("Gemm", ["colour", "weights"], ["logits"], transB=1),
    ]
    return _write(
        path, nodes, {"weights": weights}, InputSpec(16, 16, fit="stretch"), "logits", (1, 3), Softmax(), PRODUCTS
    )


def _write(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, np.ndarray],
    spec: InputSpec,
    output: str,
    shape: tuple[int, ...],
    head: AnyHead,
    labels: Sequence[str],
) -> Path:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, spec.shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    variant = Variant("onnx-float", "onnx", "float", spec, "onnx-float/model.onnx")
    manifest = Manifest(path.stem, 1, spec, head, tuple(labels), (variant,), Evidence(0, {}, {}))
    write_bundle(path, manifest, {variant.model: model.SerializeToString()})
    return path
