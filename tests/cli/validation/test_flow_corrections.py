"""Corrections fix only the mistake, and leave a file alone if they cannot improve it."""

from __future__ import annotations

import json
import re

import pytest
from stepflow_cli.validation.flow_corrections import CorrectedFlow, correct_flow
from stepflow_client._checks.checker import check_source
from stepflow_client.flows.syntax_tree import FlowText

from tests.flows.mutations import misspelt, mutations

HEAD = "name: f\ndescription: d\n"


def correct(text: str, name: str = "f.yaml") -> CorrectedFlow:
    return correct_flow(FlowText(text, name), check_source)


def test_several_keys_are_corrected_without_other_changes() -> None:
    text = (
        "# a comment\nname: &n 'it''s'\ndescription: >-\n  folded\n  text\n\nsteps:\n"
        '- "id": \'a\'   # odd\n  component: /builtin/noop\n  "must_execute": true # kept\n'
        "  on_error: {action: retry, max_retries: 3}\n  metadata: {on_error: *n}\noutput: {$step: a, paht: $.x}\n"
    )
    corrected = correct(text)
    expected = text.replace("must_execute", "mustExecute").replace("  on_error: {", "  onError: {")
    assert corrected.flow.text == expected.replace("max_retries", "maxRetries").replace("paht", "path")
    assert (corrected.number, corrected.remaining_findings) == (4, [])


SLEEP = "steps:\n- id: a\n  component: /builtin/sleep\n  input: {duration_ms: 50}\noutput: {$step: a}\n"
STEP = "steps:\n- id: save\n  component: /builtin/put_blob\n  input: {data: 1, blob_type: data}\n"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (STEP + "output: {$step: svae}\n", STEP + "output: {$step: save}\n"),
        (STEP + "output: {$step: Save}\n", STEP + "output: {$step: save}\n"),
        (STEP + "output: {$steps: save}\n", STEP + "output: {$step: save}\n"),
        (STEP + "output: {$step: save.blob_id}\n", STEP + "output: {$step: save, path: $.blob_id}\n"),
        (STEP + "output: {$step: 'save.blob_id'}  # x\n", STEP + "output: {$step: save, path: $.blob_id}  # x\n"),
        (
            STEP.replace("save", "2nd_step") + "output: {$step: 2nd_stp}\n",
            STEP.replace("save", "2nd_step") + "output: {$step: 2nd_step}\n",
        ),
        (
            STEP.replace("save", "'1'") + "output: {$step: '1.blob_id'}\n",
            STEP.replace("save", "'1'") + 'output: {$step: "1", path: $.blob_id}\n',
        ),
        (
            STEP + "output:\n  blob:\n    $step: save.blob_id  # x\n",
            STEP + "output:\n  blob:\n    $step: save\n    path: $.blob_id  # x\n",
        ),
        (STEP + "output: {$step: save, path: $.blob_di}\n", STEP + "output: {$step: save, path: $.blob_id}\n"),
        (STEP + "output: {$step: save, path: $.blobb_id}\n", STEP + "output: {$step: save, path: $.blob_id}\n"),
        (
            STEP + "output: [{$step: save}, {$from: {workflow: input}}]\n",
            STEP + "output: [{$step: save}, {$input: $}]\n",
        ),
        (
            STEP + "output: [{$step: save}, {$from: {workflow: input}, path: a}]\n",
            STEP + "output: [{$step: save}, {$input: $.a}]\n",
        ),
        (
            STEP + "output:\n  x:\n    $from: {step: save}\n    path: $.blob_id\n",
            STEP + "output:\n  x:\n    {$step: save, path: $.blob_id}\n",
        ),
        (STEP.replace("put_blob", "putblob") + "output: {$step: save}\n", STEP + "output: {$step: save}\n"),
        (STEP.replace("/builtin", "builtin") + "output: {$step: save}\n", STEP + "output: {$step: save}\n"),
        (STEP.replace("type: data", "type: dta") + "output: {$step: save}\n", STEP + "output: {$step: save}\n"),
        (
            STEP + "  on_error: {action: retrry}\noutput: {$step: save}\n",
            STEP + "  onError: {action: retry}\noutput: {$step: save}\n",
        ),
        (STEP.replace("blob_type", "blobtype") + "output: {$step: save}\n", STEP + "output: {$step: save}\n"),
        (STEP + "version: 1.0\noutput: {$step: save}\n", STEP + 'version: "1.0"\noutput: {$step: save}\n'),
        (STEP + "output: {step: save}\n", STEP + "output: {$step: save}\n"),
        (STEP + "output: '{$step: save}'\n", STEP + "output: {$step: save}\n"),
        (STEP + "output: '{{ steps.save.output.blob_id }}'\n", STEP + "output: {$step: save, path: $.blob_id}\n"),
        (STEP + "output: [{$step: save}, '{{ input.x }}']\n", STEP + "output: [{$step: save}, {$input: $.x}]\n"),
        (STEP + "output: [{$step: save}, {$input: $.a[0]}]\n", STEP + 'output: [{$step: save}, {$input: "$.a[0]"}]\n'),
        (SLEEP.replace("50", "'50'"), SLEEP),
        (STEP + "  mustExecute: 'yes'\noutput: 1\n", STEP + "  mustExecute: true\noutput: 1\n"),
        (
            STEP + "  onError: retry\noutput: {$step: save}\n",
            STEP + "  onError: {action: retry}\noutput: {$step: save}\n",
        ),
        (
            STEP + "  onError: {action: retry, maxRetries: ' 3'}\noutput: {$step: save}\n",
            STEP + "  onError: {action: retry, maxRetries: 3}\noutput: {$step: save}\n",
        ),
        (
            STEP + "output: {$step: save}\ntest: {cases: [{name: a, input: 1, tags: quick}]}\n",
            STEP + "output: {$step: save}\ntest: {cases: [{name: a, input: 1, tags: [quick]}]}\n",
        ),
        (STEP.replace("/put", "//put") + "output: {$step: save}\n", STEP + "output: {$step: save}\n"),
        (STEP + "output: [{$step: save}, {$input: $x}]\n", STEP + "output: [{$step: save}, {$input: $.x}]\n"),
        (
            STEP + "output: {$step: save}\nschemas: {properties: {input: {properties: {x: string}}}}\n",
            STEP + "output: {$step: save}\nschemas: {properties: {input: {properties: {x: {type: string}}}}}\n",
        ),
        (
            STEP + "output: {$step: save}\nschemas:\n  input:\n    type: object\n",
            STEP + "output: {$step: save}\nschemas:\n  properties:\n    input:\n      type: object\n",
        ),
        (
            "steps:\n- id: b  # second\n  component: /builtin/noop\n  input: {$step: a}\n\n# first\n- id: a\n"
            "  component: /builtin/noop\noutput: {$step: b}\n",
            "steps:\n- id: a\n  component: /builtin/noop\n\n# first\n- id: b  # second\n  component: /builtin/noop\n"
            "  input: {$step: a}\noutput: {$step: b}\n",
        ),
    ],
)
def test_unambiguous_mistakes_are_corrected(wrong: str, right: str) -> None:
    for newline in ("\n", "\r\n"):
        corrected = correct((HEAD + wrong).replace("\n", newline))
        assert corrected.flow.text == (HEAD + right).replace("\n", newline)
        assert corrected.remaining_findings == []


def test_json_is_corrected_as_json() -> None:
    step = {"id": "save", "component": "/builtin/put_blob", "input": {"data": 1, "blob_type": "data"}}
    flow = {"name": "f", "description": "d", "steps": [step], "output": {"a": {"$step": "save.blob_id"}}}
    flow["output"]["b"] = {"$from": {"step": "sav"}, "path": "blob_id"}  # type: ignore[index]
    for indent in (None, 2):
        corrected = correct(json.dumps(flow, indent=indent), "f.json")
        assert json.loads(corrected.flow.text)["output"] == {
            "a": {"$step": "save", "path": "$.blob_id"},
            "b": {"$step": "save", "path": "$.blob_id"},
        }
        assert corrected.remaining_findings == []


READ = STEP + "output: {$step: save}\n"
VARIABLES = (
    "schemas: {properties: {variables: {properties: {a: {type: string}, b: {type: string}}, required: [a, b]}}}\n"
)


NOOP_READ = READ.replace("component: /builtin/put_blob", "component: /builtin/noop  # x")
BOTH = (
    "steps:\n- {id: a, component: /builtin/noop}\n- {id: b, component: /builtin/noop}\n"
    "output: {$coalesce: [{$step: a}, {$step: b}]}\n"
)


CASE = READ + (
    "schemas: {properties: {input: {properties: {x: {type: TYPE}}, required: [x]}}}\n"
    "test: {cases: [{name: a, input: {}}]}\n"
)


def case_with_input(type: str, value: str = "") -> str:
    """Return a test case whose input may lack the field the flow requires."""
    return CASE.replace("TYPE", type).replace("input: {}", f"input: {{x: {value}}}" if value else "input: {}")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (READ.replace(", blob_type: data", ""), READ),
        (
            READ.replace("  component: /builtin/put_blob\n", ""),
            READ.replace("  component: /builtin/put_blob\n", "").replace(
                "output", "  component: /builtin/noop\noutput"
            ),
        ),
        (
            READ.replace("- id: save\n  ", "- "),
            READ.replace("- id: save\n  ", "- ").replace("output", "  id: save\noutput"),
        ),
        (STEP, READ),
        (
            READ.replace("type: data}", "type: data, mustExecute: true}"),
            READ.replace("output", "  mustExecute: true\noutput"),
        ),
        (READ.replace("output", "- id: b\n  component: /builtin/noop\noutput"), READ),
        (
            READ.replace("{$step: save}", "[{$step: save}, {$variable: b}]") + VARIABLES,
            READ.replace("{$step: save}", "[{$step: save}, {$variable: b}]")
            + VARIABLES.replace("a: {type: string}, ", "").replace("a, ", ""),
        ),
        (f"output: {10**29}\n", f'output: "{10**29}"\n'),
        (
            "output: {$input: $}\ninput_schema: {type: string}\n",
            "output: {$input: $}\nschemas: {properties: {input: {type: string}}}\n",
        ),
        ("output: {$coalesce: {$input: $}}\n", "output: {$coalesce: [{$input: $}]}\n"),
        ("output: {$if: {$input: $.a}, else: 1}\n", "output: {$if: {$input: $.a}, else: 1, then: null}\n"),
        ("output: {$literal: 1, x: 2}\n", "output: {$literal: 1}\n"),
        ("output: [1, 2\n", "output: [1, 2]\n"),
        ("output: 'a\n", "output: 'a'\n"),
        ("output: {a: 1\n", "output: {a: 1}\n"),
        ("output: {a: 'x}\n", "output: {a: 'x'}\n"),
        ('output: [{a: "x}]\n', 'output: [{a: "x"}]\n'),
        ("output:\n  a:\n    b: 1\n   c: 2\n", "output:\n  a:\n    b: 1\n  c: 2\n"),
        ("output:\n  a:\n    b: 1\n\tc: 2\n", "output:\n  a:\n    b: 1\n    c: 2\n"),
        ("output:\n  a:\n    - 1\n\tc: 2\n", "output:\n  a:\n    - 1\n  c: 2\n"),
        ("output:\n  - a: 1\n\tb: 2\n", "output:\n  - a: 1\n    b: 2\n"),
        (
            "steps:\n- id:\n  component: /builtin/noop\noutput: {$step: x}\n",
            "steps:\n- id: x\n  component: /builtin/noop\noutput: {$step: x}\n",
        ),
        (READ.replace("component: /builtin/put_blob", "component:  # x"), NOOP_READ),
        (BOTH, BOTH.replace("}\noutput", ", mustExecute: true}\noutput")),
        ("output: 1\noutput: 1\n", "output: 1\n"),
        (
            "steps:\n  - id: a\n    component: /builtin/noop\n    id: b\n    component: /builtin/noop\n"
            "output: [{$step: a}, {$step: b}]\n",
            "steps:\n  - id: a\n    component: /builtin/noop\n  - id: b\n    component: /builtin/noop\n"
            "output: [{$step: a}, {$step: b}]\n",
        ),
        ("output: {{ x }}\n", 'output: "{{ x }}"\n'),
        (
            "steps:\n- id: each\n  component: /builtin/map\n  input:\n    items: [1]\n    workflow:\n      output:\n"
            "        x: {$input: $}\noutput: {$step: each}\n",
            "steps:\n- id: each\n  component: /builtin/map\n  input:\n    items: [1]\n    workflow:\n      $literal:\n"
            "        output:\n          x: {$input: $}\noutput: {$step: each}\n",
        ),
        (case_with_input("integer"), case_with_input("integer", "0")),
        (case_with_input("number"), case_with_input("number", "0")),
        (case_with_input("string"), case_with_input("string", '""')),
        (case_with_input("boolean"), case_with_input("boolean", "false")),
        (case_with_input("array"), case_with_input("array", "[]")),
        (case_with_input("object"), case_with_input("object", "{}")),
        (
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {a: 1}}]}\n",
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {outcome: success, result: {a: 1}}}]}\n",
        ),
        (
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {error: {code: TIMEOUT}}}]}\n",
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {error: {code: TIMEOUT}, outcome: failed}}]}\n",
        ),
        (
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {outcome: ok, result: 1}}]}\n",
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {outcome: success, result: 1}}]}\n",
        ),
        (
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {result: 1}}]}\n",
            "output: 1\ntest: {cases: [{name: a, input: 1, output: {result: 1, outcome: success}}]}\n",
        ),
    ],
)
def test_suggestions_leave_a_valid_flow(wrong: str, right: str) -> None:
    """Suggested edits need a person's confirmation, so they are not applied as corrections."""
    text = HEAD + wrong
    assert correct(text).flow.text == text
    diagnostics = check_source(FlowText(text, "f.yaml"))
    suggested = next(each.suggestion for each in diagnostics if each.suggestion is not None)
    assert text[suggested.start : suggested.end] == suggested.old
    new = text[: suggested.start] + suggested.text + text[suggested.end :]
    assert new == HEAD + right
    assert check_source(FlowText(new, "f.yaml")) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("output: 1\ntest:\n  cases:\n  - name: a\n    input: 1\n    output:\n      a: 1\n", "expected-output"),
        (STEP + "  mustExecute: 5\noutput: 1\n", "wrong-type"),
        ("output: {$input: $}\nschemas: {properties: {}}\ninput_schema: {type: string}\n", "unknown-key"),
        ("output: {$input: $1a}\n", "malformed-path"),
        (READ.replace("{$step: save}", "{$step: save, zzz: x}"), "ignored-key"),
        (READ.replace("{$step: save}", "[{$step: save}, {$input: $, path: 5}]"), "ignored-key"),
        (READ.replace("{$step: save}", "[{$step: save}, {$input: $.a, path: $.b}]"), "ignored-key"),
        (STEP + "  onError: never\noutput: {$step: save}\n", "wrong-type"),
        (READ.replace("{$step: save}", "[{$step: save}, '{{ steps }}']"), "template"),
        (READ.replace("{$step: save}", "[{$step: save}, {$step: save.x, path: $.y}]"), "undefined-step"),
        ("metadata: {n: &n save.blob_id}\n" + READ.replace("{$step: save}", "[{$step: save}, {$step: *n}]"),
         "undefined-step"),
        (READ.replace("{$step: save}", "[{$step: save}, {$variable: b}]") + "schemas: 5\n", "wrong-type"),
    ],
)  # fmt: skip
def test_vague_hints_have_no_suggested_edit(text: str, rule: str) -> None:
    diagnostics = [each for each in check_source(FlowText(HEAD + text, "f.yaml")) if each.rule == rule]
    assert [(each.fix, each.suggestion) for each in diagnostics] == [(None, None)]


LACKS_DATA = "steps:\n- id: a\n  component: /builtin/put_blob\n  input: {blob_type: data}\noutput: {$step: a}\n"
INPUT_OF_X = "schemas: {properties: {input: {type: object, properties: {my_name: {type: string}}}}}\n"
A_NOOP = "steps:\n- id: a\n  component: /builtin/noop\n"
B_READS_A = "- id: b\n  component: /builtin/noop\n  input: {$step: a}\n"
TWO_A = "output: {$step: a}\nsteps:\n- {id: a, component: /builtin/noop}\n- {id: a, component: /builtin/noop}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            A_NOOP + B_READS_A + "output: 1\n",
            ["unused-step? '' -> '\\n  mustExecute: true'", f"unused-step? {chr(10) + B_READS_A.rstrip()!r} -> ''"],
        ),
        # Without the step, the alias would be invalid.
        (
            "steps:\n- id: a\n  component: &noop /builtin/noop\n- id: b\n  component: *noop\noutput: {$step: b}\n",
            ["unused-step"],
        ),
        (STEP + "  onError: {action: fail, maxRetries: 3}\noutput: {$step: save}\n", ["unused-key? 'fail' -> 'retry'"]),
        (
            STEP + "  onError: {action: fail, defaultValue: 3}\noutput: {$step: save}\n",
            ["unused-key? 'fail' -> 'useDefault'"],
        ),
        (STEP + "  onError: {maxRetries: 3}\noutput: {$step: save}\n", ["missing-key? '' -> ', action: fail'"]),
        ("output: {$input: $, path: x}\n", ["ignored-key! '{$input: $, path: x}' -> '{$input: x}'"]),
        ("output: {$input: '', path: x}\n", ["ignored-key! \"{$input: '', path: x}\" -> '{$input: x}'"]),
        ("output: {$input: $, path: x, z: 1}\n", ["ignored-key", "ignored-key? ', z: 1' -> ''"]),
        ("output:\n  $input: $\n  path: x\n", ["ignored-key"]),
        ("output: 1\nschemas: {properties: {input: {type: type}}}\n", ["not-a-schema"]),
        ("output: 1\nschemas: {properties: {input: text}}\n", ["not-a-schema"]),
        ("output: 1\nschemas: {input: {type: string}, properties: {output: {}}}\n", ["misplaced-schema"]),
        ("output: 1\nschemas: {input: {}}\n", ["misplaced-schema! '{input: {}}' -> '{properties: {input: {}}}'"]),
        (
            "output: 1\ntest: {cases: [{name: a, input: 1}, {name: a, input: 2}]}\n",
            ["duplicate-case? 'a' -> 'a_4'"],
        ),
        (TWO_A.replace("{$step: a}", "[{$step: a}, {$step: b}]"), ["undefined-step", "duplicate-id? 'a' -> 'b'"]),
        (TWO_A.replace("op}\n- ", "op, mustExecute: true}\n- "), ["duplicate-id? 'a' -> 'step_6'"]),
        ("output: {$input: ' a.b '}\n", ["ambiguous-path! \"' a.b '\" -> '$.a.b'"]),
        ("output: {$input: $.my_nam/}\n" + INPUT_OF_X, ["unknown-input! '$.my_nam/' -> '$.my_name'"]),
        ("output: {$input: $.my_dot}\n" + INPUT_OF_X.replace("my_name", "my.dot"), ["unknown-input"]),
        ("output: {$input: .a}\n", ["ambiguous-path! '.a' -> '$.a'"]),
        ("output: {$input: '[0].a'}\n", ["ambiguous-path! \"'[0].a'\" -> '\"$[0].a\"'"]),
        ("output:\n  $coalesce:\n    $input: $\n", ["coalesce-list"]),
        (
            A_NOOP + "  input:\n    onError: {action: fail}\noutput: {$step: a}\n",
            ["misplaced-key? '\\n    onError: {action: fail}' -> ' {}\\n  onError: {action: fail}'"],
        ),
        (
            A_NOOP + "  input:\n    x: 1\n    must_execute: true\noutput: {$step: a}\n",
            ["misplaced-key? '\\n    must_execute: true' -> '\\n  mustExecute: true'"],
        ),
        ('output: {"step": a}\n' + A_NOOP, ["""unknown-keyword! '"step"' -> '"$step"'"""]),
        (LACKS_DATA, ["component-input? '' -> ', data: {$input: $.data}'"]),
        (LACKS_DATA + INPUT_OF_X, ["component-input? '' -> ', data: {$input: $}'"]),
        (
            LACKS_DATA + INPUT_OF_X.replace("my_name", "data"),
            ["component-input? '' -> ', data: {$input: $.data}'"],
        ),
        ("outputs: 1\noutput: 2\n", ["unknown-key"]),
        (
            "oputut: 1\nouput: 2\n",
            ["unknown-key? 'oputut' -> 'output'", "unknown-key! 'ouput' -> 'output'", "no-output"],
        ),
        (A_NOOP + "output: {$step: 'a[0]', path: x}\n", ["undefined-step"]),
        (A_NOOP + "output: {$step: 'a[0].x'}\n", ["""undefined-step! "'a[0].x'" -> 'a, path: "$[0].x"'"""]),
        (
            A_NOOP + "  mustExecute: true\n- {id: a.b, component: /builtin/noop}\noutput: {$step: a.b.c}\n",
            ["undefined-step! 'a.b.c' -> 'a.b, path: $.c'"],
        ),
        (A_NOOP.replace("id: a", "id: my step") + "output: {$step: my_step}\n", ["undefined-step"]),
        ("output: {$input: $.my_nmae}\n" + INPUT_OF_X, ["unknown-input! '$.my_nmae' -> '$.my_name'"]),
        ("output: {$input: $.x.my_nmae}\n" + INPUT_OF_X, ["unknown-input"]),
        ("output: {$input: $.zzz}\n" + INPUT_OF_X, ["unknown-input"]),
        (
            "output: {$variable: my-name}\n" + INPUT_OF_X.replace("input", "variables"),
            ["undeclared-variable! 'my-name' -> 'my_name'", "unused-variable? '{my_name: {type: string}}' -> '{}'"],
        ),
        ("steps:\n- id:\n  component: /builtin/noop\noutput: 1\n", ["missing-key? '' -> ' step_4'"]),
        ("steps:\n- component: /builtin/noop\noutput: 1\n", ["missing-key? '' -> '\\n  id: step_4'"]),
        ("x: 1\noutput: 2\nx: 2\n", ["duplicate-key? 'x: 2\\n' -> ''"]),
        ("output: {$input: !!str a.b}\n", ["ambiguous-path"]),
        ("output:\n  $input: >-\n    a.b\n", ["ambiguous-path"]),
        ("output:\n  $input: &p a.b\n", ["ambiguous-path"]),
        ('output: {"$inptu": $}\n', ["unknown-keyword! '$inptu' -> '$input'"]),
        (
            "output: {$from: {workflow: input}} # x\n",
            ["from-expression! '{$from: {workflow: input}}' -> '{$input: $}'"],
        ),
        ("output: {$from: {workflow: input, step: a}}\n", ["from-expression"]),
        ("output: {$from: {workflow: other}}\n", ["from-expression"]),
        ("output: {$from: {workflow: input}, path: 5}\n", ["from-expression"]),
        ("output: {$from: {workflow: input}, skip: 1}\n", ["from-expression", "ignored-key? ', skip: 1' -> ''"]),
        ("output:\n  $from: {workflow: input} # keep\n  path: x\n", ["from-expression"]),
        (
            A_NOOP + "output: {$from: {step: a}, path: $}\n",
            ["from-expression! '{$from: {step: a}, path: $}' -> '{$step: a}'"],
        ),
    ],
)
def test_corrections_and_suggestions(text: str, expected: list[str]) -> None:
    """Corrections are marked with `!`, suggestions with `?`."""
    actual = []
    for each in check_source(FlowText(HEAD + text, "f.yaml")):
        fix, mark = (each.fix, "!") if each.fix is not None else (each.suggestion, "?")
        actual.append(each.rule if fix is None else f"{each.rule}{mark} {fix.old!r} -> {fix.text!r}")
    assert actual == expected


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("output: [1, 2\n\n\n", "output: [1, 2]\n\n\n"),
        ("output: [\n  1,\n  2\n", "output: [\n  1,\n  2]\n"),
        ("output: {a: 1\nb: 2\n", "output: {a: 1}\nb: 2\n"),
        ("output: {a: [1, 2}\n", None),
        ("output: {a: 1]\n", None),
        ("output: 'a\nx: 1\n", "output: 'a'\nx: 1\n"),
        ("output: {a: 'x, b: 2}\n", "output: {a: 'x, b: 2'}\n"),
        ("output: {a: ['x}]}\n", "output: {a: ['x}']}\n"),
        ("output: [[[['x]]]]\n", None),
        ("output:\n  a:\n    b: 1\n   c: 2\n", "output:\n  a:\n    b: 1\n  c: 2\n"),
        ("output:\n  a: 1\n   b: 2\n", "output:\n  a: 1\n  b: 2\n"),
        ("output:\n    a: 1\n  b: 2\n", "output:\n    a: 1\nb: 2\n"),
        ("output:\n  - 1\n - 2\n", None),
        (" output: 1\n", "output: 1\n"),
        ("output:\n  a: 1\n\tb: 2\n", "output:\n  a: 1\n  b: 2\n"),
        ("output:\n\ta: 1\n", "output:\n  a: 1\n"),
        ("output: 1\n  x: 2\n", "output: 1\nx: 2\n"),
        (
            "steps:\n- id: a\n  component: x\n  id: b\n  component: y\noutput: 1\n",
            "steps:\n- id: a\n  component: x\n- id: b\n  component: y\noutput: 1\n",
        ),
        ("id: a\ncomponent: x\nid: b\n", "id: a\ncomponent: x\n"),
        ("output: {{ ä }}  # x\n", 'output: "{{ ä }}"  # x\n'),
        ("output: {{ x }} and {{ y }}\n", None),
        ("output: *x\n", None),
    ],
)
def test_suggested_fixes_for_syntax_errors(wrong: str, right: str | None) -> None:
    diagnostic = next(each for each in check_source(FlowText(HEAD + wrong, "f.yaml")) if each.rule != "unknown-key")
    assert diagnostic.fix is None
    corrected = None
    if (edit := diagnostic.suggestion) is not None and diagnostic.rule in ("syntax", "duplicate-key"):
        corrected = (HEAD + wrong)[: edit.start] + edit.text + (HEAD + wrong)[edit.end :]
    assert corrected == (None if right is None else HEAD + right)


def test_syntax_errors_in_very_long_files_have_no_suggestions() -> None:
    for length, is_suggested in ((90_000, True), (100_000, False)):
        diagnostics = check_source(FlowText(f"name: {'a' * length}\noutput: [1, 2\n", "f.yaml"))
        assert [(each.rule, each.suggestion is not None) for each in diagnostics] == [("syntax", is_suggested)]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("output: a: b\n", 'output: "a: b"\n'),
        ("output: a: 'b: c'\n", "output: \"a: 'b: c'\"\n"),
        ("output: @x\n", 'output: "@x"\n'),
        ("output: {a: `x`}\n", None),
    ],
)
def test_text_that_needs_quotes_is_quoted(wrong: str, right: str | None) -> None:
    assert correct(HEAD + wrong).flow.text == HEAD + (right or wrong)


@pytest.mark.parametrize(
    ("word", "right"),
    [
        *((word, "true") for word in ("yes", "True", "on", "Y")),
        *((word, "false") for word in ("no", "FALSE", "off", "n")),
    ],
)
def test_boolean_words_are_corrected(word: str, right: str) -> None:
    corrected = correct(HEAD + STEP + f"  mustExecute: '{word}'\noutput: {{$step: save}}\n")
    assert corrected.flow.text == HEAD + STEP + f"  mustExecute: {right}\noutput: {{$step: save}}\n"


def test_output_field_of_the_expected_type_is_suggested() -> None:
    step = "steps:\n- id: c\n  component: /builtin/noop\n  input: {n: 1}\n"
    text = step + SLEEP.removeprefix("steps:\n").replace("50", "{$step: c}")
    (diagnostic,) = check_source(FlowText(HEAD + text, "f.yaml"), type_check=True)
    assert diagnostic.fix is None
    assert diagnostic.suggestion is not None
    assert (diagnostic.suggestion.old, diagnostic.suggestion.text) == ("{$step: c}", "{$step: c, path: $.n}")


def test_flow_without_text_has_hints_but_no_fixes() -> None:
    step = {"id": "a", "component": "/builtin/noop"}
    flow = {"name": "f", "description": "d", "steps": [step], "output": {"$from": {"step": "a"}}}
    (diagnostic,) = check_source(FlowText.from_source(flow))
    assert (diagnostic.hint, diagnostic.fix, diagnostic.suggestion) == ("write {$step: a}", None, None)


@pytest.mark.parametrize(
    "text",
    [
        # Both would be renamed to `output`.
        "outputs: 2\nOutput: 3\n",
        # The name is similar to two steps.
        "steps:\n- {id: step1, component: /builtin/noop, mustExecute: true}\n"
        "- {id: step2, component: /builtin/noop, mustExecute: true}\noutput: {$step: step}\n",
        # Servers ignore the misspelled key but would reject the correct one.
        STEP + "  on_error: {retries: 3}\noutput: {$step: save}\n",
        # The intended word is unclear.
        STEP + "  label: x\noutput: {$step: save}\n",
        "outputs: [\n",
    ],
)
def test_ambiguous_mistakes_are_left_alone(text: str) -> None:
    corrected = correct(HEAD + text)
    assert (corrected.flow.text, corrected.number) == (HEAD + text, 0)
    assert corrected.remaining_findings


def test_one_harmful_correction_does_not_stop_the_others() -> None:
    corrected = correct(HEAD + STEP + "  on_error: {retries: 3}\n  must_execute: true\nouput: {$step: svae}\n")
    assert corrected.flow.text == HEAD + STEP + "  on_error: {retries: 3}\n  mustExecute: true\noutput: {$step: save}\n"
    assert [each.rule for each in corrected.remaining_findings] == ["unknown-key"]


@pytest.mark.parametrize("number", [80, pytest.param(400, marks=pytest.mark.exhaustive)])
def test_corrections_never_make_a_file_worse(number: int) -> None:
    texts = [*misspelt(number, 3), *(text for text, _ in mutations(number // 2, 5))]
    changed = 0
    for text in texts:
        flow = FlowText(text, "f.yaml")
        before = check_source(flow)
        corrected = correct_flow(flow, check_source)
        if flow.error is None:
            assert len(corrected.remaining_findings) <= len(before), text
            assert corrected.flow.error is None, text
        again = correct(corrected.flow.text)
        assert (again.flow.text, again.number) == (corrected.flow.text, 0), text
        assert corrected.remaining_findings == check_source(corrected.flow)
        for pattern in ("#[^\r\n]*", "\r", "['\"]"):
            kinds = re.findall(pattern, text), re.findall(pattern, corrected.flow.text)
            assert len(kinds[1]) >= len(kinds[0]), text
        changed += corrected.number > 0
    assert changed > number / 2
