"""What a plan is worth: a cascade as `edgekit plan` would have it against the engine's defaults, on busy cores.

    python -m edgekit.benchmarks.speed.planned detector.ekb classifier.ekb

The defaults are the float variants in ONNX Runtime with the session options that it has by itself: as many threads as
there are cores, and they spin. Preprocessing, decoding and the frames are the same. Both cascades look at a camera's
frames at 10 a second, in turn, with one crop a frame for the classifier. Latency is measured while a capture process
for every core decodes video as fast as it can; CPU time beside the camera alone, counted from frame to frame, so that
what idle threads burn between two frames is in it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.benchmarks.plan import Load, plan
from edgekit.benchmarks.plan.candidates import Candidate
from edgekit.benchmarks.plan.load import Cameras
from edgekit.benchmarks.plan.stage import crops
from edgekit.benchmarks.plan.trials import Ports, Subject, paced
from edgekit.benchmarks.speed.command import asked, tell
from edgekit.benchmarks.speed.promise import Promise, at_least, at_most
from edgekit.bundle import Bundle
from edgekit.contract import Artifact
from edgekit.engines.ort import OrtSession
from edgekit.engines.session import import_engine
from edgekit.errors import EngineMissing
from edgekit.frames import Image
from edgekit.hostplan import Fingerprint, StagePlan
from edgekit.measure import Ratio, Samples, ratio
from edgekit.plan import EnginePlan
from edgekit.profile import DeviceProfile
from edgekit.tasks import AnyTask, make_task

FASTER, SHARE = 2.0, 0.25
FPS = 10.0
_FLAT_OUT = 1000.0  # frames a second that no decoder reaches


@dataclass(frozen=True)
class Turns:
    """How much is measured: `rounds`, in which each cascade looks at `frames` frames."""

    rounds: int = 16
    frames: int = 5


USUAL = Turns()


@dataclass(frozen=True)
class Planned:
    """Both cascades, on busy cores and beside the camera alone. plans: the detector's and the classifier's."""

    plans: tuple[StagePlan, StagePlan]
    busy: Mapping[str, Samples]
    camera: Mapping[str, Samples]
    cores: int

    @property
    def faster(self) -> Ratio:
        """How many times as long a frame takes with the defaults, on busy cores."""
        return ratio(self.busy["defaults"], self.busy["planned"])

    @property
    def share(self) -> Ratio:
        """The planned cascade's CPU time as a part of the defaults'."""
        return ratio(_by_cpu(self.camera["planned"]), _by_cpu(self.camera["defaults"]))


class EngineDefaults(OrtSession):
    """ONNX Runtime with the session options that it has when nobody tells it anything."""

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact, EnginePlan("onnxruntime", threads=Fingerprint.here().cores, spinning=True))
        ort = import_engine("onnxruntime", "onnxruntime")
        self._session = ort.InferenceSession(artifact.model, providers=["CPUExecutionProvider"])


def measure(detector: Bundle, classifier: Bundle, plan_s: float = 60.0, turns: Turns = USUAL) -> Planned:
    """Plan both, then compare. `EngineMissing` where ONNX Runtime is not installed."""
    outcome = plan(detector, classifier, profile=DeviceProfile.load("generic"), budget_s=plan_s)
    first, second = (stage.plans[0] for stage in outcome.stages)
    cores = Fingerprint.here().cores
    camera = Load().cameras
    flat_out = [replace(camera[0], name=f"busy {i}", fps=_FLAT_OUT) for i in range(cores)]
    with ExitStack() as opened:
        subjects = {
            "defaults": cascade(*(opened.enter_context(_defaults(each)) for each in (detector, classifier))),
            "planned": cascade(
                opened.enter_context(Candidate(first.variant, first.plan).open(detector)),
                opened.enter_context(Candidate(second.variant, second.plan).open(classifier)),
            ),
        }
        ports = Ports(opened.enter_context(Cameras(camera)).newest)
        alone = in_turn(subjects, ports, turns)
        opened.enter_context(Cameras(flat_out))
        return Planned((first, second), in_turn(subjects, ports, turns), alone, cores)


def cascade(detect: AnyTask, classify: AnyTask) -> Subject:
    """A frame's work: find, and classify one crop."""

    def look(image: Image) -> None:
        detect(image)
        for crop in crops(image, 1):
            classify(crop)

    return look


def in_turn(subjects: Mapping[str, Subject], ports: Ports, turns: Turns = USUAL, seed: int = 0) -> dict[str, Samples]:
    """Every subject at `FPS`, the order shuffled anew in each round."""
    taken: dict[str, list[Samples]] = {name: [] for name in subjects}
    order, chance = list(subjects), random.Random(seed)
    for _ in range(turns.rounds):
        chance.shuffle(order)
        for name in order:
            taken[name].append(paced(subjects[name], ports, 1 / FPS, turns.frames))
    return {name: _joined(rows, turns.frames) for name, rows in taken.items()}


def promises(detector: Path | str, classifier: Path | str, **how: Any) -> list[Promise]:
    """Both promises; 'not measured' where ONNX Runtime, whose defaults they are about, is not here."""
    with Bundle.open(detector) as first, Bundle.open(classifier) as second:
        try:
            found = measure(first, second, **how)
        except EngineMissing as missing:
            return [Promise("planned cascade", "", "", "not measured", str(missing))]
    busy, camera = found.busy, found.camera
    as_planned = " and ".join(map(str, found.plans))
    return [
        Promise(
            what="planned cascade, latency on busy cores",
            target=f"at least {FASTER:g}x",
            result=f"{found.faster.median:.1f}x ({found.faster.low:.1f} to {found.faster.high:.1f})",
            kept=at_least(FASTER, found.faster),
            how=f"p50 of a frame {_p50(busy['planned'])} ms as planned ({as_planned}), {_p50(busy['defaults'])} ms by "
            f"ONNX Runtime's defaults with the float variants; {FPS:g} frames/s, {found.cores} decoders on "
            f"{found.cores} cores",
        ),
        Promise(
            what=f"planned cascade, CPU time at {FPS:g} frames/s",
            target=f"at most {SHARE:.0%}",
            result=f"{found.share.median:.0%} ({found.share.low:.0%} to {found.share.high:.0%})",
            kept=at_most(SHARE, found.share),
            how=f"{camera['planned'].median_cpu_ms:.1f} CPU-ms a frame as planned, "
            f"{camera['defaults'].median_cpu_ms:.1f} by the defaults, beside one camera; p50 "
            f"{_p50(camera['planned'])} and {_p50(camera['defaults'])} ms",
        ),
    ]


@contextmanager
def _defaults(bundle: Bundle) -> Iterator[AnyTask]:
    variant = bundle.variant("onnx-float")
    with EngineDefaults(bundle.artifact(variant)) as session:
        yield make_task(session, variant.input, bundle.manifest.head, bundle.manifest.labels)


def _joined(rows: list[Samples], block: int) -> Samples:
    walls = tuple(wall for row in rows for wall in row.wall_ms)
    return Samples(walls, tuple(cpu for row in rows for cpu in row.cpu_ms), (), block)


def _by_cpu(samples: Samples) -> Samples:
    return replace(samples, wall_ms=samples.cpu_ms)


def _p50(samples: Samples) -> str:
    value = samples.percentile(50)
    return "n/a" if value is None else f"{value:.1f}"


if __name__ == "__main__":
    bundles = {"help": "a bundle (.ekb)"}
    wanted = asked(__doc__, detector=bundles, classifier=bundles)
    tell(promises(wanted.detector, wanted.classifier))
