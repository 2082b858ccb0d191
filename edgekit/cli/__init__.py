"""The command `edgekit`.

Exit codes: 0 done and PASS; 1 an error, or FAIL; 2 INCONCLUSIVE, or no variant could be verified here; 64 a command
line that makes no sense; 130 stopped.
Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import Annotated

import typer

from edgekit import __version__
from edgekit.errors import EdgekitError

USAGE = 64  # EX_USAGE of sysexits.h; click's own 2 is INCONCLUSIVE here

# typer has brought its own copy of click along since 0.25: the classes are reached through the one that it exports
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="edgekit",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",  # rich's own takes [[cameras]] for a style and prints []
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Ship a product-recognition model to an in-store camera, with the proof that its accuracy held.",
)

for _room in ("build", "inspect", "run", "service", "bench", "plan", "board"):
    import_module(f"edgekit.cli.{_room}").register(app)


def main() -> None:
    """Run the command line; every failure of ours is one line on stderr."""
    os.environ.setdefault("OPENVINO_TELEMETRY_OPT_OUT", "1")
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        error.show()  # type: ignore[attr-defined]
        code = USAGE
    except _ClickException as error:
        error.show()  # type: ignore[attr-defined]
        code = 1
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left; nothing more to say to it
        code = 1
    except (EdgekitError, OSError) as error:  # OSError: a full disk, a folder that may not be written to
        print(f"edgekit: {error}", file=sys.stderr)
        code = 1
    sys.exit(code)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"edgekit {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what is being done to stderr.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
