"""Whether a bundle is whole, and whether this host computes what the framework computed: digests and golden vectors.

No torch is needed: the framework's raw outputs for a few frames travel in the bundle. A host with other kernels
rounds otherwise, so a variant may be half as far again from them as it was where it was built, and a little.

Engines are shown the frames as they were fitted where the bundle was built, and this host's own resize is held against
those: OpenCV shrinks pictures by other kernels on Arm, and one level of 255 in a third of the values, which costs no
accuracy, would look like an engine that computes wrongly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edgekit.bundle import Bundle, Golden, Variant
from edgekit.contract import InputSpec
from edgekit.engines import check_loads, installed, open_session
from edgekit.errors import AcceleratorMissing, ContractError, EngineError, EngineMissing
from edgekit.plan import EngineName, EnginePlan
from edgekit.preprocess import Tensor, fit, preprocess, to_tensor
from edgekit.profile import DeviceProfile

Outputs: TypeAlias = Sequence[npt.NDArray[Any]]

PIXELS = "pixels"
_LEVEL = 1.0  # of 255


@dataclass(frozen=True)
class Check:
    """One variant on this host: `error` and what it may be, or why it was not run.

    Of `PIXELS`, this host's resize, they are levels of 255, the largest that any value is off.
    """

    variant: str
    result: Literal["ok", "differs", "failed", "not run"]
    engine: str = ""
    error: float | None = None
    limit: float | None = None
    reason: str = ""


def relative_error(reference: Outputs, outputs: Outputs) -> float:
    """The largest over the outputs of RMS(output - reference) / RMS(reference); infinite where shapes or NaN say so."""
    if [each.shape for each in reference] != [each.shape for each in outputs]:
        return float("inf")
    errors = [
        _rms(got.astype(np.float64) - want) / max(_rms(want), 1e-12)
        for want, got in zip(reference, outputs, strict=True)
    ]
    # max() passes over a NaN that does not come first
    return max(errors, default=0.0) if np.isfinite(errors).all() else float("inf")


def allowed_error(variant: Variant, golden_error: float) -> float:
    """How far a host may be from the framework where the building host was `golden_error` away."""
    return 1.5 * golden_error + (0.002 if variant.precision == "float" else 0.02)


def verify_bundle(bundle: Bundle, profile: DeviceProfile, engine: EngineName | None = None) -> list[Check]:
    """Check every digest (BundleError at the first bad one), then run every variant on the golden frames.

    A variant whose engine is not installed here is 'not run', with the reason; it is never counted as good, and neither
    is one that there is no golden frame to run on. Every model is loaded in a child process first, so one that kills
    its engine is reported, not suffered.
    """
    bundle.verify()
    there = installed()
    checks = [_check(bundle, variant, profile, there, engine) for variant in bundle.manifest.variants]
    return [*checks, *_pixels(bundle)]


def golden_error(bundle: Bundle, variant: Variant, plan: EnginePlan) -> float:
    """The largest relative error of a variant over the bundle's golden frames."""
    with open_session(bundle.artifact(variant), plan) as session:
        errors = [
            relative_error(golden.outputs, session.run(golden_tensor(golden, variant.input)))
            for golden in bundle.golden()
        ]
    return max(errors, default=0.0)


def golden_tensor(golden: Golden, spec: InputSpec) -> Tensor:
    """A golden frame for a variant that takes `spec`: as it was fitted where the bundle was built, if that is known."""
    return preprocess(golden.image, spec)[0] if golden.fitted is None else to_tensor(golden.fitted, spec)


def _check(
    bundle: Bundle,
    variant: Variant,
    profile: DeviceProfile,
    there: dict[EngineName, str | None],
    engine: EngineName | None,
) -> Check:
    if not bundle.manifest.golden:
        return Check(variant.name, "not run", reason="the bundle holds no golden frame to run it on")
    try:
        plan = profile.plan_for(variant.format, there, engine)
    except EngineMissing as missing:
        return Check(variant.name, "not run", reason=str(missing))
    try:
        check_loads(bundle.artifact(variant), plan)
        error = golden_error(bundle, variant, plan)
    except (EngineMissing, AcceleratorMissing) as missing:
        return Check(variant.name, "not run", plan.engine, reason=str(missing))
    except (EngineError, ContractError) as failure:
        return Check(variant.name, "failed", plan.engine, reason=str(failure))
    limit = allowed_error(variant, bundle.evidence(variant).golden_error)
    return Check(variant.name, "ok" if error <= limit else "differs", plan.engine, error, limit)


def _pixels(bundle: Bundle) -> Iterator[Check]:
    """This host's resize against the building host's; nothing where the bundle does not hold what that gave."""
    frames = [(golden.image, golden.fitted) for golden in bundle.golden()]
    apart = [
        np.abs(fit(image, bundle.manifest.input).astype(int) - there) for image, there in frames if there is not None
    ]
    if not apart:
        return
    most, share = max(int(each.max()) for each in apart), float(np.mean([(each > 0).mean() for each in apart]))
    how = f"{share:.0%} of the values are not the building host's" if most else "the same pixels"
    yield Check(PIXELS, "ok" if most <= _LEVEL else "differs", f"opencv {cv2.__version__}", most, _LEVEL, how)


def _rms(values: npt.NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
