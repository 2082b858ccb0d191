"""Distillation: a student learns what its teacher says, in its answers and inside, and nothing of it stays behind."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from coloured import SPEC, Net, context, net
from safetensors.torch import save_file
from torch import nn

from edgekit.contract import Embedding, InputSpec, Softmax, YoloX
from edgekit.converters.load import ModelSpec
from edgekit.converters.stepping import keyed
from edgekit.converters.train import Augment, Distill, Train, run_distill, run_train
from edgekit.converters.train.batch import Batch, Mixed
from edgekit.converters.train.distill import Neighbourhood, SoftLabels, Teacher, distilling, load_teacher
from edgekit.converters.train.losses import CrossEntropy
from edgekit.errors import ConversionError

pytestmark = pytest.mark.usefixtures("one_thread")

TEACHER = ModelSpec(torch="coloured:Net", weights="teacher.safetensors", arguments={"width": 10})
STEP = Distill(teacher=TEACHER, epochs=6, batch=4, rate=0.1, augment=Augment(area=(0.7, 1.0)))


@pytest.fixture(scope="module")
def room(tmp_path_factory) -> Path:
    """A folder with pictures and with a teacher that has learnt them."""
    folder = tmp_path_factory.mktemp("room")
    torch.set_num_threads(1)
    step = Train(epochs=8, batch=4, rate=0.1, augment=Augment(area=(0.7, 1.0)))
    taught = run_train(net(seed=3, width=10), step, context(folder))
    assert taught.figures["validation_top1"] == 1.0
    save_file(taught.module.model.state_dict(), folder / "teacher.safetensors")
    return folder


def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir(exist_ok=True)
    return folder


def test_the_soft_part_is_the_divergence_that_scipy_would_give_times_the_temperature_squared():
    teacher = Teacher(Fixed(torch.tensor([[2.0, 1.0, -1.0]])), Softmax(), SPEC)
    step = dataclasses.replace(STEP, alpha=1.0, temperature=2.0)
    loss = SoftLabels(step, CrossEntropy(Softmax(), 0.0), Softmax(), teacher, Softmax())
    student = torch.tensor([[0.5, 0.0, 1.0]])
    p, q = (np.exp(each / 2) / np.exp(each / 2).sum() for each in (np.array([2.0, 1, -1]), np.array([0.5, 0, 1])))
    batch = Batch(torch.zeros(1, 3, 24, 24), torch.tensor([0]))
    assert float(loss((student,), batch)) == pytest.approx(4 * (p * np.log(p / q)).sum(), rel=1e-5)
    assert float(loss((teacher.module.answer,), batch)) == pytest.approx(0, abs=1e-6)


class Fixed(nn.Module):
    """Gives one answer to everything."""

    def __init__(self, answer: torch.Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.answer,)


def test_embeddings_that_find_the_same_pictures_alike_have_nothing_to_learn_whatever_their_size():
    vectors = torch.nn.functional.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(0)))
    teacher = Teacher(Fixed(vectors), Embedding(), SPEC)
    loss = Neighbourhood(dataclasses.replace(STEP, alpha=1.0), lambda outputs, batch: torch.tensor(0.0), teacher)
    turned = torch.cat([vectors.flip(1), torch.zeros(4, 3)], 1)
    batch = Batch(torch.zeros(4, 3, 24, 24), torch.zeros(4, dtype=torch.int64))
    assert float(loss((turned,), batch)) == pytest.approx(0, abs=1e-6)
    assert float(loss((torch.eye(4),), batch)) > 0.01


def test_mixed_labels_count_by_their_shares():
    loss = CrossEntropy(Softmax(), 0.0)
    logits, labels = (torch.tensor([[1.0, 0.0, -1.0]]),), torch.tensor([0])
    alone = [float(loss(logits, Batch(torch.zeros(1, 3, 2, 2), torch.tensor([label])))) for label in (0, 2)]
    mixed = Batch(torch.zeros(1, 3, 2, 2), labels, mixed=Mixed(torch.tensor([2]), 0.75))
    assert float(loss(logits, mixed)) == pytest.approx(0.75 * alone[0] + 0.25 * alone[1])


def test_a_student_learns_from_the_teacher_alone_without_a_single_label(room, tmp_path):
    given = context(room, scratch=scratch(tmp_path))
    wrong = [dataclasses.replace(each, label=(each.label + 1) % 3) for each in given.training.samples]
    lied_to = dataclasses.replace(given, training=dataclasses.replace(given.training, samples=tuple(wrong)))
    stepped = run_distill(net(), dataclasses.replace(STEP, alpha=1.0, epochs=12), lied_to)
    assert stepped.figures["validation_top1"] == 1.0


@pytest.mark.parametrize(
    "step",
    [
        dataclasses.replace(STEP, features=(("near", "near"), ("far.1", "far.1"))),
        dataclasses.replace(STEP, teacher_input=InputSpec(32, 16, fit="stretch", scale=1 / 127.5), mixup=0.3),
    ],
    ids=["features", "another input"],
)
def test_distillation_goes_on_where_it_stopped_and_leaves_neither_hook_nor_adapter(room, tmp_path, step):
    whole = run_distill(net(), step, context(room, scratch=scratch(tmp_path)))

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "training epoch 3 of 6":
            raise KeyboardInterrupt

    (tmp_path / "b").mkdir()
    halted = context(room, scratch=scratch(tmp_path / "b"), tell=stop)
    with pytest.raises(KeyboardInterrupt):
        run_distill(net(), step, halted)
    resumed = run_distill(net(), step, dataclasses.replace(halted, tell=lambda stage, done, total: None))
    ours, theirs = whole.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert ours.keys() == net().state_dict().keys()
    assert not [each for each in resumed.module.modules() if each._forward_hooks]


def test_another_teacher_begins_anew(room, tmp_path, caplog):
    given = context(room, scratch=scratch(tmp_path))
    run_distill(net(), dataclasses.replace(STEP, epochs=2), given)
    torch.manual_seed(9)
    other = room / "other.safetensors"
    for seed in (1, 2):
        torch.manual_seed(seed)
        save_file(Net(width=10).state_dict(), other)
        spec = dataclasses.replace(TEACHER, weights="other.safetensors")
        run_distill(net(), dataclasses.replace(STEP, epochs=2, teacher=spec), given)
    assert caplog.text.count("begins anew") == 2


def test_the_feature_loss_is_zero_for_a_student_that_is_its_teacher(room, tmp_path):
    given = context(room, scratch=scratch(tmp_path))
    step = dataclasses.replace(STEP, features=(("far", "far"),))
    teacher = load_teacher(step, given)
    with distilling(step, given, teacher.module, teacher) as loss:
        adapter = loss.features.adapters[0]
        with torch.no_grad():
            adapter.weight.copy_(torch.eye(20)[:, :, None, None])
            adapter.bias.zero_()
        images = torch.randn(2, 3, 24, 24)
        outputs = teacher.module(images)
        loss.answers(outputs, Batch(images, torch.tensor([0, 1])))
        assert float(loss.features().detach()) == pytest.approx(0, abs=1e-10)


REFUSED = [
    ({"features": (("near", "nowhere"),)}, {}, "distill: the teacher: the model has no module 'nowhere'"),
    ({"features": (("close", "near"),)}, {}, "distill: the model has no module 'close'"),
    ({"teacher_head": YoloX()}, {}, "distill: a 'yolox' model cannot teach a 'softmax' one"),
    (
        {"teacher": dataclasses.replace(TEACHER, weights=None, arguments={"outputs": 5})},
        {},
        r"distill: the teacher gives \(1, 5\), and 3 labels need \(1, 3\)",
    ),
    ({"teacher": dataclasses.replace(TEACHER, weights="no.pt")}, {}, r"no\.pt: no such weights file"),
]


@pytest.mark.parametrize(("settings", "given", "message"), REFUSED)
def test_what_cannot_be_distilled_is_refused(room, tmp_path, settings, given, message):
    with pytest.raises(ConversionError, match=message):
        run_distill(net(), dataclasses.replace(STEP, **settings), context(room, scratch=scratch(tmp_path), **given))


def test_a_teacher_with_a_start_has_learnt_nothing_yet():
    with pytest.raises(ValueError, match="a teacher has learnt already"):
        Distill(teacher=ModelSpec(torchvision="resnet18", start="general.pt"))


def test_weights_beside_a_teachers_onnx_file_are_part_of_what_it_is(tmp_path):
    step = Distill(teacher=ModelSpec(onnx="teacher.onnx"))

    def key(seed: int) -> str:
        weights = np.random.default_rng(seed).random((8, 3, 3, 3)).astype(np.float32)
        graph = onnx.parser.parse_graph("g (float[1,3,8,8] x) => (float[] y) { y = Conv(x, w) }")
        graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
        (tmp_path / "teacher.data").unlink(missing_ok=True)
        onnx.save(
            model, tmp_path / "teacher.onnx", save_as_external_data=True, location="teacher.data", size_threshold=0
        )
        ((_, _, found),) = keyed("start", [step], tmp_path)
        return found

    first, file = key(0), (tmp_path / "teacher.onnx").read_bytes()
    assert key(1) != first
    assert (tmp_path / "teacher.onnx").read_bytes() == file
    assert key(0) == first
