"""Checks recorded traffic against the OpenAPI description, strictly: anything undocumented is a fault."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from openapi import comparison
from tests.server.conformance_traffic import Transport

SPEC = Path(__file__).resolve().parents[2] / "openapi" / "stepflow.yaml"
# Generic HTTP and CORS headers, which need no documentation.
PLAIN_HEADERS = {
    "content-type",
    "content-length",
    "transfer-encoding",
    "cache-control",
    "date",
    "vary",
    "access-control-allow-origin",
}


class Spec:
    """An OpenAPI description that finds faults in traffic."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    @classmethod
    def load(cls) -> Spec:
        # libyaml is fast enough for every test process to read the file during collection. The round trip through JSON
        # turns YAML anchors into copies, so that changes of a copy affect one place only.
        return cls(json.loads(json.dumps(yaml.load(SPEC.read_text(), yaml.CSafeLoader), default=str)))

    def copy(self) -> Spec:
        """Return a deep copy, to remove parts from."""
        return Spec(copy.deepcopy(self.document))

    # -- lookups -------------------------------------------------------------------------------------

    def resolve(self, node: Any) -> Any:
        return comparison.resolve(self.document, node)

    @cached_property
    def operations(self) -> dict[str, dict[str, Any]]:
        """The operations by ID, each with the parameters of its path under the key `all`."""
        return {
            each.name: {**each.node, "all": [self.resolve(parameter) for parameter in each.parameters]}
            for each in comparison.operations(self.document)
        }

    def media(self) -> Iterator[tuple[str, str, str | None, dict[str, Any]]]:
        """Yield every documented response: operation, status, content type (None for an empty body), media type."""
        for name, operation in self.operations.items():
            for status, response in operation["responses"].items():
                content = self.resolve(response).get("content")
                for content_type, media in (content or {None: {}}).items():
                    yield name, status, content_type, media

    def schemas_below(self, node: Any) -> set[str]:
        """Return the names of all component schemas that a schema refers to, directly or indirectly."""
        names: set[str] = set()
        pending = [node]
        while pending:
            node = pending.pop()
            if isinstance(node, dict):
                name = str(node.get("$ref", "")).rpartition("/")[2]
                if name and name not in names:
                    names.add(name)
                    pending.append(self.document["components"]["schemas"][name])
                pending += node.values()
            elif isinstance(node, list):
                pending += node
        return names

    # -- checks --------------------------------------------------------------------------------------

    def faults(self, exchange: Transport) -> list[str]:
        """Return everything in an exchange that the description does not document."""
        request = self.request_faults(exchange)
        if exchange.broken and not request:
            request = ["the request was meant to violate the description but does not"]
        elif exchange.broken:
            request = []
        return [f"{exchange}: {fault}" for fault in (*request, *self.answer_faults(exchange))]

    def request_faults(self, exchange: Transport) -> list[str]:
        operation = self.operations[exchange.operation]
        faults = []
        for place, values in (("query", exchange.query), ("header", exchange.headers)):
            documented = {each["name"]: each for each in operation["all"] if each["in"] == place}
            faults += [f"undocumented {place} parameter {name}" for name in values if name not in documented]
            for name, parameter in documented.items():
                if name in values:
                    schema = self.resolve(parameter["schema"])
                    faults += self.schema_faults(parameter["schema"], _value(values[name], schema))
                elif parameter.get("required"):
                    faults.append(f"missing {place} parameter {name}")
        content = operation.get("requestBody", {}).get("content", {})
        if exchange.request_type is None:
            return faults + (["missing body"] if content else [])
        if exchange.request_type not in content:
            return [*faults, f"undocumented request content type {exchange.request_type}"]
        return faults + self.body_faults(content[exchange.request_type], exchange.request_type, exchange.request)

    def answer_faults(self, exchange: Transport) -> list[str]:
        responses = self.operations[exchange.operation]["responses"]
        if str(exchange.status) not in responses:
            return [f"undocumented status {exchange.status}"]
        response = self.resolve(responses[str(exchange.status)])
        documented = {name.lower() for name in response.get("headers", {})}
        faults = [
            f"undocumented header {name}"
            for name in exchange.answer_headers
            if name.lower() not in PLAIN_HEADERS | documented
        ]
        content = response.get("content", {})
        if exchange.answer_type is None:
            empty = not content and not exchange.answer
            return faults if empty else [*faults, "a body is documented but was not sent"]
        if exchange.answer_type not in content:
            return [*faults, f"undocumented content type {exchange.answer_type}"]
        return faults + self.body_faults(content[exchange.answer_type], exchange.answer_type, exchange.answer)

    def body_faults(self, media: dict[str, Any], content_type: str, body: bytes) -> list[str]:
        if content_type == "application/octet-stream":
            return []
        if content_type == "text/event-stream":
            return self.stream_faults(media["x-event-schema"], body.decode())
        if content_type == "text/plain":
            return self.schema_faults(media["schema"], body.decode())
        try:
            value = json.loads(body)
        except ValueError as error:
            return [f"not JSON: {error}"]
        return self.schema_faults(media["schema"], value)

    def stream_faults(self, schema: dict[str, Any], text: str) -> list[str]:
        if not text.endswith("\n\n"):
            return ["the stream does not end with a whole frame"]
        faults = []
        for frame in text.strip("\n").split("\n\n"):
            if not frame.startswith("data: ") or "\n" in frame:
                faults.append(f"undocumented frame {frame!r}")
            else:
                faults += self.schema_faults(schema, json.loads(frame.removeprefix("data: ")))
        return faults

    def schema_faults(self, schema: dict[str, Any], value: Any) -> list[str]:
        validator = self._validators.get(key := json.dumps(schema, sort_keys=True))
        if validator is None:
            whole = {"allOf": [_strict(schema)], "components": {"schemas": self._strict_schemas}}
            validator = Draft202012Validator(whole)
            self._validators[key] = validator
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]

    @cached_property
    def _validators(self) -> dict[str, Draft202012Validator]:
        return {}

    @cached_property
    def _strict_schemas(self) -> dict[str, Any]:
        strict: dict[str, Any] = _strict(self.document["components"]["schemas"])
        return strict


def _strict(node: Any) -> Any:
    """Return a schema in which objects with listed properties allow no others."""
    if isinstance(node, list):
        return [_strict(each) for each in node]
    if not isinstance(node, dict):
        return node
    node = {
        # Leave examples alone, because they are values, not schemas.
        key: value if key in ("example", "examples", "enum", "required") else _strict(value)
        for key, value in node.items()
    }
    if isinstance(node.get("properties"), dict) and "type" in node:
        node.setdefault("additionalProperties", False)
    return node


def _value(text: str, schema: dict[str, Any]) -> Any:
    """Parse a parameter's text as its documented type; other text stays a string and fails validation."""
    if schema.get("type") == "integer":
        try:
            return int(text)
        except ValueError:
            return text
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text
