"""Type checks find planted faults at their positions, have no findings in valid flows, and tolerate any input."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from stepflow_client import FlowFileError
from stepflow_client._checks.checker import check_source
from stepflow_client._checks.inferred_flow import infer_from_flow_text
from stepflow_client._checks.type_comparison import format_type, format_type_as_noun
from stepflow_client._checks.type_inference import infer_flow_types, look_up_reference
from stepflow_client.flows import check, infer
from stepflow_client.flows.components import ComponentCatalog, convert_to_components
from stepflow_client.flows.findings import TYPE_RULES
from stepflow_client.flows.reading import load_flow, parse_yaml
from stepflow_client.flows.syntax_tree import FlowText, to_node
from stepflow_client.flows.type_system import UNKNOWN, schema_to_type, value_to_type

from tests.flows.findings import find_in_text
from tests.flows.mutations import mutated, mutations, with_odd_part
from tests.flows.valid import VALID

_FOLDER = Path(__file__).with_name("type_faults")
_LISTED = json.loads((_FOLDER / "components.json").read_text())
_COMPONENTS = convert_to_components(_LISTED)
_VALID_FILES = sorted([*Path("examples").glob("*.yaml"), *Path("tests/cli/tested_flows").glob("*.yaml")])
_FILES = sorted(_FOLDER.glob("*.yaml"))
_MARK = re.compile(r"^ *#(?P<before> *)\^ (?P<rule>[a-z-]+)$")


def _planted(text: str) -> set[tuple[str, int, int]]:
    """Return the faults marked by comments, which have a caret below the column, followed by the rule."""
    faults, last = set(), 0
    for number, line in enumerate(text.splitlines(), 1):
        mark = _MARK.match(line)
        if mark is None:
            last = number
            continue
        faults.add((mark["rule"], last, line.index("^") + 1))
    return faults


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_planted_faults_are_found_and_no_others(path: Path) -> None:
    text = path.read_text()
    findings = find_in_text(text, path.name, _COMPONENTS, type_check=True)
    assert {(each.rule, each.line, each.column) for each in findings} == _planted(text)


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_each_finding_has_a_hint(path: Path) -> None:
    for each in find_in_text(path.read_text(), path.name, _COMPONENTS, type_check=True):
        assert each.hint or each.rule == "case-output", each
        assert each.excerpt.endswith("^")


def test_findings_match_the_recorded_messages_of_types() -> None:
    messages = [
        f"{path.name}:{each.line}: {each.rule} {each.level}: {each.message}{f'; {each.hint}' if each.hint else ''}"
        for path in _FILES
        for each in find_in_text(path.read_text(), path.name, _COMPONENTS, type_check=True)
    ]
    assert messages == (_FOLDER / "messages.txt").read_text().splitlines()


def test_there_are_faults_of_each_rule() -> None:
    planted = {rule for path in _FILES for rule, _, _ in _planted(path.read_text())}
    assert planted >= TYPE_RULES


@pytest.mark.parametrize("index", range(len(VALID)))
def test_a_valid_flow_has_no_findings(index: int) -> None:
    text = json.dumps(VALID[index][0], indent=1)
    for source in ("flow.json", "flow.yaml"):
        assert find_in_text(text, source, type_check=True) == []
    assert check_source(FlowText.from_source(VALID[index][0]), type_check=True) == []


@pytest.mark.parametrize("path", _VALID_FILES, ids=str)
def test_flow_files_have_no_findings(path: Path) -> None:
    assert [each for each in check_source(FlowText.from_source(path), type_check=True) if each.rule in TYPE_RULES] == []


def test_type_rules_are_selected_and_suppressed_like_other_rules() -> None:
    path = _FOLDER / "inputs.yaml"
    only = check(path, components=_LISTED, type_check=True, select=["possible-mismatch"]).diagnostics
    assert [(each.rule, each.line) for each in only] == [("possible-mismatch", 22), ("possible-mismatch", 64)]
    rest = check(path, components=_LISTED, type_check=True, ignore=["type-mismatch"]).diagnostics
    assert rest == only
    text = re.sub(r"(?m)(\$\.note\}\}|: crate\})$", r"\1  # stepflow: ignore[possible-mismatch]", path.read_text())
    assert {each.rule for each in find_in_text(text, "f.yaml", _COMPONENTS, type_check=True)} == {"type-mismatch"}
    assert check(path, components=_LISTED).diagnostics == []


@pytest.mark.exhaustive
def test_mutated_flows_do_not_break_inference() -> None:
    texts = [path.read_text() for path in _FILES]
    schemas = set()
    for text in [*(text for text, _ in mutations(400, seed=11)), *mutated(texts, 400, seed=12)]:
        try:
            inferred = infer_from_flow_text(FlowText(text, "flow.yaml"), _COMPONENTS)
        except FlowFileError:
            # `infer_from_flow_text` checks all other texts itself.
            find_in_text(text, "flow.yaml", _COMPONENTS, type_check=True)
        else:
            inferred_schemas = (inferred.input, inferred.output, *(step.output for step in inferred.steps))
            schemas |= {json.dumps(schema) for schema in inferred_schemas}
    for schema in schemas:
        Draft202012Validator.check_schema(json.loads(schema))


@pytest.mark.parametrize("number", [100, pytest.param(600, marks=pytest.mark.exhaustive)])
def test_odd_flows_and_schemas_do_not_break_inference(number: int) -> None:
    chance = random.Random(13)
    flows = [flow for flow, _ in VALID] + [load_flow(path) for path in _FILES]
    for _ in range(number):
        flow, schemas = chance.choice(flows), {each["path"]: each["input_schema"] for each in _LISTED}
        flow, schemas = with_odd_part(flow, chance), with_odd_part(schemas, chance)
        known = [{**each, "input_schema": schemas[each["path"]]} for each in _LISTED]
        inferred = infer(flow, components=known)
        findings = check(flow, components=known, type_check=True).diagnostics
        types = {(each.rule, each.path) for each in inferred._findings if each.rule in TYPE_RULES}
        assert types == {(each.rule, each.path) for each in findings if each.rule in TYPE_RULES}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"const": 5}, "5"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "nullable": True}, "string | null"),
        ({"type": "array", "items": {"type": "integer"}}, "[integer]"),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "null"}]}, "{a?: unknown} | null"),
        ({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, "{a?: unknown}"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "string"),
        ({"$ref": "#/$defs/T", "$defs": {"T": {"type": "array", "items": {"$ref": "#/$defs/T"}}}}, "array"),
        ({"allOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object"}]}, "{a?: unknown}"),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, "unknown"),
        ({"allOf": [{"$ref": "#/$defs/T"}], "default": 1, "$defs": {"T": {"type": "integer"}}}, "integer"),
        ({"$ref": "#/nowhere"}, "unknown"),
        ({"type": "objekt"}, "unknown"),
        # Neither alternative lacks the field `a`.
        (
            {"type": "object", "properties": {"a": {}}, "anyOf": [{"properties": {"b": {}}}, {"type": "null"}]},
            "unknown",
        ),
        (False, "nothing"),
        (7, "unknown"),
    ],
)
def test_schemas_as_readable_types(value: Any, words: str) -> None:
    assert format_type(schema_to_type(value)) == words


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["string", "null"]}, "a string or null"),
        ({"type": ["integer", "array", "object"]}, "an integer or an object or a list"),
        ({"type": ["boolean", "integer", "string", "null"]}, "boolean | integer | string | null"),
        ({"type": "array", "items": {"type": "string"}}, "[string]"),
        ({"type": "object", "additionalProperties": False}, "{}"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({}, "unknown"),
        (False, "nothing"),
    ],
)
def test_short_types_are_described_in_words(schema: Any, words: str) -> None:
    assert format_type_as_noun(schema_to_type(schema)) == words


def test_an_output_schema_has_exactly_the_fields_of_the_output() -> None:
    input_schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    output = {"n": {"$input": "$.n"}, "list": [1, "a"], "none": {}, "all": {"$input": "$"}, "any": {"$variable": "v"}}
    assert infer({"schemas": {"properties": {"input": input_schema}}, "output": output}).output == {
        "type": "object",
        "properties": {
            "n": {"type": "integer"},
            "list": {"type": "array", "items": {"type": ["integer", "string"]}},
            "none": {"type": "object", "additionalProperties": False},
            "all": input_schema,
            "any": {},
        },
        "required": ["n", "list", "none", "all", "any"],
        "additionalProperties": False,
    }


_INPUT = {
    "type": "object",
    "properties": {"n": {"type": "integer"}, "t": {"type": ["string", "null"]}, "l": {"type": "array", "items": {}}},
}
_VARIABLES = {
    "properties": {
        "v": {"type": "string"},
        "d": {"type": "array", "default": [1]},
        "e": {"type": "string", "default": None},
        "m": {"anyOf": [{"type": "string"}]},
        "c": {"type": "string", "enum": ["a"]},
    }
}


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"$coalesce": ["a", 1]}, "string"),
        ({"$coalesce": [{"$input": "$.t"}, 1]}, "string | integer"),
        ({"$coalesce": [{"$input": "$.t"}]}, "string | null"),
        ({"$coalesce": []}, "null"),
        ({"$coalesce": [{"$input": "$.l[0]"}, 1]}, "unknown"),
        ({"$if": {"$input": "$.n"}, "then": "a"}, "string"),
        ({"$if": {"$input": "$.t"}, "then": "a"}, "string | null"),
        ({"$if": {"$input": "$.t"}, "then": "a", "else": 1}, "string | integer"),
        ({"$if": False, "then": "a", "else": 1}, "integer"),
        ({"$if": None, "then": "a"}, "null"),
        ({"$if": {"$input": "$.l[0]"}, "then": "a"}, "string | null"),
        ({"$literal": {"$if": 1}}, '{"$if": integer}'),
        ({"$from": "x"}, "unknown"),
        ([1, "a", 2.5], "[string | number]"),
        ({"a": {"$input": "$.n"}, "b": []}, "{a: integer, b: array}"),
        ({"$input": "n"}, "integer"),
        ({"$input": "$.n.x"}, "unknown"),
        ({"$input": "a.b"}, "unknown"),
        ({"$variable": "v"}, "string"),
        ({"$variable": "$.d[0]"}, "unknown"),
        ({"$variable": "v", "default": 1}, "string"),
        ({"$variable": "m", "default": 1}, "string | integer"),
        ({"$if": {"$variable": "v"}, "then": 1}, "integer"),
        ({"$if": {"$variable": "m"}, "then": 1}, "integer | null"),
        ({"$variable": "c"}, '"a" | ""'),
        ({"$variable": "u"}, "unknown"),
        ({"$variable": "e"}, "string | null"),
    ],
)
def test_types_of_expressions(output: Any, words: str) -> None:
    schemas = {"properties": {"input": _INPUT, "variables": _VARIABLES}}
    assert infer({"schemas": schemas, "output": output}).summary["output"] == words


_DONE = '{outcome: "success", result: integer}'
_LOST = '{outcome: "failed", error: {code: unknown, message: string, data?: unknown}}'


@pytest.mark.parametrize(
    ("component", "step_input", "words"),
    [
        ("map", {"items": [1], "workflow": {"$literal": {"output": {"$input": "$"}}}},
         f"{{results: [{_DONE} | {_LOST}], successful: integer, failed: integer}}"),
        ("map", {"items": [1], "workflow": {"output": 1}},
         f"{{results: [{_DONE} | {_LOST}], successful: integer, failed: integer}}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"output": {"result": {"$input": "$"}}}}},
         "{result: integer, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"output": {"next": "a"}}}},
         "{result: string, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"output": {"next": {"a": {"$input": "$"}}}}}},
         "{result: {a: unknown}, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"output": {"result": {"$input": "$"}, "next": "a"}}}},
         "{result: integer, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": True, "flow": {"$literal": {"output": {
            "$if": {"$input": "$"}, "then": "a", "else": {"result": 1}}}}},
         "{result: integer, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"schemas": {"properties": {"input": {
            "type": "object"}}}, "output": {"$coalesce": [{"$variable": "v", "default": {"$input": "$"}}]}}}},
         "{result: unknown, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"schemas": {"properties": {"input": {
            "type": "object", "properties": {"next": {"type": "integer"}}}}}, "output": {"$input": "$"}}}},
         "{result: integer, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$literal": {"output": {"$variable": "v"}}}},
         "{result: unknown, iterations: integer, terminated: boolean}"),
        ("iterate", {"initial_input": 1, "flow": {"$input": "$"}},
         "{result: unknown, iterations: integer, terminated: boolean}"),
        ("noop", {"a": 1}, "{a: integer}"),
        ("sleep", {"duration_ms": 1, "passthrough": "x"}, "{duration_ms: integer, passthrough?: string}"),
        ("put_blob", {"data": 1, "blob_type": "data"}, "{blob_id: string}"),
        ("get_blob", {"blob_id": "x"}, "{data: unknown}"),
        ("eval", {"flow_id": "x", "input": 1},
         f"{{result: {_DONE.replace('integer', 'unknown')} | {_LOST}, run_id: string}}"),
    ],
)  # fmt: skip
def test_types_of_builtin_outputs(component: str, step_input: Any, words: str) -> None:
    inferred = infer({"steps": [{"id": "a", "component": f"/builtin/{component}", "input": step_input}]})
    assert inferred.steps[0].summary["output"] == words


def test_the_type_of_a_step_includes_its_default() -> None:
    step = {"id": "a", "component": "/builtin/noop", "input": 1, "onError": {"action": "useDefault"}}
    assert infer({"steps": [step]}).steps[0].summary["output"] == "integer | null"


def test_the_input_type_is_inferred_from_its_uses() -> None:
    def step(name: str, step_input: Any) -> dict[str, Any]:
        return {"id": name, "component": "/shop/post", "input": step_input}

    step_input = {"text": {"$input": "$.text"}, "tags": [{"$input": "$.tags[0]"}], "to": {"$input": "$.to"}}
    maybe = {"text": {"$if": {"$input": "$.flag"}, "then": {"$input": "$.other"}, "else": "x"}}
    flow = {"steps": [step("a", step_input), step("b", maybe)], "output": {"$input": "$.kept.deep"}}
    assert infer(flow, components=_LISTED).summary["input"] == (
        "{text: string, tags: [string], to: {street: string, zip: string}, flag: unknown, other?: string, "
        "kept: {deep: unknown}}"
    )
    assert infer({"output": {"$input": "$"}}).input == {}
    first = infer({"output": {"$coalesce": [{"$input": "$.a"}, {"$input": "$.b"}]}})
    assert first.summary["input"] == "{a: unknown, b?: unknown}"


def test_conflicts_are_reported_against_the_first_use_with_a_known_type() -> None:
    path = "$.sku"
    uses = [("x", "/shop/black_box", {"any": {"$input": path}}), ("price", "/shop/price", {"sku": {"$input": path}})]
    uses += [("stock", "/shop/stock", {"skus": {"$input": path}})]
    steps = [{"id": name, "component": of, "input": part, "mustExecute": True} for name, of, part in uses]
    flow = {"name": "f", "description": "d", "steps": steps, "output": 1}
    findings = check(flow, components=_LISTED, type_check=True).diagnostics
    assert [(each.rule, each.message.partition(" for ")[0]) for each in findings] == [
        ("input-conflict", "step 'stock' expects [string], but step 'price' expects string")
    ]
    # A flow that isn't in a file has no lines.
    assert str(findings[0].hint).endswith("(the other use is at $.steps[1].input.sku)")


def test_the_initial_iterate_input_must_have_the_declared_type() -> None:
    inner = {"schemas": {"properties": {"input": {"type": "string"}}}, "output": {"result": {"$input": "$"}}}
    findings = []
    for first in (5, "five"):
        step_input = {"initial_input": first, "flow": {"$literal": inner}}
        step = {"id": "a", "component": "/builtin/iterate", "input": step_input}
        flow = {"name": "f", "description": "d", "steps": [step], "output": {"$step": "a"}}
        findings += [(each.path, each.message, each.hint) for each in check(flow, type_check=True).diagnostics]
    assert findings == [
        (
            "$.steps[0].input.initial_input",
            "the input schema of the flow within expects a string, but this is an integer",
            "write a string",
        )
    ]


def test_a_value_outside_an_enum_gets_a_suggestion() -> None:
    schemas = {"properties": {"output": {"enum": ["red", "green"]}}}
    for output, hint in (("rd", "did you mean 'red'?"), (5, "one of: red, green")):
        flow = {"name": "f", "description": "d", "schemas": schemas, "output": output}
        assert [each.hint for each in check(flow, type_check=True).diagnostics] == [hint]


@pytest.mark.parametrize(
    ("expected", "value", "rule"),
    [
        ({"type": ["integer", "string"]}, {"$input": "$.number"}, "possible-mismatch"),
        ({"type": ["integer", "string"]}, True, "type-mismatch"),
        ({"enum": [1, 2, "a"]}, {"$input": "$.number"}, "possible-mismatch"),
        ({"enum": [1, 2, "a"]}, {"$input": "$.few"}, "possible-mismatch"),
        ({"enum": [4, 5, "a"]}, {"$input": "$.few"}, "type-mismatch"),
        ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}, ["a"], "type-mismatch"),
        ({"type": "array", "items": {"type": "integer"}}, {"$input": "$.texts"}, "type-mismatch"),
        ({"type": "array", "prefixItems": [{}, {"type": "string"}]}, {"$input": "$.pair"}, "possible-mismatch"),
        ({"type": "array", "prefixItems": [{}, {"type": "string"}]}, [1, 2], "type-mismatch"),
        ({"type": "object", "properties": {"o": {"type": "integer"}}}, {"$input": "$.text"}, "possible-mismatch"),
        ({"type": "object", "properties": {"r": {"type": "integer"}}}, {"$input": "$.text"}, "type-mismatch"),
    ],
)
def test_only_impossible_types_are_certain_errors(expected: Any, value: Any, rule: str) -> None:
    fields = {
        "number": {"type": "number"},
        "few": {"enum": [1, 3]},
        "text": {"type": "object", "properties": {"o": {"type": "string"}, "r": {"type": "string"}}, "required": ["r"]},
        "texts": {"type": "array", "items": {"type": "string"}},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}]},
    }
    known = [{"name": "x", "path": "/shop/x", "input_schema": {"type": "object", "properties": {"x": expected}}}]
    input_schema = {"type": "object", "properties": fields, "required": [*fields]}
    # Pass the value through a step, because a literal would be compared with the schema itself.
    steps = [
        {"id": "a", "component": "/builtin/noop", "input": {"x": value}},
        {"id": "b", "component": "/shop/x", "input": {"x": {"$step": "a", "path": "$.x"}}, "mustExecute": True},
    ]
    flow = {"name": "f", "description": "d", "schemas": {"properties": {"input": input_schema}}, "steps": steps}
    findings = check({**flow, "output": 1}, components=known, type_check=True).diagnostics
    assert [each.rule for each in findings] == [rule]


def test_hints_for_a_value_in_place_of_a_list() -> None:
    step = {"id": "a", "component": "/shop/stock", "input": {"skus": {"$input": "$.sku"}}}
    for sku, hint in (
        ({"type": "string"}, "put it in a list: [{$input: $.sku}]"),
        ({"type": "boolean"}, "expressions cannot convert values: use a different value, or correct the schema"),
        ({"type": ["array", "null"], "items": {"type": "string"}},
         "write {$coalesce: [{$input: $.sku}, a value in place of null]}"),
    ):  # fmt: skip
        input_schema = {"type": "object", "properties": {"sku": sku}, "required": ["sku"]}
        flow = {"name": "f", "description": "d", "schemas": {"properties": {"input": input_schema}}, "steps": [step]}
        findings = check({**flow, "output": {"$step": "a"}}, components=_LISTED, type_check=True).diagnostics
        assert [each.hint for each in findings] == [hint]


def test_hints_do_not_suggest_a_part_for_a_field_of_any_type() -> None:
    takes = {"type": "object", "properties": {"any": {}, "text": {"type": "string"}}, "required": ["any", "text"]}
    steps = [
        {"id": "a", "component": "/shop/price", "input": {"sku": "x"}},
        {"id": "b", "component": "/shop/x", "input": {"$step": "a"}},
    ]
    for required, hint in (
        ("any", "write an object with any in place of $step; this has eur, note"),
        ("text", "write an object with text in place of $step; this has eur, note"),
    ):
        for types in ("object", ["object", "null"]):
            schema = {**takes, "type": types, "required": [required]}
            known = [*_LISTED, {"name": "x", "path": "/shop/x", "input_schema": schema}]
            flow = {"name": "f", "description": "d", "steps": steps, "output": {"$step": "b", "path": "$.x"}}
            findings = check(flow, components=known, type_check=True).diagnostics
            assert [each.hint for each in findings if each.rule == "type-mismatch"] == [hint]


def test_messages_list_only_the_mismatched_types() -> None:
    input_schema = {
        "type": "object",
        "properties": {"u": {"type": ["string", "integer", "boolean"]}},
        "required": ["u"],
    }
    step = {"id": "a", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "$.u"}}}
    flow = {"name": "f", "description": "d", "schemas": {"properties": {"input": input_schema}}, "steps": [step]}
    (finding,) = check({**flow, "output": {"$step": "a"}}, type_check=True).diagnostics
    assert finding.message.endswith("for duration_ms, but the flow's input at $.u may be a string or a boolean")


def test_a_reference_to_a_variable_includes_the_type_of_its_default() -> None:
    root = to_node({"schemas": {"properties": {"variables": _VARIABLES}}, "output": {"$variable": "m", "default": 1}})
    types = infer_flow_types(root, UNKNOWN, ComponentCatalog(None))
    assert format_type(look_up_reference(root.items["output"], "$variable", types).type) == "string | integer"


def test_descriptions_of_large_types_are_shortened() -> None:
    for number, more in ((12, ""), (13, ", …")):
        fields = {f"f{index}": index for index in range(number)}
        shown = ", ".join(f"f{index}: integer" for index in range(12))
        assert format_type(value_to_type(fields), 1_000) == f"{{{shown}{more}}}"
    value: Any = 5
    for depth, innermost in ((8, "integer"), (9, "array")):
        value = 5
        for _ in range(depth):
            value = [value]
        assert format_type(value_to_type(value)) == f"{'[' * 8}{innermost}{']' * 8}"
    long = schema_to_type({"enum": ["a" * 300, "b" * 300]})
    assert [len(format_type(long)), len(format_type(long, 1_000)), len(format_type_as_noun(long))] == [200, 607, 80]
    assert len(format_type(schema_to_type({"enum": ["a" * 2_000]}), 3_000)) == 1_000


def test_type_inference_follows_a_few_iterations() -> None:
    def flow(number: int) -> dict[str, Any]:
        """Return a flow that wraps its input in a list, `number` times at most."""
        output: Any = {"result": {"$input": "$"}}
        for _ in range(number):
            output = {"$if": {"$variable": "v"}, "then": output, "else": {"next": [{"$input": "$"}]}}
        return {"output": output}

    step_input = {"initial_input": 1, "flow": {"$literal": flow(1)}}
    inferred = infer({"steps": [{"id": "a", "component": "/builtin/iterate", "input": step_input}]})
    # The type grows with each iteration.
    assert inferred.steps[0].summary["output"].startswith("{result: unknown")


def test_long_lists_and_deep_expressions_have_parts_of_any_type() -> None:
    for number, last in ((200, "integer"), (201, "unknown")):
        assert _types_after([1] * number, {"$step": "a", "path": "$[199]"}) == (last, [])
    for depth, words in ((29, "integer"), (31, "unknown")):
        value: Any = {"$input": "$.n"}
        for _ in range(depth):
            value = {"a": [value]}
        schemas = {
            "properties": {"input": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}
        }
        step = {"id": "a", "component": "/builtin/noop", "input": value}
        output = {"$step": "a", "path": "$" + ".a[0]" * depth}
        assert infer({"schemas": schemas, "steps": [step], "output": output}).summary["output"] == words


def test_an_untyped_output_gets_a_hint() -> None:
    schemas = "write schemas: {properties: {steps: {properties: {a: ...}}}}"
    flow = {"name": "f", "description": "d", "steps": [{"id": "a", "component": "/shop/black_box", "input": {}}]}
    for components, message, hint in (
        (_LISTED, "/shop/black_box has no output schema", schemas),
        (None, "/shop/black_box is unknown here", f"name a server or --components FILE, or {schemas}"),
    ):
        (finding,) = check({**flow, "output": {"$step": "a"}}, components=components, type_check=True).diagnostics
        assert (finding.message, finding.hint) == (f"the output of step 'a' has no type: {message}", hint)


def test_strict_makes_outputs_without_a_type_errors() -> None:
    path = _FOLDER / "outputs.yaml"
    for strict, level in ((False, "warning"), (True, "error")):
        findings = infer(path, components=_LISTED, strict=strict).result.diagnostics
        assert [each.level.value for each in findings if each.rule == "untyped-output"] == [level]


def test_files_that_are_not_flows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "broken.yaml").write_text("a: [")
    for name, message in (("list.yaml", "is not a flow"), ("broken.yaml", "is not YAML"), ("no.yaml", "no.yaml")):
        with pytest.raises(FlowFileError, match=message):
            infer(tmp_path / name)


def test_type_checks_do_not_repeat_findings_of_other_rules() -> None:
    step = {"id": "a", "component": "/shop/price", "input": {"sku": {"$if": True, "then": 1}, "amount": "x"}}
    flow = {"name": "f", "description": "d", "steps": [step], "output": {"$step": "a"}}
    findings = check(flow, components=_LISTED, type_check=True).diagnostics
    assert [(each.rule, each.path) for each in findings] == [
        ("component-input", "$.steps[0].input.amount"),
        ("type-mismatch", "$.steps[0].input.sku.then"),
    ]


def test_the_message_shows_the_types_of_several_expected_objects() -> None:
    objects = [{"type": "object", "properties": {name: {"type": "integer"}}, "required": [name]} for name in "ab"]
    input_schema = {"type": "object", "properties": {"s": {"type": "string"}}, "required": ["s"]}
    schemas = {"properties": {"input": input_schema, "output": {"anyOf": objects}}}
    flow = {"name": "f", "description": "d", "schemas": schemas, "steps": [], "output": {"c": {"$input": "$.s"}}}
    assert [each.message for each in check(flow, type_check=True).diagnostics] == [
        "the flow's output schema expects {a: integer} | {b: integer}, but this is {c: string}"
    ]


def test_an_unescaped_sub_flow_is_not_type_checked() -> None:
    workflow = {"output": {"$input": "$.x"}}
    step = {"id": "a", "component": "/builtin/map", "input": {"items": [1], "workflow": workflow}}
    findings = check({"steps": [step], "output": {"$step": "a"}}, type_check=True, ignore=["unescaped-subflow"])
    assert findings.diagnostics == []


def _types_after(step_input: Any, output: Any, **more: Any) -> tuple[str, list[str]]:
    """Return the type of an output that reads a step that returns its input, and the findings."""
    flow = {"steps": [{"id": "a", "component": "/builtin/noop", "input": step_input, **more}], "output": output}
    inferred = infer({"name": "f", "description": "d", **flow})
    return inferred.summary["output"], [f"{each.level}: {each.message}" for each in inferred._findings]


def test_paths_into_the_output_of_a_step() -> None:
    default = {"onError": {"action": "useDefault"}}
    assert _types_after({"x": 1}, {"$step": "a", "path": "$.x"}, **default) == ("integer | null", [])
    assert _types_after([1, "b"], {"$step": "a", "path": "$[1]"}) == ("string", [])
    assert _types_after([1, "b"], {"$step": "a", "path": "$[2]"}) == (
        "unknown",
        ["error: [2] is past the end of a list of 2 (the output of step 'a')"],
    )
    assert _types_after({"x": 1}, {"$step": "a", "path": "$.x.y"}) == (
        "unknown",
        ["error: 'y' reads a field, but this is integer (the output of step 'a')"],
    )
    assert _types_after({"a.b": 1}, {"$step": "a", "path": "a.b"}) == ("unknown", [])
    assert _types_after({"c": 1}, {"$step": "a", "path": "a.b"}) == ("unknown", [])


def test_a_matching_part_is_suggested() -> None:
    steps = [
        {"id": "a", "component": "/builtin/noop", "input": {"code": "x", "n": 1}},
        {"id": "b", "component": "/shop/price", "input": {"$step": "a"}},
        {"id": "c", "component": "/shop/price", "input": {"sku": {"$step": "a"}}},
    ]
    flow = {"name": "f", "description": "d", "steps": steps, "output": [{"$step": "b"}, {"$step": "c"}]}
    findings = check(flow, components=_LISTED, type_check=True).diagnostics
    assert [each.hint for each in findings] == [
        "write an object: {sku: {$step: a, path: $.code}}",
        "write {$step: a, path: $.code}",
    ]


def test_additional_properties_are_type_checked() -> None:
    schema = {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}}
    known = [{"name": "x", "path": "/shop/x", "input_schema": schema}]
    schemas = {"properties": {"input": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}
    step = {"id": "a", "component": "/shop/x", "input": {"any": {"$input": "$.n"}}, "mustExecute": True}
    flow = {"name": "f", "description": "d", "schemas": schemas, "steps": [step], "output": 1}
    # The missing type of the step's output does not matter, because nothing reads it.
    assert [each.rule for each in check(flow, components=known, type_check=True).diagnostics] == ["type-mismatch"]


def test_an_exponentially_growing_schema_is_handled() -> None:
    defs: dict[str, Any] = {
        f"T{n}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/T{n + 1}"} for key in "abcd"}}
        for n in range(25)
    }
    huge = {"$ref": "#/$defs/T0", "$defs": defs | {"T25": {"type": "string"}}}
    other = {"$ref": "#/$defs/T0", "$defs": defs | {"T25": {"type": "integer"}}}
    known = [{"name": "x", "path": "/shop/x", "input_schema": huge, "output_schema": other}]
    steps = [
        {"id": "a", "component": "/shop/x", "input": {}},
        {"id": "b", "component": "/shop/x", "input": {"$step": "a"}},
    ]
    inferred = infer({"steps": steps, "output": {"$step": "b"}}, components=known)
    assert len(inferred.summary["output"]) == 200
    assert len(json.dumps(inferred.output)) < 200_000
    Draft202012Validator.check_schema(inferred.output)


def test_a_long_list_has_elements_of_any_type() -> None:
    assert infer({"output": {"$literal": [1, 2]}}).output == {"type": "array", "items": {"type": "integer"}}
    assert infer({"output": {"$literal": [1] * 300}}).output == {"type": "array"}
    assert _types_after([*[1] * 300, "b"], {"$step": "a", "path": "$[300]"}) == ("unknown", [])


@pytest.mark.parametrize(
    "step_input",
    [
        "{user_prompt: 5}",
        "{$literal: {user_prompt: 5}}",
        "{$literal: 5}",
        "{user_promt: x}",
        "null",
        "{user_prompt: x, system_instructions: [1]}",
    ],
)
def test_a_wrong_input_is_reported_once(step_input: str) -> None:
    step = f"{{id: a, component: /builtin/create_messages, input: {step_input}}}"
    text = f"name: f\ndescription: d\nsteps: [{step}]\noutput: {{$step: a}}\n"
    for source in ("f.yaml", ""):
        findings = check_source(
            FlowText(text, source) if source else FlowText.from_source(parse_yaml(text, "f.yaml")), type_check=True
        )
        assert [each.rule for each in findings] == ["component-input"]


@pytest.mark.parametrize(
    ("duration", "rules"),
    [
        ("{$input: $.whole}", []),
        ("{$input: $.number}", ["possible-mismatch"]),
        ("{$input: $.maybe}", ["possible-mismatch"]),
        ("{$if: {$input: $.maybe}, then: {$input: $.maybe}, else: 1}", []),
        ("{$if: {$input: $.maybe}, then: {$coalesce: [{$input: $.maybe}, null]}, else: 1}", []),
        ("{$if: {$input: $.whole}, then: {$input: $.maybe}, else: 1}", ["possible-mismatch"]),
        ("{$if: {$input: $.maybe}, then: 1, else: {$input: $.maybe}}", ["possible-mismatch"]),
        ("{$input: $.both.n}", []),
        ("{$input: $.both.s}", ["type-mismatch"]),
        ("{$input: '$.pair[0]'}", []),
        ("{$input: '$.pair[1]'}", ["type-mismatch"]),
    ],
)
def test_types_of_numbers_conditions_and_parts(duration: str, rules: list[str]) -> None:
    whole = "{type: object, properties: {n: {type: integer}}, required: [n]}"
    text = "{type: object, properties: {s: {type: string}}, required: [s]}"
    fields = (
        "whole: {type: integer}, number: {type: number}, maybe: {type: [integer, 'null']}, "
        f"both: {{allOf: [{whole}, {text}]}}, pair: {{prefixItems: [{{type: integer}}, {{type: string}}], type: array}}"
    )
    flow = (
        f"name: f\ndescription: d\nschemas: {{properties: {{input: {{type: object, properties: {{{fields}}}, "
        "required: [whole, number, maybe, both, pair]}}}\n"
        f"steps: [{{id: a, component: /builtin/sleep, input: {{duration_ms: {duration}}}}}]\noutput: {{$step: a}}\n"
    )
    assert [each.rule for each in find_in_text(flow, "f.yaml", type_check=True)] == rules


def test_iterate_over_a_union_follows_the_possible_branch() -> None:
    turn = {
        "$if": {"$input": "$.next"},
        "then": {"next": {"$input": "$.next"}},
        "else": {"result": {"$input": "$.end"}},
    }
    step_input = {"initial_input": {"next": {"next": {"end": [1]}}}, "flow": {"$literal": {"output": turn}}}
    last = {"id": "last", "component": "/builtin/iterate", "input": step_input}
    inferred = infer({"steps": [last], "output": {"$step": "last", "path": "$.result"}})
    assert inferred.summary["output"] == "[integer]"
