"""What boards were published to achieve, in GMAC/s by family of models, and estimates for boards that are not at hand.

pi = DeviceProfile.load("raspberry-pi-5")
print(estimate_by_published(work_of(bundle), "int8", pi, Baseline.load("generic")))
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from edgekit.benchmarks.baselines import Baseline
from edgekit.benchmarks.estimate import Estimate, Precision
from edgekit.benchmarks.work import Family, Work, work_of
from edgekit.bundle import Bundle
from edgekit.errors import ProfileError, ResultError
from edgekit.profile import DeviceProfile, Published


@dataclass(frozen=True)
class Anchor:
    """A published latency of a model whose work is known. family: as `Work` has it."""

    published: Published
    family: Family
    macs: float

    @property
    def gmac_s(self) -> float:
        return self.macs / self.published.ms / 1e6


# Multiply-adds by (model, input) as profiles write them. torchvision's documentation counts them as "GFLOPS";
# Ultralytics' counts two operations for each.
_KNOWN: dict[tuple[str, str], tuple[Family, float]] = {
    ("MobileNetV2", "224x224"): ("depthwise", 0.30e9),  # torchvision MobileNet_V2_Weights
    ("ResNet-18", "224x224"): ("dense", 1.81e9),  # torchvision ResNet18_Weights
    ("ResNet-50", "224x224"): ("dense", 4.09e9),  # torchvision ResNet50_Weights
    ("YOLO11n", "640x640"): ("depthwise-swish", 3.25e9),  # docs.ultralytics.com/models/yolo11: 6.5 GFLOPs
    ("YOLO26n", "640x640"): ("depthwise-swish", 2.70e9),  # docs.ultralytics.com/models/yolo26: 5.4 GFLOPs
}


def anchors(profile: DeviceProfile) -> list[Anchor]:
    """What a board was published to achieve, in GMAC/s, with models whose work is known."""
    known = [(each, _KNOWN.get((each.model, each.input))) for each in profile.published]
    return [Anchor(each, *found) for each, found in known if found is not None]


def estimate_by_published(work: Work, precision: Precision, profile: DeviceProfile, baseline: Baseline) -> Estimate:
    """On a board that is not at hand, as its published figures of the family have it, with their threads and engines.

    One rate serves large and small models alike, so the band is wide: it is that of any model of the family in the
    baseline, estimated from any other. `ProfileError` where nothing of the family was published in that precision,
    `ResultError` where the baseline has no two of it.
    """
    found = [each for each in anchors(profile) if each.family == work.family and _is(each.published, precision)]
    if not found:
        there = ", ".join(f"{each.published.model} {each.published.precision}" for each in anchors(profile)) or "none"
        raise ProfileError(
            f"no estimate for a {work.family} net in {precision} on {profile.name}: none was published there; of known "
            f"work are: {there}"
        )
    factor = _worst_pair(work.family, precision, baseline)
    rates = [each.gmac_s for each in found]
    low, middle, high = (work.macs / rate / 1e6 for rate in (max(rates), float(np.median(rates)), min(rates)))
    sources = "; ".join(f"{each.gmac_s:.0f} GMAC/s by {_told(each.published)}" for each in found)
    how = (
        f"{sources}; the band is {factor:.1f} times to both sides, the most that one {work.family} net was off another "
        f"in one engine on {baseline.host}; it was not checked on this board"
    )
    return Estimate(low / factor, middle, high * factor, how)


def estimates_by_published(bundle: Bundle, profile: DeviceProfile, baseline: Baseline) -> dict[str, Estimate | str]:
    """For each precision of a bundle; where there is no estimate, why."""
    work = work_of(bundle)

    def of(precision: Precision) -> Estimate | str:
        try:
            return estimate_by_published(work, precision, profile, baseline)
        except (ProfileError, ResultError) as none:
            return str(none)

    return {precision: of(precision) for precision in sorted({each.precision for each in bundle.manifest.variants})}


def _worst_pair(family: Family, precision: Precision, baseline: Baseline) -> float:
    """The most by which two models of a family differ in GMAC/s in one engine."""
    models = [each for each in baseline.measured if each.work.family == family and each.precision == precision]
    rates = [(each.engine, each.work.macs / each.quick_ms) for each in models]
    pairs = [a / b for (one, a), (other, b) in permutations(rates, 2) if one == other]
    if not pairs:
        raise ResultError(f"no estimate for a {family} net in {precision}: the baseline does not hold two of them")
    return max(pairs)


def _is(published: Published, precision: Precision) -> bool:
    """A precision that was 'not stated' is neither."""
    return published.precision.startswith("int8" if precision == "int8" else "f")


def _told(published: Published) -> str:
    return f"{published.model} {published.input}, {published.engine}, {published.precision} ({published.source})"
