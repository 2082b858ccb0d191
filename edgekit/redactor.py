"""Takes secrets out of any text, wherever in it they stand; `edgekit.redact` does it for what is known as an address.

It takes out rather too much than too little: a log line is read again tomorrow, by more people than were meant to.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from edgekit.redact import redact

_HIDDEN = "***"
_ADDRESS = re.compile(r"://\S*")  # without its scheme: looking back for one takes seconds in a long text
# A password with a space in it: from "://user:" on, all up to the last '@' of the line.
_SPACED = re.compile(r"://[^\s@/:]*:[^\n]*@")
_NAME = r"""(?:\w*(?:password|passwd|passphrase|secret|token|credentials?|(?:api|access|private)[_-]?key)
    |(?:\w*_)?(?:pass|pwd)|user-(?:id|pw))"""  # the last two are GStreamer's
_HEADER = r"(?:(?:proxy-)?authorization|(?:set-)?cookie)"
_NAMED = re.compile(
    rf"""(\b{_NAME}["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\S+)""", re.IGNORECASE | re.VERBOSE
)
_HEADED = re.compile(rf"""(\b{_HEADER}["']?\s*[=:]\s*)[^\n]+""", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer\s+)\S+", re.IGNORECASE)
_SECRET_FIELD = re.compile(rf"{_NAME}|{_HEADER}", re.IGNORECASE | re.VERBOSE)


class Redactor:
    """Takes out users, passwords and queries of addresses, `password=...` and its kin, `Authorization: ...`, and the
    literal secrets that it was told, also as addresses, JSON or Python spell them.

        redactor = Redactor([secret.read()])
        redactor("mqtt://shop:4711@broker refused")     # "mqtt://***@broker refused"
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: tuple[str, ...] = ()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Take these out too, from now on; an empty one is none."""
        spelled = {each for secret in secrets if secret for each in _spellings(secret)}
        # the longest first, and replaced as a whole: another thread may be in __call__
        self._secrets = tuple(sorted(spelled.union(self._secrets), key=len, reverse=True))

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        text = _ADDRESS.sub(lambda found: redact(found[0]), text)
        text = _SPACED.sub(f"://{_HIDDEN}@", text)
        for named in (_HEADED, _BEARER, _NAMED):
            text = named.sub(rf"\1{_HIDDEN}", text)
        return text

    def field(self, name: str, value: object) -> Any:
        """A value as JSON can hold it, without secrets; all of it goes where `name` says that it is one."""
        if _SECRET_FIELD.fullmatch(name):
            return _HIDDEN
        if isinstance(value, Mapping):
            return {self(str(key)): self.field(str(key), each) for key, each in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.field("", each) for each in value]
        text = self(str(value))
        return value if _is_plain(value) and text == str(value) else text


def _is_plain(value: object) -> bool:
    """Whether JSON has it as it is; NaN and infinity it has not."""
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value))


def _spellings(secret: str) -> tuple[str, ...]:
    quoted = (
        quote(secret, "", errors="replace"),
        quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"),
    )
    escaped = (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret), ascii(secret))
    return (secret, *quoted, *(each[1:-1] for each in escaped))
