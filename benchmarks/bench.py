"""`edgekit bench`: every variant of a bundle on this host, in turn, as the profile would run it.

Two times a variant: the bare engine on a prepared tensor, and the whole way from a picture to decoded results. Their
difference is what edgekit costs. All raw samples go into the result.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

from edgekit import schema
from edgekit.benchmarks.environment import Environment, look_around
from edgekit.benchmarks.plots import strips
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import AcceleratorMissing, BundleError, EngineMissing
from edgekit.hostplan import Plans
from edgekit.measure import USUAL, Rounds, Samples, interleave, ratio
from edgekit.page import Grid, Plot, Section, Text
from edgekit.preprocess import preprocess
from edgekit.profile import DeviceProfile
from edgekit.svg import Point, front
from edgekit.tasks import AnyTask, open_task

SCHEMA = 1
Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Executed:
    """A variant and how it really ran: engine and version, the precision of its floats, threads."""

    variant: str
    engine: str
    device: str
    precision: str
    threads: int
    spinning: bool
    engine_only: Samples
    whole: Samples


@dataclass(frozen=True)
class BenchResult:
    """One run of the bench. `not_run`: variants that could not run here, with the reason."""

    bundle: str
    digest: str
    profile: str
    taken: str
    environment: Environment
    rounds: Rounds
    variants: tuple[Executed, ...]
    not_run: dict[str, str]
    schema: int = SCHEMA

    def text(self) -> str:
        """All of it as JSON text, raw samples included; the fields are the ones of this class."""
        return json.dumps(schema.dump(self), ensure_ascii=False) + "\n"

    def latency(self) -> dict[str, dict[str, Any]]:
        """What a bundle keeps of it in `measured.json`: the bare engine's percentiles and how they came about."""
        return {each.variant: _summary(each) for each in self.variants}

    def against_float(self) -> dict[str, dict[str, float]]:
        """For each INT8 variant how many times as long it takes as the float one of its format, with the interval."""
        held = {each.variant: each.engine_only for each in self.variants}
        pairs = {name: name.removesuffix("-int8") + "-float" for name in held if name.endswith("-int8")}
        return {name: vars(ratio(held[name], held[float_])) for name, float_ in pairs.items() if float_ in held}


def bench(
    bundle: Bundle,
    profile: DeviceProfile,
    variants: Sequence[str] = (),
    rounds: Rounds = USUAL,
    progress: Progress | None = None,
) -> BenchResult:
    """Measure the named variants, or all of them, interleaved on the bundle's first golden frame.

    A variant whose engine is not here is reported in `not_run`; one that was named is an error instead, and so is a
    host that can run none.
    """
    golden = bundle.golden()
    if not golden:
        raise BundleError(f"{bundle.path} holds no golden frame to measure with: build it with golden = 1 or more")
    image, names = golden[0].image, variants or [each.name for each in bundle.manifest.variants]
    not_run: dict[str, str] = {}
    with ExitStack() as stack:
        tasks: dict[str, AnyTask] = {}
        for name in names:
            try:
                tasks[name] = open_task(bundle, profile, name, plans=Plans(()))
                stack.callback(tasks[name].close)
            except (EngineMissing, AcceleratorMissing) as missing:
                if variants:
                    raise
                not_run[name] = str(missing)
        if not tasks:
            reasons = "; ".join(f"{name}: {why}" for name, why in not_run.items())
            raise EngineMissing(f"{bundle.path}: {profile.name} can run none of its variants here: {reasons}")
        before = look_around(installed())
        subjects: dict[str, Callable[[], object]] = {}
        for name, task in tasks.items():
            tensor = preprocess(image, task.spec)[0]
            subjects[f"{name}/engine"] = lambda task=task, tensor=tensor: task.session.run(tensor)  # type: ignore[misc]
            subjects[f"{name}/whole"] = lambda task=task: task(image)  # type: ignore[misc]
        taken = interleave(subjects, rounds, progress and (lambda done, total: progress("measuring", done, total)))
        executed = tuple(_executed(name, task, taken) for name, task in tasks.items())
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return BenchResult(bundle.manifest.name, bundle.digest, profile.name, now, before, rounds, executed, not_run)


COLUMNS = ("variant", "engine", "floats", "threads", "p50", "p90", "p99", "cpu", "whole p50", "wall/cpu")


def rows(result: BenchResult) -> list[list[str]]:
    """The table of a result, one row a variant, by `COLUMNS`; milliseconds. A percentile without samples is 'n/a'."""
    return [
        [
            each.variant,
            each.engine,
            each.precision,
            str(each.threads),
            *(_ms(each.engine_only.percentile(p)) for p in (50, 90, 99)),
            _ms(each.engine_only.median_cpu_ms),
            _ms(each.whole.percentile(50)),
            f"{each.engine_only.interference:.2f}",
        ]
        for each in result.variants
    ]


def sections(result: BenchResult, bundle: Bundle) -> list[Section]:
    """What a page says of a result: table, all samples, and accuracy against latency."""
    figure = next(iter(bundle.manifest.evidence.framework))
    accuracy = {name: found.figures[figure] for name, found in bundle.manifest.evidence.variants.items()}
    points = [
        Point(median, accuracy[each.variant], each.variant)
        for each in result.variants
        if (median := each.engine_only.percentile(50)) is not None
    ]
    plots = [Plot(strips({e.variant: e.engine_only.wall_ms for e in result.variants}), "every run of the bare engine")]
    if points:
        plots.append(Plot(front(points, "p50 of the bare engine, ms", figure), "up and to the left is better"))
    host = f"{result.environment.line()}; {result.taken}; profile {result.profile}; bundle digest {result.digest[:16]}"
    not_run = [Text(f"{name} was not run: {why}") for name, why in result.not_run.items()]
    return [Section(f"Latency of {result.bundle}", [Text(host), Grid(COLUMNS, rows(result)), *not_run, *plots])]


def _executed(name: str, task: AnyTask, taken: dict[str, Samples]) -> Executed:
    session = task.session
    return Executed(
        name,
        session.engine,
        session.plan.device,
        session.precision,
        session.threads,
        session.plan.spinning,
        taken[f"{name}/engine"],
        taken[f"{name}/whole"],
    )


def _summary(each: Executed) -> dict[str, Any]:
    percentiles = {f"p{p}_ms": each.engine_only.percentile(p) for p in (10, 50, 90, 99)}
    how = {"engine": each.engine, "threads": each.threads, "precision": each.precision}
    return {**how, "samples": len(each.engine_only.wall_ms), **percentiles, "cpu_ms": each.engine_only.median_cpu_ms}


def _ms(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
