"""Findings have the right level: flows that look wrong but run have no errors, and flows that fail have a finding.

Each flow was tried on servers of 0.10 and 0.13.
"""

from __future__ import annotations

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.flows import check

from tests.flows.findings import find_in_text

_NOOP = "component: /builtin/noop"
_HEAD = "name: f\ndescription: d\n"


def _flow(output: str, *steps: str, more: str = "") -> str:
    listed = "".join(f"  - {{{each}}}\n" for each in steps)
    return f"{_HEAD}steps:{' []' if not steps else ''}\n{listed}output: {output}\n{more}"


def _within(component: str, flow: str, *, more: str = "") -> str:
    key = {"map": "workflow", "iterate": "flow", "put_blob": "data"}[component]
    other_fields = {"map": "items: [1], ", "iterate": "initial_input: 1, ", "put_blob": "blob_type: flow, "}[component]
    return _flow(
        "{$step: m}", f"id: m, component: /builtin/{component}, input: {{{other_fields}{key}: {flow}}}", more=more
    )


def _inner(steps: str, output: str = "{$step: a}") -> str:
    return f"{{$literal: {{name: f, description: d, steps: [{steps}], output: {output}}}}}"


def _schema(kind: str, schema: str, output: str, more: str = "") -> str:
    return _flow(output, more=f"schemas: {{properties: {{{kind}: {schema}}}}}\n{more}")


def _case(output: str) -> str:
    return _flow("1", more=f"test: {{cases: [{{name: c, input: 1, output: {output}}}]}}\n")


_OUTER = "{steps: [{id: x, component: /builtin/noop, input: [{$literal: {$input: $}}, {$variable: v}]}], output: {$literal: {$step: x}}}"
_LATER = f"{{id: a, {_NOOP}, input: {{$step: b}}}}, {{id: b, {_NOOP}}}"
_TWICE = f"{{id: a, {_NOOP}}}, {{id: a, {_NOOP}}}"
_STEPS = (f"id: a, {_NOOP}", f"id: b, {_NOOP}")
_OPTIONAL = "{type: object, properties: {a: {}, b: {}}, required: [b]}"

_RUN = [
    ("variable from outside", _within("map", _OUTER), []),
    ("input below a literal", _within("map", "{steps: [{id: x, component: /builtin/create_messages, input: {user_prompt: {$literal: {$input: $}}}}], output: 1}"), []),
    ("steps without schemas", _flow("{$step: a}", _STEPS[0], more="schemas: {properties: {steps: {}}}\n"), []),
    ("a part of a shared schema", _flow("{$input: $}", more="schemas: {$defs: {A: {properties: {x: {}}}}, properties: {input: {$ref: '#/$defs/A/properties/x'}}}\n"), []),
    ("a keyword and one like it", _schema("input", "{type: string, title: a, titel: b}", "{$input: $}"), []),
    ("an extension", _schema("input", "{type: string, x-title: a}", "{$input: $}"), []),
    ("a word like a keyword with another value", _schema("input", "{type: string, titel: 5}", "{$input: $}"), []),
    ("examples with one name", _flow("1", more="examples: [{name: a, input: 1}, {name: a, input: 2}]\n"), [("duplicate-case", "warning")]),
    ("an example and a case with one name", _flow("1", more="examples: [{name: a, input: 1}]\ntest: {cases: [{name: a, input: 1}]}\n"), []),
    ("a path into a default", _flow("{$step: a, path: $.gone}", "id: a, component: /builtin/put_blob, input: {data: 1, blob_type: data}, onError: {action: useDefault}"), []),
    ("a path past the schema of a step", _flow("{$step: a, path: $.gone}", "id: a, component: /my/own", more="schemas: {properties: {steps: {properties: {a: {properties: {x: {}}}}}}}\n"), [("unknown-output-path", "warning")]),
    ("a case without a name", _flow("1", more="test: {cases: [{input: 1}, {input: 1}]}\n"), [("missing-key", "error"), ("missing-key", "error")]),
    ("schema of the file", f"{_HEAD}schema: x\n$schema: y\nsteps: []\noutput: 1\n", []),
    ("test without cases", _flow("1", more="test:\n"), []),
    ("an empty list as test", _flow("1", more="test: []\n"), [("wrong-type", "warning")]),
    ("steps of a map in any order", _within("map", _inner(_LATER)), []),
    ("empty id in a map", _within("map", _inner(f"{{id: '', {_NOOP}}}", "{$step: ''}")), []),
    ("step of a map twice", _within("map", _inner(_TWICE)), [("duplicate-id", "warning")]),
    ("coalesce of steps", _flow("{$coalesce: [{$step: a}, {$step: b}]}", *_STEPS), [("conditional-stall", "warning")]),
    ("branch", _flow("{$if: {$step: a}, then: 1, else: {$step: b}}", *_STEPS), [("conditional-stall", "warning")]),
    ("default", _flow("{$variable: v, default: {$step: a}}", _STEPS[0]), [("default-step", "warning")]),
    ("default of a step", _flow("{$step: b}", f"id: a, mustExecute: true, {_NOOP}", f"id: b, {_NOOP}, input: {{$variable: v, default: {{$step: a}}}}"), [("default-step", "warning")]),
    ("default of a step behind", _flow("{$step: b}", f"id: a, {_NOOP}", f"id: b, {_NOOP}, input: [{{$variable: v, default: {{$step: a}}}}, {{$step: a}}]"), []),
    ("draft 7 list", _schema("input", "{type: array, items: [{type: string}, {type: object}]}", "{$input: '$[1].s'}"), []),
    ("null default", _schema("input", "{type: string, default: null}", "{$input: $}"), [("default-type", "warning")]),
    ("variables elsewhere", _schema("variables", "{$ref: '#/$defs/V', $defs: {V: {type: object, properties: {v: {}}}}}", "{$variable: v}"), [("unset-variable", "warning")]),
    ("variables in parts", _schema("variables", "{allOf: [{type: object, properties: {v: {}}}, {type: object}]}", "{$variable: v}"), [("unset-variable", "warning")]),
    ("variables by pattern", _schema("variables", "{patternProperties: {'^v': {}}}", "{$variable: v}"), [("unset-variable", "warning")]),
    ("variables that are no object", _schema("variables", "{type: string}", "{$variable: v}"), [("undeclared-variable", "error")]),
    ("variables that nobody knows", _schema("variables", "{$ref: '#/x'}", "{$variable: v}"), [("unset-variable", "warning")]),
    ("undeclared with default", _schema("variables", "{properties: {}}", "{$variable: v, default: 1}"), [("undeclared-variable", "warning")]),
    ("expected output", _schema("output", "{type: string}", "{$input: $}", "test: {cases: [{name: x, input: 1, output: {outcome: success, result: 1}}]}\n"), [("case-output", "warning")]),
    ("error without code", _case("{outcome: failed, error: {message: x}}"), []),
    ("error with matcher", _case("{outcome: failed, error: {code: {$any: true}, message: {$contains: x}}}"), []),
    ("read in the outer flow", _within("map", "{steps: [], output: {$input: $}}"), [("unescaped-subflow", "warning")]),
    ("result of an alternative", _within("iterate", _inner("", "{$coalesce: [null, {result: 1}]}")), []),
    ("result of a step", _within("iterate", _inner(f"{{id: a, {_NOOP}}}")), []),
    ("a misspelt key without a value", _flow("1", more="schemas: {defs: {}}\n"), [("unknown-key", "warning")]),
    ("a name of a step as data", _flow("{step: save, text: x}"), []),
    ("a text with a price", _flow("costs $5, {{ x }} and $.input.x"), []),
    ("inputs in a default", _schema("input", _OPTIONAL, "{$if: {$input: $.a}, then: {$coalesce: [{$input: $.a}, 1]}}"), []),
]  # fmt: skip
"""Flows that run on all servers."""

_FAIL = [
    ("shared schemas in a list", _flow("1", more="schemas: {$defs: [x]}\n"), ("wrong-type", "fatal")),
    ("no output of a turn", _within("iterate", "{$literal: {name: f, description: d, steps: []}}"), ("iterate-output", "error")),
    ("output of a turn", _within("iterate", _inner("", "1")), ("iterate-output", "error")),
    ("branches of a turn", _within("iterate", _inner("", "{$if: {$input: $}, then: {nxt: 1}, else: {result: 2}}")), ("iterate-output", "warning")),
    ("no result in any branch", _within("iterate", _inner("", "{$if: true, then: {nxt: 1}}")), ("iterate-output", "error")),
    ("no else of a turn", _within("iterate", _inner("", "{$if: {$input: $}, then: {next: 1}}")), ("iterate-output", "warning")),
    ("two slashes", _flow("{$step: a}", "id: a, component: //builtin/noop"), ("component-slash", "error")),
    ("slash at the end", _flow("{$step: a}", "id: a, component: /builtin/noop/"), ("component-slash", "error")),
    ("blank", _flow("{$step: a}", "id: a, component: ' /builtin/noop'"), ("component-slash", "error")),
    ("steps of a stored flow", _within("put_blob", _inner(_LATER)), ("later-step", "fatal")),
    ("step of a stored flow twice", _within("put_blob", _inner(_TWICE)), ("duplicate-id", "fatal")),
    ("no component in a map", _within("map", _inner("{id: a}")), ("missing-key", "error")),
    ("misspelt matcher", _case("{outcome: success, result: {a: {$regx: x}}}"), ("expected-output", "error")),
    ("pattern", _case("{outcome: success, result: {$regex: '('}}"), ("expected-output", "error")),
    ("code", _case("{outcome: failed, error: {code: [1], message: x}}"), ("expected-output", "error")),
    ("optional input", _schema("input", _OPTIONAL, "{$coalesce: [{$input: $.a}, {$input: $.b}]}"), ("optional-input", "warning")),
    ("a flow in a flow", "flow: {steps: [], output: 1}\n", ("no-flow", "error")),
    ("another document", "openapi: 3.0.0\ninfo: {title: x}\npaths: {}\n", ("no-flow", "error")),
    ("a manifest", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", ("no-flow", "error")),
]  # fmt: skip
"""Flows that servers reject, that fail, or that do not do what was intended."""

_TEXTS = [
    ("{{ input.sku }}", "write {$input: $.sku} in place of the text"),
    ("${{ steps.a.out }}", "write {$step: a, path: $.out} in place of the text"),
    ("${{ steps.a.outputs.x }}", "write {$step: a, path: $.x} in place of the text"),
    ("{{ workflow.input.l[0] }}", 'write {$input: "$.l[0]"} in place of the text'),
    ("$input.sku", "write {$input: $.sku} in place of the text"),
    ("${{ variables.a }}", "write {$variable: a} in place of the text"),
    ("${{ variables.a.b[0] }}", 'write {$variable: "$.a.b[0]"} in place of the text'),
    ("{{ steps }}", "write {$step: NAME} in place of the text"),
    ("{{ variables }}", "write {$variable: NAME} in place of the text"),
    ("${input.sku}", "write {$input: $.sku} in place of the text"),
    ("$input", "write {$input: $} in place of the text"),
    ("{{ variables.v }}", "write {$variable: v} in place of the text"),
    (
        "About {{ input.sku }}:",
        "write {$input: $.sku} in place of the text: use a component to concatenate strings",
    ),
]

_FORGOTTEN = [
    ("{blob: «{step: a}}", "write $step"),
    ("«{step: a, path: $.x}", "write $step"),
    ("[{input: $.sku}]", "write $input"),
    ("{variable: $.v.x}", "write $variable"),
    ("{if: {$input: $.a}, then: 1}", "write $if"),
]


def _check(text: str) -> list[tuple[str, str]]:
    return [(each.rule, each.level) for each in find_in_text(text, "f.yaml")]


@pytest.mark.parametrize(("text", "expected"), [each[1:] for each in _RUN], ids=[each[0] for each in _RUN])
def test_findings_of_flows_that_run(text: str, expected: list[tuple[str, str]]) -> None:
    assert _check(text) == expected


@pytest.mark.parametrize(("text", "expected"), [each[1:] for each in _FAIL], ids=[each[0] for each in _FAIL])
def test_each_fault_is_reported_once(text: str, expected: tuple[str, str]) -> None:
    findings = _check(text)
    assert findings.count(expected) == 1
    assert {rule for rule, _ in findings} <= {expected[0], "unused-step", "no-output"}


@pytest.mark.parametrize(("text", "hint"), _TEXTS)
def test_an_expression_in_a_string_gets_a_correction(text: str, hint: str) -> None:
    findings = find_in_text(_flow(f"'{text}'"), "f.yaml")
    # A component may evaluate a longer string itself, and a single word may be data.
    level = "warning" if "About" in text or text == "$input" else "error"
    assert [(each.rule, each.level, each.hint) for each in findings] == [("template", level, hint)]


@pytest.mark.parametrize(("output", "hint"), _FORGOTTEN)
def test_a_forgotten_dollar_sign_is_found(output: str, hint: str) -> None:
    text = _flow(output.replace("«", ""), f"id: a, {_NOOP}")
    # The step is not reported as unused, because the reference without $ may refer to it.
    findings = find_in_text(text, "f.yaml")
    assert [(each.rule, each.level, each.line, each.hint) for each in findings] == [
        ("unknown-keyword", "error", 5, hint)
    ]


def test_the_message_about_an_unused_default_has_the_used_value() -> None:
    for schema, value in (("{type: string}", '""'), ("{type: string, default: a}", "the default in its schema")):
        text = _schema("variables", f"{{properties: {{v: {schema}}}}}", "{$variable: v, default: b}")
        (finding,) = find_in_text(text, "f.yaml")
        assert finding.message.endswith(f"never used: in runs that do not set 'v', its value is {value}")


def test_a_wrong_reference_causes_no_other_finding() -> None:
    text = _flow("{$step: sav}", f"id: save, {_NOOP}", f"id: b, {_NOOP}, input: {{$step: save}}")
    assert _check(text) == [("undefined-step", "fatal")]


def test_a_duplicate_step_does_not_count_as_reading_itself() -> None:
    text = _flow("{$step: a}", f"id: a, {_NOOP}", f"id: a, {_NOOP}, input: {{$step: a}}")
    assert [rule for rule, _ in _check(text)] == ["duplicate-id"]


def test_first_of_two_steps_is_located_in_flows_that_are_in_no_file() -> None:
    steps = [{"id": "a", "component": "/builtin/noop", "mustExecute": True}] * 2
    (finding,) = check({"name": "f", "description": "d", "steps": steps, "output": 1}).diagnostics
    assert finding.message == "two steps have the ID 'a'; the first is at $.steps[0].id"


def test_merge_keys_have_their_own_rule() -> None:
    text = f"{_HEAD}metadata: {{x: &c {{a: 1}}}}\noutput: {{<<: *c, b: 1}}\n"
    assert [(each.rule, each.level, each.line, each.column) for each in find_in_text(text, "f.yaml")] == [
        ("merge-key", "warning", 4, 10)
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("$[0]", []), ("$[0].s", [("unknown-input", "error")]), ("$[1].s", [])],
)
def test_prefix_items_have_their_own_schemas(path: str, expected: list[tuple[str, str]]) -> None:
    for schema in (
        "{type: array, prefixItems: [{type: string}, {type: object}], items: {type: string}}",
        "{type: array, items: [{type: string}, {type: object}], additionalItems: {type: string}}",
    ):
        assert _check(_schema("input", schema, f"{{$input: '{path}'}}")) == expected


_OLD_NULL = f"{_HEAD}steps: null\noutput: 1\n"
_NEW = _flow("{$step: a}", f"id: a, {_NOOP}")
_MISPLACED = _flow("1", more="schemas: {input: {}}\n")
_RETRY = _flow("{$step: a}", "id: a, component: /my/own, onError: {action: retry}")
_LEGACY = _flow("{$from: {workflow: input}, path: $.a}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (_OLD_NULL, {None: [("wrong-type", "warning")], "0.10": [("wrong-type", "fatal")], "0.13": []}),
        (_NEW, {None: [], "0.12": [("unknown-component", "error")], "v0.13.0": []}),
        (
            _MISPLACED,
            {
                None: [("misplaced-schema", "error")],
                "0.11": [("misplaced-schema", "fatal")],
                "0.10": [("misplaced-schema", "warning")],
            },
        ),
        (
            "name: f\ndescription: d\nsteps:\noutput: 1\n",
            {None: [("wrong-type", "warning")], "0.10": [("wrong-type", "fatal")], "0.11": []},
        ),
        (
            _flow("1", more="schemas: {input: {}}\n"),
            {
                None: [("misplaced-schema", "error")],
                "0.10": [("misplaced-schema", "warning")],
                "0.11": [("misplaced-schema", "fatal")],
            },
        ),
        (_RETRY, {None: [], "0.10": [("unused-key", "warning")], "0.11": []}),
        (_LEGACY, {None: [("from-expression", "fatal")], "0.13": [("from-expression", "fatal")]}),
    ],
)
def test_a_target_release_limits_the_findings(text: str, expected: dict[str | None, list[tuple[str, str]]]) -> None:
    for target, findings in expected.items():
        assert [(each.rule, each.level) for each in find_in_text(text, "f.yaml", target=target)] == findings, target


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (_flow("[-9223372036854775808, 18446744073709551615]"), []),
        (_flow("-9223372036854775809"), ["large-integer"]),
        (_flow("18446744073709551616"), ["large-integer"]),
        (_flow("{$step: a}", f"id: a, {_NOOP}, onError: {{action: retry, maxRetries: 4294967295}}"), []),
        (_flow("{$step: a}", f"id: a, {_NOOP}, onError: {{action: retry, maxRetries: 4294967296}}"), ["wrong-type"]),
        (_within("iterate", _inner("", "{result: 1}")).replace("initial", "max_iterations: 4294967295, initial"), []),
        (
            _within("iterate", _inner("", "{result: 1}")).replace("initial", "max_iterations: 4294967296, initial"),
            ["component-input"],
        ),
    ],
)
def test_the_largest_numbers(text: str, rules: list[str]) -> None:
    assert [each.rule for each in find_in_text(text, "f.yaml")] == rules


def test_nested_flows_are_checked_up_to_a_depth() -> None:
    for depth, rules in ((20, ["undefined-step"]), (21, [])):
        flow = "{steps: [], output: {$step: gone}}"
        for _ in range(depth):
            inner = f"{{items: [1], workflow: {{$literal: {flow}}}}}"
            flow = f"{{steps: [{{id: m, component: /builtin/map, input: {inner}}}], output: {{$step: m}}}}"
        findings = find_in_text("{name: f, description: d, " + flow[1:], "f.yaml")
        assert [each.rule for each in findings] == rules


def test_an_invalid_target_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="target must be a release"):
        find_in_text("output: 1", "f.yaml", target="newest")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{$from: {workflow: input}, path: $.a}", "write {$input: $.a}"),
        ("{$from: {workflow: input}}", "write {$input: $}"),
        ("{$from: {step: a}, path: $.x}", "write {$step: a, path: $.x}"),
    ],
)
def test_from_is_found_once_with_a_correction(text: str, hint: str) -> None:
    findings = find_in_text(_flow(text, f"id: a, {_NOOP}"), "f.yaml")
    assert [(each.rule, each.hint) for each in findings] == [("from-expression", hint)]


def test_an_invalid_input_is_only_a_warning_if_the_step_has_a_default() -> None:
    step = "id: a, component: /builtin/create_messages, input: {user_prompt: 5}"
    assert _check(_flow("{$step: a}", step)) == [("component-input", "error")]
    default = f"{step}, onError: {{action: useDefault, defaultValue: 1}}"
    assert _check(_flow("{$step: a}", default)) == [("component-input", "warning")]


def test_a_schema_outside_properties_gets_a_hint() -> None:
    (finding,) = find_in_text("output: 1\nschemas: {input: {type: string}}\nname: f\ndescription: d\n", "f.yaml")
    assert finding.hint == "write schemas: {properties: {input: ...}}"
