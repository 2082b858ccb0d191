"""Every operator of the importer against ONNX Runtime: one tiny graph a row, in ONNX's own text form."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
import torch

from edgekit.converters.onnx_to_torch import explain, import_onnx
from edgekit.errors import ConversionError, UnsupportedOperators

Array = npt.NDArray[np.generic]


def floats(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def positive(*shape: int) -> Array:
    return np.abs(floats(*shape)) + np.float32(0.5)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def f32(*values: float) -> Array:
    return np.array(values, np.float32)


def number(value: float) -> Array:
    return np.array(value, np.float32)


@dataclass(frozen=True)
class Case:
    """A graph body from x to y; `constants` are its initializers."""

    body: str
    constants: dict[str, Array] = field(default_factory=dict)
    shape: tuple[int, ...] = (1, 4, 8, 7)
    opset: int = 17
    gives: str = "float"

    def __str__(self) -> str:
        return f"{' '.join(self.body.split())} {self.shape} opset {self.opset}"

    @property
    def model(self) -> bytes:
        sizes = ",".join(map(str, self.shape))
        graph = onnx.parser.parse_graph(f"g (float[{sizes}] x) => ({self.gives}[] y) {{ {self.body} }}")
        graph.initializer.extend(onnx.numpy_helper.from_array(a, name) for name, a in self.constants.items())
        opsets = [onnx.helper.make_opsetid("", self.opset)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return bytes(model.SerializeToString())


W3 = {"w": floats(6, 4, 3, 3)}
DEPTHWISE = {"w": floats(4, 1, 3, 3), "b": floats(4)}
UP = {"w": floats(4, 2, 3, 3), "b": floats(2)}
NORM = {"s": positive(4), "b": floats(4), "m": floats(4, seed=1), "v": positive(4)}

WEIGHTED = [
    Case("y = Conv(x, w)", W3),
    Case("y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w, b)", {**W3, "b": floats(6)}),
    Case("y = Conv<pads=[0,0,1,1], strides=[2,2]>(x, w)", W3),
    Case("y = Conv<pads=[2,2,2,2], dilations=[2,2]>(x, w)", W3),
    Case('y = Conv<auto_pad="SAME_UPPER", strides=[2,2]>(x, w)', W3),
    Case('y = Conv<auto_pad="SAME_LOWER", strides=[2,2]>(x, w)', W3),
    Case('y = Conv<auto_pad="VALID">(x, w)', W3),
    Case("y = Conv<group=4, pads=[1,1,1,1]>(x, w, b)", DEPTHWISE),
    Case("y = Conv<pads=[1,0]>(x, w)", {"w": floats(5, 4, 3)}, (1, 4, 9)),
    Case("y = ConvTranspose<strides=[2,2]>(x, w, b)", UP),
    Case("y = ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(x, w)", UP),
    Case("y = ConvTranspose<strides=[2,2], pads=[0,1,1,0]>(x, w)", UP),
    Case("y = ConvTranspose<strides=[2,2], output_shape=[16,14]>(x, w)", UP),
    Case('y = ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">(x, w)', UP),
    Case('y = ConvTranspose<strides=[2,2], auto_pad="SAME_LOWER">(x, w)', UP),
    Case("y = ConvTranspose<strides=[2,2], group=2, dilations=[2,2]>(x, w)", UP),
    Case("y = BatchNormalization<epsilon=0.01>(x, s, b, m, v)", NORM),
    Case("y = BatchNormalization(x, s, b, m, v)", NORM, (1, 4)),
    Case("y = InstanceNormalization(x, s, b)", NORM),
    Case("y = LayerNormalization<axis=-1, epsilon=0.001>(x, s, b)", {"s": floats(7), "b": floats(7)}),
    Case("y = LayerNormalization<axis=2>(x, s)", {"s": floats(8, 7)}),
    Case("y = GroupNormalization<num_groups=2>(x, s, b)", {"s": floats(4), "b": floats(4)}, opset=21),
    Case("y = Gemm<transB=1>(x, w, b)", {"w": floats(5, 8), "b": floats(5)}, (1, 8)),
    Case("y = Gemm<alpha=0.5, beta=2.0>(x, w, b)", {"w": floats(8, 5), "b": floats(1, 5)}, (1, 8)),
    Case("y = Gemm<transA=1, transB=1>(x, w, b)", {"w": floats(5, 2), "b": number(0.5)}, (2, 8)),
    Case("y = Gemm(x, w)", {"w": floats(8, 5)}, (1, 8)),
    Case("y = MatMul(x, w)", {"w": floats(7, 5)}),
    Case("p = MatMul(x, w) y = Add(p, b)", {"w": floats(7, 5), "b": floats(5)}),
    Case("y = MatMul(w, x)", {"w": floats(5, 8)}),
    Case("t = Transpose<perm=[0,1,3,2]>(x) y = MatMul(x, t)"),
    Case("y = PRelu(x, s)", {"s": floats(4, 1, 1)}),
    Case("y = PRelu(x, s)", {"s": floats(1)}),
    Case('y = Einsum<equation="bchw,bcij->bhwij">(x, x)', shape=(1, 3, 2, 2)),
]

ACTIVATIONS = [
    *(Case(f"y = {op}(x)") for op in ("Relu", "LeakyRelu", "Elu", "Sigmoid", "Tanh", "Softplus", "Softsign", "Erf")),
    *(Case(f"y = {op}(x)") for op in ("HardSigmoid", "HardSwish", "Abs", "Neg", "Exp", "Floor", "Ceil", "Round")),
    *(Case(f"y = {op}(x)") for op in ("Sign", "Sin", "Cos", "Identity", "Reciprocal", "Softmax", "LogSoftmax")),
    *(Case(f"a = Abs(x) y = {op}(a)") for op in ("Sqrt", "Log")),
    Case("y = LeakyRelu<alpha=0.3>(x)"),
    Case("y = Elu<alpha=0.5>(x)"),
    Case("y = HardSigmoid<alpha=0.16666667, beta=0.5>(x)"),
    Case("y = Mish(x)", opset=18),
    Case("y = Gelu(x)", opset=20),
    Case('y = Gelu<approximate="tanh">(x)', opset=20),
    Case("s = Sigmoid(x) y = Mul(x, s)"),
    Case("y = Clip(x, l, h)", {"l": number(-0.5), "h": number(0.5)}),
    Case("y = Clip(x, l, h)", {"l": number(0), "h": number(6)}),
    Case("y = Clip(x, , h)", {"h": number(0.25)}),
    Case("y = Clip(x)"),
    Case("y = Clip<min=-0.1, max=0.1>(x)", opset=9),
    Case("y = Clip<max=0.1>(x)", opset=9),
    Case("y = Softmax<axis=1>(x)"),
    Case("y = Softmax(x)", opset=11),
    Case("y = Softmax<axis=-1>(x)", opset=11),
    Case("y = LRN<size=3, alpha=0.5, beta=0.6, bias=2.0>(x)"),
    Case("y = Dropout(x)"),
    Case("y, mask = Dropout<ratio=0.3>(x)", opset=11),
]

TWO = {"k": floats(4, 1, 1)}
ARITHMETIC = [
    *(Case(f"y = {op}(x, k)", TWO) for op in ("Add", "Sub", "Mul", "Div")),
    *(Case(f"y = {op}(k, x)", TWO) for op in ("Sub", "Div")),
    *(Case(f"y = {op}(k, x)", {"k": number(2)}) for op in ("Add", "Sub", "Mul", "Div")),
    Case("y = Add(x, x)"),
    Case("y = Add(x, k)", {"k": floats(1, 1, 1, 1, 1)}),
    Case("y = Pow(x, k)", {"k": number(2)}),
    Case("i = Cast<to=7>(x) j = Div(i, k) y = Cast<to=1>(j)", {"k": ints(2)}),
    Case("i = Cast<to=7>(x) j = Mod(i, k) y = Cast<to=1>(j)", {"k": ints(3)}),
    Case("y = Mod<fmod=1>(x, k)", {"k": number(0.3)}),
    Case("y = Max(x, k)", TWO),
    Case("y = Min(x, k, z)", {**TWO, "z": number(0.1)}),
    Case("y = Sum(x, k, x)", TWO),
    Case("y = Mean(x, k, x)", TWO),
    *(Case(f"y = {op}(x, k)", TWO, gives="bool") for op in ("Greater", "Less", "GreaterOrEqual", "LessOrEqual")),
    Case("r = Round(x) y = Equal(r, k)", {"k": number(1)}, gives="bool"),
    Case("g = Greater(x, k) y = Where(g, x, k)", TWO),
    Case("a = Greater(x, k) b = Less(x, k) c = Or(a, b) d = And(a, c) e = Xor(c, d) y = Not(e)", TWO, gives="bool"),
    Case("y = Cast<to=7>(x)", gives="int64"),
]

REDUCTIONS = [
    *(Case(f"y = Reduce{op}<axes=[2,3]>(x)", opset=11) for op in ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2")),
    *(Case(f"y = Reduce{op}<axes=[1], keepdims=0>(x)", opset=11) for op in ("SumSquare", "LogSumExp", "L2")),
    Case("y = ReduceMean(x, a)", {"a": ints(-1, -2)}, opset=18),
    Case("y = ReduceSum<keepdims=0>(x, a)", {"a": ints(1)}, opset=13),
    Case("y = ReduceSum<noop_with_empty_axes=1>(x)", opset=13),
    *(
        Case(f"y = Reduce{kind}<noop_with_empty_axes=1>(x)", opset=18)
        for kind in ("L1", "L2", "SumSquare", "Max", "LogSumExp", "Prod")
    ),
    Case("y = ReduceMax<keepdims=0>(x)", opset=13),
    Case("y = ArgMax<axis=1>(x)", gives="int64"),
    Case("y = ArgMin<axis=-1, keepdims=0>(x)", gives="int64"),
    Case("y, i = TopK<axis=1>(x, k)", {"k": ints(2)}),
    Case("z, y = TopK<axis=1, largest=0>(x, k)", {"k": ints(2)}, gives="int64"),
    Case("y = GlobalAveragePool(x)"),
    Case("y = GlobalMaxPool(x)"),
]

POOLS = [
    Case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)"),
    Case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1>(x)"),
    Case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]>(x)"),
    Case("y = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,0,0]>(x)"),
    Case("y = MaxPool<kernel_shape=[2,2], pads=[0,0,1,1]>(x)"),
    Case("y = MaxPool<kernel_shape=[2,2], strides=[2,2], pads=[1,0,1,1]>(x)"),
    Case('y = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)'),
    Case('y = MaxPool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_LOWER">(x)'),
    Case("y = MaxPool<kernel_shape=[2,2], dilations=[2,2], pads=[1,1,1,1]>(x)"),
    Case("y = MaxPool<kernel_shape=[5,5], pads=[4,4,4,4]>(x)"),
    Case("y = MaxPool<kernel_shape=[3], strides=[2]>(x)", shape=(1, 4, 9)),
    Case("y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)"),
    Case("y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1], count_include_pad=1>(x)"),
    Case("y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]>(x)"),
    Case("y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[0,1,1,0], count_include_pad=1>(x)"),
    Case("y = AveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1>(x)", shape=(1, 4, 7, 7)),
    Case("y = AveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1, pads=[0,1,0,0]>(x)", shape=(1, 4, 7, 7)),
    Case('y = AveragePool<kernel_shape=[3,3], strides=[2,2], auto_pad="SAME_UPPER">(x)'),
    Case("y = AveragePool<kernel_shape=[3]>(x)", shape=(1, 4, 9)),
]

SHAPING = [
    Case("y = Reshape(x, s)", {"s": ints(1, -1, 14)}),
    Case("y = Reshape(x, s)", {"s": ints(0, 0, -1)}),
    Case("y = Reshape(x, s)", {"s": ints(8, 28)}),
    Case(
        "s = Shape(x) n = Gather(s, i) m = Unsqueeze<axes=[0]>(n) t = Concat<axis=0>(m, k) y = Reshape(x, t)",
        {"i": np.array(0), "k": ints(-1, 7)},
        opset=11,
    ),
    Case("s = Shape<start=1, end=3>(x) f = Cast<to=1>(s) z = ReduceProd(f) y = Mul(x, z)", opset=15),
    Case("n = Size(x) f = Cast<to=1>(n) y = Div(x, f)"),
    *(Case(f"y = Flatten<axis={axis}>(x)") for axis in (0, 1, 2, 4, -1)),
    Case("y = Squeeze<axes=[0,2]>(x)", shape=(1, 4, 1, 7), opset=11),
    Case("y = Squeeze(x, a)", {"a": ints(-2)}, (1, 4, 1, 7)),
    Case("y = Squeeze(x)", shape=(1, 4, 1, 7)),
    Case("y = Unsqueeze(x, a)", {"a": ints(0, -1)}),
    Case("y = Transpose<perm=[0,2,3,1]>(x)"),
    Case("y = Transpose(x)"),
    Case("y = Expand(x, s)", {"s": ints(2, 1, 8, 1)}, (1, 4, 1, 7)),
    Case("y = Expand(x, s)", {"s": ints(2, 1, 4, 5, 7)}, (1, 4, 1, 7)),
    Case("y = Tile(x, r)", {"r": ints(1, 2, 1, 3)}),
    Case("y = Concat<axis=1>(x, x, k)", {"k": floats(1, 2, 8, 7)}),
    Case("y = Concat<axis=-1>(k, x)", {"k": floats(1, 4, 8, 2)}),
    Case("a, b = Split<axis=1>(x) y = Sub(a, b)", opset=11),
    Case("a, b = Split<axis=1, split=[1,3]>(x) y = Mul(a, b)", opset=11),
    Case("a, b = Split<axis=2>(x, s) y = Concat<axis=2>(b, a)", {"s": ints(3, 5)}),
    Case("a, b, c = Split<axis=2, num_outputs=3>(x) y = Concat<axis=2>(c, a, b)", opset=18),
    Case("y = Slice(x, s, e, a, t)", {"s": ints(1, 0), "e": ints(7, 99), "a": ints(2, -1), "t": ints(2, 3)}),
    Case("y = Slice(x, s, e, a, t)", {"s": ints(-1), "e": ints(-(2**63)), "a": ints(3), "t": ints(-1)}),
    Case("y = Slice(x, s, e, a, t)", {"s": ints(6), "e": ints(0), "a": ints(3), "t": ints(-2)}),
    Case("y = Slice(x, s, e, a)", {"s": ints(-3), "e": ints(2**63 - 1), "a": ints(2)}),
    Case("y = Slice<starts=[1,2], ends=[3,-1], axes=[1,2]>(x)", opset=9),
    Case("y = Slice<starts=[0,1], ends=[1,3]>(x)", opset=9),
    Case("y = Gather<axis=1>(x, i)", {"i": np.array(-2)}),
    Case("y = Gather<axis=1>(x, i)", {"i": ints(3, 0, 0)}),
    Case("y = Gather<axis=2>(x, i)", {"i": ints(2, 3, 4)}),
    Case("y = Gather<axis=3>(x, i)", {"i": ints(0, 1, 2, 3).reshape(2, 2)}),
    Case("p = ArgMax<axis=1, keepdims=0>(x) y = Gather(t, p)", {"t": floats(4, 3)}),
    Case("p = ArgMax<axis=1, keepdims=0>(x) n = Sub(p, k) y = Gather(t, n)", {"t": floats(4, 3), "k": ints(4)}),
    Case("a = Gather<axis=2>(x, i) y = Gather<axis=3>(a, i)", {"i": ints(-1, 0)}),
    Case("y = GatherElements<axis=1>(x, i)", {"i": np.array([[[[-1]], [[1]]]], np.int64)}),
    Case("p = ArgMax<axis=1>(x) n = Sub(p, k) y = GatherElements<axis=1>(x, n)", {"k": ints(4)}),
    Case("y = Pad(x, p)", {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    Case("y = Pad(x, p, v)", {"p": ints(0, 1, 0, 0, 0, 0, 0, 1), "v": number(7)}),
    Case("y = Pad(x, p)", {"p": ints(0, 0, -1, 0, 0, 0, 0, -2)}),
    Case('y = Pad<mode="reflect">(x, p)', {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    Case('y = Pad<mode="edge">(x, p)', {"p": ints(0, 0, 1, 2, 0, 0, 3, 0)}),
    Case("y = Pad(x, p, , a)", {"p": ints(1, 2), "a": ints(-1)}, opset=18),
    Case("y = Pad<pads=[0,0,1,1,0,0,1,1], value=-1.0>(x)", opset=9),
    Case("y = DepthToSpace<blocksize=2>(x)"),
    Case('y = DepthToSpace<blocksize=2, mode="CRD">(x)'),
    Case("y = SpaceToDepth<blocksize=2>(x)", shape=(1, 3, 4, 6)),
    Case("c = ConstantOfShape<value=float[1] {2.5}>(s) y = Add(x, c)", {"s": ints(8, 7)}),
    Case("r = Range(a, b, d) f = Cast<to=1>(r) y = Add(x, f)", {"a": np.array(0), "b": np.array(7), "d": np.array(1)}),
    Case(
        "t = Equal(k, k) y = If(t) <then_branch = a () => (float[] p) { p = Relu(x) }, "
        "else_branch = b () => (float[] q) { q = Neg(x) }>",
        {"k": np.array(1)},
    ),
]

TWICE = {"s": f32(1, 1, 2, 2)}
ODD = {"z": ints(1, 4, 11, 10)}
MODES = [("nearest", way) for way in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")]
WAYS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
RESIZES = [
    *(
        Case(
            f'y = Resize<mode="nearest", nearest_mode="{rounding}", coordinate_transformation_mode="{way}">(x,,,z)', ODD
        )
        for _, rounding in MODES
        for way in WAYS
    ),
    *(
        Case(f'y = Resize<mode="{mode}", coordinate_transformation_mode="{way}">(x,,{given})', constants)
        for mode in ("linear", "cubic")
        for way in WAYS
        for given, constants in ((",z", ODD), ("s", TWICE), ("s", {"s": f32(1, 1, 0.6, 1.7)}))
    ),
    Case('y = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric">(x,,s)', TWICE),
    Case(
        'y = Resize<mode="linear", coordinate_transformation_mode="pytorch_half_pixel">(x,,,z)', {"z": ints(1, 4, 1, 3)}
    ),
    Case('y = Resize<mode="linear">(x,,s)', TWICE),
    Case(
        'y = Resize<mode="linear", coordinate_transformation_mode="half_pixel_symmetric">(x,,s)',
        {"s": f32(1, 1, 1.3, 2.6)},
        opset=19,
    ),
    Case(
        'y = Resize<mode="nearest", coordinate_transformation_mode="tf_half_pixel_for_nn">(x,r,s)',
        {**TWICE, "r": f32()},
        opset=11,
    ),
    Case('y = Resize<mode="linear", axes=[2,3]>(x,,,z)', {"z": ints(5, 9)}, opset=18),
    Case('y = Resize<mode="nearest">(x, s)', {"s": f32(1, 1, 2, 3)}, opset=10),
    Case('y = Resize<mode="linear">(x, s)', TWICE, opset=10),
    Case('y = Upsample<mode="nearest">(x, s)', TWICE, opset=9),
    Case('y = Upsample<mode="linear">(x, s)', TWICE, opset=9),
    Case('y = Upsample<mode="nearest", scales=[1.0,1.0,2.0,2.0]>(x)', opset=7),
]

ALL = [*WEIGHTED, *ACTIVATIONS, *ARITHMETIC, *REDUCTIONS, *POOLS, *SHAPING, *RESIZES]


@pytest.mark.parametrize("case", ALL, ids=str)
def test_an_operator_gives_what_onnx_runtime_gives(case: Case) -> None:
    x = floats(*case.shape, seed=7)
    [wanted] = ort.InferenceSession(case.model).run(None, {"x": x})
    with torch.no_grad():
        (found,) = import_onnx(case.model)(torch.from_numpy(x))
    assert tuple(found.shape) == wanted.shape
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)


REFUSED = [
    (Case("y = Gather<axis=1>(x, i)", {"i": ints(4)}), "Gather", "places 4 to 4 of 4"),
    (Case("y = ConvTranspose<strides=[2,2], output_shape=[20,20]>(x, w)", UP), "ConvTranspose", "(20, 20), larger"),
    (
        Case('y = ConvTranspose<strides=[2,2], auto_pad="SAME_UPPER">(x, w)', {"w": floats(4, 2, 1, 1)}),
        "ConvTranspose",
        "(16, 14), larger",
    ),
    (Case("y = Conv(x, x)", shape=(4, 4, 3, 3)), "Conv", "weight is computed from the picture"),
    (Case("y = Conv(x, w)", {"w": floats(2, 4, 1, 1, 1)}, (1, 4, 3, 3, 3)), "Conv", "5 dimensions"),
    (
        Case("y, p, q = BatchNormalization<training_mode=1>(x, s, b, m, v)", NORM),
        "BatchNormalization",
        "after .eval()",
    ),
    (Case("p, y = MaxPool<kernel_shape=[2,2]>(x)", gives="int64"), "MaxPool", "places of the maxima"),
    (Case("y = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(x)", opset=19), "AveragePool", "dilated"),
    (Case("y = PRelu(x, s)", {"s": floats(8, 7)}), "PRelu", "one a channel"),
    (Case('y = Resize<mode="linear", antialias=1>(x,,s)', TWICE, opset=18), "Resize", "'antialias' is set"),
    (
        Case(
            'y = Resize<coordinate_transformation_mode="tf_crop_and_resize">(x,r,s)',
            {**TWICE, "r": f32(0, 0, 0, 0, 1, 1, 1, 1)},
        ),
        "Resize",
        "tf_crop_and_resize",
    ),
    (Case("y = Resize(x,,s)", {"s": f32(1, 1, 1e5, 2)}), "Resize", "sides up to 8192"),
    (Case("y = Resize(x,,s)", {"s": f32(1, 2, 2, 2)}), "Resize", "batch or channels"),
    (Case("i = Cast<to=7>(x) y = Reshape(x, i)", shape=(4,)), "Reshape", "'shape' is computed from the picture"),
    (Case("y = ArgMax<select_last_index=1>(x)", gives="int64"), "ArgMax", "select_last_index"),
    (Case("y = NonZero(x)", gives="int64"), "NonZero", "depends on the picture"),
    (Case("y = RandomNormalLike(x)"), "RandomNormalLike", "not known to this importer"),
    (Case("n = RandomNormal<shape=[7]>() y = Add(x, n)"), "RandomNormal", "not known to this importer"),
]


@pytest.mark.parametrize(("case", "name", "reason"), REFUSED, ids=lambda each: str(each))
def test_what_torch_cannot_do_alike_is_refused_with_its_reason(case: Case, name: str, reason: str) -> None:
    [problem] = explain(case.model)
    assert problem.operator == name
    assert reason in problem.reason
    with pytest.raises(UnsupportedOperators, match=name) as caught:
        import_onnx(case.model)
    assert caught.value.operators == {name: 1}


MALFORMED = [
    Case("y = Concat<axis=1>(x, k)", {"k": floats(1, 1, 3, 3)}),
    Case("y = Reshape(x, s)", {"s": ints(3, -1)}),
    Case("y = Add(x, k)", {"k": floats(5, 3)}),
    Case("y = Conv(x, w)", {"w": floats(2, 3, 3, 3)}),
    Case("y = Conv<strides=[0,1]>(x, w)", W3),
    Case("c = ConstantOfShape(s) y = Add(x, c)", {"s": ints(2**40)}),
    Case("c = Expand(k, s) y = Add(x, c)", {"k": number(1), "s": ints(2**20, 2**20)}),
    Case("c = Tile(k, s) y = Add(x, c)", {"k": f32(1, 2), "s": ints(2**40)}),
    Case(
        "r = Range(a, b, d) f = Cast<to=1>(r) y = Add(x, f)",
        {"a": np.array(0), "b": np.array(2**40), "d": np.array(1)},
    ),
]


@pytest.mark.parametrize("case", MALFORMED, ids=str)
def test_a_node_that_does_not_fit_its_inputs_is_named(case: Case) -> None:
    with pytest.raises(ConversionError, match=r"the ONNX model: \w+ '\w+'"):
        import_onnx(case.model)
