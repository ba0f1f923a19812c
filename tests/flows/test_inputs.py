"""The client checks inputs against the flow's schema before it sends anything."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.flows.run_requirements import check_inputs

_SCHEMA = {
    "type": "object",
    "properties": {"name": {"$ref": "#/$defs/T"}, "n": {"type": "integer"}, "k": {"enum": ["a", "b"]}},
    "required": ["name"],
}
_FLOW = {"schemas": {"$defs": {"T": {"type": "string"}}, "properties": {"input": _SCHEMA}}, "output": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "'name' is missing"),
        ({"name": 1}, r"expects string, not integer \(at \$.name\)"),
        ({"name": "x", "n": 1.5}, "expects integer"),
        ({"name": "x", "k": "c"}, "not one of the allowed"),
        ({"nam": "x"}, "unknown field 'nam'"),
        (None, "expects object"),
    ],
)
def test_inputs_that_do_not_fit_the_schema_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        check_inputs(_FLOW, [value])


@pytest.mark.parametrize("value", [{"name": "x"}, {"name": "x", "n": 2.0, "other": None}, {"name": "x", "k": "a"}])
def test_inputs_that_fit_the_schema_are_accepted(value: Any) -> None:
    check_inputs(_FLOW, [value])
    check_inputs({"output": 1}, [value])


def test_the_message_names_the_item_of_a_batch() -> None:
    with pytest.raises(InvalidArgumentError, match=r"input 1 \(counting from 0\) does not match"):
        check_inputs(_FLOW, [{"name": "x"}, 5])
