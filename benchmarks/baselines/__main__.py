"""Measures the baseline of a profile on this host: every variant of some bundles, on one thread each, in turn.

    python -m edgekit.benchmarks.baselines generic "MobileNetV2 1.0, 101 classes=out/grocery-1.0.ekb"

Each bundle comes with the name of the model that it holds. The file is written to benchmarks/baselines/, unless others
had the cores.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from edgekit import schema
from edgekit.benchmarks.baselines import Baseline, Measured
from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.interference import REFUSED
from edgekit.benchmarks.probe import Probe, probe
from edgekit.benchmarks.speed.own_engine import own_engine
from edgekit.benchmarks.work import Work, work_of
from edgekit.bundle import Bundle, Variant
from edgekit.engines import Session, installed, open_session
from edgekit.errors import EdgekitError, ResultError
from edgekit.files import write_text
from edgekit.measure import Rounds, Samples, interleave, nearest_rank
from edgekit.plan import EnginePlan
from edgekit.profile import DeviceProfile

_ROUNDS = Rounds(rounds=40, block=10)


@dataclass(frozen=True)
class _Subject:
    model: str
    bundle: Bundle
    variant: Variant
    session: Session
    work: Work


def measure(
    profile: DeviceProfile,
    models: Sequence[tuple[str, Path]],
    probed: Probe,
    rounds: Rounds = _ROUNDS,
    allow_noisy: bool = False,
) -> Baseline:
    """models: each with its bundle; every variant runs in the engine that made its format. probed: of this host.
    `ResultError` where others had the cores, unless that is allowed."""
    environment = look_around(installed())
    with ExitStack() as stack:
        subjects = [each for model, path in models for each in _opened(model, path, stack)]
        runs: dict[str, Callable[[], object]] = {}
        for each in subjects:
            tensor = np.zeros(each.variant.input.shape, each.variant.input.dtype)
            runs[_name(each)] = lambda session=each.session, tensor=tensor: session.run(tensor)  # type: ignore[misc]
        taken = interleave(runs, rounds, lambda done, total: print(f"round {done} of {total}", file=sys.stderr))
    busy = interference_of(taken.values(), allow_noisy)
    now = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    how = f"in turn, {rounds.rounds} rounds of {rounds.block}; CPU times count, wall over CPU time was up to {busy:.2f}"
    measured = tuple(_measured(each, taken[_name(each)]) for each in subjects)
    return Baseline(profile.name, environment.line(), now, how, probed, measured)


def interference_of(taken: Iterable[Samples], allow_noisy: bool) -> float:
    """The worst wall over CPU time; `ResultError` where `edgekit bench` would refuse it and it is not allowed."""
    busy = max(samples.interference for samples in taken)
    if busy > REFUSED and not allow_noisy:
        raise ResultError(
            f"others had the cores: wall over CPU time was up to {busy:.2f}, and {REFUSED} is the most for a baseline; "
            "measure on a quiet host, or with --allow-noisy"
        )
    return busy


def _opened(model: str, path: Path, stack: ExitStack) -> list[_Subject]:
    bundle = stack.enter_context(Bundle.open(path))
    work = work_of(bundle)
    found = []
    for variant in bundle.manifest.variants:
        plan = EnginePlan(own_engine(variant), threads=1)
        session = stack.enter_context(open_session(bundle.artifact(variant), plan))
        found.append(_Subject(model, bundle, variant, session, work))
    return found


def _name(subject: _Subject) -> str:
    return f"{subject.bundle.path}/{subject.variant.name}"


def _measured(each: _Subject, samples: Samples) -> Measured:
    spec = each.variant.input
    return Measured(
        model=each.model,
        input=f"{spec.width}x{spec.height}",
        engine=each.session.plan.engine,
        version=each.session.engine.rpartition(" ")[2],
        precision=each.variant.precision,
        work=each.work,
        cpu_ms=round(samples.median_cpu_ms, 4),
        quick_ms=round(nearest_rank(samples.cpu_ms, 10), 4),
        wall_ms=round(median(samples.wall_ms), 4),
        samples=len(samples.wall_ms),
        digest=each.bundle.digest,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m edgekit.benchmarks.baselines", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("profile", help="whose baseline this becomes")
    parser.add_argument("models", nargs="+", help="NAME=BUNDLE: what the model is called, and its bundle (.ekb)")
    parser.add_argument("--allow-noisy", action="store_true", help="write it even where others had the cores")
    asked = parser.parse_args(arguments)
    for each in asked.models:
        if not each.rpartition("=")[0]:
            parser.error(f"'{each}' does not say what its model is called: NAME=BUNDLE")
    models = [(name, Path(path)) for name, _, path in (each.rpartition("=") for each in asked.models)]
    try:
        found = measure(DeviceProfile.load(asked.profile), models, probe(), allow_noisy=asked.allow_noisy)
    except EdgekitError as error:
        sys.exit(str(error))
    path = Path(__file__).with_name(f"{asked.profile}.json")
    write_text(path, json.dumps(schema.dump(found), indent=1, ensure_ascii=False) + "\n")
    print(path)


if __name__ == "__main__":
    main()
