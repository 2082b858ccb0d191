"""Hurts the unattended runtime in every way there is a rig for, and prints what came of it as JSON.

    python -m edgekit.benchmarks.reliability                        # all rigs, with the numbers of the tests
    python -m edgekit.benchmarks.reliability power_cut --times 500000 --out cuts.json
    python -m edgekit.benchmarks.reliability camera_faults --clips clips/
    python -m edgekit.benchmarks.reliability simulation --times 5670 --hours-each 10 --fault-every-s 1200

Exit codes: 0 every promise was kept and every control caught; 1 one was not; 2 a rig could not be run here, and all
others are well; 64 a command line that makes no sense; 130 stopped.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit import __version__
from edgekit.benchmarks.environment import look_around
from edgekit.benchmarks.reliability.figures import Figures
from edgekit.benchmarks.reliability.mosquitto import find_mosquitto
from edgekit.engines import installed
from edgekit.errors import EdgekitError
from edgekit.files import write_text

_MINUTE_S = 60.0

USAGE = 64  # EX_USAGE of sysexits.h, as the command `edgekit` has it
# typer has brought its own copy of click along since 0.25: the class is reached through one that it exports
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


@dataclass(frozen=True)
class Rig:
    """A rig's two numbers, of faults or frames or hours: one for the tests, and one for a long run by hand. missing:
    what it needs and this host does not have."""

    tests: int
    long: int
    missing: Callable[[], str | None] = lambda: None


def _no_engine() -> str | None:
    return None if installed()["onnxruntime"] else "onnxruntime is not installed: pip install 'edgekit[onnx]'"


def _no_apsw() -> str | None:
    return None if find_spec("apsw") else "apsw is not installed: pip install apsw"


def _no_broker() -> str | None:
    if find_mosquitto() is None:
        return "mosquitto is not installed: apt-get install mosquitto"
    return None if find_spec("paho") else "paho-mqtt is not installed: pip install 'edgekit[mqtt]'"


RIGS = {
    "camera_faults": Rig(300, 10_000),
    "engine_faults": Rig(100, 2_000, _no_engine),
    "writer_kill": Rig(200, 5_000),
    "power_cut": Rig(20_000, 500_000, _no_apsw),
    "broker": Rig(5, 200, _no_broker),
    "disk_full": Rig(200, 2_000),
    "clock_jumps": Rig(1_000, 10_000),
    "leak": Rig(100_000, 2_600_000, _no_engine),
    "simulation": Rig(200, 10_000),
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=(__doc__ or "").split("\n")[0])
def reliability(
    rigs: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(RIGS)}; all of them if none is named.")
    ] = None,
    times: Annotated[int | None, typer.Option(min=1, help="How often, instead of each rig's own number.")] = None,
    seed: Annotated[int, typer.Option(help="What chance begins with; the same seed, the same faults.")] = 1,
    long: Annotated[bool, typer.Option("--long", help="Take the numbers of a long run: hours.")] = False,
    clips: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="camera_faults: the cameras play the clips of this folder."),
    ] = None,
    hours_each: Annotated[
        float | None, typer.Option(min=0.1, help="simulation: so many of the hours are of one device; 1 if not said.")
    ] = None,
    fault_every_s: Annotated[
        float | None, typer.Option(min=1, help="simulation: usual seconds between two faults of a kind; 120.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the JSON to this file instead of stdout.")] = None,
) -> None:
    chosen = rigs or list(RIGS)
    unknown = [name for name in chosen if name not in RIGS]
    if unknown:
        raise typer.BadParameter(f"no rig named '{unknown[0]}'; there are: {', '.join(RIGS)}")
    wishes = {
        "camera_faults": _said(clips=clips),
        "simulation": _said(hours_each=hours_each, fault_every_s=fault_every_s),
    }
    for name, said in wishes.items():
        if said and name not in chosen:
            raise typer.BadParameter(f"{', '.join(said)} is for the rig {name}, which is not named")
    host = look_around(installed()).line()
    results = []
    for name in chosen:
        rig = RIGS[name]
        count = times or (rig.long if long else rig.tests)
        results.append(run_rig(name, rig, count, seed, **wishes.get(name, {})))
        text = json.dumps({"edgekit": __version__, "host": host, "rigs": results}, indent=1) + "\n"
        if out is not None:
            write_text(out, text)  # after each: a long run may be stopped
    if out is None:
        typer.echo(text, nl=False)
    raise typer.Exit(exit_code(results))


def _said(**wishes: Any) -> dict[str, Any]:
    return {name: wish for name, wish in wishes.items() if wish is not None}


def run_rig(name: str, rig: Rig, times: int, seed: int, **wishes: Any) -> dict[str, Any]:
    """The rig's figures, run with what else was said of it; where it cannot be run, its name and `not_run`, the reason.
    One that breaks off has failed."""
    missing = rig.missing()
    if missing is not None:
        _tell(f"{name}: not run: {missing}\n")
        return {"rig": name, "not_run": missing}
    module = import_module(f"edgekit.benchmarks.reliability.{name}")
    _tell(f"{name}: {times} times ...\n")
    try:
        figures: Figures = module.run(times, seed, _progress(name, times), **wishes)
    except (EdgekitError, TimeoutError) as error:
        _tell(f"{name}: BROKE OFF: {error}\n")
        return {"rig": name, "times": times, "seed": seed, "kept": False, "caught": False, "notes": [str(error)]}
    well = "kept" if figures.kept else "NOT KEPT"
    caught = "caught" if figures.caught else "NOT CAUGHT"
    _tell(f"{name}: {well}, its control {caught}, {figures.seconds:.0f} s\n")
    return figures.to_dict()


def exit_code(results: Sequence[dict[str, Any]]) -> int:
    """As the module's own words say."""
    run = [each for each in results if "not_run" not in each]
    if not all(each["kept"] and each["caught"] for each in run):
        return 1
    return 0 if len(run) == len(results) else 2


def _progress(name: str, times: int) -> Callable[..., None]:
    """One line that counts on a terminal, else one of its own once a minute. Some rigs say how much there is in all as
    well; it is known here."""
    on_terminal = sys.stderr.isatty()
    next_at = time.monotonic() + _MINUTE_S

    def progress(done: int, *_: int) -> None:
        nonlocal next_at
        if on_terminal:
            _tell(f"\r{name}: {done} of {times}\x1b[K" + ("\n" if done >= times else ""))
        elif time.monotonic() >= next_at:
            next_at += _MINUTE_S
            _tell(f"{name}: {done} of {times}\n")

    return progress


def _tell(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)  # what a rig does to the supervisor fills its log
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        error.show()  # type: ignore[attr-defined]
        code = USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
