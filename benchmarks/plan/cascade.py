"""A bundle planned alone, or a detector and then its classifier, each with the other one at its rate beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial

from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.plan.candidates import Candidate
from edgekit.benchmarks.plan.load import Cameras, Load
from edgekit.benchmarks.plan.outcome import Outcome, StageOutcome
from edgekit.benchmarks.plan.stage import Bench, Progress, crops, on_each
from edgekit.benchmarks.plan.streams import Streams, compare_streams
from edgekit.benchmarks.plan.trials import Ports
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import BundleError, ContractError
from edgekit.hostplan import Fingerprint, Plans
from edgekit.profile import DeviceProfile
from edgekit.tasks import choose

_STREAMS_S = 3.0
_USUAL = Load()


def plan(
    bundle: Bundle,
    classifier: Bundle | None = None,
    *,
    profile: DeviceProfile,
    load: Load = _USUAL,
    only: Mapping[str, str] | None = None,
    budget_s: float = 60.0,
    progress: Progress | None = None,
) -> Outcome:
    """Measure for about `budget_s` seconds how `bundle`, and `classifier` behind it, run best under `load`.

    profile: what there is beside the CPU, and what the classifier runs on before it has a plan. only: by a bundle's
    digest, the one variant of it to try.
    """
    _check(bundle, classifier)
    began, only = time.perf_counter(), only or {}
    environment, host = look_around(installed()), Fingerprint.here()
    with Cameras(load.cameras) as cameras:
        bench = Bench(Ports(cameras.newest), 1 / load.fps, profile, progress)
        until = began + budget_s - (_STREAMS_S if len(load.cameras) > 1 else 0)
        if classifier is None:
            stages = [bench.plan_stage(bundle, until, only.get(bundle.digest))]
        else:
            stages = _plan_both(bench, bundle, classifier, load.looks, until, only)
        streams = _streams(bundle, stages[0], cameras) if len(load.cameras) > 1 and host.cores > 1 else None
    taken = datetime.now(timezone.utc).isoformat(timespec="seconds")
    seconds = time.perf_counter() - began
    return Outcome(tuple(stages), load.line(), host, environment, streams, taken, seconds)


def _plan_both(
    bench: Bench, bundle: Bundle, classifier: Bundle, looks: int, until: float, only: Mapping[str, str]
) -> list[StageOutcome]:
    """The detector beside the classifier as the profile would run it; then the classifier beside the detector as
    planned."""
    half = (time.perf_counter() + until) / 2
    see = partial(crops, looks=looks)
    usual = choose(classifier, bench.profile, only.get(classifier.digest), plans=Plans(()))
    with Candidate(usual.variant.name, usual.plan).open(classifier) as classify:
        beside = replace(bench.ports, beside=on_each(classify, see))
        first = replace(bench, ports=beside).plan_stage(bundle, half, only.get(bundle.digest))
    best = first.plans[0]
    with Candidate(best.variant, best.plan).open(bundle) as detect:
        beside = replace(bench.ports, beside=detect)
        second = replace(bench, ports=beside, see=see).plan_stage(classifier, until, only.get(classifier.digest))
    return [first, second]


def _streams(bundle: Bundle, stage: StageOutcome, cameras: Cameras) -> Streams | None:
    best = stage.plans[0]
    if best.plan.device != "cpu":
        return None
    return compare_streams(bundle, Candidate(best.variant, best.plan), cameras.newest, _STREAMS_S)


def _check(bundle: Bundle, classifier: Bundle | None) -> None:
    for each in filter(None, (bundle, classifier)):
        if not each.manifest.golden:
            raise BundleError(f"{each.path} holds no golden frame to prove engines with: build it with golden = 1")
    if classifier is None:
        return
    if bundle.manifest.task != "detect" or classifier.manifest.task != "classify":
        raise ContractError(
            "a cascade is a detector and a classifier; "
            f"{bundle.path} does '{bundle.manifest.task}' and {classifier.path} '{classifier.manifest.task}'"
        )
