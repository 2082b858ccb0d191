"""A model that is ready to be called on a picture: contract, session and decoder in one.

    with open_task("cart.ekb", profile="raspberry-pi-5") as detect:
        detections = detect(image)

Which variant runs, on which engine and with how many threads, is what `edgekit plan` has measured to be best on this
host, or where it has not, the device profile's choice. What is asked for by name is never replaced by something else,
and what was chosen can be read from `variant`, `session` and `planned`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import numpy.typing as npt

from edgekit.boxes import area
from edgekit.bundle import Bundle, Variant
from edgekit.contract import AnyHead, DetectionHead, Embedding, InputSpec, Softmax
from edgekit.decode import decode_classification, decode_detections, decode_embedding
from edgekit.engines import Session, installed, open_session
from edgekit.engines.compiled import usual_folder
from edgekit.errors import EngineMissing
from edgekit.frames import Classification, Detections, FloatArray, Image
from edgekit.hostplan import Plans
from edgekit.plan import EngineName, EnginePlan
from edgekit.preprocess import Canvas, Placement
from edgekit.profile import DeviceProfile

_log = logging.getLogger(__name__)

Opened = TypeVar("Opened", bound="_Task")


class _Task:
    """What every task shares: the way from a picture to raw outputs, and how long its stages took.

    `stages_ms` holds the times of the last call. `planned`: it runs by a plan that was measured on this host. The input
    tensor is kept and written anew at each call, so one task belongs to one thread.
    """

    def __init__(self, session: Session, spec: InputSpec, labels: Sequence[str]) -> None:
        self.session = session
        self.spec = spec
        self.labels = tuple(labels)
        self.variant: Variant | None = None
        self.planned = False
        self.stages_ms: dict[str, float] = {}
        self._canvas = Canvas(spec)

    def __enter__(self: Opened) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the engine's memory and threads back."""
        self.session.close()

    def _run(self, image: Image, stage: str) -> tuple[tuple[npt.NDArray[Any], ...], Placement, float]:
        """Raw outputs, where the picture lies in the input, and when they were there (performance counter, seconds)."""
        started = time.perf_counter()
        placement = self._canvas.draw(image)
        prepared = time.perf_counter()
        outputs = self.session.run(self._canvas.tensor)
        answered = time.perf_counter()
        self.stages_ms = {"preprocess": (prepared - started) * 1e3, stage: (answered - prepared) * 1e3}
        return outputs, placement, answered


class Detector(_Task):
    """Finds things: `detector(image)` gives Detections in pixels of that image, best first.

    `head` may be replaced while it runs: `detector.head = dataclasses.replace(detector.head, score=0.5)`.
    """

    def __init__(self, session: Session, spec: InputSpec, head: DetectionHead, labels: Sequence[str]) -> None:
        super().__init__(session, spec, labels)
        self.head = head

    def __call__(self, image: Image) -> Detections:
        outputs, placement, answered = self._run(image, "detect")
        found = decode_detections(outputs, self.head, self.spec, len(self.labels))
        boxes = placement.to_frame(found.boxes)
        found = Detections(boxes, found.scores, found.labels)[area(boxes) > 0]  # not what lies in the padding alone
        self.stages_ms["decode"] = (time.perf_counter() - answered) * 1e3
        return found


class Classifier(_Task):
    """Names what a picture shows: `classifier(image)` gives a probability for each label."""

    def __init__(self, session: Session, spec: InputSpec, head: Softmax, labels: Sequence[str]) -> None:
        super().__init__(session, spec, labels)
        self.head = head

    def __call__(self, image: Image) -> Classification:
        outputs, _, answered = self._run(image, "classify")
        found = decode_classification(outputs, self.head, len(self.labels))
        self.stages_ms["decode"] = (time.perf_counter() - answered) * 1e3
        return found


class Embedder(_Task):
    """Describes a picture by a vector, (size,) float32, such that pictures of one product lie close together."""

    def __init__(self, session: Session, spec: InputSpec, head: Embedding, labels: Sequence[str] = ()) -> None:
        super().__init__(session, spec, labels)
        self.head = head

    def __call__(self, image: Image) -> FloatArray:
        outputs, _, answered = self._run(image, "embed")
        found = decode_embedding(outputs, self.head)
        self.stages_ms["decode"] = (time.perf_counter() - answered) * 1e3
        return found


AnyTask: TypeAlias = Detector | Classifier | Embedder


@dataclass(frozen=True)
class Choice:
    """What will run: a variant of a bundle, and how; `planned` where that was measured on this host."""

    variant: Variant
    plan: EnginePlan
    planned: bool = False


def choose(
    bundle: Bundle,
    profile: DeviceProfile,
    variant: str | None = None,
    engine: EngineName | None = None,
    plans: Plans | None = None,
) -> Choice:
    """The variant and the engine that are named, or the first of the profile's list that can run here.

    Before the profile comes a plan that `edgekit plan` has measured on this host. It never replaces what is named: for
    a named variant it says how that runs, and beside a named engine it says nothing. plans: where such plans are looked
    for, if not in the usual places.

    An INT8 variant that was slower than float in its engine where the bundle was built comes after all others.

    `EngineMissing` says what to install where nothing can; `BundleError` where the bundle has no such variant. Where a
    variant that stands higher in the profile's list had to be passed over, a warning says which and why.
    """
    kept = None if engine is not None else (plans or Plans.usual()).find(bundle.digest)
    stage = None if kept is None else kept.stage(variant)
    if stage is not None:
        _log.info("%s: %s, as planned on this host", bundle.manifest.name, stage)
        return Choice(bundle.variant(stage.variant), stage.plan, planned=True)
    if variant is not None:
        named = bundle.variant(variant)
        return Choice(named, profile.plan_for(named.format, installed(), engine))
    return _most_preferred(bundle, profile, engine)


def _most_preferred(bundle: Bundle, profile: DeviceProfile, engine: EngineName | None) -> Choice:
    held, slower, there = {each.name: each for each in bundle.manifest.variants}, bundle.slower(), installed()
    preferred = [name for name in profile.variants.value if name in held]
    why_not = {name: f"took {times:.2f} times as long as float where it was built" for name, times in slower.items()}
    for name in sorted(preferred, key=slower.__contains__):
        try:
            plan = profile.plan_for(held[name].format, there, engine)
        except EngineMissing as missing:
            why_not[name] = str(missing)
            continue
        # Beside a named engine it is no news that others cannot run in it.
        above = [each for each in preferred[: preferred.index(name)] if engine is None or each in slower]
        if above:
            _log.warning("%s prefers %s; %s runs instead", profile.name, _reasons(above, why_not), name)
        return Choice(held[name], plan)
    raise EngineMissing(
        f"{bundle.path} holds {', '.join(held)}; {profile.name} can run none of them here: "
        + (_reasons(preferred, why_not) or f"it lists {', '.join(profile.variants.value)}")
    )


def _reasons(names: Sequence[str], why_not: Mapping[str, str]) -> str:
    return "; ".join(f"{name} ({why_not[name]})" for name in names)


def make_task(session: Session, spec: InputSpec, head: AnyHead, labels: Sequence[str]) -> AnyTask:
    """The task that a contract describes, over a session that is open on a model of it."""
    if isinstance(head, Softmax):
        return Classifier(session, spec, head, labels)
    if isinstance(head, Embedding):
        return Embedder(session, spec, head, labels)
    return Detector(session, spec, head, labels)


def open_task(
    bundle: Bundle | Path | str,
    profile: DeviceProfile | str | None = None,
    variant: str | None = None,
    engine: EngineName | None = None,
    plans: Plans | None = None,
) -> AnyTask:
    """A bundle's model, ready to be called; close it, or use it in a `with` block.

    profile: a device profile or its name; 'generic' where none is given. variant, engine: what must run, by name.
    plans: see `choose`.
    """
    if not isinstance(bundle, Bundle):
        with Bundle.open(bundle) as opened:
            return open_task(opened, profile, variant, engine, plans)
    board = profile if isinstance(profile, DeviceProfile) else DeviceProfile.load(profile or "generic")
    choice = choose(bundle, board, variant, engine, plans)
    session = open_session(bundle.artifact(choice.variant), _kept_once_compiled(choice.plan))
    task = make_task(session, choice.variant.input, bundle.manifest.head, bundle.manifest.labels)
    task.variant, task.planned = choice.variant, choice.planned
    return task


def _kept_once_compiled(plan: EnginePlan) -> EnginePlan:
    """With the usual place for what OpenVINO compiles: an INT8 model starts in less than half the time from there."""
    if plan.engine != "openvino" or plan.device != "cpu" or plan.cache_dir is not None:
        return plan
    folder = usual_folder()
    return plan if folder is None else replace(plan, cache_dir=str(folder))
