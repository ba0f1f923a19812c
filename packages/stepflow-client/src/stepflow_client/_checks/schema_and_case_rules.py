"""Schema rules check that a flow's own schemas are valid, and that its test cases and defaults match them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from .._base.suggestions import find_nearest, format_did_you_mean, suggest_or_list
from .._data.flow_declarations import is_secret_marker
from ..flows.findings import Findings
from ..flows.json_schema import JSON_TYPES, find_mismatches, get_defs, parse_ref_name
from ..flows.linear_time_regex import compile_linear
from ..flows.syntax_tree import Node
from ..flows.type_system import KEYWORDS, SCHEMA_LIST_VALUED, SCHEMA_MAP_VALUED, SCHEMA_VALUED, has_expected_kind
from .steps_and_references import FlowAnalysis

# Keywords that affect which values runs accept, show or use.
_RUN_KEYWORDS = frozenset({
    "type", "$ref", "properties", "required", "items", "default", "enum", "anyOf", "oneOf", "allOf",
    "additionalProperties", "patternProperties", "$defs", "is_secret", "env_var",
})  # fmt: skip
# The wider kinds of values to accept instead of the standard's own, because other tools aren't as strict.
_WIDER_KINDS = {
    "a pattern": "text", "a count": "a number", "a positive number": "a number", "a limit": "", "names": "a list",
    "names by name": "a mapping", "examples": "",
}  # fmt: skip
_HINT_BY_KIND = {
    "a boolean": "write true or false, without quotes",
    "a list": "write [a, b]",
    "a mapping": "write NAME: {type: ...}",
    "text": "write a string",
}
# Keywords too close to ordinary words to check for typos.
_WORDLIKE = frozenset({"const", "not", "if", "then", "else", "id", "xml"})
# All other keywords, keyed by their letters and digits only.
_FOLDED = {"".join(filter(str.isalnum, keyword)).lower(): keyword for keyword in KEYWORDS if keyword not in _WORDLIKE}


def check_schemas(model: FlowAnalysis, findings: Findings) -> None:
    """Report problems in the flow's schemas and in the parts of the flow that they describe."""
    defs = model.defs
    for node in model.root.items_at("schemas", "$defs").values():
        _check_schema(node, defs, findings)
    for name in ("input", "output", "variables"):
        schema = model.find_flow_schema(name)
        if schema is not None and schema.value is not None:
            _check_schema(schema, defs, findings)
    variables = model.find_flow_schema("variables", "properties")
    for node in (model.find_flow_schema("variables"), *(variables.items.values() if variables is not None else ())):
        if node is not None and isinstance(node.value, bool):
            findings.add("not-a-schema", "error", node, "runs of this flow never end: servers fail on a schema of "
                         "variables that is not a mapping", "write {} for any value")  # fmt: skip
    steps = model.find_flow_schema("steps")
    if steps is not None and isinstance(steps.value, dict):
        if steps.value and "properties" not in steps.items:
            findings.add("misplaced-schema", "warning", steps, "step schemas without 'properties' are ignored",
                         "write steps: {properties: {id: ...}}")  # fmt: skip
        by_step = steps.get("properties") or Node(None)
        for name, node in by_step.items.items():
            if name not in model.by_id:
                findings.add("schema-of-unknown-step", "warning", by_step, f"unknown step {name!r}",
                             suggest_or_list(name, model.by_id, "steps are"), key=name)  # fmt: skip
            _check_schema(node, defs, findings)
    _check_cases("test case", model.cases, model, findings)
    _check_cases("example", model.root.elements_at("examples"), model, findings)


def _check_schema(node: Node, defs: Mapping[str, Any], findings: Findings) -> None:
    if isinstance(node.value, bool):
        return
    if not isinstance(node.value, dict):
        findings.add("not-a-schema", "error", node, "a schema must be a mapping", "for example {type: string}")
        return
    _check_keywords(node, findings)
    defs = get_defs(node.value, defs)
    kind = node.get("type")
    for type_node in (kind.elements or [kind]) if kind is not None else []:
        if type_node.value not in JSON_TYPES:
            findings.add("not-a-schema", "error", type_node, f"unknown type {type_node.value!r}",
                         suggest_or_list(str(type_node.value), JSON_TYPES, "types are"))  # fmt: skip
    reference = node.get("$ref")
    name = parse_ref_name(reference.value) if reference is not None else None
    if reference is not None and name is not None and not {name, name.split("/")[0]} & defs.keys():
        findings.add("dangling-ref", "error", reference, f"$ref does not resolve: {reference.value}",
                     suggest_or_list(name, defs, "schemas.$defs has"))  # fmt: skip
    required, properties = node.get("required"), node.get("properties")
    if required is not None:
        if not isinstance(required.value, list) or not all(isinstance(name, str) for name in required.value):
            findings.add("not-a-schema", "error", required, "required must be a list of names",
                         "write required: [a, b] next to properties")  # fmt: skip
        elif properties is not None and isinstance(properties.value, dict):
            for element in required.elements:
                if element.value not in properties.items:
                    message = f"{element.value!r} is required but not declared"
                    findings.add("required-undeclared", "warning", element, message,
                                 suggest_or_list(element.value, properties.items, "properties are"))  # fmt: skip
    pattern, named = node.get("pattern"), node.get("patternProperties")
    patterns: list[tuple[Node, Any, str | None]] = [] if pattern is None else [(pattern, pattern.value, None)]
    patterns += [(named, key, key) for key in named.items] if named is not None else []
    for at, text, key in patterns:
        if isinstance(text, str) and compile_linear(text) is None:
            findings.add("unchecked-pattern", "warning", at, "values are not checked against this pattern", "patterns "
                         "are checked if they have no lookaround, back-references or large repetitions",
                         key=key)  # fmt: skip
    for keyword, child in node.items.items():
        if keyword in SCHEMA_MAP_VALUED or keyword == "$defs":
            inner = [*child.items.values()]
        elif keyword in SCHEMA_LIST_VALUED or (keyword == "items" and isinstance(child.value, list)):
            inner = [*child.elements]
        else:
            inner = [child] if keyword in SCHEMA_VALUED else []
        for part in inner:
            _check_schema(part, defs, findings)
    if "default" in node.items:
        default = node.items["default"]
        for mismatch in find_mismatches(default.value, node.value, defs):
            findings.add_mismatch("default-type", "warning", default, mismatch, "the default does not match: ")


def _check_keywords(node: Node, findings: Findings) -> None:
    """Report misspelled keywords and invalid keyword values. Other unknown keys are treated as annotations."""
    for key, child in node.items.items():
        if key in _WORDLIKE:
            continue
        if key in KEYWORDS:
            kind = _WIDER_KINDS.get(KEYWORDS[key], KEYWORDS[key])
            # Skip the keywords that have their own checks.
            if key not in ("required", "type") and not has_expected_kind(child.value, kind):
                findings.add("not-a-schema", "error", child, f"{key} must be {kind}", _HINT_BY_KIND.get(kind))
        elif (name := _find_misspelled_keyword(key)) is not None and name not in node.items:
            if name == "is_secret":
                findings.add("unknown-key", "error", node, f"unknown schema keyword {key!r}: this client hides the "
                             "values anyway, but other programs do not", format_did_you_mean(name),
                             key=key)  # fmt: skip
            elif has_expected_kind(child.value, _WIDER_KINDS.get(KEYWORDS[name], KEYWORDS[name])):
                level = "error" if name in _RUN_KEYWORDS else "warning"
                findings.add("unknown-key", level, node, f"unknown schema keyword {key!r}: it has no effect",
                             format_did_you_mean(name), key=key)  # fmt: skip


@lru_cache(maxsize=1024)
def _find_misspelled_keyword(key: str) -> str | None:
    """Return the keyword that a key seems to be a misspelling of, or None if it's an annotation."""
    if is_secret_marker(key):
        return "is_secret"
    plain = "".join(filter(str.isalnum, key)).lower()
    similar = None if key.startswith("x-") else find_nearest(plain, _FOLDED, 0.75)
    return None if similar is None else _FOLDED[similar]


def _check_cases(kind: str, cases: Iterable[Node], model: FlowAnalysis, findings: Findings) -> None:
    input_schema, output_schema, names = model.find_flow_schema("input"), model.find_flow_schema("output"), set[str]()
    for case in cases:
        name = case.get("name")
        if name is not None and isinstance(name.value, str):
            if name.value in names:
                findings.add("duplicate-case", "warning", name, f"two {kind}s are named {name.value!r}",
                             "rename one of them")  # fmt: skip
            names.add(name.value)
        value = case.get("input")
        if value is not None and input_schema is not None:
            prefix = f"the {kind}'s input does not match the flow's schema: "
            for mismatch in find_mismatches(value.value, input_schema.value, model.defs):
                findings.add_mismatch("case-input", "error", value, mismatch, prefix)
        if output_schema is not None:
            check_case_output(case, output_schema.value, model.defs, findings)


def check_case_output(
    case: Node, schema: Any, defs: Mapping[str, Any], findings: Findings, by: str = "by the flow's schema"
) -> None:
    """Report the parts of a test case's expected output that don't match a schema. `by` describes the schema."""
    result = case.at("output", "result")
    if result is None:
        return
    from ..flows.expected_results import MATCHERS, is_matcher

    for mismatch in find_mismatches(result.value, schema, defs):
        # Expected objects can be partial, and a matcher can match many values.
        part = mismatch.key or next(reversed(mismatch.parts), None)
        node = result.at(*mismatch.parts) or result
        is_matched = not mismatch.key and any(is_matcher(part.value) for part in node.walk(below_aliases=True))
        if "is missing" not in mismatch.message and part not in MATCHERS and not is_matched:
            # This is just a warning: servers don't check outputs, so it might be the schema that's wrong.
            findings.add_mismatch("case-output", "warning", result, mismatch, f"this output cannot occur, {by}: ")
