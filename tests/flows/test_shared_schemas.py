"""Checks, tools and runs resolve the same shared schemas as servers do."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client._codec.call_checks import parse_declared_variables
from stepflow_client._codec.flow_tools import make_tool_spec
from stepflow_client.flows import check
from stepflow_client.flows.run_requirements import find_requirements


def _flow(name: str) -> dict[str, Any]:
    """Return a flow whose input, output and variable refer to a shared schema under the key `name`."""
    shared = {"City": {"type": "object", "properties": {"zip": {"type": "string"}}, "required": ["zip"]}}
    reference = {"$ref": f"#/schemas/{name}/City"}
    properties = dict.fromkeys(("input", "output"), reference) | {"variables": {"properties": {"home": reference}}}
    return {
        "schemas": {name: shared, "properties": properties},
        "steps": [],
        "output": {"$input": "$.zpi"},
        "examples": [{"name": "wrong", "input": {"zip": 1}}],
    }


def test_a_reference_to_a_shared_schema_is_resolved() -> None:
    flow = _flow("$defs")
    rules = {finding.rule for finding in check(flow).diagnostics}
    assert rules >= {"unknown-input", "case-input"}
    assert "dangling-ref" not in rules
    spec = make_tool_spec(flow, "city")
    assert "zip" in spec.input_schema["properties"]
    assert spec.is_valid_output({"zip": "1"})
    assert not spec.is_valid_output({"zip": 1})
    needs = find_requirements(flow, parse_declared_variables(flow))
    assert needs.input_check is not None
    with pytest.raises(InvalidArgumentError, match="expects string"):
        needs.input_check.require_valid_input({"zip": 1})
    with pytest.raises(InvalidArgumentError, match="'home' does not match"):
        needs.check_variables({"home": {"zip": 1}}, None, from_env=False, check_values=True)


def test_a_reference_to_a_key_that_servers_drop_is_dangling() -> None:
    flow = _flow("definitions")
    rules = {finding.rule for finding in check(flow).diagnostics}
    assert rules >= {"unknown-key", "dangling-ref"}
    assert not rules & {"unknown-input", "case-input"}
    assert make_tool_spec(flow, "city").is_valid_output({"zip": 1})
    needs = find_requirements(flow, parse_declared_variables(flow))
    assert needs.input_check is not None
    needs.input_check.require_valid_input({"zip": 1})
    needs.check_variables({"home": {"zip": 1}}, None, from_env=False, check_values=True)
