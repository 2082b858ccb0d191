"""What is kept of finished steps: whole or not at all, one build at a time, and checked when it is read."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgekit.converters.finished import Entry, Finished
from edgekit.converters.scores import ClassificationScore, ClassScore
from edgekit.errors import ConversionError, EdgekitError

KEY = "c0ffee" * 10
TENSORS = {"conv.weight": torch.arange(12.0).reshape(2, 6).T, "count": torch.tensor(3)}  # one of them not contiguous
ENTRY = Entry("", 12.5, {"macs_share": 0.6}, {"speedup": 1.4}, ("48 channels went",))


@pytest.fixture
def finished(tmp_path):
    return Finished(tmp_path / "steps")


def test_a_finished_step_is_found_again_with_all_that_it_left(finished):
    assert finished.find("1-prune", KEY) is None
    written = finished.keep("1-prune", KEY, TENSORS, ENTRY)
    found = Finished(finished.folder).find("1-prune", KEY)
    assert found == written
    assert (found.figures, found.measured, found.notes) == (ENTRY.figures, ENTRY.measured, ENTRY.notes)
    tensors = finished.tensors("1-prune", KEY, found)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], value) for name, value in TENSORS.items())


def test_a_step_is_another_one_by_its_name_or_its_key(finished):
    finished.keep("1-prune", KEY, TENSORS, ENTRY)
    assert finished.find("2-prune", KEY) is None
    assert finished.find("1-prune", "decaf" * 12) is None


def test_the_scratch_folder_stays_until_the_step_is_finished(finished):
    checkpoint = finished.scratch("1-train", KEY) / "checkpoint"
    checkpoint.write_text("epoch 3")
    assert (Finished(finished.folder).scratch("1-train", KEY) / "checkpoint").read_text() == "epoch 3"
    assert finished.find("1-train", KEY) is None
    finished.keep("1-train", KEY, TENSORS, ENTRY)
    assert not checkpoint.parent.exists()


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content[::-1]])
def test_a_model_that_was_damaged_on_disk_is_named(finished, damage):
    entry = finished.keep("1-train", KEY, TENSORS, ENTRY)
    (path,) = finished.folder.rglob("model.safetensors")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ConversionError, match=r"model.safetensors: is damaged; remove .* and build again"):
        finished.tensors("1-train", KEY, entry)


def test_a_score_is_kept_for_the_pictures_that_it_was_taken_on(finished):
    classes = (ClassScore("can", 2, 1.0, 0.5, None), ClassScore("box", 1, 0.0, None, None))
    score = ClassificationScore(3, 0.666667, None, 0.5, classes, (0, 0, 1), (0, 0, 0))
    finished.keep_score("0-start", KEY, "beef" * 16, score)
    assert finished.score("0-start", KEY, "beef" * 16) == score
    assert finished.score("0-start", KEY, "dead" * 16) is None


def test_two_builds_do_not_work_in_one_folder_at_once(finished):
    with finished.locked(), pytest.raises(ConversionError, match="another build is at work"), finished.locked():
        pass
    with finished.locked():
        pass  # and afterwards it is free again


def test_what_goes_wrong_in_a_build_is_not_taken_for_another_build(finished):
    with pytest.raises(BlockingIOError, match="a pipe is full"), finished.locked():
        raise BlockingIOError("a pipe is full")


def test_layers_that_share_their_weights_are_kept_as_well(finished):
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    entry = finished.keep("1-train", KEY, net.state_dict(), ENTRY)
    tensors = finished.tensors("1-train", KEY, entry)
    assert torch.equal(tensors["0.weight"], tensors["1.weight"])


def test_a_full_disk_is_named_and_what_was_finished_before_stays(finished, full_disk):
    before = finished.keep("1-train", KEY, TENSORS, ENTRY)
    with full_disk(1000), pytest.raises(EdgekitError, match=r"model.safetensors: File too large"):
        finished.keep("2-prune", KEY, {"weight": torch.zeros(1000)}, ENTRY)
    assert finished.find("1-train", KEY) == before
    assert finished.find("2-prune", KEY) is None
    assert not list(finished.folder.rglob(".model*"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConversionError, match="file/steps: "), Finished(tmp_path / "file" / "steps").locked():
        pass
