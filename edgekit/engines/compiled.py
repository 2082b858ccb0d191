"""Models that OpenVINO has compiled, kept on disk so that the next start need not compile them again.

    kept = CompiledModels(usual_folder())
    compiled = kept.read(key)

What a compiled model depends on is in its key, so none is ever stale: a model, an engine or a machine that has changed
finds nothing. A file begins with the SHA-256 of what follows, so one that is damaged is nothing as well; it is no
signature, so who may write to the folder decides what runs. Going without is slower and never an error: a folder that
cannot be written to costs a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files import replacing, user_cache

log = logging.getLogger(__name__)

FOLDER = "EDGEKIT_COMPILED"

_DIGEST = hashlib.sha256().digest_size


def usual_folder() -> Path | None:
    """$EDGEKIT_COMPILED, and None where that is set to nothing, which turns keeping off. Else a folder in the cache
    that systemd gives a service ($CACHE_DIRECTORY), or in the user's own ($XDG_CACHE_HOME); where there is none of all
    these, None, with a warning."""
    named = os.environ.get(FOLDER)
    if named is not None:
        return Path(named) if named else None
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    cache = Path(given) / "edgekit" if given else user_cache()
    if cache is None:
        log.warning("this user has no home folder, so every start compiles anew: name a folder by $%s", FOLDER)
        return None
    return cache / "compiled"


def key_of(*parts: bytes) -> str:
    """A name for what was compiled of exactly these: the model's bytes, the engine's version, the machine, ..."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


@dataclass(frozen=True)
class CompiledModels:
    """A folder of compiled models, of which the `most` last used stay: an update leaves old ones behind."""

    folder: Path
    most: int = 16

    def read(self, key: str) -> bytes | None:
        """What was written under this key; None where nothing was, or where it is damaged, which is logged."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                digest, compiled = file.read(_DIGEST), file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s is not used: %s", path, error.strerror or error)
            return None
        if hashlib.sha256(compiled).digest() != digest:
            log.warning("%s is damaged and not used; it is written anew", path)
            return None
        self._used(path)
        return compiled

    def write(self, key: str, compiled: bytes) -> None:
        """Keep it, whole or not at all."""
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(hashlib.sha256(compiled).digest() + compiled)
            self._forget_the_oldest()
        except (OSError, EdgekitError) as error:
            log.warning("a compiled model is not kept, so every start compiles anew: %s", error)
            return
        log.info("compiled for later starts: %s, %.1f MB", path, len(compiled) / 1e6)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.blob"

    def _used(self, path: Path) -> None:
        """A file's time of writing is when it was last used. Who may only read keeps what others write."""
        with contextlib.suppress(OSError):
            os.utime(path)

    def _forget_the_oldest(self) -> None:
        paths = sorted(self.folder.glob("*.blob"), key=_used_at)  # half-written ones of the killed are among them
        for path in paths[: -self.most]:
            path.unlink(missing_ok=True)


def _used_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0  # another process has just forgotten it
