"""The flow's own schemas: whether they are valid, and whether cases and defaults match them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from .._base.text import did_you_mean, near, nearest
from .._data.flow_declarations import is_secret_marker
from ..flows.findings import Findings
from ..flows.json_schema import JSON_TYPES, definitions_of, mismatches, referred_name
from ..flows.patterns import linear_pattern
from ..flows.source import Node
from .flow_model import FlowModel

_NESTED = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "patternProperties", "dependentSchemas")

_KINDS: dict[str, tuple[type, ...]] = {
    "": (object,), "text": (str,), "a boolean": (bool,), "a number": (int, float), "a list": (list,),
    "a mapping": (dict,), "a schema": (dict, bool, list),
}  # fmt: skip
_OF_RUNS = {
    "type": "a type", "$ref": "text", "properties": "a mapping", "required": "a list", "items": "a schema",
    "default": "", "enum": "a list", "anyOf": "a list", "oneOf": "a list", "allOf": "a list",
    "additionalProperties": "a schema", "patternProperties": "a mapping", "$defs": "a mapping",
    "is_secret": "a boolean", "env_var": "text",
}  # fmt: skip
"""The keywords whose loss changes what runs accept, show or use."""
_KEYWORDS = {
    **_OF_RUNS,
    **dict.fromkeys(("title", "description", "format", "pattern", "$schema", "$id", "$anchor", "$comment"), "text"),
    **dict.fromkeys(("nullable", "deprecated", "readOnly", "writeOnly", "uniqueItems"), "a boolean"),
    **dict.fromkeys(("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
                     "minProperties", "maxProperties", "minContains", "maxContains"), "a number"),
    **dict.fromkeys(("definitions", "dependentSchemas", "dependentRequired", "discriminator"), "a mapping"),
    **dict.fromkeys(("contains", "propertyNames", "additionalItems", "unevaluatedItems", "unevaluatedProperties"),
                    "a schema"),
    "prefixItems": "a list",
    **dict.fromkeys(("examples", "example", "exclusiveMinimum", "exclusiveMaximum"), ""),
}  # fmt: skip
"""The keywords of JSON Schema and OpenAPI, and those of flows, with the kinds of their values."""
_HINTS = {
    "a boolean": "write true or false, without quotes",
    "a list": "write [a, b]",
    "a mapping": "write NAME: {type: ...}",
    "text": "write a string",
}
_SHORT = frozenset({"const", "not", "if", "then", "else", "id", "xml"})
"""Keywords with which too many other words are similar."""


def check_schemas(model: FlowModel, found: Findings) -> None:
    """Find faults in the schemas, and in the parts of the flow that they describe."""
    defs = model.defs
    shared = model.root.at("schemas", "$defs")
    for node in shared.items.values() if shared else ():
        _check_schema(node, defs, found)
    for name in ("input", "output", "variables"):
        schema = model.schema(name)
        if schema is not None and schema.value is not None:
            _check_schema(schema, defs, found)
    variables = model.schema("variables", "properties")
    for node in (model.schema("variables"), *(variables.items.values() if variables is not None else ())):
        if node is not None and isinstance(node.value, bool):
            found.add("not-a-schema", "error", node, "runs of this flow never end: servers fail at a schema of "
                      "variables that is no mapping", "write {} for any value")  # fmt: skip
    _check_step_schemas(model, defs, found)
    examples = model.root.get("examples")
    _check_cases("test case", model.cases, model, found)
    _check_cases("example", examples.elements if examples else (), model, found)


def _check_schema(node: Node, defs: Mapping[str, Any], found: Findings) -> None:
    if isinstance(node.value, bool):
        return
    if not isinstance(node.value, dict):
        found.add("not-a-schema", "error", node, "a schema is a mapping", "write {type: string} or the like")
        return
    _check_keywords(node, found)
    defs = definitions_of(node.value, defs)
    kind = node.get("type")
    for each in (kind.elements or [kind]) if kind is not None else []:
        if each.value not in JSON_TYPES:
            found.add("not-a-schema", "error", each, f"there is no type {each.value!r}",
                      near(str(each.value), JSON_TYPES, "types are"))  # fmt: skip
    reference = node.get("$ref")
    name = referred_name(reference.value) if reference is not None else None
    if reference is not None and name is not None and not {name, name.split("/")[0]} & defs.keys():
        found.add("dangling-ref", "error", reference, f"$ref leads nowhere: {reference.value}",
                  near(name, defs, "schemas.$defs has"))  # fmt: skip
    _check_required(node, found)
    _check_patterns(node, found)
    for child in _inner_schemas(node):
        _check_schema(child, defs, found)
    if "default" in node.items:
        default = node.items["default"]
        for wrong in mismatches(default.value, node.value, defs):
            found.add_mismatch("default-type", "warning", default, wrong, "the default does not fit: ")


def _check_keywords(node: Node, found: Findings) -> None:
    """Find misspelt keywords, and keywords with values of the wrong kind. Other unknown keys are annotations."""
    for key, child in node.items.items():
        kind = _KEYWORDS.get(key)
        if kind is not None:
            # These have findings of their own.
            if key not in ("required", "type") and not _is_of(child.value, kind):
                found.add("not-a-schema", "error", child, f"{key} is {kind}", _HINTS.get(kind))
        elif key not in _SHORT and (name := _meant(key)) is not None and name not in node.items:
            if name == "is_secret":
                found.add("unknown-key", "error", node, f"a schema has no keyword {key!r}: this client hides the "
                          "values all the same, other programs do not", did_you_mean(name), key=key)  # fmt: skip
            elif _is_of(child.value, _KEYWORDS[name]):
                level = "error" if name in _OF_RUNS else "warning"
                found.add("unknown-key", level, node, f"a schema has no keyword {key!r}: it has no effect",
                          did_you_mean(name), key=key)  # fmt: skip


@lru_cache(maxsize=1024)
def _meant(key: str) -> str | None:
    """Return the keyword of which a key is a misspelling; None if it is an annotation."""
    if is_secret_marker(key):
        return "is_secret"
    names = {_squashed(each): each for each in _KEYWORDS}
    found = None if key.startswith("x-") else nearest(_squashed(key), names, 0.75)
    return None if found is None else names[found]


def _squashed(key: str) -> str:
    return "".join(filter(str.isalnum, key)).lower()


def _is_of(value: Any, kind: str) -> bool:
    if kind == "a type":
        return all(each in JSON_TYPES for each in (value if isinstance(value, list) else [value]))
    # A boolean is no number.
    return isinstance(value, _KINDS[kind]) and not (kind == "a number" and isinstance(value, bool))


def _check_patterns(node: Node, found: Findings) -> None:
    pattern, named = node.get("pattern"), node.get("patternProperties")
    places: list[tuple[Node, Any, str | None]] = [] if pattern is None else [(pattern, pattern.value, None)]
    places += [(named, key, key) for key in named.items] if named is not None else []
    for at, text, key in places:
        if isinstance(text, str) and linear_pattern(text) is None:
            found.add("unchecked-pattern", "warning", at, "values are not checked against this pattern", "patterns are "
                      "checked if they have no lookaround, back-references or large repetitions", key=key)  # fmt: skip


def _inner_schemas(node: Node) -> Iterator[Node]:
    for key in _MAPS:
        if key in node.items:
            yield from node.items[key].items.values()
    for key in _NESTED:
        if key in node.items and not (key == "items" and isinstance(node.items[key].value, list)):
            yield node.items[key]
    for key in (*_LISTS, "items"):
        if key in node.items:
            yield from node.items[key].elements


def _check_required(node: Node, found: Findings) -> None:
    required, properties = node.get("required"), node.get("properties")
    if required is None:
        return
    if not isinstance(required.value, list) or not all(isinstance(each, str) for each in required.value):
        found.add("not-a-schema", "error", required, "required is a list of names",
                  "write required: [a, b] beside properties")  # fmt: skip
        return
    for each in required.elements:
        if properties is not None and isinstance(properties.value, dict) and each.value not in properties.items:
            found.add("required-undeclared", "warning", each, f"{each.value!r} is required but not declared",
                      near(each.value, properties.items, "properties are"))  # fmt: skip


def _check_step_schemas(model: FlowModel, defs: Mapping[str, Any], found: Findings) -> None:
    held = model.schema("steps")
    if held is None or not isinstance(held.value, dict):
        return
    if held.value and "properties" not in held.items:
        found.add("misplaced-schema", "warning", held, "schemas of steps without 'properties' are dropped",
                  "write steps: {properties: {id: ...}}")  # fmt: skip
    inner = held.get("properties")
    for name, node in inner.items.items() if inner else ():
        if name not in model.by_id:
            found.add("schema-of-unknown-step", "warning", inner or node, f"there is no step {name!r}",
                      near(name, model.by_id, "steps are"), key=name)  # fmt: skip
        _check_schema(node, defs, found)


def _check_cases(what: str, cases: Iterable[Node], model: FlowModel, found: Findings) -> None:
    given, wanted, names = model.schema("input"), model.schema("output"), set[str]()
    for case in cases:
        name = case.get("name")
        if name is not None and isinstance(name.value, str):
            if name.value in names:
                found.add("duplicate-case", "warning", name, f"two {what}s are called {name.value!r}",
                          "rename one of them")  # fmt: skip
            names.add(name.value)
        value = case.get("input")
        if value is not None and given is not None:
            for wrong in mismatches(value.value, given.value, model.defs):
                found.add_mismatch(
                    "case-input", "error", value, wrong, f"the {what}'s input does not fit the flow's schema: "
                )
        if wanted is not None:
            check_result(case, wanted.value, model.defs, found)


def check_result(
    case: Node, schema: Any, defs: Mapping[str, Any], found: Findings, by: str = "by the flow's schema"
) -> None:
    """Find places where the expected output of a test case does not match a schema; `by` says whose schema it is."""
    result = case.at("output", "result")
    if result is None:
        return
    from ..flows.matching import MATCHERS

    for wrong in mismatches(result.value, schema, defs):
        # Expected objects may be incomplete, and a matcher can match many values.
        part = wrong.key or next(reversed(wrong.parts), None)
        is_matched = part in MATCHERS or (not wrong.key and _holds_matcher(wrong.value))
        if "is missing" not in wrong.message and not is_matched:
            # Servers do not check outputs, so the schema may be what is wrong.
            found.add_mismatch("case-output", "warning", result, wrong, f"this output cannot occur, {by}: ")


def _holds_matcher(value: Any) -> bool:
    from ..flows.matching import is_matcher

    if isinstance(value, Mapping):
        return is_matcher(value) or any(map(_holds_matcher, value.values()))
    return isinstance(value, list) and any(map(_holds_matcher, value))
