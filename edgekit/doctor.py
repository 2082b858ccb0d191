"""Looks a machine over before it goes to work: is it the board it is said to be, does it run steadily, and does every
engine compute there?

report = examine(DeviceProfile.load("raspberry-pi-5"), Host.probe())
for difference in report.differences: ...
for engine in report.engines: ...
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from edgekit.contract import Artifact
from edgekit.engines import ENGINES, Outputs, check_loads, installed
from edgekit.errors import EngineError
from edgekit.host import Host, unsteady
from edgekit.plan import EngineName, EnginePlan
from edgekit.profile import DeviceProfile, Difference, compare

log = logging.getLogger(__name__)

# How far an engine may be from torch on the tiny model, whose outputs lie between -1 and 1.
_TOLERANCE = {"f32": 1e-4, "f16": 2e-2, "bf16": 5e-2}


@dataclass(frozen=True)
class EngineReport:
    """One plan, tried on the tiny model. `trouble` says why it does not work and what to install; None where it does.

    engine: name and version as the engine says it, None where it never came to that. precision, threads: as really
    executed. error: the largest difference to torch's outputs.
    """

    plan: EnginePlan
    engine: str | None = None
    precision: str | None = None
    threads: int | None = None
    error: float | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class Report:
    """What `examine` found. `differences`: where the host is not what the profile says, 'unknown' included. unsteady:
    what would spoil a measurement now."""

    profile: DeviceProfile
    host: Host
    differences: tuple[Difference, ...]
    engines: tuple[EngineReport, ...]
    unsteady: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether at least one of the profile's own plans works here."""
        return any(each.trouble is None for each in self.engines if each.plan in self.profile.plans.value)


def examine(profile: DeviceProfile, host: Host) -> Report:
    """Hold `profile` against `host`, and run a tiny model on each of its plans and on every other engine.

    Each engine runs in a child process, so one that crashes here is a line in the report.
    """
    engines = tuple(try_engine(plan) for plan in _plans(profile))
    return Report(profile, host, compare(profile, host), engines, unsteady(host))


def try_engine(plan: EnginePlan) -> EngineReport:
    """Run the tiny model by `plan` and hold its outputs against torch's."""
    if plan.device == "edgetpu":
        return EngineReport(plan, trouble="not tried: edgekit brings no model that edgetpu_compiler has compiled")
    log.info("trying %s on %s", plan.engine, plan.device)
    artifact, image, expected = tiny_model(plan.engine)
    try:
        proof = check_loads(artifact, plan, image)
    except EngineError as trouble:
        return EngineReport(plan, engine=_version(plan.engine), trouble=str(trouble))
    error = float(np.max([np.abs(got - want).max() for got, want in zip(proof.outputs, expected, strict=True)]))
    return EngineReport(plan, proof.engine, proof.precision, proof.threads, error, _judge(error, proof.precision))


def tiny_model(engine: EngineName) -> tuple[Artifact, np.ndarray, Outputs]:
    """The model that edgekit brings for such tests, an input for it and torch's outputs (tools/make_tiny_models.py)."""
    folder = Path(str(resources.files("edgekit") / "engines" / "tiny"))
    ending = "onnx" if engine in ENGINES["onnx"] else "tflite"
    with np.load(folder / "expected.npz") as known:
        return Artifact.read(folder / f"tiny.{ending}"), known["image"], (known["output_0"], known["output_1"])


def _plans(profile: DeviceProfile) -> tuple[EnginePlan, ...]:
    """The profile's plans, then the engines that it does not mention."""
    plans = profile.plans.value
    others = set(installed()) - {plan.engine for plan in plans}
    return (*plans, *(EnginePlan(engine) for engine in sorted(others)))


def _version(engine: EngineName) -> str | None:
    version = installed()[engine]
    return version and f"{engine} {version}"


def _judge(error: float, precision: str) -> str | None:
    allowed = _TOLERANCE[precision]
    if error <= allowed:  # a NaN is not
        return None
    return (
        f"computes wrongly: off by {error:.2g} in {precision}, where {allowed:g} is allowed; another version may not be"
    )
