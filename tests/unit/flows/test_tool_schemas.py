"""Schemas of tools."""

from __future__ import annotations

from stepflow_client.flows.tool_schemas import inline_schema


def test_texts_at_a_reference_replace_those_of_the_shared_schema() -> None:
    texts = {"title": "Billing address", "description": "Where the invoice goes."}
    shared = {"address": {"type": "object", "title": "Address", "description": "An address."}}
    schema = {"type": "object", "properties": {"to": {"$ref": "#/$defs/address", **texts}}}
    assert inline_schema(schema, shared)["properties"]["to"] == {"type": "object", **texts}


def test_a_shared_schema_that_refers_to_itself_is_written_once() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    schema = {"type": "object", "properties": {"root": {"$ref": "#/$defs/tree"}}}
    assert inline_schema(schema, {"tree": tree}) == {**schema, "$defs": {"tree": tree}}
