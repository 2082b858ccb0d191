"""Whole nets from ONNX to torch and on: the same numbers, the same names, trainable, and every bad file named."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgekit.converters.onnx_to_torch import ImportedOnnx, explain, import_onnx
from edgekit.errors import ConversionError, EdgekitError, UnsupportedOperators


class SmallDetector(nn.Module):
    """What detectors are made of: strides, depthwise, residuals, a pyramid, a head shared by its levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish())
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.ReLU6(), nn.Conv2d(8, 8, 1), nn.SiLU())
        self.head = nn.Conv2d(8, 9, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        near = self.stem(x)
        deep = self.deep(F.max_pool2d(near, 3, 2, 1))
        deep = deep + deep.mean((2, 3), keepdim=True)
        near = near + F.interpolate(deep, size=near.shape[2:], mode="bilinear")
        levels = [self.head(level).flatten(2).transpose(1, 2) for level in (near, deep)]
        found = torch.cat(levels, 1)
        return found[..., :4], found[..., 4:].softmax(-1)


def exported(net: nn.Module, shape: tuple[int, ...], **options: Any) -> bytes:
    """The net as the exporter of most files in the world writes it, without folding batch norms into convolutions."""
    kept = io.BytesIO()
    settings = {"dynamo": False, "do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(shape),), cast(Any, kept), **{**settings, **options})
    return kept.getvalue()


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    net = SmallDetector()
    with torch.no_grad():
        net(torch.rand(4, 3, 32, 32))
    return net.eval()


@pytest.fixture(scope="module")
def file(net: nn.Module) -> bytes:
    return exported(net, (1, 3, 32, 48), output_names=["boxes", "scores"], input_names=["images"])


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def worst(found: tuple[torch.Tensor, ...], wanted: Any) -> float:
    assert [tuple(f.shape) for f in found] == [tuple(w.shape) for w in wanted]
    pairs = zip(found, map(torch.as_tensor, wanted), strict=True)
    return max(float((f - w).detach().abs().max()) for f, w in pairs)


def test_a_net_comes_back_as_it_was_exported(net: nn.Module, file: bytes) -> None:
    module, x = import_onnx(file), picture(1, 3, 32, 48)
    assert (module.input_name, module.input_shape) == ("images", (1, 3, 32, 48))
    assert module.output_names == ("boxes", "scores")
    assert not module.training
    with torch.no_grad():
        assert worst(module(x), net(x)) < 1e-6


def test_layers_get_their_weights_and_names_back(net: nn.Module, file: bytes) -> None:
    module = import_onnx(file)
    assert module.state_dict().keys() == net.state_dict().keys()
    assert isinstance(module.get_submodule("stem.1"), nn.BatchNorm2d)
    for name, tensor in net.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(module.state_dict()[name], tensor)


def test_two_nodes_with_the_same_weights_are_one_layer(file: bytes) -> None:
    calls = [node.target for node in import_onnx(file).graph.nodes if node.op == "call_module"]
    assert calls.count("head") == 2


def test_names_are_the_same_every_time(file: bytes) -> None:
    first, second = import_onnx(file), import_onnx(file)
    assert list(first.state_dict()) == list(second.state_dict())
    assert first.code == second.code


def test_importing_draws_no_random_numbers(file: bytes) -> None:
    torch.manual_seed(3)
    import_onnx(file)
    after = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(3))


def test_every_weight_can_be_trained_on_batches(file: bytes) -> None:
    module = import_onnx(file)
    assert module.takes_batches()
    module.train()
    boxes, scores = module(picture(4, 3, 32, 48))
    (boxes.square().mean() + scores.square().mean()).backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())


def test_a_file_that_fixes_its_batch_says_so() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 3, -1).transpose(0, 1).reshape(3, -1).sum(1)

    assert not import_onnx(exported(Fixed(), (1, 3, 4, 4))).takes_batches()


def test_a_copy_is_the_same_net_and_shares_no_weights(file: bytes) -> None:
    module, x = import_onnx(file), picture(1, 3, 32, 48)
    other = copy.deepcopy(module)
    assert isinstance(other, ImportedOnnx)
    assert other.input_shape == module.input_shape
    assert worst(other(x), [each.detach() for each in module(x)]) == 0
    with torch.no_grad():
        other.get_parameter("head.bias").add_(1)
    assert worst(other(x), [each.detach() for each in module(x)]) > 0.01


def test_it_goes_back_to_onnx(net: nn.Module, file: bytes) -> None:
    again, x = exported(import_onnx(file), (1, 3, 32, 48)), picture(1, 3, 32, 48)
    session = ort.InferenceSession(again)
    wanted = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert worst(net(x), wanted) < 1e-5


def test_the_other_exporter_of_torch_is_read_too(net: nn.Module, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    kept, x = tmp_path / "net.onnx", picture(1, 3, 32, 48)
    torch.onnx.export(net, (x,), kept, dynamo=True, verbose=False)
    module = import_onnx(kept)
    assert worst(module(x), net(x)) < 1e-5
    assert {"stem.0.weight", "deep.0.weight", "head.weight"} <= module.state_dict().keys()


def test_weights_beside_the_file_are_found(net: nn.Module, file: bytes, tmp_path: Path) -> None:
    model, x = onnx.load_model_from_string(file), picture(1, 3, 32, 48)
    onnx.save_model(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.bin", size_threshold=0)
    assert worst(import_onnx(tmp_path / "net.onnx")(x), net(x)) < 1e-6
    (tmp_path / "net.bin").unlink()
    with pytest.raises(ConversionError, match=r"net\.bin"):
        import_onnx(tmp_path / "net.onnx")


def test_a_half_precision_file_becomes_a_float32_module(net: nn.Module) -> None:
    model = onnx.load_model_from_string(graph("float16[1,3,4,4] x", "float16[] y", "y = Mul(x, k)"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.full(1, 0.1, np.float16), "k"))
    (found,) = import_onnx(model.SerializeToString())(torch.ones(1, 3, 4, 4))
    assert found.dtype == torch.float32
    assert float(found[0, 0, 0, 0]) == pytest.approx(0.1, rel=1e-3)


def test_free_sizes_are_filled_in() -> None:
    free = exported(
        nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), (1, 3, 8, 8), dynamic_axes={"x": [0, 2, 3]}, input_names=["x"]
    )
    with pytest.raises(ConversionError, match=r"free sizes; give input_shape"):
        import_onnx(free)
    module = import_onnx(free, (1, 3, 5, 6))
    assert module(picture(*module.input_shape))[0].shape == (1, 60)


def test_a_free_batch_alone_is_one_picture() -> None:
    free = exported(nn.Conv2d(3, 2, 1), (1, 3, 8, 8), dynamic_axes={"x": [0]}, input_names=["x"])
    assert import_onnx(free).input_shape == (1, 3, 8, 8)


REAL = [
    ("fastestdet_coco.onnx", None, 1.0),
    ("yolox_nano_coco.onnx", None, 255.0),
    ("yunet_n_dynamic.onnx", (1, 3, 160, 224), 255.0),
]


@pytest.fixture(params=REAL, ids=lambda each: each[0])
def real(request: pytest.FixtureRequest, data: Path) -> tuple[ImportedOnnx, torch.Tensor, list[Any]]:
    """A published detector as a module, a picture of noise, and what ONNX Runtime makes of it."""
    name, shape, white = request.param
    module = import_onnx(data / "models" / name, shape)
    x = picture(*module.input_shape) * white
    return module, x, ort.InferenceSession(data / "models" / name).run(None, {module.input_name: x.numpy()})


@torch.no_grad()
def test_published_detectors_give_what_onnx_runtime_gives(real: Any) -> None:
    module, x, wanted = real
    assert worst(module(x), wanted) < 1e-4
    assert worst(torch.export.export(module, (x,)).module()(x), wanted) < 1e-4
    assert module.takes_batches()


@torch.no_grad()
def test_published_detectors_reach_tflite(real: Any, tmp_path: Path) -> None:
    litert_torch = pytest.importorskip("litert_torch")
    from ai_edge_litert.interpreter import Interpreter

    module, x, wanted = real
    litert_torch.convert(module, (x,)).export(str(tmp_path / "net.tflite"))
    lite = Interpreter(str(tmp_path / "net.tflite"), num_threads=1)
    run = lite.get_signature_runner()
    given = run(**{next(iter(run.get_input_details())): x.numpy()})
    found = tuple(torch.from_numpy(given[f"output_{i}"]) for i in range(len(wanted)))
    assert worst(found, wanted) < 1e-3


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "shufflenet_v2_x0_5"])
@torch.no_grad()
def test_classifiers_of_torchvision_come_back(name: str) -> None:
    from edgekit.converters.torchvision_cpu import import_torchvision

    torch.manual_seed(0)
    x, model = picture(1, 3, 64, 64), import_torchvision().models.get_model(name, weights=None).eval()
    module = import_onnx(exported(model, (1, 3, 64, 64)))
    assert worst(module(x), [model(x)]) < 1e-5
    assert module.state_dict().keys() - model.state_dict().keys() == set()


def graph(given: str, gives: str, body: str, opset: int = 17, **domains: int) -> bytes:
    """A file from ONNX's text form."""
    parsed = onnx.parser.parse_graph(f"g ({given}) => ({gives}) {{ {body} }}")
    opsets = [onnx.helper.make_opsetid(name, version) for name, version in {"": opset, **domains}.items()]
    return bytes(onnx.helper.make_model(parsed, opset_imports=opsets, ir_version=8).SerializeToString())


IMAGE, PLAIN = "float[1,3,8,8] x", "y = Relu(x)"
BAD: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("empty", lambda good: b"", "not a valid ONNX model"),
    ("text", lambda good: b"<html>404</html>", "not an ONNX model, or cut short"),
    ("cut short", lambda good: good[: len(good) // 2], "not an ONNX model, or cut short"),
    ("two inputs", lambda good: graph(f"{IMAGE}, float[1,2] scale", "float[] y", PLAIN), "2 inputs .*'scale'"),
    ("no input", lambda good: graph("", "float[] y", "y = Constant<value_float=1.0>()"), r"0 inputs \(none\)"),
    ("bytes in", lambda good: graph("uint8[1,3,8,8] x", "uint8[] y", "y = Identity(x)"), "is uint8; give the model"),
    ("old", lambda good: graph(IMAGE, "float[] y", PLAIN, opset=6), "opset 6; export it again with opset 7"),
    ("free size", lambda good: graph("float[N,3,H,W] x", "float[] y", PLAIN), r"\(N, 3, H, W\) with free sizes"),
    ("cycle", lambda good: graph(IMAGE, "float[] y", "y = Relu(z) z = Relu(y)"), "topologically sorted"),
    (
        "quantized",
        lambda good: graph(
            IMAGE, "float[] y",
            "s = Constant<value_float=1.0>() q = QuantizeLinear(x, s) y = DequantizeLinear(q, s)",
        ),
        r"already quantized \(DequantizeLinear, QuantizeLinear\); give the float model",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("broken", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_file_is_one_clear_line(broken: Callable[[bytes], bytes], message: str, file: bytes) -> None:
    with pytest.raises(ConversionError, match=message) as caught:
        import_onnx(broken(file))
    assert "\n" not in str(caught.value)


def test_damaged_weights_are_named(file: bytes) -> None:
    model = onnx.load_model_from_string(file)
    model.graph.initializer[0].dims[0] += 1
    with pytest.raises(ConversionError, match=f"{model.graph.initializer[0].name}"):
        import_onnx(model.SerializeToString())


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"nowhere\.onnx: no such file"):
        import_onnx(tmp_path / "nowhere.onnx")


def test_a_shape_that_is_not_the_files_is_refused(file: bytes) -> None:
    with pytest.raises(ConversionError, match=r"'images' is \(1, 3, 32, 48\), not \(1, 3, 64, 64\)"):
        import_onnx(file, (1, 3, 64, 64))
    with pytest.raises(ValueError, match="whole numbers above 0"):
        import_onnx(file, (1, 3, 0, 48))


def test_every_unsupported_operator_is_listed_at_once() -> None:
    """Also behind one another, and without blaming the shape arithmetic that is lost behind them."""
    body = """
        a = com.acme.Wobble(x)
        b = com.acme.Wobble(a)
        s = Shape(b)
        k = ConstantOfShape(s)
        m = Mul(b, k)
        i = NonMaxSuppression(m, m)
        y = RoiAlign(m, m, i)
    """
    broken = graph(IMAGE, "float[] y", body, **{"com.acme": 1})
    with pytest.raises(UnsupportedOperators, match=r"com.acme.Wobble x2 \(at 'a', 'b'\).*raw outputs only") as caught:
        import_onnx(broken)
    assert caught.value.operators == {"com.acme.Wobble": 2, "NonMaxSuppression": 1, "RoiAlign": 1}
    assert [problem.node for problem in explain(broken)] == ["a", "b", "i", "y"]


def test_a_loop_is_refused_as_control_flow() -> None:
    body = """
        n = Constant<value_int=3>()
        y = Loop(n, , x) <body = b (int64 i, bool c, float[1,3,8,8] v) => (bool d, float[1,3,8,8] w) {
            d = Identity(c)
            w = Relu(v)
        }>
    """
    with pytest.raises(UnsupportedOperators, match=r"Loop x1 .*: control flow"):
        import_onnx(graph(IMAGE, "float[] y", body))


def test_a_good_file_needs_no_explanation(file: bytes) -> None:
    assert explain(file) == []


def test_no_damage_to_a_file_ends_in_anything_but_a_named_error(file: bytes) -> None:
    random, refused = np.random.default_rng(0), 0
    for _ in range(150):
        damaged = bytearray(file)
        for place in random.integers(0, len(file), random.integers(1, 6)):
            damaged[place] = random.integers(256)
        try:
            import_onnx(bytes(damaged))
        except EdgekitError:
            refused += 1
    assert refused > 20
