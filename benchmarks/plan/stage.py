"""How one stage is planned, in three steps.

1.  One thread each, back to back. More threads only ever cost more CPU time, so what takes more than twice that of the
    cheapest leaves with all its threads: mostly the floats beside INT8. Here each proves itself on the golden frames.
2.  More threads, spinning and not, back to back; the best ten go on.
3.  Those ten at the cameras' rate, by successive halving.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeAlias

from edgekit.benchmarks.plan.candidates import Candidate, families, prove, widened
from edgekit.benchmarks.plan.outcome import StageOutcome, stage_outcome
from edgekit.benchmarks.plan.trials import Halving, Ports, Subject, Trial, halve, paced, ranked
from edgekit.bundle import Bundle
from edgekit.errors import AcceleratorMissing, ContractError, EngineError, EngineMissing
from edgekit.frames import Image
from edgekit.measure import Samples
from edgekit.profile import DeviceProfile
from edgekit.tasks import AnyTask

HOPELESS = 2.0  # times the CPU time of the cheapest on one thread
MOST_PACED = 10

_LOOK_S, _FEWEST, _MOST = 0.15, 5, 30  # of a candidate in steps 1 and 2: so long, so many frames

# told (stage, done, total)
Progress: TypeAlias = Callable[[str, int, int], None]
See: TypeAlias = Callable[[Image], Sequence[Image]]


def whole(image: Image) -> Sequence[Image]:
    """What a detector sees."""
    return (image,)


def crops(image: Image, looks: int) -> Sequence[Image]:
    """What a classifier sees: a quarter of each side, out of the middle, which is about what a product takes."""
    height, width = image.shape[:2]
    top, left = height * 3 // 8, width * 3 // 8
    return (image[top : top + max(1, height // 4), left : left + max(1, width // 4)],) * looks


def on_each(task: AnyTask, see: See) -> Subject:
    """A stage's work on a frame."""

    def work(image: Image) -> None:
        for picture in see(image):
            task(picture)

    return work


@dataclass(frozen=True)
class Bench:
    """Where a stage is planned. period_s: from one frame to the next. profile: what the host has beside its CPU.

    see: the pictures that the stage gets of a frame.
    """

    ports: Ports
    period_s: float
    profile: DeviceProfile
    progress: Progress | None = None
    see: See = whole

    def plan_stage(self, bundle: Bundle, until: float, only: str | None = None) -> StageOutcome:
        """until: when to be done, by the ports' clock. `EngineMissing` where nothing of it runs here."""
        name = bundle.manifest.name
        tried, left_out = families(bundle, self.profile, only)
        first = self._briefly(bundle, tried, left_out, f"{name}: one thread each")
        if not first:
            reasons = "; ".join(f"{each} {why}" for each, why in left_out.items())
            raise EngineMissing(f"{bundle.path}: nothing of it can be planned on this host: {reasons}")
        cheapest = min(trial.cpu_ms for trial in first.values())
        good = [each for each, trial in first.items() if trial.cpu_ms <= HOPELESS * cheapest]
        more = [wider for each in good for wider in widened(each)]
        first |= self._briefly(bundle, more, left_out, f"{name}: more threads")
        best = ranked({each: first[each] for each in (*good, *more) if each in first})[:MOST_PACED]
        return stage_outcome(bundle, self._halve(bundle, best, until), first, left_out)

    def _briefly(
        self, bundle: Bundle, tried: Sequence[Candidate], left_out: dict[str, str], what: str
    ) -> dict[Candidate, Trial]:
        """One after the other, so that only one at a time takes memory; those that fail are left out."""
        found: dict[Candidate, Trial] = {}
        for i, each in enumerate(tried, start=1):
            try:
                with each.open(bundle) as task:
                    if each.plan.threads == 1:
                        prove(bundle, each, task)
                    found[each] = Trial(back_to_back=self._look(on_each(task, self.see)))
            except (EngineError, EngineMissing, AcceleratorMissing, ContractError) as error:
                left_out[str(each)] = str(error)
            self._tell(what, i, len(tried))
        return found

    def _look(self, subject: Subject) -> Samples:
        once_ms = paced(subject, self.ports, 0.0, 2).wall_ms[-1]
        frames = int(_LOOK_S * 1e3 / max(once_ms, 1e-3))
        return paced(subject, self.ports, 0.0, min(max(frames, _FEWEST), _MOST))

    def _halve(self, bundle: Bundle, best: Sequence[Candidate], until: float) -> Halving[Candidate]:
        what = f"{bundle.manifest.name}: {len(best)} candidates at {1 / self.period_s:g} frames/s"
        with ExitStack() as opened:
            subjects = {each: on_each(opened.enter_context(each.open(bundle)), self.see) for each in best}
            left_s = until - self.ports.clock()
            return halve(
                subjects, self.ports, self.period_s, left_s, progress=lambda i, rungs: self._tell(what, i, rungs)
            )

    def _tell(self, what: str, done: int, total: int) -> None:
        if self.progress:
            self.progress(what, done, total)
