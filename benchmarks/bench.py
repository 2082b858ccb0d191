"""`edgekit bench`: variants of a bundle on this host, under a scenario, as the profile would run them.

    with Bundle.open("cart.ekb") as bundle:
        result = bench(bundle, DeviceProfile.load("generic"), Camera(fps=15))

All raw samples go into the result, with the host before and meanwhile.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import replace
from typing import Any, Protocol, TypeAlias

from edgekit.benchmarks.environment import Environment, look_around
from edgekit.benchmarks.result import Executed, Result
from edgekit.benchmarks.scenario import Camera, ColdStart, Scenario, SingleStream, Streams, Sustained
from edgekit.benchmarks.scenarios.camera import run_camera
from edgekit.benchmarks.scenarios.clock import REAL, Clock
from edgekit.benchmarks.scenarios.cold_start import run_cold_start
from edgekit.benchmarks.scenarios.film import BLACK, Sight, golden_film, open_sight
from edgekit.benchmarks.scenarios.progress import Progress
from edgekit.benchmarks.scenarios.single_stream import run_single_stream
from edgekit.benchmarks.scenarios.streams import run_streams
from edgekit.benchmarks.scenarios.subject import Subject
from edgekit.benchmarks.scenarios.sustained import run_sustained, steady
from edgekit.benchmarks.watch import Look, Validity
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import ContractError, EngineError, EngineMissing
from edgekit.hostplan import Plans
from edgekit.measure import Samples, ratio
from edgekit.profile import DeviceProfile
from edgekit.runtime.pipeline import Pipeline
from edgekit.tasks import AnyTask, Classifier, Detector, choose, open_task

_USUAL = SingleStream()
_UNPLANNED = Plans(())  # the profile's choice is measured, not what `edgekit plan` made of it


class Watching(Protocol):
    """What looks at the host meanwhile; `looks` has all that it saw."""

    @property
    def looks(self) -> Sequence[Look]: ...


Judge: TypeAlias = Callable[[Environment, Sequence[Look], Sequence[Executed], bool], Validity]


def bench(
    bundle: Bundle,
    profile: DeviceProfile,
    scenario: Scenario = _USUAL,
    variants: Sequence[str] = (),
    classifier: Bundle | None = None,
    source: str | None = None,
    progress: Progress | None = None,
    *,
    allow_noisy: bool = False,
    clock: Clock = REAL,
    watch: Callable[[], AbstractContextManager[Watching]] | None = None,
    judge: Judge | None = None,
) -> Result:
    """Measure the named variants, or all of them, under `scenario`; `Sustained` takes one, else the profile's choice.

    classifier: a bundle behind a detector, in the variant that the profile prefers. source: a video, pictures or a
    scene that is seen instead of the bundle's golden pictures. A cold start has neither: a `ValueError`.
    watch, judge: look at the host meanwhile, and say whether the run may be shown; allow_noisy: even so.

    A variant whose engine is not here is reported in `not_run`; one that was named is an error instead, and so is a
    host that can run none. An exception, Ctrl-C's too, ends it without a result: half a run is none.
    """
    _check(bundle, scenario, classifier, source)
    if isinstance(scenario, Sustained) and not variants:
        variants = (choose(bundle, profile, plans=_UNPLANNED).variant.name,)
    with ExitStack() as opened:
        sight = opened.enter_context(closing(_sight(bundle, scenario, source)))
        recognise = None if classifier is None else opened.enter_context(_open_classifier(classifier, profile, sight))
        tasks, not_run = _open_tasks(bundle, profile, variants, opened)
        subjects = [Subject(name, task, _pipeline(task, recognise, clock)) for name, task in tasks.items()]
        before = look_around(installed())
        watching = None if watch is None else opened.enter_context(watch())
        executed = _run(scenario, subjects, sight, bundle, profile, clock, progress)
    looks = () if watching is None else tuple(watching.looks)
    validity = Validity() if judge is None else judge(before, looks, executed, allow_noisy)
    if isinstance(scenario, Sustained):
        validity = replace(validity, warnings=(*validity.warnings, *_unsteady(executed, looks)))
    return Result(
        bundle=bundle.manifest.name,
        digest=bundle.digest,
        profile=profile.name,
        taken=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        scenario=scenario,
        environment=before,
        variants=executed,
        looks=looks,
        validity=validity,
        classifier=None if classifier is None else (classifier.manifest.name, classifier.digest),
        source=(sight.in_memory if _from_memory(scenario) else sight).name,
        not_run=not_run,
    )


def latency(result: Result) -> dict[str, dict[str, Any]]:
    """What a bundle keeps in `measured.json`: the bare engine's percentiles and how they came about."""
    found = [(each, each.engine_only) for each in result.variants if each.engine_only is not None]
    return {each.variant: _summary(each, samples) for each, samples in found}


def against_float(result: Result) -> dict[str, dict[str, float]]:
    """For each INT8 variant how many times as long it takes as the float one of its format, with the interval."""
    held = {each.variant: each.engine_only for each in result.variants if each.engine_only is not None}
    pairs = {name: name.removesuffix("-int8") + "-float" for name in held if name.endswith("-int8")}
    return {name: vars(ratio(held[name], held[float_])) for name, float_ in pairs.items() if float_ in held}


def _unsteady(executed: Sequence[Executed], looks: Sequence[Look]) -> Iterator[str]:
    """Why what was to be sustained was still on its way to somewhere."""
    for each in executed:
        why = None if each.frames is None else steady(each.frames, looks)
        if why is not None:
            yield f"{each.variant} was not steady: {why}"


def _sight(bundle: Bundle, scenario: Scenario, source: str | None) -> Sight:
    if isinstance(scenario, ColdStart):
        return BLACK
    return golden_film(bundle) if source is None else open_sight(source)


def _from_memory(scenario: Scenario) -> bool:
    """Back to back, frames are not decoded while they are measured."""
    return isinstance(scenario, SingleStream) or (isinstance(scenario, Sustained) and scenario.fps is None)


def _check(bundle: Bundle, scenario: Scenario, classifier: Bundle | None, source: str | None) -> None:
    if isinstance(scenario, ColdStart) and (classifier is not None or source is not None):
        raise ValueError("a cold start is one model's, up to one black picture: it has no classifier and no source")
    if classifier is not None and (bundle.manifest.task != "detect" or classifier.manifest.task != "classify"):
        raise ContractError(
            f"a classifier runs behind a detector; {bundle.path} does '{bundle.manifest.task}' and {classifier.path} "
            f"'{classifier.manifest.task}'"
        )


def _run(
    scenario: Scenario,
    subjects: Sequence[Subject],
    sight: Sight,
    bundle: Bundle,
    profile: DeviceProfile,
    clock: Clock,
    progress: Progress | None,
) -> tuple[Executed, ...]:
    match scenario:
        case SingleStream():
            return run_single_stream(scenario, subjects, sight, clock, progress)
        case Camera():
            return run_camera(scenario, subjects, sight, clock, progress)
        case Streams():
            return run_streams(scenario, subjects, sight, clock, progress)
        case Sustained():
            return run_sustained(scenario, subjects, sight, clock, progress)
        case ColdStart():
            return run_cold_start(scenario, subjects, bundle.path, profile, progress)


def _open_tasks(
    bundle: Bundle, profile: DeviceProfile, variants: Sequence[str], opened: ExitStack
) -> tuple[Mapping[str, AnyTask], Mapping[str, str]]:
    """The tasks that can be opened here, and why the others cannot."""
    tasks: dict[str, AnyTask] = {}
    not_run: dict[str, str] = {}
    for name in variants or [each.name for each in bundle.manifest.variants]:
        try:
            tasks[name] = open_task(bundle, profile, name, plans=_UNPLANNED)
            opened.callback(tasks[name].close)
        except EngineError as trouble:  # it is not here, or it refuses this model
            if variants:
                raise
            not_run[name] = str(trouble)
    if not tasks:
        reasons = "; ".join(f"{name}: {why}" for name, why in not_run.items())
        raise EngineMissing(f"{bundle.path}: {profile.name} can run none of its variants here: {reasons}")
    return tasks, not_run


def _open_classifier(bundle: Bundle, profile: DeviceProfile, sight: Sight) -> Classifier:
    """Warm: its first run builds its kernels, and the frame with the first new thing is not to wait for that."""
    task = open_task(bundle, profile, plans=_UNPLANNED)
    assert isinstance(task, Classifier), "its manifest says so"
    task(sight.in_memory.pictures[0])
    return task


def _pipeline(task: AnyTask, classifier: Classifier | None, clock: Clock) -> Pipeline | None:
    """What stands around a detector in a shop; None around any other task."""
    if not isinstance(task, Detector):
        return None
    products = () if classifier is None else classifier.labels
    return Pipeline(task, task.labels, classifier, products, clock=clock.now)


def _summary(each: Executed, samples: Samples) -> dict[str, Any]:
    percentiles = {f"p{p}_ms": samples.percentile(p) for p in (10, 50, 90, 99)}
    how = {"engine": each.engine, "threads": each.threads, "precision": each.precision}
    return {**how, "samples": len(samples.wall_ms), **percentiles, "cpu_ms": samples.median_cpu_ms}
