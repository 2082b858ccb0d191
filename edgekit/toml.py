"""Writes settings as the TOML that `edgekit.schema` reads; fields that are as by default are left out."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def as_toml(settings: Any, tables: Collection[str] = ()) -> str:
    """A dataclass of numbers, texts, tuples and dataclasses as a TOML document: a line a field; those in `tables`
    become tables of their own, behind the others."""
    told = _told(settings)
    lines = [f"{name} = {_inline(value)}" for name, value in told.items() if name not in tables]
    for name in tables:
        if name in told:
            lines += _table(name, told[name])
    return "\n".join(lines) + "\n"


def _told(settings: Any) -> dict[str, Any]:
    held = {field.name: (getattr(settings, field.name), field.default) for field in fields(settings)}
    return {name: _plain(value) for name, (value, default) in held.items() if value != default}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _told(value)
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def _table(name: str, table: Mapping[str, Any]) -> list[str]:
    arrays = {key: value for key, value in table.items() if _of_tables(value)}
    lines = ["", f"[{name}]", *(f"{key} = {_inline(value)}" for key, value in table.items() if key not in arrays)]
    for key, entries in arrays.items():
        for entry in entries:
            lines += ["", f"[[{name}.{key}]]", *(f"{field} = {_inline(value)}" for field, value in entry.items())]
    return lines


def _of_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(each, dict) for each in value)


def _inline(value: Any) -> str:
    """Numbers, booleans and basic strings are written as JSON's are, but for DEL, which TOML wants escaped."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
