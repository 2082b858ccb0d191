"""What stands in the way of a target is named in full before anything is built, and what is called clear converts."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor, nn

from edgekit.contract import InputSpec, Softmax
from edgekit.converters.data import DataSpec
from edgekit.converters.explain import Block, explain, explain_module
from edgekit.converters.export.to_onnx import to_onnx
from edgekit.converters.export.to_tflite import to_tflite
from edgekit.converters.load import ModelSpec
from edgekit.converters.recipe import Recipe
from edgekit.errors import ConversionError

SPEC = InputSpec(16, 16)
ALL = ("onnx", "openvino", "tflite")


class Stem(nn.Module):
    """A convolution, and behind it what the test is about."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)


class Spectral(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x)[1]


class Bessel(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(x)


class TwoUnknown(Stem):
    """Two operators that no converter has, in two modules."""

    def __init__(self) -> None:
        super().__init__()
        self.neck, self.head = Bessel(), nn.Sequential(nn.ReLU(), Spectral())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.neck(self.stem(x)))


class Steered(Stem):
    def forward(self, x: Tensor) -> Tensor:
        y = self.stem(x)
        if y.mean() > 0:
            y = y * 2
        for _ in range(int(y.sum().item()) % 3):
            y = y + 1
        return y


class Found(Stem):
    """As many answers as there are bright places."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.nonzero(self.stem(x) > 0)


class Ranked(Stem):
    """In litert-torch's table, and yet no file that edgekit can take comes of it."""

    def forward(self, x: Tensor) -> Tensor:
        return self.stem(x).flatten(1).topk(5)[0]


class Swish(Stem):
    def __init__(self) -> None:
        super().__init__()
        self.act, self.last = nn.Hardswish(), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.stem(x)))


class Halved(nn.Module):
    """A hard swish whose result is cut in two before the next convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.act, self.after = nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        half, _ = self.act(self.before(x)).chunk(2, 1)
        return self.after(half)


def fatal(found: tuple[Block, ...]) -> dict[str, list[str]]:
    """The operators that block each target."""
    return {target: [b.operator for b in found if b.fatal and b.target == target] for target in ALL}


def test_every_unknown_operator_is_named_at_once_with_its_module_and_shape() -> None:
    found = explain_module(TwoUnknown().eval(), SPEC)
    for target in ALL:
        bessel, svd = (each for each in found if each.target == target)
        assert (bessel.operator, bessel.path, bessel.shape) == ("aten.special_bessel_j0", "neck", (1, 4, 16, 16))
        assert (svd.operator.replace("_linalg", "linalg"), svd.path) == ("aten.linalg_svd", "head.1")
        assert bessel.line == f"test_explain.py:{Bessel.forward.__code__.co_firstlineno + 1}"
        assert str(bessel).startswith(f"{target}: aten.special_bessel_j0 in neck (test_explain.py:")
        assert ", giving 1x4x16x16: " in str(bessel)
    with pytest.raises(ConversionError):
        to_onnx(TwoUnknown().eval(), SPEC)
    with pytest.raises(ConversionError):
        to_tflite(TwoUnknown().eval(), SPEC)


def test_each_line_that_a_picture_steers_is_named() -> None:
    found = explain_module(Steered().eval(), SPEC, targets=("onnx", "tflite"))
    first = Steered.forward.__code__.co_firstlineno
    lines = [f"test_explain.py:{first + 2}", f"test_explain.py:{first + 4}"]
    assert [(each.target, each.line) for each in found] == [(t, line) for t in ("onnx", "tflite") for line in lines]
    assert all(each.operator == "control flow" and "torch.where" in each.remedy for each in found)
    with pytest.raises(ConversionError):
        to_onnx(Steered().eval(), SPEC)


def test_an_output_whose_size_depends_on_the_picture_blocks_tflite_alone() -> None:
    found = explain_module(Found().eval(), SPEC, targets=("onnx", "tflite"))
    assert fatal(found) == {"onnx": [], "openvino": [], "tflite": ["aten.nonzero"]}
    assert "the size of what it gives depends on the picture" in found[0].why
    with pytest.raises(ConversionError):
        to_tflite(Found().eval(), SPEC)


def test_what_only_the_converter_itself_knows_is_told_too() -> None:
    (block,) = explain_module(Ranked().eval(), SPEC, targets=("tflite",))
    assert block.fatal
    assert "subgraphs" in block.why


def test_an_activation_that_int8_pays_for_is_said_but_does_not_block() -> None:
    found = explain_module(Swish().eval(), SPEC, targets=("onnx", "tflite"))
    assert [(each.target, each.operator, each.path, each.fatal) for each in found] == [
        ("onnx", "aten.hardswish", "act", False),
        ("tflite", "aten.hardswish", "act", False),
    ]
    assert explain_module(Swish().eval(), SPEC, targets=("onnx",), int8=False) == ()


def test_what_int8_pays_for_is_seen_through_what_cuts_it_in_pieces() -> None:
    (block,) = explain_module(Halved().eval(), SPEC, targets=("onnx",))
    assert (block.operator, block.path, block.fatal) == ("aten.hardswish", "act", False)


def test_a_network_that_converts_is_clear(detector: nn.Module) -> None:
    assert explain_module(detector, InputSpec(40, 32)) == ()


def recipe(folder: Path, model: ModelSpec) -> Recipe:
    data = DataSpec("imagefolder", "pictures")
    return Recipe("net", model, SPEC, Softmax(), ("a", "b"), data, data, folder=str(folder), targets=("onnx", "tflite"))


def test_an_onnx_file_is_held_against_the_importer_with_nodes_and_shapes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["image"], ["d"], "det"),
        helper.make_node("Relu", ["d"], ["r"], "relu"),
        helper.make_node("NonZero", ["r"], ["places"], "where"),
    ]
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16]),
        helper.make_tensor_value_info("places", TensorProto.INT64, None),
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "net.onnx")
    found = explain(recipe(tmp_path, ModelSpec(onnx="net.onnx")))
    assert [(each.target, each.operator, each.path, each.shape) for each in found] == [
        ("onnx", "Det", "det", (1, 3)),
        ("tflite", "Det", "det", (1, 3)),
        ("onnx", "NonZero", "where", None),
        ("tflite", "NonZero", "where", None),
    ]


def test_a_recipe_names_modules_as_the_model_does(tmp_path: Path) -> None:
    (tmp_path / "net_of_explain.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Last(nn.Module):\n"
        "    def forward(self, x):\n"
        "        return torch.special.bessel_j0(x.mean((2, 3)))\n"
        "def build():\n"
        "    return nn.Sequential(nn.Conv2d(3, 2, 3), Last())\n"
    )
    found = explain(recipe(tmp_path, ModelSpec(torch="net_of_explain:build")))
    assert [(each.operator, each.path, each.shape, each.line) for each in found] == [
        ("aten.special_bessel_j0", "1", (1, 2), "net_of_explain.py:5")
    ] * 2
