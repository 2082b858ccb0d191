"""Compiled models on disk: the same answers from them, none that is stale or damaged, and no harm where none can be
kept."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny import golden_bundle

from edgekit.contract import Artifact
from edgekit.engines import installed, open_session
from edgekit.engines.compiled import FOLDER, CompiledModels, key_of, usual_folder
from edgekit.plan import EnginePlan
from edgekit.tasks import open_task


@pytest.fixture
def kept(tmp_path):
    return CompiledModels(tmp_path / "compiled")


def test_what_was_written_is_read_again(kept):
    assert kept.read("key") is None
    kept.write("key", b"compiled")
    assert kept.read("key") == b"compiled"
    assert kept.read("other") is None


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content[:9] + b"?" + content[10:]])
def test_a_damaged_file_is_nothing_and_that_is_said(kept, damage, caplog):
    kept.write("key", b"compiled" * 9)
    (path,) = kept.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert kept.read("key") is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "is damaged" in caplog.text


def test_a_folder_that_cannot_be_made_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    CompiledModels(tmp_path / "file" / "compiled").write("key", b"compiled")
    assert "not kept, so every start compiles anew" in caplog.text


def test_the_last_used_stay(kept):
    few = replace(kept, most=3)
    for second, key in enumerate(("a", "b", "c")):
        few.write(key, key.encode())
        os.utime(few.folder / f"{key}.blob", (second, second))
    few.read("a")
    few.write("d", b"d")
    assert [few.read(key) for key in "abcd"] == [b"a", None, b"c", b"d"]


def test_a_model_that_another_process_has_just_forgotten_is_no_reason_for_a_warning(kept, caplog):
    kept.folder.mkdir()
    (kept.folder / "forgotten.blob").symlink_to("nowhere")  # listed, and not there when it is looked at
    kept.write("key", b"compiled")
    assert kept.read("key") == b"compiled"
    assert not caplog.records


def test_a_key_knows_where_one_part_ends_and_the_next_begins():
    assert len({key_of(b"ab", b"c"), key_of(b"a", b"bc"), key_of(b"abc")}) == 3


@pytest.mark.parametrize(
    ("set_", "folder"),
    [
        ({}, "/home/shop/.cache/edgekit/compiled"),
        ({"XDG_CACHE_HOME": "/xdg"}, "/xdg/edgekit/compiled"),
        ({"XDG_CACHE_HOME": "xdg"}, "/home/shop/.cache/edgekit/compiled"),
        ({"XDG_CACHE_HOME": "/xdg", "CACHE_DIRECTORY": "/var/cache/cart:/more"}, "/var/cache/cart/edgekit/compiled"),
        ({"CACHE_DIRECTORY": "/var/cache/cart", FOLDER: "/srv"}, "/srv"),
        ({FOLDER: ""}, None),
    ],
)
def test_where_they_lie_is_for_the_environment_to_say(monkeypatch, set_, folder):
    for name in ("XDG_CACHE_HOME", "CACHE_DIRECTORY", FOLDER):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/shop", **set_}.items():
        monkeypatch.setenv(name, value)
    assert usual_folder() == (None if folder is None else Path(folder))


def test_a_user_without_a_home_keeps_nothing_and_is_told(monkeypatch, caplog):
    for name in ("XDG_CACHE_HOME", "CACHE_DIRECTORY", FOLDER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "nowhere")  # as '~' of a user id that has no name, it begins no absolute path
    assert usual_folder() is None
    assert f"name a folder by ${FOLDER}" in caplog.text


@pytest.mark.skipif(installed()["openvino"] is None, reason="openvino is not installed")
class TestOpenVino:
    def answer(self, artifact, image, folder, **how):
        with open_session(artifact, EnginePlan("openvino", cache_dir=str(folder), **how)) as session:
            return session.run(image)

    def test_answers_from_a_kept_model_are_the_same_bits(self, tiny_ir, image, tmp_path, caplog):
        caplog.set_level(logging.INFO)
        first = self.answer(tiny_ir, image, tmp_path)
        assert caplog.messages[0].startswith("compiled for later starts: ")
        second = self.answer(tiny_ir, image, tmp_path)
        assert len(caplog.messages) == 1, "nothing was compiled the second time"
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_another_model_or_other_settings_find_nothing(self, tiny_ir, image, tmp_path):
        self.answer(tiny_ir, image, tmp_path)
        self.answer(tiny_ir, image, tmp_path, threads=2)
        other = Artifact("openvino", tiny_ir.model.replace(b"<net", b"<!-- 2 --><net", 1), tiny_ir.weights)
        self.answer(other, image, tmp_path)
        assert len(list(tmp_path.iterdir())) == 3

    def test_what_openvino_does_not_take_is_compiled_anew(self, tiny_ir, image, tmp_path, caplog):
        first = self.answer(tiny_ir, image, tmp_path)
        (path,) = tmp_path.iterdir()
        CompiledModels(tmp_path).write(path.stem, b"compiled by somebody else")
        again = self.answer(tiny_ir, image, tmp_path)
        assert "does not take what it compiled before" in caplog.text
        np.testing.assert_array_equal(first[0], again[0])
        caplog.clear()
        self.answer(tiny_ir, image, tmp_path)
        assert not caplog.records, "the file was mended"

    def test_a_model_that_openvino_does_not_export_runs_all_the_same(
        self, tiny_ir, image, expected, tmp_path, monkeypatch, caplog
    ):
        def refuse(self):
            raise RuntimeError("not exported")

        monkeypatch.setattr("openvino.CompiledModel.export_model", refuse, raising=False)
        answers = self.answer(tiny_ir, image, tmp_path)
        np.testing.assert_allclose(answers[0], expected[0], atol=1e-5)
        assert "not kept, so every start compiles anew: not exported" in caplog.text

    def test_a_bundles_model_is_kept_in_the_usual_folder_and_in_none_where_that_is_turned_off(
        self, tmp_path, monkeypatch
    ):
        bundle = golden_bundle(tmp_path / "tiny.ekb")
        monkeypatch.setenv(FOLDER, str(tmp_path / "compiled"))
        with open_task(bundle, variant="onnx-float", engine="openvino") as task:
            assert task.session.plan.cache_dir == str(tmp_path / "compiled")
        assert len(list((tmp_path / "compiled").glob("*.blob"))) == 1
        monkeypatch.setenv(FOLDER, "")
        with open_task(bundle, variant="onnx-float", engine="openvino") as task:
            assert task.session.plan.cache_dir is None
