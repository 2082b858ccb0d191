"""How a bundle runs best on this very host: what `edgekit plan` measured, kept in a file, and used from then on.

    plan = Plans.usual().find(bundle.digest)

A plan holds for the CPU, the cores and the engines' versions that it was measured with, and for no others: the same
board and model were seen to be six times faster with an engine's next version. One that does not hold is not used, and
a warning says what has changed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.engines import installed
from edgekit.errors import EdgekitError, SettingsError
from edgekit.files import user_cache, write_text
from edgekit.host import Host
from edgekit.plan import EngineName, EnginePlan
from edgekit.schema import STRICT, dump, parse_json

log = logging.getLogger(__name__)

SCHEMA = 1
FOLDER = "EDGEKIT_PLANS"


@dataclass(frozen=True)
class StagePlan:
    """How one variant runs, and what a frame took with it: milliseconds, and CPU-milliseconds of all threads.

    p90_ms: None where fewer frames were looked at than a p90 needs.
    """

    __pydantic_config__ = STRICT

    variant: str
    plan: EnginePlan
    p50_ms: float
    p90_ms: float | None
    cpu_ms: float

    def __str__(self) -> str:
        return f"{self.variant} in {told(self.plan)}"


@dataclass(frozen=True)
class Fingerprint:
    """What a plan depends on. cpu: the board's name where it has one. cores: those that this process may use."""

    __pydantic_config__ = STRICT

    arch: str
    cpu: str
    cores: int
    engines: Mapping[str, str]

    @classmethod
    def here(cls, engines: Mapping[EngineName, str | None] | None = None) -> Fingerprint:
        """This host's, with the engines that are installed unless they are given."""
        host = Host.probe()
        versions = installed() if engines is None else engines
        there: dict[str, str] = {name: version for name, version in versions.items() if version is not None}
        return cls(host.arch, host.model or host.cpu_model or "unknown", len(os.sched_getaffinity(0)), there)

    @property
    def machine(self) -> str:
        """Eight letters that tell machines apart, whatever is installed on them."""
        return hashlib.sha256(f"{self.arch}\n{self.cpu}\n{self.cores}".encode()).hexdigest()[:8]

    def changes(self, now: Fingerprint) -> list[str]:
        """What is not now as it was; an engine that has come since changes nothing that was measured."""
        was = {"architecture": self.arch, "CPU": self.cpu, "number of cores": str(self.cores), **self.engines}
        is_ = {"architecture": now.arch, "CPU": now.cpu, "number of cores": str(now.cores), **now.engines}
        return [
            f"{what} was {value} and is {is_.get(what, 'not installed')}"
            for what, value in was.items()
            if is_.get(what) != value
        ]


@dataclass(frozen=True)
class HostPlan:
    """A bundle's plan for one host. stages: a variant each, the best first; variants that came nowhere near are not in
    it. load: what the host did meanwhile. tools: versions of everything else that had a part in it."""

    __pydantic_config__ = STRICT

    bundle: str
    digest: str
    host: Fingerprint
    stages: tuple[StagePlan, ...]
    load: str
    measured_at: str
    tools: Mapping[str, str]
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        if not self.stages or self.schema != SCHEMA:
            raise ValueError(f"a plan of schema {SCHEMA} has at least one stage; got {self.schema}, {self.stages}")

    def stage(self, variant: str | None = None) -> StagePlan | None:
        """How that variant runs; the best variant if none is named; None where the plan does not know it."""
        return next((each for each in self.stages if variant in (None, each.variant)), None)


@dataclass(frozen=True)
class Plans:
    """The folders in which plans are kept; looked through in order. `Plans(())` knows of none."""

    folders: tuple[Path, ...]

    @classmethod
    def usual(cls, state: Path | None = None) -> Plans:
        """$EDGEKIT_PLANS, and that alone, where it is set. Else the plans in `state`, which is the folder of a loop
        that runs unattended, and then the user's own in $XDG_CACHE_HOME/edgekit/plans."""
        named = os.environ.get(FOLDER)
        if named:
            return cls((Path(named),))
        return cls(tuple(each / "plans" for each in (state, user_cache()) if each is not None))

    def keep(self, plan: HostPlan) -> Path:
        """Write it into the first folder, over an older one for the same bundle and machine; where it lies then."""
        if not self.folders:
            raise EdgekitError("this user has no home folder to keep a plan in; name a folder by --plans")
        folder = self.folders[0]
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgekitError(f"{folder}: {error.strerror or error}; name another folder by --plans") from error
        path = folder / _file(plan.digest, plan.host.machine)
        write_text(path, json.dumps(dump(plan), indent=1, ensure_ascii=False) + "\n")
        return path

    def find(self, digest: str, here: Fingerprint | None = None) -> HostPlan | None:
        """The plan for the bundle of that digest that holds here; a warning says why there is none if there was one."""
        paths = [path for folder in self.folders for path in sorted(folder.glob(_file(digest, "*")))]
        if not paths:
            return None
        here = here or Fingerprint.here()
        ours = [path for path in paths if path.name == _file(digest, here.machine)]
        for path in ours or paths:
            plan = _read(path)
            if plan is None:
                continue
            changes = ["it is for another bundle"] if plan.digest != digest else plan.host.changes(here)
            if not changes:
                return plan
            log.warning("%s is not used: %s; measure anew by 'edgekit plan'", path, ", ".join(changes))
        return None


def told(plan: EnginePlan) -> str:
    """A plan in words: 'openvino, 2 threads'."""
    words = [plan.engine if plan.device == "cpu" else f"{plan.engine} on {plan.device}"]
    words += [f"{plan.threads} thread{'s' if plan.threads > 1 else ''}"] if plan.device == "cpu" else []
    words += ["spinning"] if plan.spinning else []
    words += [plan.precision] if plan.precision != "f32" else []
    return ", ".join(words)


def _file(digest: str, machine: str) -> str:
    return f"{digest[:16]}-{machine}.json"


def _read(path: Path) -> HostPlan | None:
    try:
        return parse_json(HostPlan, path.read_text(encoding="utf-8"), str(path))
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        log.warning("%s is not used: %s; measure anew by 'edgekit plan'", path, error)
        return None
