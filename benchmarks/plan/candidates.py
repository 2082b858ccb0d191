"""All the ways to run a bundle on this host that are worth a try."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from edgekit.bundle import Bundle
from edgekit.engines import installed, open_session
from edgekit.errors import ContractError
from edgekit.hostplan import told
from edgekit.plan import ENGINES, EngineName, EnginePlan
from edgekit.profile import DeviceProfile
from edgekit.tasks import AnyTask, make_task
from edgekit.verify import allowed_error, golden_tensor, relative_error


@dataclass(frozen=True)
class Candidate:
    """One way to run a bundle's model."""

    variant: str
    plan: EnginePlan

    def __str__(self) -> str:
        return f"{self.variant} in {told(self.plan)}"

    @contextmanager
    def open(self, bundle: Bundle) -> Iterator[AnyTask]:
        variant = bundle.variant(self.variant)
        with open_session(bundle.artifact(variant), self.plan) as session:
            yield make_task(session, variant.input, bundle.manifest.head, bundle.manifest.labels)


def families(bundle: Bundle, profile: DeviceProfile, only: str | None = None) -> tuple[list[Candidate], dict[str, str]]:
    """The variants that passed the gate in every engine that is here and opens them, on one thread of the CPU, and as
    the profile has it on what lies beside the CPU; and what was left out, with the reason.

    only: the one variant to try, whatever the gate said of it: somebody has named it.
    """
    there, at_gate = installed(), bundle.manifest.evidence.variants
    found: list[Candidate] = []
    left_out: dict[str, str] = {}
    for variant in bundle.manifest.variants if only is None else (bundle.variant(only),):
        outcome = at_gate[variant.name].outcome if variant.name in at_gate else "not seen"
        if only is None and outcome != "PASS":
            left_out[variant.name] = f"was {outcome} at the gate"
            continue
        for engine in ENGINES[variant.format]:
            if there[engine] is None:
                left_out[f"{variant.name} in {engine}"] = "is not installed"
            else:
                found += [Candidate(variant.name, each) for each in _ways(engine, profile)]
    return found, left_out


def widened(candidate: Candidate, cores: int | None = None) -> list[Candidate]:
    """The same with more threads, and with threads that spin, where the engine's can."""
    if candidate.plan.device != "cpu":
        return []
    counts = thread_counts(cores or len(os.sched_getaffinity(0)))
    wider = [replace(candidate.plan, threads=threads) for threads in counts[1:]]
    spinning = [replace(each, spinning=True) for each in wider if each.engine == "onnxruntime"]
    return [Candidate(candidate.variant, each) for each in (*wider, *spinning)]


def thread_counts(cores: int) -> list[int]:
    """1, 2, 3, 4 of up to four cores; of more the powers of two, all but one, and all."""
    if cores <= 4:
        return list(range(1, cores + 1))
    powers = [2**i for i in range(cores.bit_length()) if 2**i < cores]
    return sorted({*powers, cores - 1, cores})


def prove(bundle: Bundle, candidate: Candidate, task: AnyTask) -> None:
    """`ContractError` where an answer on a golden frame is farther off than `edgekit verify` allows.

    The gate saw each variant in its format's own engine; that another one reads the file proves nothing.
    """
    variant = bundle.variant(candidate.variant)
    limit = allowed_error(variant, bundle.evidence(variant).golden_error)
    for golden in bundle.golden():
        error = relative_error(golden.outputs, task.session.run(golden_tensor(golden, variant.input)))
        if error > limit:
            raise ContractError(f"its answer on a golden frame differs by {error:.3g}, and {limit:.3g} is allowed")


def _ways(engine: EngineName, profile: DeviceProfile) -> list[EnginePlan]:
    """The CPU in the profile's precision comes first."""
    own = [each for each in profile.plans.value if each.engine == engine]
    cpu = next((each for each in own if each.device == "cpu"), EnginePlan(engine))
    return [replace(cpu, threads=1, spinning=False), *(each for each in own if each.device != "cpu")]
