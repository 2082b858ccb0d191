"""Trained models in: from torch, torchvision and ONNX, with their weights, or with one clear line why not."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from untrained import confident, own_spec

from edgekit import schema
from edgekit.contract import InputSpec, Softmax, Ssd
from edgekit.converters.load import ModelSpec, build_module, load_model
from edgekit.converters.onnx_to_torch.values import OPERATORS
from edgekit.converters.torchvision_cpu import import_torchvision
from edgekit.converters.torchvision_ssd import raw_ssd
from edgekit.converters.weights import read_weights
from edgekit.decode import decode_detections
from edgekit.errors import ConversionError, SettingsError
from edgekit.preprocess import preprocess

SPEC = InputSpec(8, 8)
BUILDER = """
from torch import nn
from untrained import confident, own_spec
import torchvision                  # works, although its own operators cannot be loaded

class Pair(nn.Module):
    def forward(self, x):
        return [x.mean(3), x.amax(3)]

class Named(nn.Module):
    def forward(self, x):
        return {"scores": x.mean((2, 3))}

def build(classes=3):
    features = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(4, classes))

def nothing():
    return None

def broken():
    raise OSError("the camera's calibration file is gone")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recipe's folder with a module that builds models."""
    (tmp_path / "my_models.py").write_text(BUILDER)
    return tmp_path


@pytest.fixture
def trained(folder: Path) -> nn.Module:
    """What `my_models:build` makes, with weights that are not those of a fresh one."""
    torch.manual_seed(7)
    module = build_module(ModelSpec(torch="my_models:build"), folder, SPEC)
    module[1].running_mean.uniform_(-1, 1)
    return module


def load(folder: Path, **spec):
    return load_model(ModelSpec(**{"torch": "my_models:build", **spec}), folder, SPEC, Softmax())


def picture() -> torch.Tensor:
    return torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def wrapped(weights, prefix):
    return {prefix + name: value for name, value in weights.items()}


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("plain.pth", lambda weights: weights),
        ("parallel.pt", lambda weights: wrapped(weights, "module.")),
        ("compiled.pt", lambda weights: wrapped(weights, "module._orig_mod.")),
        ("lightning.pt", lambda weights: {"epoch": 3, "state_dict": weights}),
        ("references.pth", lambda weights: {"model": weights, "args": argparse.Namespace(lr=0.1), "epoch": 1}),
        ("half.pth", lambda weights: {k: v.half().float().half() for k, v in weights.items()}),
    ],
)
def test_weights_come_out_of_every_usual_way_to_save_them(folder, trained, name, saved):
    weights = {name: value.half().float() for name, value in trained.state_dict().items()}
    trained.load_state_dict(weights)
    torch.save(saved(weights), folder / name)
    loaded = load(folder, weights=name).module
    assert not loaded.training
    assert torch.equal(loaded(picture())[0], trained(picture()))


def test_weights_come_from_safetensors(folder, trained):
    save_file(trained.state_dict(), folder / "w.safetensors")
    assert torch.equal(load(folder, weights="w.safetensors").module(picture())[0], trained(picture()))


def test_weights_saved_on_a_gpu_are_read_without_one(data):
    weights = read_weights(data / "models" / "fastestdet_coco.pth")
    assert {value.device.type for value in weights.values()} == {"cpu"}


def test_a_batch_norm_may_lack_its_counter_of_batches(folder, trained):
    weights = {name: value for name, value in trained.state_dict().items() if "num_batches" not in name}
    save_file(weights, folder / "w.safetensors")
    assert torch.equal(load(folder, weights="w.safetensors").module(picture())[0], trained(picture()))


def test_arguments_reach_the_builder(folder):
    loaded = load(folder, arguments={"classes": 5})
    assert [tuple(each.shape) for each in loaded.module(picture())] == [(1, 5)]


def test_a_list_of_outputs_becomes_a_tuple(folder):
    outputs = load(folder, torch="my_models:Pair").module(picture())
    assert isinstance(outputs, tuple)
    assert [tuple(each.shape) for each in outputs] == [(1, 3, 8), (1, 3, 8)]


def test_two_recipes_may_each_have_a_module_of_one_name(folder, tmp_path_factory):
    load(folder)
    other = tmp_path_factory.mktemp("other")
    (other / "my_models.py").write_text("from parts import build")
    (other / "parts.py").write_text("from torch import nn\ndef build(): return nn.Flatten()")
    assert load(other).module(picture())[0].shape == (1, 192)


def test_a_fault_within_the_builder_comes_through_with_its_traceback(folder):
    with pytest.raises(OSError, match="calibration file is gone"):
        load(folder, torch="my_models:broken")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"torch": "my_modles:build"}, "no module 'my_modles' in .* or installed"),
        ({"torch": "my_models:built"}, "module 'my_models' has no function 'built'; there is build"),
        ({"torch": "my_models:nothing"}, "must return a torch.nn.Module; it returned a NoneType"),
        ({"torch": "my_models:Named"}, "must return tensors; got dict"),
        ({"arguments": {"clases": 3}}, r"my_models:build\(classes=3\) does not take .* 'clases'"),
        ({"arguments": {"classes": 3}, "weights": "absent.pth"}, "absent.pth: no such weights file"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused_in_one_line(folder, spec, message):
    with pytest.raises(ConversionError, match=message) as caught:
        load(folder, **spec)
    assert "\n" not in str(caught.value)


def test_a_picture_that_the_model_does_not_take_is_refused(folder):
    with pytest.raises(ConversionError, match=r"does not take a \(1, 3, 2, 2\) float32 picture: .*[Kk]ernel size"):
        load_model(ModelSpec(torch="my_models:build"), folder, InputSpec(2, 2), Softmax())


class Whole(nn.Linear):
    """Saved whole, the file names this class, and loading it would run code."""


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("cut.safetensors", lambda path: path.write_bytes(path.read_bytes()[:-9]), "damaged or no safetensors file"),
        ("cut.pth", lambda path: path.write_bytes(path.read_bytes()[:-200]), "damaged or no torch file"),
        ("empty.pth", lambda path: path.write_bytes(b""), "damaged or no torch file"),
        ("text.pt", lambda path: path.write_bytes(b"version https://git-lfs"), "damaged or no torch file"),
        ("whole.pth", lambda path: torch.save(Whole(1, 1), path), "holds a .*Whole, and only tensors are loaded"),
        ("list.pth", lambda path: torch.save([1, 2], path), "tensors by name; it holds a list"),
        ("bare.pth", lambda path: torch.save({}, path), "tensors by name; it holds nothing"),
        ("odd.pth", lambda path: torch.save({"a": torch.ones(1), "n": 3}, path), r"no tensors are n \(a int\)"),
        (
            "nan.pth",
            lambda path: torch.save({"4.bias": torch.full((3,), torch.nan)}, path),
            "NaN or infinity in 4.bias",
        ),
        ("w.onnx", lambda path: path.write_bytes(b"x"), "weights are a .safetensors, .pt or .pth file"),
    ],
)
def test_a_spoiled_weights_file_is_refused_in_one_line(folder, trained, name, spoil, message):
    path = folder / name
    save_file(trained.state_dict(), path) if path.suffix == ".safetensors" else torch.save(trained.state_dict(), path)
    spoil(path)
    with pytest.raises(ConversionError, match=message) as caught:
        load(folder, weights=name)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_bytes_overwritten_at_random_never_end_in_a_traceback(tmp_path, zipped):
    path, dice = tmp_path / "w.pth", np.random.default_rng(0)
    torch.save({"a": torch.ones(3, 3), "b": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(150):
        spoiled = whole.copy()
        spoiled[dice.integers(len(whole), size=4)] = dice.integers(256, size=4)
        path.write_bytes(spoiled.tobytes())
        try:
            read_weights(path)
        except ConversionError:
            refused += 1
    assert refused > 20  # in the others the bytes fell on padding, or changed a number to another


def test_every_name_that_does_not_fit_is_listed_and_long_lists_are_cut(folder, trained):
    weights = trained.state_dict()
    weights["4.weight"] = torch.zeros(81, 4)
    del weights["0.bias"]
    weights.update({f"head.{i}": torch.zeros(1) for i in range(9)})
    torch.save(weights, folder / "w.pth")
    with pytest.raises(ConversionError) as caught:
        load(folder, weights="w.pth")
    assert str(caught.value) == (
        f"{folder / 'w.pth'} does not fit Sequential: 1 missing: 0.bias; "
        "9 unexpected: head.0, head.1, head.2, head.3, head.4 and 4 more; "
        "1 of another shape: 4.weight (81, 4) for (3, 4)"
    )


def test_a_start_gives_what_fits_and_says_what_it_left(folder, trained):
    """From five classes to three: the last layer is the new model's own, and seeded like it."""
    weights = {**trained.state_dict(), "4.weight": torch.zeros(5, 4), "aux.weight": torch.zeros(1)}
    torch.save(weights, folder / "general.pth")
    torch.manual_seed(3)
    fresh = build_module(ModelSpec(torch="my_models:build"), folder, SPEC)
    torch.manual_seed(3)
    loaded = load(folder, start="general.pth")
    net = loaded.module.model
    assert torch.equal(net[1].running_mean, trained[1].running_mean)
    assert torch.equal(net[4].weight, fresh[4].weight)
    assert torch.equal(net[4].bias, trained[4].bias)
    assert loaded.notes == (
        "general.pth: 8 of 10 tensors taken",
        "1 of another shape: 4.weight (5, 4) for (3, 4)",
        "1 unknown to the model: aux.weight",
        "1 as initialised: 4.weight",
    )


def test_a_start_of_another_architecture_is_refused(folder):
    torch.save({"conv.weight": torch.zeros(1), "4.weight": torch.zeros(9, 9)}, folder / "other.pth")
    with pytest.raises(ConversionError, match=r"none of its 2 tensors fits Sequential by name and shape; it has conv"):
        load(folder, start="other.pth")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "a model is one of torch, torchvision and onnx; got none"),
        ({"onnx": "a.onnx", "torch": "a:b"}, "got torch and onnx"),
        ({"torch": "my_models.build"}, "torch is 'module:function', as in 'my_models:build'"),
        ({"torchvision": "mobilenet_v2"}, "edgekit downloads nothing; add weights"),
        ({"torch": "a:b", "weights": "w.pth", "start": "s.pth"}, "a model has its weights or a start for training"),
        ({"onnx": "a.onnx", "start": "s.pth"}, "an onnx file holds its own weights"),
        ({"onnx": "a.onnx", "weights": "w.pth"}, "an onnx file holds its own weights"),
        ({"torchvison": "mobilenet_v2"}, "unknown key 'torchvison', did you mean 'torchvision'"),
    ],
)
def test_a_model_table_that_makes_no_sense_is_refused_when_it_is_read(table, message):
    with pytest.raises(SettingsError, match=message):
        schema.parse(ModelSpec, table, "recipe.toml")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mobilenet_v22", {}, "no torchvision classifier or detector named 'mobilenet_v22'; there are: mobilenet_v2"),
        ("fcn_resnet50", {}, "no torchvision classifier or detector named 'fcn_resnet50'"),
        ("mobilenet_v2", {"weights": "DEFAULT"}, "edgekit downloads nothing: take weights out of arguments"),
        ("mobilenet_v2", {"width": 0.35}, "mobilenet_v2 cannot be made with .*'width'"),
    ],
)
def test_a_torchvision_model_that_cannot_be_made_is_refused(tmp_path, name, arguments, message):
    with pytest.raises(ConversionError, match=message):
        load_model(ModelSpec(torchvision=name, weights="w.pth", arguments=arguments), tmp_path, SPEC, Softmax())


def test_a_torchvision_classifier_with_given_weights_knows_a_parrot(data):
    spec = InputSpec(224, 224, fit="crop", keep=0.875, scale=1 / 127.5, mean=(1.0, 1.0, 1.0))
    model = ModelSpec(torchvision="mobilenet_v2", weights="mobilenet_v2_1.0_imagenet.pt")
    module = load_model(model, data / "models", spec, Softmax()).module
    tensor, _ = preprocess(cv2.imread(str(data / "stills" / "parrot.jpg")), spec)
    names = (data / "stills" / "imagenet_labels.txt").read_text().splitlines()
    best = int(module(torch.from_numpy(tensor))[0].argmax())
    assert "macaw" in names[best + len(names) - 1000]  # the list begins with "background"


@pytest.fixture(scope="module")
def ssdlite() -> nn.Module:
    """Of one class, because torchvision may give an anchor several labels and edgekit gives it one."""
    return confident(import_torchvision().models.detection.ssdlite320_mobilenet_v3_large, topk_candidates=3234)


def some_head(**settings) -> Ssd:
    return Ssd(grids=((1, 1),), scales=(0.2, 0.4), aspect_ratios=((2.0,),), **settings)


def anchors_left_out(**settings) -> Ssd:
    """As it is read from a recipe that leaves the anchors to the model."""
    return Ssd(**settings)


def check_boxes(ssd: nn.Module, image: np.ndarray) -> None:
    spec = own_spec(ssd)
    network, head = raw_ssd(ssd, spec, anchors_left_out(score=0.6, iou=0.45, max_detections=1000))
    stretched = cv2.resize(image, (spec.width, spec.height))
    tensor, _ = preprocess(stretched, spec)
    with torch.no_grad():
        (theirs,) = ssd([torch.from_numpy(stretched[:, :, ::-1] / np.float32(255)).permute(2, 0, 1)])
        ours = decode_detections([each.numpy() for each in network(torch.from_numpy(tensor))], head, spec, labels=1)
    visible = (theirs["boxes"][:, 2:] > theirs["boxes"][:, :2]).all(dim=1)  # clipped to nothing, torchvision keeps it
    boxes, scores = theirs["boxes"][visible].numpy(), theirs["scores"][visible].numpy()
    assert len(ours) == len(boxes) > 10
    apart = np.abs(ours.boxes[:, None] - boxes).max(axis=2)
    which = apart.argmin(axis=1)  # two scores that are all but equal may come in either order
    assert sorted(which) == list(range(len(ours)))
    assert apart.min(axis=1).max() < 1e-3
    np.testing.assert_allclose(ours.scores, scores[which], atol=1e-5)


@pytest.mark.parametrize("still", ["cat.bmp", "hot_dog.jpg", "parrot.jpg"])
def test_the_boxes_of_an_ssdlite_are_those_that_torchvision_gives(data, ssdlite, still):
    check_boxes(ssdlite, cv2.imread(str(data / "stills" / still)))


def test_the_boxes_of_an_ssd300_are_those_that_torchvision_gives(data):
    ssd = confident(import_torchvision().models.detection.ssd300_vgg16, topk_candidates=8732)
    check_boxes(ssd, cv2.imread(str(data / "stills" / "cat.bmp")))


def test_an_ssd_by_name_gets_its_anchors_from_the_model(tmp_path, ssdlite):
    save_file(ssdlite.state_dict(), tmp_path / "w.safetensors")
    spec = ModelSpec(torchvision="ssdlite320_mobilenet_v3_large", weights="w.safetensors", arguments={"num_classes": 2})
    loaded = load_model(spec, tmp_path, own_spec(ssdlite), anchors_left_out(score=0.3))
    assert loaded.head.grids == ((20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))
    assert loaded.head.variances == pytest.approx((0.1, 0.1, 0.2, 0.2))
    assert loaded.head.score == 0.3
    logits, regression = loaded.module(torch.zeros(1, 3, 320, 320))
    assert logits.shape == (1, 3234, 2)
    assert regression.shape == (1, 3234, 4)
    again = load_model(spec, tmp_path, own_spec(ssdlite), loaded.head)  # anchors that are written out are compared
    assert again.head == loaded.head


def test_anchors_that_are_not_the_models_are_refused(ssdlite):
    with pytest.raises(
        ConversionError, match=r"the head's anchors are not the model's: grids \(\(1, 1\),\), the model"
    ):
        raw_ssd(ssdlite, own_spec(ssdlite), some_head())


def test_pixels_that_are_not_the_models_are_refused(ssdlite):
    with pytest.raises(ConversionError, match="the model was made for other pixels than"):
        raw_ssd(ssdlite, dataclasses.replace(own_spec(ssdlite), mean=(0.0, 0.0, 0.0)), some_head())


def test_an_ssd_without_an_ssd_head_is_refused(tmp_path, ssdlite):
    torch.save(ssdlite.state_dict(), tmp_path / "w.pth")
    spec = ModelSpec(torchvision="ssdlite320_mobilenet_v3_large", weights="w.pth", arguments={"num_classes": 2})
    with pytest.raises(ConversionError, match=r"a torchvision SSD needs .* got 'softmax'"):
        load_model(spec, tmp_path, own_spec(ssdlite), Softmax())


def test_a_two_stage_detector_teaches_but_is_not_exported(tmp_path):
    name, arguments = "fasterrcnn_mobilenet_v3_large_320_fpn", {"num_classes": 2}
    module = import_torchvision().models.get_model(name, weights=None, weights_backbone=None, **arguments)
    torch.save(module.state_dict(), tmp_path / "w.pth")
    spec = ModelSpec(torchvision=name, weights="w.pth", arguments=arguments)
    assert not build_module(spec, tmp_path, SPEC).training
    with pytest.raises(ConversionError, match="FasterRCNN can be trained and can teach, but is not exported"):
        load_model(spec, tmp_path, SPEC, some_head())


def test_an_onnx_file_gives_a_tuple_too(data):
    spec = InputSpec(352, 352, colour="BGR")
    loaded = load_model(ModelSpec(onnx="fastestdet_coco.onnx"), data / "models", spec, Softmax())
    assert [tuple(each.shape) for each in loaded.module(torch.zeros(1, 3, 352, 352))] == [(1, 85, 22, 22)]


def test_an_onnx_file_that_is_absent_is_refused(tmp_path):
    with pytest.raises(ConversionError, match=r"absent\.onnx: no such onnx file"):
        load_model(ModelSpec(onnx="absent.onnx"), tmp_path, SPEC, Softmax())


@pytest.mark.parametrize("operator", [None, "Relu", "Concat"])
def test_an_onnx_file_is_held_against_onnx_runtime(data, monkeypatch, operator):
    """An operator that is imported wrongly on purpose is the control."""
    wrong = {
        "Relu": lambda node, net: net.call(torch.sigmoid, node.live()),
        "Concat": lambda node, net: net.call(torch.cat, [net.live(each) for each in node.inputs[::-1]], 1),
    }
    if operator is not None:
        monkeypatch.setitem(OPERATORS, operator, wrong[operator])
    spec = InputSpec(352, 352, colour="BGR")
    load = lambda: load_model(ModelSpec(onnx="fastestdet_coco.onnx"), data / "models", spec, Softmax())  # noqa: E731
    if operator is None:
        load()
        return
    with pytest.raises(ConversionError, match=r"fastestdet_coco\.onnx: output '\w+' is not what ONNX Runtime gives"):
        load()
