"""Models that OpenVINO has compiled, kept on disk so that the next start need not compile them again.

    kept = CompiledModels(usual_folder())
    compiled = kept.read(key)

What a compiled model depends on is in its key, so none is ever stale: a model, an engine or a machine that has changed
finds nothing. A file begins with the SHA-256 of what follows, so one that is damaged is nothing as well. Going without
is slower and never an error: a folder that cannot be written to costs a warning.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import EdgekitError
from edgekit.files import replacing

log = logging.getLogger(__name__)

FOLDER = "EDGEKIT_COMPILED"

_DIGEST = hashlib.sha256().digest_size


def usual_folder() -> Path | None:
    """$EDGEKIT_COMPILED, and None where that is set to nothing, which turns keeping off. Else a folder in the cache
    that systemd gives a service ($CACHE_DIRECTORY), or in the user's own ($XDG_CACHE_HOME)."""
    named = os.environ.get(FOLDER)
    if named is not None:
        return Path(named) if named else None
    given = os.environ.get("CACHE_DIRECTORY", "").partition(":")[0]
    return Path(given or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "edgekit" / "compiled"


def key_of(*parts: bytes) -> str:
    """A name for what was compiled of exactly these: the model's bytes, the engine's version, the machine, ..."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


@dataclass(frozen=True)
class CompiledModels:
    """A folder of compiled models, of which the `most` last written stay: an update leaves old ones behind."""

    folder: Path
    most: int = 16

    def read(self, key: str) -> bytes | None:
        """What was written under this key; None where nothing was, or where it is damaged, which is logged."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("%s is not used: %s", path, error.strerror or error)
            return None
        digest, compiled = content[:_DIGEST], content[_DIGEST:]
        if hashlib.sha256(compiled).digest() != digest:
            log.warning("%s is damaged and not used; it is written anew", path)
            return None
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

    def _forget_the_oldest(self) -> None:
        paths = sorted(self.folder.glob("*.blob"), key=lambda path: path.stat().st_mtime_ns)
        for path in paths[: -self.most]:
            path.unlink(missing_ok=True)
