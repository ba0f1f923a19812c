# Written by `make generate` from the OpenAPI description. Do not edit; edit that and run it again.
"""Compare an OpenAPI description with the one that the client was written for.

Operations are matched by method and path, and their schemas by position, so names of operations and schemas do not
matter. Only what reaches the wire is compared: no descriptions, formats or limits.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
BREAKING = ("missing", "changed")
"""The kinds of differences with which the client does not work."""
COMPATIBLE = "changed, still compatible"
TYPES = {"null", "boolean", "integer", "number", "string", "array", "object"}

Differences = dict[str, list[str]]
"""Sentences by kind: missing, changed, `COMPATIBLE`, added."""


class Operation(NamedTuple):
    """An operation of a description."""

    method: str
    path: str
    node: dict[str, Any]
    parameters: list[Any]

    @property
    def key(self) -> tuple[str, str]:
        """The method, and the path without the names of its parameters."""
        return self.method, re.sub(r"\{[^}]*\}", "{}", self.path)

    @property
    def name(self) -> str:
        """The id, or the method and path of an operation without one."""
        return str(self.node.get("operationId") or f"{self.method.upper()} {self.path}")


@dataclass
class Shape:
    """The JSON values that a schema allows."""

    types: set[str]
    values: list[Any] = field(default_factory=list)
    names: list[tuple[Any, Any]] = field(default_factory=list)
    """The values with the names of their constants."""
    properties: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    items: Any = None
    others: Any = None
    is_open: bool = False
    """Whether it describes no fields, so that objects may have any."""

    def __str__(self) -> str:
        words = self.types - {"integer"} if "number" in self.types else self.types
        return (
            "any JSON value"
            if self.types == TYPES
            else " or ".join(sorted(words, key=lambda word: (word == "null", word)))
        )


def mapping(value: object) -> dict[str, Any]:
    """Return a mapping as it is, and an empty one for anything else: errors are the generator's part."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """Return a list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def operations(description: dict[str, Any]) -> Iterator[Operation]:
    """Yield the operations of a description."""
    for path, item in mapping(description.get("paths")).items():
        for method in METHODS:
            if node := mapping(mapping(item).get(method)):
                yield Operation(method, path, node, listed(item.get("parameters")) + listed(node.get("parameters")))


def align(needed: dict[str, Any], description: dict[str, Any]) -> None:
    """Name the operations of a description as those of `needed`, and others in snake case."""
    names = {each.key: each.node for each in operations(needed)}
    for operation in operations(description):
        if ours := names.get(operation.key):
            operation.node.update({key: ours[key] for key in ("operationId", "tags") if key in ours})
        elif isinstance(name := operation.node.get("operationId"), str):
            operation.node["operationId"] = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def differences(needed: dict[str, Any], description: dict[str, Any]) -> Differences:
    """Return the differences that matter to a client written for `needed`."""
    comparison = _Comparison(needed, description)
    comparison.compare()
    return {
        kind: [f"{what} of {_quoted(places)}" if places else what for what, places in found.items()]
        for kind in (*BREAKING, COMPATIBLE, "added")
        if (found := comparison.found[kind])
    }


class _Comparison:
    def __init__(self, needed: dict[str, Any], description: dict[str, Any]) -> None:
        self.needed, self.description = needed, description
        self.found: dict[str, dict[str, list[str]]] = defaultdict(dict)
        self.seen: dict[tuple[int, int, bool], tuple[Any, Any]] = {}

    def add(self, kind: str, what: str, *places: str) -> None:
        """Add a difference, as a sentence or with a place to which it belongs."""
        known = self.found[kind].setdefault(what, [])
        known += [each for each in places if each not in known]

    def compare(self) -> None:
        versions = [str(each.get("openapi")) for each in (self.needed, self.description)]
        if versions[0].split(".")[:2] != versions[1].split(".")[:2]:
            self.add(COMPATIBLE, f"the description is OpenAPI {versions[1]} instead of {versions[0]}")
        ours, theirs = ({each.key: each for each in operations(it)} for it in (self.needed, self.description))
        for key, operation in ours.items():
            if key in theirs:
                self.requests(operation, theirs[key])
                self.responses(operation, theirs[key])
            else:
                self.add("missing", f"operation {_quoted([operation.name])} ({_line(operation)})")
        for key, operation in theirs.items():
            if key not in ours:
                self.add("added", f"operation {_quoted([operation.name])} ({_line(operation)})")

    def requests(self, ours: Operation, theirs: Operation) -> None:
        # Parameters in paths are matched by position.
        names = dict(zip(_placeholders(theirs.path), _placeholders(ours.path), strict=True))
        left = self.parameters(self.needed, ours, {each: each for each in names.values()})
        self.schemas(ours.name, left, self.parameters(self.description, theirs, names), is_sent=True)
        sent = mapping(resolve(self.needed, ours.node.get("requestBody")))
        accepted = mapping(resolve(self.description, theirs.node.get("requestBody")))
        if accepted.get("required") and not sent.get("required"):
            self.add("changed", f"`{ours.name}` requires a body")
        self.contents(ours.name, sent, accepted, is_sent=True)

    def parameters(self, document: dict[str, Any], operation: Operation, names: dict[str, str]) -> dict[str, Any]:
        """Return the parameters as the schema of an object."""
        properties, required = {}, []
        for node in operation.parameters:
            parameter = mapping(resolve(document, node))
            name, place = str(parameter.get("name")), parameter.get("in")
            if place == "path":
                name = names.get(name, name)
            elif place != "query" or name in names.values():
                name = f"{name.lower()} ({place})"
            properties[name] = parameter.get("schema", True)
            required += [name] if parameter.get("required") else []
        return {"type": "object", "properties": properties, "required": required}

    def responses(self, ours: Operation, theirs: Operation) -> None:
        left, right = (mapping(each.node.get("responses")) for each in (ours, theirs))
        for status in left:
            found = next((each for each in (status, f"{status[:1]}XX", "default") if each in right), None)
            if found is None:
                self.add("missing", f"response {status}", ours.name)
            else:
                bodies = resolve(self.needed, left[status]), resolve(self.description, right[found])
                self.contents(f"{ours.name} response {status}", *bodies, is_sent=False)
        for status in right:
            if status not in left and status != "default" and not status.endswith("XX"):
                self.add("added", f"response {status}", ours.name)

    def contents(self, place: str, ours: Any, theirs: Any, *, is_sent: bool) -> None:
        left, right = (mapping(mapping(each).get("content")) for each in (ours, theirs))
        for kind, names in (("missing", left.keys() - right.keys()), ("added", right.keys() - left.keys())):
            if names:
                self.add(kind, f"content type {_quoted(sorted(names))}", place)
        for name in (each for each in left if each in right):
            for keyword, part in (("schema", place), ("x-event-schema", f"{place} event")):
                if keyword in left[name]:
                    self.schemas(part, left[name][keyword], mapping(right[name]).get(keyword), is_sent=is_sent)

    def schemas(self, place: str, ours: Any, theirs: Any, *, is_sent: bool) -> None:
        """Compare two schemas. The client sends what matches ours, or reads what matches theirs."""
        name = str(mapping(ours).get("$ref", "")).rpartition("/")[2]
        ours, theirs = resolve(self.needed, ours), resolve(self.description, theirs)
        left, right = _shape(self.needed, ours), _shape(self.description, theirs)
        if name and ("." in place or not is_sent) and (left.properties or left.values) and left.types == right.types:
            place = name
        key = (id(ours), id(theirs), is_sent)
        if key in self.seen:
            return
        # Kept, so that no other schema gets one of these ids.
        self.seen[key] = (ours, theirs)
        sent, accepted = (left, right) if is_sent else (right, left)
        if left.types != right.types:
            kind = COMPATIBLE if sent.types <= accepted.types else "changed"
            self.add(kind, f"`{place}` is {right} instead of {left}")
        if left.types - {"null"} == right.types - {"null"} and "pattern" not in mapping(ours):
            self.values(place, left.values, right.values, is_sent=is_sent)
            for value, constant in left.names:
                if value in right.values and (value, constant) not in right.names:
                    self.add("changed", f"name `{constant}` of value `{value}`", place)
        if (left.properties or (is_sent and right.required)) and "object" in right.types != TYPES:
            self.properties(place, left, right, is_sent=is_sent)
        if left.items and "array" in right.types:
            self.schemas(f"{place}[]", left.items, right.items, is_sent=is_sent)
        if left.others and "object" in right.types:
            self.schemas(f"{place}.*", left.others, right.others, is_sent=is_sent)

    def values(self, place: str, ours: list[Any], theirs: list[Any], *, is_sent: bool) -> None:
        if ours and not theirs:
            self.add("changed", f"`{place}` lists no values")
        elif theirs and not ours:
            self.add("changed" if is_sent else COMPATIBLE, f"`{place}` is one of {_quoted(theirs)}")
        else:
            for kind, values in (
                ("missing", [each for each in ours if each not in theirs]),
                ("added", [each for each in theirs if each not in ours]),
            ):
                if values:
                    self.add(kind, f"value {_quoted(values)}", place)

    def properties(self, place: str, left: Shape, right: Shape, *, is_sent: bool) -> None:
        if left.properties and right.is_open:
            self.add("changed", f"`{place}` describes no fields")
            return
        demanded = right.required - left.required
        optional = left.required - right.required
        both = left.properties.keys() & right.properties.keys()
        lines = {
            "missing": ("has no", left.properties.keys() - both),
            "added": ("has", right.properties.keys() - both - (demanded if is_sent else set())),
            "changed": ("requires", demanded) if is_sent else ("may lack", optional & both),
            COMPATIBLE: ("no longer requires", optional & both) if is_sent else ("always has", demanded & both),
        }
        for kind, (verb, names) in lines.items():
            if names:
                self.add(kind, f"`{place}` {verb} {_quoted(sorted(names))}")
        for name in (each for each in left.properties if each in both):
            self.schemas(f"{place}.{name}", left.properties[name], right.properties[name], is_sent=is_sent)


def resolve(document: dict[str, Any], node: Any) -> Any:
    """Return what a node refers to, and other nodes as they are."""
    for _ in range(100):
        if not isinstance(reference := mapping(node).get("$ref"), str):
            return node
        node = target(document, reference)
    return True


def target(document: Any, reference: str) -> Any:
    """Return what a reference inside of a document refers to; None if there is nothing."""
    for part in reference.removeprefix("#/").split("/"):
        document = mapping(document).get(part.replace("~1", "/").replace("~0", "~"))
    return document


def _shape(document: dict[str, Any], schema: Any, depth: int = 0) -> Shape:
    schema = mapping(resolve(document, schema))
    values = [schema["const"]] if "const" in schema else listed(schema.get("enum"))
    shape = Shape(
        types=_types(schema, values),
        values=[each for each in values if each is not None],
        names=list(zip(values, listed(schema.get("x-enum-varnames")), strict=False)),
        properties=dict(mapping(schema.get("properties"))),
        required={str(each) for each in listed(schema.get("required"))},
        items=schema.get("items"),
        others=mapping(schema.get("additionalProperties")) or None,
        is_open="properties" not in schema,
    )
    if depth > 20:
        return shape
    for part in (_shape(document, each, depth + 1) for each in listed(schema.get("allOf"))):
        shape.types &= part.types
        shape.is_open &= part.is_open
        shape.properties |= part.properties
        shape.required |= part.required
        shape.values = shape.values or part.values
        shape.items, shape.others = shape.items or part.items, shape.others or part.others
    if branches := [
        _shape(document, each, depth + 1) for each in listed(schema.get("oneOf")) + listed(schema.get("anyOf"))
    ]:
        shape.types &= set().union(*(each.types for each in branches))
        branches = [each for each in branches if each.types != {"null"}]
        for branch in branches:
            shape.is_open &= branch.is_open
            shape.properties = branch.properties | shape.properties
            shape.items, shape.others = shape.items or branch.items, shape.others or branch.others
        if branches:
            shape.required |= set.intersection(*(each.required for each in branches))
            if all(each.values for each in branches):
                shape.values = shape.values or [value for each in branches for value in each.values]
    return shape


def _types(schema: dict[str, Any], values: list[Any]) -> set[str]:
    words = schema.get("type")
    if words is not None:
        types = {str(each) for each in listed(words) or [words]}
    elif values:
        types = {_type_of(each) for each in values}
    elif "properties" in schema:
        types = {"object"}
    else:
        excluded = mapping(schema.get("not"))
        types = TYPES - (_types(excluded, []) if "type" in excluded else set())
    if "number" in types:
        types |= {"integer"}
    return types | {"null"} if schema.get("nullable") else types


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _placeholders(path: str) -> list[str]:
    return re.findall(r"\{([^}]*)\}", path)


def _line(operation: Operation) -> str:
    return f"{operation.method.upper()} {operation.path}"


def _quoted(values: list[Any]) -> str:
    return ", ".join(f"`{each}`" for each in values)
