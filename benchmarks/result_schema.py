"""The published schema of a result's file, made from the classes of `edgekit.benchmarks.result`.

    python -m edgekit.benchmarks.result_schema      # writes benchmarks/result.schema.json anew

It is JSON Schema 2020-12; what the fields mean stands in the descriptions, which are the classes' docstrings.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edgekit import measure
from edgekit.benchmarks import environment, result, scenario, watch
from edgekit.benchmarks.result import SCHEMA, Result
from edgekit.files import write_text

_ROOMS = (result, scenario, watch, environment, measure)  # where the classes live
PATH = Path(__file__).with_name("result.schema.json")


def schema_text() -> str:
    """The whole file."""
    made = TypeAdapter(Result).json_schema(mode="serialization")
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": f"edgekit bench result, schema {SCHEMA}",
        "description": inspect.getdoc(Result),
        "$defs": {name: _described(name, each) for name, each in made["$defs"].items()},
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _described(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """With the docstring of its class, which pydantic leaves out for plain dataclasses."""
    found = next(getattr(room, name) for room in _ROOMS if hasattr(room, name))
    return {"description": inspect.getdoc(found), **definition}


if __name__ == "__main__":
    write_text(PATH, schema_text())
    print(PATH)
