"""Generate docs/reference/schemas.json, the JSON Schemas for `to_dict()` results and `-o json` output.

Usage: python scripts/write_schemas.py [--output FILE]
"""

from __future__ import annotations

import argparse
import json
from enum import Enum
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter
from stepflow_client import types
from stepflow_client.types.model_base import FIELD_TYPES

FILE = Path(__file__).resolve().parent.parent / "docs/reference/schemas.json"
SHAPES: tuple[Any, ...] = (
    types.RunDetails, types.RunItem, types.StepDetails, types.RunAccount, types.Diagnostic, types.Outcome,
    types.FlowResult,
)  # fmt: skip


def schemas() -> dict[str, Any]:
    """Return the schemas for all shapes, by type name."""
    for kind in FIELD_TYPES.values():
        if hasattr(kind, "to_dict"):
            kind.__pydantic_config__ = {"use_attribute_docstrings": True}
    wanted: list[Any] = [(kind.__name__, "serialization", TypeAdapter(kind)) for kind in SHAPES]
    found = TypeAdapter.json_schemas(wanted, ref_template="#/$defs/{model}")[1]["$defs"]
    for name, schema in found.items():
        kind = FIELD_TYPES[name]
        if issubclass(kind, Enum):
            # Newer servers may have more members.
            schema["anyOf"] = [{"enum": schema.pop("enum")}, {"pattern": "^unknown_"}]
            continue
        for each in kind._derived:
            schema["properties"][each] = {
                **TypeAdapter(get_type_hints(getattr(kind, each).fget)["return"]).json_schema(),
                "description": getattr(kind, each).__doc__,
            }
        assert schema["properties"].keys() == set(kind._get_dict_keys()), name
        schema |= {"required": kind._get_dict_keys(), "additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": found}


def plain(value: Any, *, is_named: bool = False) -> Any:
    """Strip titles and defaults from a schema, and simplify to `"type": [..., "null"]` where possible.

    Args:
        value: The schema, or part of one.
        is_named: Whether the keys are field or type names.
    """
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    if is_named:
        return {name: plain(each) for name, each in value.items()}
    match value.get("anyOf"):
        case [{"type": str(kind)} as schema, {"type": "null"}] if "enum" not in schema:
            value = {**value, **schema, "type": [kind, "null"]}
            del value["anyOf"]
    kept = {key: each for key, each in value.items() if key not in ("title", "default")}
    return {key: plain(each, is_named=key in ("properties", "$defs")) for key, each in kept.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=FILE, help="where to write the schemas")
    parser.parse_args().output.write_text(json.dumps(plain(schemas()), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
