"""Passwords and keys: named in a settings file, read where they are used, shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from edgekit.errors import SettingsError

KeepOut: TypeAlias = Callable[[str], None]  # told a secret that was read, which no log is to show


def no_log(secret: str) -> None:
    """Where there is none to keep it out of."""


@dataclass(frozen=True, repr=False)
class Secret:
    """A secret by the place it is kept in: 'env:NAME', 'file:PATH', or, as the last resort, the secret itself.

        Secret("env:MQTT_PASSWORD").read()

    Its repr, its text and its dump show the place, and of a literal secret nothing. A settings file gives it as text.
    """

    place: str = field(repr=False)

    def read(self) -> str:
        """The secret itself, a file's without the line end. `SettingsError` names the place where there is none."""
        kind, _, name = self.place.partition(":")
        if kind == "env":
            found = os.environ.get(name, "")
        elif kind == "file":
            found = _content(name).rstrip("\r\n")
        else:
            found = self.place
        if not found:
            raise SettingsError(f"{self}: there is no secret here")
        return found

    def within(self, folder: Path) -> Secret:
        """With a file's relative path taken from `folder`."""
        kind, _, name = self.place.partition(":")
        return Secret(f"file:{folder / name}") if kind == "file" else self

    def __str__(self) -> str:
        return self.place if self.place.startswith(("env:", "file:")) else "***"

    def __repr__(self) -> str:
        return f"Secret({self})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            _parsed, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )


def _parsed(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise ValueError("a secret is text: 'env:NAME', 'file:PATH', or the secret itself")
    return Secret(value)


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"file:{path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"file:{path}: not UTF-8 text") from None  # the cause would show the bytes
