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
from stepflow_cli.codegen.module import write_module
from stepflow_cli.codegen.names import camel_name, snake_name
from stepflow_client._data.values import check_json

from tests.cli.codegen_flows import FLOWS, flow_of
from tests.cli.schema_values import valid_values, validator_of

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


@cache
def written() -> ModuleType:
    """Return the module of all flows."""
    with TemporaryDirectory() as folder:
        files = []
        for number, name in enumerate(FLOWS):
            path = Path(folder, f"{number}.json")
            path.write_text(json.dumps(flow_of(name)))
            files.append(str(path))
        path = Path(folder, "flows.py")
        path.write_text(write_module(files, str(path)))
        spec = importlib.util.spec_from_file_location("written_flows", path)
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
def test_a_thousand_values_survive(name: str, part: str) -> None:
    kind = TypeAdapter(getattr(written(), camel_name(snake_name(name)) + camel_name(part)))
    schemas = FLOWS[name][0]
    shared: dict[str, Any] = {"$defs": schemas.get("$defs", {})}
    schema = {**schemas[part], "$defs": {**shared["$defs"], **schemas[part].get("$defs", {})}, "schemas": shared}
    validator = validator_of(schema)
    for value in itertools.islice(valid_values(schema, name + part), 1000):
        model = kind.validate_python(value)
        sent = check_json(model, "value")
        validator.validate(sent)
        assert kind.validate_json(json.dumps(sent)) == model
        if name not in (*HAVE_DEFAULTS, *HAVE_DATES):
            assert sent == value
