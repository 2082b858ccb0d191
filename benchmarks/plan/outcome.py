"""What a planning found, and why it chose what it chose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from edgekit import __version__, schema
from edgekit.benchmarks.environment import Environment
from edgekit.benchmarks.plan.candidates import Candidate
from edgekit.benchmarks.plan.streams import Streams
from edgekit.benchmarks.plan.trials import FRUGAL, SAME, Halving, Trial
from edgekit.bundle import Bundle
from edgekit.hostplan import Fingerprint, HostPlan, StagePlan, told
from edgekit.plan import EnginePlan

SCHEMA = 1
COLUMNS = ("variant", "engine", "threads", "spin", "p50", "p90", "CPU", "back to back", "verdict")


@dataclass(frozen=True)
class Tried:
    """What came of a candidate; milliseconds a frame, of this stage alone.

    frames: how many at the cameras' rate; where there were none, p50_ms and cpu_ms are of frames back to back.
    """

    variant: str
    plan: EnginePlan
    frames: int
    p50_ms: float
    p90_ms: float | None
    cpu_ms: float
    back_to_back_ms: float
    verdict: str


@dataclass(frozen=True)
class StageOutcome:
    """One bundle's. tried: the best first. left_out: what was not measured, with the reason. interference: of one
    thread, wall over CPU time; above 1 others had the cores as well."""

    bundle: str
    digest: str
    tried: tuple[Tried, ...]
    left_out: dict[str, str]
    interference: float

    @property
    def plans(self) -> tuple[StagePlan, ...]:
        """The best way to run each variant, of those that were measured at the cameras' rate."""
        best: dict[str, StagePlan] = {}
        for each in self.tried:
            if each.frames:
                stage = StagePlan(each.variant, each.plan, each.p50_ms, each.p90_ms, each.cpu_ms)
                best.setdefault(each.variant, stage)
        return tuple(best.values())

    def why(self) -> str:
        """What was chosen, and the cheapest and the fastest beside it."""
        judged = [each for each in self.tried if each.frames]
        best = judged[0]
        cheapest, fastest = min(judged, key=lambda each: each.cpu_ms), min(judged, key=lambda each: each.p50_ms)
        beside = [
            f"{what} was {_way(each)}, {_cost(each)}"
            for what, each in (("the cheapest", cheapest), ("the fastest", fastest))
            if each is not best
        ]
        return "; ".join([f"{_way(best)}, {_cost(best)}", *beside])

    def rows(self) -> list[list[str]]:
        """The table, one row a candidate, by `COLUMNS`; milliseconds."""
        return [
            [
                each.variant,
                each.plan.engine if each.plan.device == "cpu" else f"{each.plan.engine} on {each.plan.device}",
                str(each.plan.threads),
                "yes" if each.plan.spinning else "",
                _ms(each.p50_ms if each.frames else None),
                _ms(each.p90_ms),
                _ms(each.cpu_ms),
                _ms(each.back_to_back_ms),
                each.verdict,
            ]
            for each in self.tried
        ]


@dataclass(frozen=True)
class Outcome:
    """One planning: its stages, under which load, on which host, and how two streams compare with one session."""

    stages: tuple[StageOutcome, ...]
    load: str
    host: Fingerprint
    environment: Environment
    streams: Streams | None
    taken: str
    seconds: float
    schema: int = SCHEMA

    def text(self) -> str:
        """All of it as JSON text."""
        return json.dumps(schema.dump(self), indent=1, ensure_ascii=False) + "\n"

    def host_plans(self) -> list[HostPlan]:
        """What is to be kept of it, a bundle each."""
        tools = {"edgekit": __version__, **self.environment.versions}
        return [
            HostPlan(each.bundle, each.digest, self.host, each.plans, self.load, self.taken, tools)
            for each in self.stages
        ]


def stage_outcome(
    bundle: Bundle, halving: Halving[Candidate], first: Mapping[Candidate, Trial], left_out: dict[str, str]
) -> StageOutcome:
    """first: what was measured back to back, of those too that were not measured further."""
    trials = {each: halving.trials[each] for each in halving.ranking}
    cheapest = min(trial.cpu_ms for trial in trials.values())
    winner = trials[halving.ranking[0]]
    tried = [_tried(each, trial, _verdict(trial, winner, cheapest)) for each, trial in trials.items()]
    rest = sorted(first.keys() - trials.keys(), key=lambda each: first[each].cpu_ms)
    alone = min(trial.cpu_ms for trial in first.values())
    tried += [
        _tried(each, first[each], f"back to back {first[each].cpu_ms / alone:.1f}x the CPU time") for each in rest
    ]
    return StageOutcome(bundle.manifest.name, bundle.digest, tuple(tried), left_out, _interference(first))


def _interference(first: Mapping[Candidate, Trial]) -> float:
    """Back to back on one thread, in the median over the candidates."""
    return median(each.shown.interference for name, each in first.items() if name.plan.threads == 1)


def _tried(candidate: Candidate, trial: Trial, verdict: str) -> Tried:
    return Tried(
        variant=candidate.variant,
        plan=candidate.plan,
        frames=len(trial.paced.wall_ms),
        p50_ms=trial.p50_ms,
        p90_ms=trial.paced.percentile(90) if trial.paced.wall_ms else None,
        cpu_ms=trial.cpu_ms,
        back_to_back_ms=median(trial.back_to_back.wall_ms),
        verdict=verdict,
    )


def _verdict(trial: Trial, winner: Trial, cheapest_ms: float) -> str:
    if trial is winner:
        return "chosen"
    if trial.cpu_ms > FRUGAL * cheapest_ms:
        return f"{trial.cpu_ms / cheapest_ms:.1f}x the CPU time of the cheapest"
    slower = trial.p50_ms / winner.p50_ms
    return f"{slower:.2f}x the time" if slower > SAME else "as fast, and dearer" if slower > 1 / SAME else "fell early"


def _way(tried: Tried) -> str:
    return f"{tried.variant} in {told(tried.plan)}"


def _cost(tried: Tried) -> str:
    return f"p50 {tried.p50_ms:.2f} ms, {tried.cpu_ms:.2f} CPU-ms"


def _ms(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"
