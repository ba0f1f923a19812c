"""Schemas of tools."""

from __future__ import annotations

from stepflow_client.flows.tool_schemas import inline_schema


def test_texts_at_a_reference_replace_those_of_the_shared_schema() -> None:
    texts = {"title": "Billing address", "description": "Where the invoice goes."}
    shared = {"address": {"type": "object", "title": "Address", "description": "An address."}}
    schema = {"type": "object", "properties": {"to": {"$ref": "#/$defs/address", **texts}}}
    assert inline_schema(schema, shared)["properties"]["to"] == {"type": "object", **texts}
