"""Settings files in and out: TOML or JSON becomes frozen dataclasses, and every mistake is named at once.

The dataclasses themselves are plain standard library, so importing them costs nothing; pydantic checks them where a
file is read. A settings class forbids unknown keys by `__pydantic_config__ = STRICT`.
"""

from __future__ import annotations

import dataclasses
import difflib
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from edgekit.errors import EdgekitError, SettingsError

if TYPE_CHECKING:
    from pydantic import ConfigDict, TypeAdapter

T = TypeVar("T")

STRICT: ConfigDict = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class TaggedBy:
    """Marks a union of settings classes whose members are told apart by one key: `Annotated[A | B,
    TaggedBy("kind")]`."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic import Field

        return handler.generate_schema(Annotated[source, Field(discriminator=self.key)])


def read_toml(path: Path | str) -> dict[str, Any]:
    """The file's tables; `SettingsError` names the file and the line that is not TOML."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error


def parse(kind: type[T], data: Any, what: str, error: type[EdgekitError] = SettingsError) -> T:
    """`data` (tables and lists, as TOML gives them) as a `kind`.

    Every fault is in the one message: where it is, what it is, and for an unknown key the nearest one that exists.
    """
    return _checked(kind, what, error, lambda adapter: adapter.validate_python(data))


def parse_json(kind: type[T], text: str | bytes, what: str, error: type[EdgekitError] = SettingsError) -> T:
    """The same for JSON text, where numbers and lists follow JSON's rules."""
    return _checked(kind, what, error, lambda adapter: adapter.validate_json(text))


def dump(value: object) -> Any:
    """A settings value as tables and lists that JSON can hold; tuples become lists, paths become text."""
    from pydantic import TypeAdapter

    return TypeAdapter(type(value)).dump_python(value, mode="json")


def _checked(kind: type[T], what: str, error: type[EdgekitError], read: Callable[[TypeAdapter[T]], T]) -> T:
    from pydantic import TypeAdapter, ValidationError

    try:
        return read(TypeAdapter(kind))
    except ValidationError as caught:
        faults = "; ".join(_fault(kind, dict(each)) for each in caught.errors(include_url=False))
        raise error(f"{what}: {faults}") from None  # pydantic's own text shows the input, passwords included


def _fault(kind: type, fault: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in fault["loc"]) or "the whole"
    if fault["type"] == "unexpected_keyword_argument":
        *table, key = fault["loc"]
        near = difflib.get_close_matches(key, _keys_at(kind, table) - {key}, n=1)
        if near:
            return f"unknown key '{where}', did you mean '{near[0]}'?"
        return f"unknown key '{where}'" + (", which is of another table" if key in _all_keys(kind) else "")
    if fault["type"] in ("missing", "missing_argument"):
        return f"'{where}' is missing"
    if fault["type"] == "union_tag_not_found":
        return f"'{where}.{fault['ctx']['discriminator'].strip(chr(39))}' is missing"
    if fault["type"].startswith("union_tag"):
        context = fault["ctx"]
        known = context.get("expected_tags", "").replace("'", "")
        return (
            f"'{where}': no kind '{context.get('tag', '')}'; there are: {known}"
            if known
            else f"'{where}': {fault['msg']}"
        )
    message = str(fault["msg"]).removeprefix("Value error, ")
    return f"'{where}': {message[:1].lower()}{message[1:]}"


def _settings_in(hint: Any) -> list[type]:
    """The settings classes that a type hint names: itself, or those of a union, a list or a table."""
    kind = typing.get_origin(hint) or hint
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return [kind]
    return [each for part in typing.get_args(hint) for each in _settings_in(part)]


def _keys_at(kind: type, where: Sequence[str | int]) -> set[str]:
    """The keys of the table that `where` leads to; of all that may stand there, if it is one of a union."""
    kinds = _settings_in(kind)
    for part in where:
        inner = [typing.get_type_hints(each).get(str(part)) for each in kinds]
        kinds = [each for hint in inner for each in _settings_in(hint)] or kinds  # a list's index leads nowhere
    return {field.name for each in kinds for field in dataclasses.fields(each)}


def _all_keys(kind: type, seen: frozenset[type] = frozenset()) -> set[str]:
    kinds = set(_settings_in(kind)) - seen
    inner = [hint for each in kinds for hint in typing.get_type_hints(each).values()]
    return _keys_at(kind, ()).union(*(_all_keys(hint, seen | kinds) for hint in inner))
