"""What was measured and where, in a sentence each."""

from __future__ import annotations

from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import Camera, ColdStart, Scenario, SingleStream, Streams


def how_measured(result: Result) -> str:
    return f"{_scenario(result.scenario)} The frames are {result.source}."


def where_measured(result: Result) -> str:
    return f"On {result.environment.line()}; profile {result.profile}; {result.taken}; digest {result.digest[:16]}."


def _scenario(scenario: Scenario) -> str:
    if isinstance(scenario, SingleStream):
        rounds = scenario.rounds
        return f"Single stream: back to back, the variants in turn, {rounds.rounds} rounds of {rounds.block} runs."
    if isinstance(scenario, Camera):
        return f"Camera: {scenario.fps:g} frames a second for {scenario.seconds:g} s, answered in time or not."
    if isinstance(scenario, Streams):
        rate = f"{scenario.tolerance:.0%} of {scenario.fps:g} frames a second"
        return f"Streams: the most cameras of which each gets {rate} in {scenario.windows} windows in a row."
    if isinstance(scenario, ColdStart):
        return f"Cold start: {scenario.starts} fresh interpreters a variant, from nothing to the first result."
    rate = "back to back" if scenario.fps is None else f"{scenario.fps:g} frames a second"
    return f"Sustained: {rate} for {scenario.minutes:g} minutes; latency is that of the last {scenario.tail_s:g} s."
