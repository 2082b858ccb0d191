"""The bench on a host that cannot run a bundle."""

from __future__ import annotations

import dataclasses

import pytest
from tiny import golden_bundle

from edgekit.benchmarks.bench import bench
from edgekit.bundle import Bundle
from edgekit.errors import EngineMissing
from edgekit.plan import EnginePlan
from edgekit.profile import DeviceProfile


def test_a_host_that_can_run_no_variant_is_an_error_with_every_reason(tmp_path):
    generic = DeviceProfile.load("generic")
    profile = dataclasses.replace(generic, plans=dataclasses.replace(generic.plans, value=(EnginePlan("null"),)))
    with (
        Bundle.open(golden_bundle(tmp_path / "tiny.ekb")) as bundle,
        pytest.raises(EngineMissing, match=r"none of its variants here: onnx-float: .*; tflite-float: "),
    ):
        bench(bundle, profile)
