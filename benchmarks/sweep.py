"""Many measurements at once: bundles x profiles x scenarios on the boards of a Dask cluster, one at a time on each.

    sweep(read_sweep("sweep.toml").cells(), "results", Client("tcp://shop-rack:8786"))

A board is one worker that offers itself by name, `dask worker tcp://shop-rack:8786 --nthreads 1 --resources "pi5=1"`;
boards of one name are taken to be alike. A result's file is named after everything that decides it, so a sweep that was
broken off goes on where it was, and a cell that fails is told and does not end the others; so are those of a board that
goes away and does not come back. A board whose engines are of other versions by now is measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import edgekit
from edgekit import schema
from edgekit.benchmarks.result import Result
from edgekit.benchmarks.scenario import Scenario, SingleStream
from edgekit.bundle import Bundle
from edgekit.engines import installed
from edgekit.errors import ResultError, SettingsError
from edgekit.files import write_text
from edgekit.plan import EngineName
from edgekit.profile import DeviceProfile, profile_within
from edgekit.schema import STRICT

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[int, int], None]
Engines: TypeAlias = Mapping[EngineName, str | None]
_USUAL = (SingleStream(),)
_PATIENCE_S = 180.0  # a Raspberry Pi that starts anew, its worker included, needs one minute


@dataclass(frozen=True)
class Cell:
    """One measurement of a sweep. digest: of the bundle. variants: none is all. board: which workers may run it."""

    bundle: Path
    digest: str
    profile: DeviceProfile
    scenario: Scenario
    board: str
    variants: tuple[str, ...] = ()
    allow_noisy: bool = False

    @property
    def key(self) -> str:
        """Names the result: the digest of all that decides it, edgekit's version too, but not where the bundle lies."""
        decides = schema.dump(self) | {"bundle": None, "edgekit": edgekit.__version__}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.bundle.name} as {self.profile.name} on {self.board}, {self.scenario.kind}"


@dataclass(frozen=True)
class Sweep:
    """A sweep's file: every bundle with every profile and scenario on every board; `folder` is where paths begin."""

    __pydantic_config__ = STRICT

    bundles: tuple[str, ...]
    boards: tuple[str, ...]
    profiles: tuple[str, ...] = ("generic",)
    scenarios: tuple[Scenario, ...] = _USUAL
    variants: tuple[str, ...] = ()
    allow_noisy: bool = False
    folder: str = "."

    def __post_init__(self) -> None:
        for name in ("bundles", "boards", "profiles", "scenarios"):
            if not getattr(self, name):
                raise ValueError(f"{name} names at least one")

    def cells(self) -> list[Cell]:
        """All of them; `BundleError` or `ProfileError` where something that is named is not there."""
        profiles = [DeviceProfile.load(profile_within(name, Path(self.folder)) or name) for name in self.profiles]
        paths = [Path(self.folder, bundle) for bundle in self.bundles]
        digests = {path: _digest(path) for path in paths}
        return [
            Cell(path, digests[path], profile, scenario, board, self.variants, self.allow_noisy)
            for path, profile, scenario, board in product(paths, profiles, self.scenarios, self.boards)
        ]


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: the file of its result, or the error.

    fresh: measured now, and not found. worker: its address; began, ended: on its wall clock, in seconds.
    """

    cell: Cell
    path: Path | None = None
    error: str = ""
    fresh: bool = False
    worker: str = ""
    began: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class _Answer:
    text: str
    worker: str
    began: float
    ended: float


def read_sweep(path: Path | str) -> Sweep:
    """From TOML; its paths are relative to its folder. `SettingsError` names every fault."""
    table = schema.read_toml(path)
    return schema.parse(Sweep, {"folder": str(Path(path).parent)} | table, str(path))


def sweep(
    cells: Sequence[Cell],
    folder: Path | str,
    client: Client,
    progress: Progress | None = None,
    patience_s: float = _PATIENCE_S,
) -> list[Outcome]:
    """Run what has no result in `folder` yet, and write each result as soon as it is there, as <key>.json.

    Outcomes come in the order of `cells`. `SettingsError` where no worker offers a board that a cell needs; where one
    goes away meanwhile, its cells fail once it has been away for `patience_s`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    engines = _engines({cell.board for cell in cells}, client)
    found = {cell.key: _kept(cell, folder, engines.get(cell.board)) for cell in cells}
    missing = {cell.key: cell for cell in cells if found[cell.key] is None}
    _check_boards(missing.values(), client)
    tell = progress or (lambda done, total: None)
    tell(len(found) - len(missing), len(found))
    for done, new in enumerate(_run(list(missing.values()), folder, client, patience_s), len(found) - len(missing) + 1):
        found[new.cell.key] = new
        tell(done, len(found))
    return [outcome for cell in cells if (outcome := found[cell.key]) is not None]


def _kept(cell: Cell, folder: Path, engines: Engines | None) -> Outcome | None:
    """The result that is there already, if it may be shown and is of these engines; one that is INVALID or cannot be
    read is measured again, as a failure is. engines: None of a board that is not there, whose results are taken."""
    path = folder / f"{cell.key}.json"
    if not path.exists():
        return None
    try:
        result = Result.read(path)
    except ResultError as error:
        log.warning("%s is measured again: %s", cell, error)
        return None
    known = result.environment.versions
    same = engines is None or all(known.get(name) == version for name, version in engines.items())
    return Outcome(cell, path) if same and result.validity.valid else None


def _engines(boards: Iterable[str], client: Client) -> dict[str, Engines]:
    """The engines of each board that is there, by name; None where one is not installed."""
    asked = {
        board: client.submit(installed, resources={board: 1}, pure=False)
        for board in boards
        if board in _offered(client)
    }
    return {board: future.result() for board, future in asked.items()}


def _offered(client: Client) -> set[str]:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {name for worker in workers for name in worker["resources"]}


def _check_boards(cells: Iterable[Cell], client: Client) -> None:
    offered = _offered(client)
    absent = sorted({cell.board for cell in cells} - offered)
    if absent:
        raise SettingsError(
            f"no worker offers '{absent[0]}'; there are: {', '.join(sorted(offered)) or 'none'}; "
            f'start one there: dask worker {client.scheduler.address} --nthreads 1 --resources "{absent[0]}=1"'
        )


def _run(cells: Sequence[Cell], folder: Path, client: Client, patience_s: float) -> Iterator[Outcome]:
    # Bundles travel once, as bytes: a board need not see this host's disk.
    bundles = {path: client.scatter(path.read_bytes()) for path in {cell.bundle for cell in cells}}
    running = {
        client.submit(_measure, cell, bundles[cell.bundle], resources={cell.board: 1}, pure=False): cell
        for cell in cells
    }
    absence = _Absence(client)
    while running:
        for future in _done(running):
            yield _outcome(running.pop(future), future, folder)
        gone = absence.longer_than(patience_s, {cell.board for cell in running.values()})
        for future in [future for future, cell in running.items() if cell.board in gone]:
            cell = running.pop(future)
            future.cancel()
            yield Outcome(cell, error=f"no worker has offered '{cell.board}' for {patience_s:g} s", fresh=True)


def _done(running: Iterable[Future]) -> list[Future]:
    """Those that have ended, after at most a second."""
    from distributed import TimeoutError as NoneEnded
    from distributed import wait

    try:
        return list(wait(list(running), timeout=1.0, return_when="FIRST_COMPLETED").done)
    except NoneEnded:
        return []


def _outcome(cell: Cell, future: Future, folder: Path) -> Outcome:
    error = future.exception()
    if error is not None:
        return Outcome(cell, error=f"{type(error).__name__}: {error}", fresh=True)
    answer: _Answer = future.result()
    path = folder / f"{cell.key}.json"
    write_text(path, answer.text)
    return Outcome(cell, path, "", True, answer.worker, answer.began, answer.ended)


class _Absence:
    """Knows since when boards have been away. Dask keeps their work for a worker that comes back, for ever."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._since: dict[str, float] = {}

    def longer_than(self, limit_s: float, boards: Iterable[str]) -> set[str]:
        now, offered = time.monotonic(), _offered(self._client)
        away = set(boards) - offered
        for board in away - self._since.keys():
            log.warning("no worker offers '%s' any more; it is waited for, %g s at most", board, limit_s)
        self._since = {board: self._since.get(board, now) for board in away}
        return {board for board, since in self._since.items() if now - since >= limit_s}


def _measure(cell: Cell, bundle: bytes) -> _Answer:
    """On the worker. An engine's threads may be of any number, so nothing else may run there meanwhile."""
    from distributed import get_worker

    began = time.time()
    with tempfile.TemporaryDirectory(prefix="edgekit-sweep-") as folder:
        path = Path(folder) / cell.bundle.name
        path.write_bytes(bundle)
        with Bundle.open(path) as opened:
            if opened.digest != cell.digest:
                raise ResultError(f"{cell.bundle} has changed since the sweep began: it is {opened.digest[:16]} now")
            result = _bench(cell, opened)
    return _Answer(result.text(), get_worker().address, began, time.time())


def _bench(cell: Cell, bundle: Bundle) -> Result:
    from edgekit.benchmarks.bench import bench
    from edgekit.benchmarks.validity import judge
    from edgekit.benchmarks.watch import Watcher

    given = (bundle, cell.profile, cell.scenario, cell.variants)
    return bench(*given, allow_noisy=cell.allow_noisy, watch=Watcher, judge=judge)


def _digest(path: Path) -> str:
    with Bundle.open(path) as bundle:
        return bundle.digest
