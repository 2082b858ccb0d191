"""Bundles: one file, deterministic, and every kind of damage found."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import zipfile

import numpy as np
import pytest

from edgekit.bundle import (
    Bundle,
    Evidence,
    Golden,
    Manifest,
    Variant,
    VariantEvidence,
    golden_files,
    write_bundle,
)
from edgekit.contract import InputSpec, Softmax
from edgekit.errors import BundleError

SPEC = InputSpec(8, 8)
EVIDENCE = VariantEvidence("onnxruntime 1", "PASS", ("top1 0.9 -> 0.9",), {"top1": 0.9}, {"cosine": 1.0}, 0.001)


def manifest(**changes):
    variant = Variant("onnx-float", "onnx", "float", SPEC.raw("uint8"), "onnx-float/model.onnx")
    evidence = Evidence(200, {"top1": 0.9}, {"onnx-float": EVIDENCE}, {"evaluation": "ab"}, {"torch": "2"})
    plain = Manifest("cart", 1, SPEC, Softmax(), ("milk", "bread"), (variant,), evidence, golden=1)
    return dataclasses.replace(plain, **changes)


@pytest.fixture
def golden():
    image = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    return Golden(image, (np.arange(2, dtype=np.float32)[None], np.ones((1, 3), np.float32)))


@pytest.fixture
def path(tmp_path, golden):
    files = {"onnx-float/model.onnx": b"weights" * 100, **golden_files([golden])}
    write_bundle(tmp_path / "cart.ekb", manifest(), files, {"latency": {}})
    return tmp_path / "cart.ekb"


def rewrite(path, change):
    """The bundle with `change(name, content)` applied to each file; None leaves the file out."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            if (changed := change(name, content)) is not None:
                archive.writestr(name, changed)


def test_what_goes_in_comes_out(path, golden):
    with Bundle.open(path) as bundle:
        bundle.verify()
        assert dataclasses.replace(bundle.manifest, files={}) == manifest()
        assert bundle.artifact(bundle.variant("onnx-float")).model == b"weights" * 100
        (back,) = bundle.golden()
    np.testing.assert_array_equal(back.image, golden.image)
    for got, want in zip(back.outputs, golden.outputs, strict=True):
        np.testing.assert_array_equal(got, want)


def test_the_same_content_gives_the_same_bytes_and_measured_times_do_not_change_the_digest(tmp_path):
    digests = [
        write_bundle(tmp_path / f"{i}.ekb", manifest(golden=0), {"onnx-float/model.onnx": b"w"}, measured)
        for i, measured in enumerate(({"p50": 1}, {"p50": 1}, {"p50": 2}))
    ]
    assert (tmp_path / "0.ekb").read_bytes() == (tmp_path / "1.ekb").read_bytes()
    assert len(set(digests)) == 1
    with Bundle.open(tmp_path / "2.ekb") as bundle:
        assert bundle.digest == digests[0]
        assert bundle.measured() == {"p50": 2}


def test_a_variant_that_is_not_there_is_an_error_that_names_those_that_are(path):
    with (
        Bundle.open(path) as bundle,
        pytest.raises(BundleError, match="no variant 'tflite-int8'; there are: onnx-float"),
    ):
        bundle.variant("tflite-int8")


def flipped(name, content):
    return content[:-1] + bytes([content[-1] ^ 1]) if name.endswith(".onnx") else content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flipped, "'onnx-float/model.onnx' is damaged"),
        (lambda name, content: content + b"x" if name.endswith(".onnx") else content, "larger than the 700 bytes"),
        (lambda name, content: None if name.endswith(".onnx") else content, "missing files .'onnx-float/model.onnx'"),
        (lambda name, content: None if name == "manifest.json" else content, "it has no 'manifest.json'"),
        (lambda name, content: b"{" if name == "manifest.json" else content, "is not JSON"),
        (lambda name, content: b"[" * 200_000 if name == "manifest.json" else content, "is not JSON"),
        (lambda name, content: b'{"schema": 9}' if name == "manifest.json" else content, "written in bundle schema 9"),
    ],
)
def test_damage_is_found_and_named(path, change, message):
    rewrite(path, change)
    with pytest.raises(BundleError, match=message), Bundle.open(path) as bundle:
        bundle.verify()


def test_no_single_flipped_bit_gets_by_as_anything_but_a_bundle_error(path):
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with contextlib.suppress(BundleError), Bundle.open(path) as bundle:
            bundle.verify()
            assert dataclasses.replace(bundle.manifest, files={}) == manifest()


def test_a_bundle_that_was_cut_short_is_refused(path):
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BundleError, match="not a bundle, or one that was cut short"):
        Bundle.open(path)


def test_a_file_that_the_manifest_does_not_list_is_refused(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../etc/cron.d/x", "boo")
    with pytest.raises(BundleError, match="files that the manifest does not list"):
        Bundle.open(path)


def test_a_manifest_with_an_unknown_key_is_refused_by_name(path):
    def change(name, content):
        if name != "manifest.json":
            return content
        found = json.loads(content)
        found["input"]["widht"] = 3
        return json.dumps(found).encode()

    rewrite(path, change)
    with pytest.raises(BundleError, match=r"input\.widht"):
        Bundle.open(path)


def test_a_write_that_fails_leaves_the_old_bundle_and_nothing_else(path):
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_bundle(path, manifest(), {"onnx-float/model.onnx": b"w"}, {"host": object()})
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
