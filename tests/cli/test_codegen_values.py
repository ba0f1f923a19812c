"""Types generated for 50 flows keep random valid values unchanged."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import pytest
from pydantic import TypeAdapter
from stepflow_cli.codegen.python_names import make_variable_name, to_camel_case
from stepflow_cli.codegen.typed_flows_module import generate_flow_module
from stepflow_client._data.wire import check_json

from tests.cli.codegen_flows import FLOWS, flow_with_schemas
from tests.cli.schema_values import make_validator, valid_values

PARTS = [
    (name, part)
    for name, (schemas, _) in FLOWS.items()
    # Excludes invalid schemas, and schemas whose validation takes exponential time.
    if name not in ("odd_limits", "limits", "fan_out")
    for part in ("input", "output", "variables")
    if schemas.get(part) not in (None, {}, True)
]
HAVE_DEFAULTS = ("defaults", "wrong_defaults", 'hostile """ \n\\')
HAVE_DATES = ("formats", "dates")


def type_name(name: str, part: str) -> str:
    """Return the name of the generated type, such as `SharedInput`."""
    return to_camel_case(make_variable_name(name)) + to_camel_case(part)


def schema_of(name: str, part: str) -> dict[str, Any]:
    """Return the schema of a part of a flow, including the schemas it refers to."""
    schemas = FLOWS[name][0]
    shared = schemas.get("$defs", {})
    schema: dict[str, Any] = schemas[part]
    return {**schema, "$defs": {**shared, **schema.get("$defs", {})}, "schemas": {"$defs": shared}}


def write_flows(folder: Path) -> Path:
    """Generate the module for all flows as `flows.py`."""
    files = [folder / f"{number}.json" for number in range(len(FLOWS))]
    for file, name in zip(files, FLOWS, strict=True):
        file.write_text(json.dumps(flow_with_schemas(name)))
    path = folder / "flows.py"
    path.write_text(generate_flow_module(map(str, files), str(path)))
    return path


@cache
def import_all_flows() -> ModuleType:
    """Return the generated module for all flows."""
    with TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location("written_flows", write_flows(Path(folder)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Classes resolve their annotations in `sys.modules`.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


def test_number_of_schemas() -> None:
    assert len(FLOWS) >= 50
    assert len(PARTS) >= 70


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "part"), PARTS)
def test_random_values_are_unchanged(name: str, part: str) -> None:
    adapter = TypeAdapter(getattr(import_all_flows(), type_name(name, part)))
    schema = schema_of(name, part)
    validator = make_validator(schema)
    for value in itertools.islice(valid_values(schema, name + part), 200):
        model = adapter.validate_python(value)
        encoded = check_json(model, "value")
        assert adapter.validate_json(json.dumps(encoded)) == model
        if name in (*HAVE_DEFAULTS, *HAVE_DATES):
            validator.validate(encoded)
        else:
            # Without defaults and dates, the value is identical, and so it is valid.
            assert encoded == value
