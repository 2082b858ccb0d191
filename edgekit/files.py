"""Files that are there whole or not at all: written beside their place, flushed to the disk, then renamed into it. And
where those lie that can be made again."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import EdgekitError


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary path in the folder of `path`, with its ending; after the block it has become `path`, durably.

    Where the block raises, what was written is removed and a file that was at `path` stays as it was. The folder must
    exist. A link stays, and what it points to is replaced. `EdgekitError` names `path` where the system refuses: a full
    disk, a folder that may not be written to; and where `path` is there and no regular file, such as /dev/null.
    """
    place = Path(os.path.realpath(path))
    if os.path.exists(place) and not os.path.isfile(place):
        raise EdgekitError(f"{path}: is no regular file to replace")
    temporary = place.with_name(f".{place.stem}-{secrets.token_hex(4)}{Path(path).suffix}")
    try:
        temporary.touch(exist_ok=False)  # not by mkstemp: its 0600 is not what a file of one's own gets
        yield temporary
        flush(temporary)
        temporary.replace(place)
        flush(place.parent)
    except OSError as error:
        raise EdgekitError(f"{path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path | str, text: str) -> None:
    """`text` as the whole of the file at `path`, by `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def user_cache() -> Path | None:
    """The user's own folder for what can be made again: 'edgekit' in $XDG_CACHE_HOME, or in ~/.cache where that is not
    set or, as the XDG specification has it, not absolute. None for a user without a home, as in many a container."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(named if os.path.isabs(named) else os.path.expanduser("~/.cache"))
    return cache / "edgekit" if cache.is_absolute() else None


def flush(path: Path) -> None:
    """Return when a file's content, or the names in a folder, are on the disk. OSError where the system refuses."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
