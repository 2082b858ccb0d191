"""The inference child that is kept going: started, asked one frame at a time, heard, and ended when it fails.

What counts as failing, and which variant comes next, is `engine.EngineHealth`'s to say.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

from edgekit.backoff import Backoff
from edgekit.supervisor.camera import Facts
from edgekit.supervisor.changes import counts
from edgekit.supervisor.children import Child, Message
from edgekit.supervisor.engine import EngineHealth
from edgekit.supervisor.ladder import Rung

log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 0.5, 30.0  # loading a model costs seconds of all cores
_DYING_S, _UNDYING_S = 0.05, 1.0  # between looks whether it has died: at first, and once it does not seem to
_DIES_WITHIN_S = 5.0
_STUCK = "its process is stuck and does not die"
_RECENT = 64  # answers whose stage times are kept


@dataclass(frozen=True)
class Seen:
    """An answer: what was to be seen in that frame of that camera, as `Observation.to_dict` has it, and the `counts` of
    that."""

    camera: str
    facts: Facts
    observation: Mapping[str, Any]
    counts: dict[str, int]


@dataclass(frozen=True)
class Unanswered:
    """A frame that was asked for and will not be answered."""

    camera: str
    reason: str


@dataclass(frozen=True)
class Changed:
    """The engine's state is another one, or it has failed once more; `Worker.health` tells."""


Heard: TypeAlias = Seen | Unanswered | Changed


class Worker:
    """Drive it with `step`, and give it work with `ask` while it is `idle`.

    start: gives a new child for a variant and a rung. health: what is believed of it. running_as: engine and precision.
    undying_since: when it was first seen that a child that was killed had not died yet; None where none is dying.
    """

    def __init__(
        self, health: EngineHealth, start: Callable[[str, Rung], Child], random: random.Random, now: float
    ) -> None:
        self.health = health
        self.running_as = ""
        self.undying_since: float | None = None
        self._start = start
        self._child: Child | None = None
        self._dying: Child | None = None
        self._backoff = Backoff(_FIRST_S, _LONGEST_S, random)
        self._restart_at = now
        self._waited_s = 0.0
        self._asked: tuple[str, Facts] | None = None
        self._stages: dict[str, deque[float]] = {}

    @property
    def idle(self) -> bool:
        return self._child is not None and self.health.idle

    @property
    def stages_ms(self) -> dict[str, float]:
        """The medians of the last answers' stages."""
        return {stage: round(median(spent), 3) for stage, spent in self._stages.items()}

    def step(self, now: float, rung: Rung) -> list[Heard]:
        """Hear the child and do what is due. rung: how much is to be done, should it be started."""
        heard = self._hear(now)
        fault = None if self._child is None else self.health.fault(now)
        if fault is not None:
            heard += self._failed(fault, now)
        if self._child is None and now >= self._restart_at:
            heard += self._begin(rung, now)
        return heard

    def ask(self, camera: str, facts: Facts, now: float) -> list[Heard]:
        """To look at that frame; what came of it where the child does not listen."""
        assert self._child is not None
        self._asked = camera, facts
        if not self._child.send({"kind": "look", "camera": camera, "number": facts.number}):
            return self._failed("its process does not listen", now)
        self.health.asked(now)
        return []

    def tell(self, message: Mapping[str, Any]) -> None:
        """Something that needs no answer; a child that is not there need not know it."""
        if self._child is not None:
            self._child.send(message)

    def change(self, before: Rung, after: Rung, now: float) -> list[Heard]:
        """Work by another rung from now on: with another child where the variant is another."""
        if before.variant != after.variant:
            heard = self._unanswered("changing variant")
            self.close()
            self._restart_at = now
            return heard
        self.health.works_otherwise()
        if before.detector_only != after.detector_only:
            self.tell({"kind": "simplify", "detector_only": after.detector_only})
        return []

    def next_step(self) -> float:
        """When there will be something to do, if the child says nothing until then."""
        return self._restart_at if self._child is None else self.health.next_check()

    def close(self) -> None:
        """End the child; may be called twice."""
        if self._child is not None:
            self._child.kill()
            self._dying = self._child
        self._child = None

    def _begin(self, rung: Rung, now: float) -> list[Heard]:
        if self._dying is not None and self._dying.ended() is None:
            return self._wait_for_death(now)  # two at once may be more than there is memory for
        self._dying = self.undying_since = None
        wished = rung.variant
        variant = wished if wished is not None and self.health.may_run(wished) else self.health.variant
        self.health.started(now, variant)
        try:
            self._child = self._start(variant, rung)
        except OSError as error:
            return self._failed(f"its process cannot be started: {error.strerror}", now)
        return []

    def _wait_for_death(self, now: float) -> list[Heard]:
        self.undying_since = now if self.undying_since is None else self.undying_since
        is_stuck = now - self.undying_since >= _DIES_WITHIN_S
        self._restart_at = now + (_UNDYING_S if is_stuck else _DYING_S)
        if not is_stuck or self.health.reason == _STUCK:
            return []
        self.health.reason = _STUCK
        log.error("engine: %s; no other is started beside it", _STUCK)
        return [Changed()]

    def _hear(self, now: float) -> list[Heard]:
        if self._child is None:
            return []
        heard: list[Heard] = []
        for message in self._child.receive():
            try:
                kind = message["kind"]
                if kind in ("nonsense", "failed"):
                    return heard + self._failed(str(message["reason"]), now)
                heard += self._heard(kind, message, now)
            except (KeyError, TypeError, ValueError, AttributeError):
                return heard + self._failed("its process talks nonsense", now)
        why = self._child.ended()
        return heard if why is None else heard + self._failed(why, now)

    def _heard(self, kind: str, message: Message, now: float) -> list[Heard]:
        if kind == "ready":
            self.health.ready(now)
            self.running_as = " ".join(
                str(message[key]) for key in ("engine", "precision", "planned") if message.get(key)
            )
            self._stages.clear()
            return [Changed()]
        asked, self._asked = self._asked, None
        if asked is None or (asked[0], asked[1].number) != (message["camera"], message["number"]):
            return []
        self.health.answered(now)
        if kind == "missed":
            return [Unanswered(asked[0], "overtaken")]
        if now - self.health.up_at >= 2 * self._waited_s:
            self._backoff.reset()  # it has worked for longer than it was waited for
        observation = message["observation"]
        seen = Seen(*asked, observation, counts(observation))
        for stage, spent in observation["stages_ms"].items():
            self._stages.setdefault(stage, deque(maxlen=_RECENT)).append(float(spent))
        return [seen]

    def _failed(self, reason: str, now: float) -> list[Heard]:
        self.close()
        changed = self.health.failed(reason)
        self._waited_s = self._backoff.next()
        self._restart_at = now + self._waited_s
        log.error("engine: %s; it is started anew%s", reason, f" as {self.health.variant}" if changed else "")
        return [*self._unanswered("engine failed"), Changed()]

    def _unanswered(self, reason: str) -> list[Heard]:
        asked, self._asked = self._asked, None
        return [] if asked is None else [Unanswered(asked[0], reason)]
