"""What `stepflow codegen` writes for 50 flows: values survive their types and still match their schemas."""

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
from stepflow_client._data.values import check_json

from tests.cli.codegen_flows import FLOWS, flow_with_schemas
from tests.cli.schema_values import make_validator, valid_values

PARTS = [
    (name, part)
    for name, (schemas, _) in FLOWS.items()
    # No value can be checked against a schema that is invalid, or that takes an exponential time.
    if name not in ("odd_limits", "limits", "fan_out")
    for part in ("input", "output", "variables")
    if schemas.get(part) not in (None, {}, True)
]
HAVE_DEFAULTS = ("defaults", "wrong_defaults", 'hostile """ \n\\')
HAVE_DATES = ("formats", "dates")


def type_name(name: str, part: str) -> str:
    """Return the name of the type of a part of a flow."""
    return to_camel_case(make_variable_name(name)) + to_camel_case(part)


def schema_of(name: str, part: str) -> dict[str, Any]:
    """Return the schema of a part of a flow, with those to which it refers."""
    schemas = FLOWS[name][0]
    shared = schemas.get("$defs", {})
    schema: dict[str, Any] = schemas[part]
    return {**schema, "$defs": {**shared, **schema.get("$defs", {})}, "schemas": {"$defs": shared}}


def write_flows(folder: Path) -> Path:
    """Write the module of all flows, as `flows.py`."""
    files = [folder / f"{number}.json" for number in range(len(FLOWS))]
    for file, name in zip(files, FLOWS, strict=True):
        file.write_text(json.dumps(flow_with_schemas(name)))
    path = folder / "flows.py"
    path.write_text(generate_flow_module(map(str, files), str(path)))
    return path


@cache
def written() -> ModuleType:
    """Return the module of all flows."""
    with TemporaryDirectory() as folder:
        spec = importlib.util.spec_from_file_location("written_flows", write_flows(Path(folder)))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Annotations are read where the class is looked for.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


def test_there_are_enough_schemas() -> None:
    assert len(FLOWS) >= 50
    assert len(PARTS) >= 70


@pytest.mark.exhaustive
@pytest.mark.parametrize(("name", "part"), PARTS)
def test_many_values_survive(name: str, part: str) -> None:
    kind = TypeAdapter(getattr(written(), type_name(name, part)))
    schema = schema_of(name, part)
    validator = make_validator(schema)
    for value in itertools.islice(valid_values(schema, name + part), 200):
        model = kind.validate_python(value)
        sent = check_json(model, "value")
        assert kind.validate_json(json.dumps(sent)) == model
        if name in (*HAVE_DEFAULTS, *HAVE_DATES):
            validator.validate(sent)
        else:
            # The value itself is valid.
            assert sent == value
