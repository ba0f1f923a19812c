"""Planted faults: flows with one fault each, its rule and its position."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FAULTS", "Fault"]


class Fault(NamedTuple):
    """A flow with one fault; `«` in the text marks its position and is not part of the flow."""

    name: str
    rule: str
    text: str


def _step(text: str, output: str = "{$step: a}", before: str = "") -> str:
    return f"name: f\ndescription: d\n{before}steps:\n  - id: a\n    component: /builtin/noop\n{text}output: {output}\n"


def _output(text: str) -> str:
    return _step("", text)


def _schema(kind: str, schema: str, output: str) -> str:
    return _output(output).replace("steps:", f"schemas:\n  properties:\n    {kind}: {schema}\nsteps:")


def _component(component: str, step_input: str, output: str = "{$step: a}") -> str:
    return f"name: f\ndescription: d\nsteps:\n  - id: a\n    component: {component}\n    input: {step_input}\noutput: {output}\n"


_TWO = "name: f\ndescription: d\nsteps:\n  - {id: a, component: /builtin/noop}\n  - {id: b, component: /builtin/noop, input: %s}\noutput: %s\n"
_TEST = _output("{$step: a}") + "test:\n  cases:\n"

_SHAPE = [
    Fault("outputs", "unknown-key", "steps: []\noutput: 1\n«outputs: 1\n"),
    Fault("only a misspelt output", "unknown-key", "«ouput: 1\n"),
    Fault("only an output in another form", "unknown-key", "«OUT_PUT: 1\n"),
    Fault("wrapped", "no-flow", "«flow: {output: 1}\n"),
    Fault("no output", "no-output", "«name: f\nsteps: []\n"),
    Fault("step key", "unknown-key", _step("    «must_execute: true\n")),
    Fault("schema of a step", "unknown-key", _step("    «schema: x\n")),
    Fault("skip", "unknown-key", _step("    «skip: {$input: x}\n")),
    Fault("on_error", "unknown-key", _step("    «on_error: {action: fail}\n")),
    Fault("onError in the input", "misplaced-key", _step("    input: {«onError: {action: fail}}\n")),
    Fault(
        "mustExecute in the input of an unknown component",
        "misplaced-key",
        _component("/my/own", "{a: 1, «must_execute: true}"),
    ),
    Fault("depends_on", "unknown-key", _step("    «depends_on: [b]\n")),
    Fault("inputSchema", "unknown-key", "«inputSchema: {}\nsteps: []\noutput: 1\n"),
    Fault("max_retries", "unknown-key", _step("    onError: {action: retry, «max_retries: 1}\n")),
    Fault("default_value", "unknown-key", _step("    onError: {action: useDefault, «default_value: 1}\n")),
    Fault("action", "unknown-action", _step("    onError: {action: «continue}\n")),
    Fault("no action", "missing-key", _step("    onError: «{defaultValue: 1}\n")),
    Fault("retries negative", "wrong-type", _step("    onError: {action: retry, maxRetries: «-1}\n")),
    Fault("retries unused", "unused-key", _step("    onError: {action: fail, «maxRetries: 1}\n")),
    Fault("default unused", "unused-key", _step("    onError: {action: retry, «defaultValue: 1}\n")),
    Fault(
        "default evaluated", "not-evaluated", _step("    onError: {action: useDefault, defaultValue: {«$step: b}}\n")
    ),
    Fault("version number", "wrong-type", "version: «1.0\nsteps: []\noutput: 1\n"),
    Fault("steps mapping", "wrong-type", "steps: «{a: 1}\noutput: 1\n"),
    Fault("must execute text", "wrong-type", _step("    mustExecute: «'yes'\n")),
    Fault("no component", "missing-key", "steps:\n  - «id: a\noutput: {$step: a}\n"),
    Fault("no id", "missing-key", "steps:\n  - «component: /builtin/noop\noutput: 1\n"),
    Fault("schemas input", "misplaced-schema", "schemas:\n  «input: {}\nsteps: []\noutput: 1\n"),
    Fault("case no input", "missing-key", _TEST + "    - «name: x\n"),
    Fault("case timeout", "unknown-key", _TEST + "    - {name: x, input: 1, «timeout: 5}\n"),
    Fault("case tags", "wrong-type", _TEST + "    - {name: x, input: 1, tags: «a}\n"),
    Fault("case outcome", "expected-output", _TEST + "    - {name: x, input: 1, output: {outcome: «skipped}}\n"),
    Fault("case result", "expected-output", _TEST + "    - {name: x, input: 1, output: «{outcome: success}}\n"),
    Fault("case mock", "mock", _TEST + "    - {name: x, input: 1, mocks: {ask: «{outcome: success}}}\n"),
    Fault(
        "mock code", "mock", _TEST + "    - {name: x, input: 1, mocks: {ask: {outcome: failed, error: {code: «X}}}}\n"
    ),
    Fault("case twice", "duplicate-case", _TEST + "    - {name: x, input: 1}\n    - {name: «x, input: 2}\n"),
    Fault("case number", "wrong-type", _TEST + "    - «5\n"),
    Fault("tag number", "wrong-type", _TEST + "    - {name: x, input: 1, tags: [a, «5]}\n"),
    Fault(
        "error text", "expected-output", _TEST + "    - {name: x, input: 1, output: {outcome: failed, error: «boom}}\n"
    ),
    Fault(
        "config under two names",
        "duplicate-key",
        _output("{$step: a}") + "test: {config: {}, «stepflow_config: {}, cases: []}\n",
    ),
    Fault("schemas as a list", "misplaced-schema", "schemas:\n  properties: «[input]\nsteps: []\noutput: 1\n"),
    Fault("config twice", "config-twice", _output("{$step: a}") + "test: {configFile: x, «config: {}, cases: []}\n"),
    Fault("key twice", "duplicate-key", "name: a\n«name: b\noutput: 1\n"),
    Fault("no yaml", "syntax", "name: a\noutput: «]\n"),
    Fault("not a mapping", "wrong-type", "«- 1\n"),
]

_EXPRESSIONS = [
    Fault("$steps", "unknown-keyword", _step("", "{x: {«$steps: a}, y: {$step: a}}")),
    Fault("in a default", "unknown-keyword", _output("[{$step: a}, {$variable: v, default: {«$steps: a}}]")),
    Fault("in a condition", "unknown-keyword", _output("[{$step: a}, {$if: {$input: x}, then: {«$steps: a}}]")),
    Fault("in an alternative", "unknown-keyword", _output("[{$step: a}, {$coalesce: [{$input: x}, {«$steps: a}]}]")),
    Fault("two keywords", "two-keywords", _output("{$step: a, «$input: x}")),
    Fault("path beside $input", "ignored-key", _output("[{$step: a}, {$input: x, «path: y}]")),
    Fault("paht", "ignored-key", _output("{$step: a, «paht: x}")),
    Fault("$from", "from-expression", _output("[{$step: a}, {«$from: x}]")),
    Fault("no then", "missing-then", _output("{«$if: {$step: a}}")),
    Fault("coalesce", "coalesce-list", _output("[{$step: a}, {$coalesce: «1}]")),
    Fault("step number", "step-not-text", _output("[{$step: a}, {$step: «1}]")),
    Fault("input number", "path-not-text", _output("[{$step: a}, {$input: «5}]")),
    Fault("negative index", "malformed-path", _output("{$step: a, path: «'$.x[-1]'}")),
    Fault("open bracket", "malformed-path", _output("{$step: a, path: «'$.x[0'}")),
    Fault("no dot", "malformed-path", _output("[{$step: a}, {$input: «$name}]")),
    Fault("bare dots", "ambiguous-path", _output("{$step: a, path: «x.y}")),
    Fault("bare index", "ambiguous-path", _output("{$step: a, path: «'x[0]'}")),
    Fault("quoted dot", "ambiguous-path", _output("""{$step: a, path: «'$["x.y"]'}""")),
    Fault("wildcard", "ambiguous-path", _output("{$step: a, path: «'$.x.*'}")),
    Fault("template", "template", _output("[{$step: a}, «'{{ $input.x }}']")),
    Fault("merge", "merge-key", "metadata: {x: &c {a: 1}}\noutput: {«<<: *c}\n"),
    Fault("constant", "constant-condition", _output("{$if: «0, then: {$step: a}}")),
    Fault("variable name", "variable-name", _output("[{$step: a}, {$variable: «''}]")),
]

_GRAPH = [
    Fault("undefined", "undefined-step", _output("[{$step: a}, {$step: «b}]")),
    Fault("case of ids", "undefined-step", _output("[{$step: a}, {$step: «A}]")),
    Fault("undefined in input", "undefined-step", _step("    input: {$step: «x}\n")),
    Fault("self", "self-reference", _step("    input: {$step: «a}\n")),
    Fault(
        "later",
        "later-step",
        _TWO.replace("{id: a, component: /builtin/noop}", "{id: a, component: /builtin/noop, input: {$step: «b}}")
        % ("1", "{$step: a}"),
    ),
    Fault(
        "cycle",
        "cycle",
        _TWO.replace("{id: a, component: /builtin/noop}", "{id: a, component: /builtin/noop, input: {$step: «b}}")
        % ("{$step: a}", "{$step: a}"),
    ),
    Fault("duplicate", "duplicate-id", _TWO.replace("id: b", "id: «a") % ("1", "{$step: a}")),
    Fault("empty id", "empty-id", _TWO.replace("id: b", "id: «' '") % ("1", "{$step: a}")),
    Fault("unused", "unused-step", _TWO.replace("id: b", "id: «b") % ("1", "{$step: a}")),
    Fault("stall in output", "conditional-stall", _TWO % ("1", "{$if: {$step: a}, then: {$step: «b}}")),
    Fault("stall in coalesce", "conditional-stall", _TWO % ("1", "{$coalesce: [{$step: a}, {$step: «b}]}")),
    Fault("default step", "default-step", _TWO % ("1", "[{$step: a}, {$variable: v, default: {$step: «b}}]")),
]

_INPUT = "{type: object, properties: {name: {type: string}}, additionalProperties: false}"
_CLOSED = "[{$step: a}, {$input: «$.nam}]"
_SCHEMAS = [
    Fault("lookahead", "unchecked-pattern", _schema("input", "{type: string, pattern: «'^(?=a)'}", "{$step: a}")),
    Fault("unknown input", "unknown-input", _schema("input", _INPUT, _CLOSED)),
    Fault(
        "unknown input of a schema without a type",
        "unknown-input",
        _schema("input", _INPUT.replace("type: object, ", ""), _CLOSED),
    ),
    Fault(
        "path into a variable of a schema without a type",
        "variable-path",
        _schema("variables", "{properties: {v: {properties: {a: {}}}}}", "[{$step: a}, {$variable: «$.v.b}]"),
    ),
    Fault("field of text", "unknown-input", _schema("input", _INPUT, "[{$step: a}, {$input: «$.name.first}]")),
    Fault(
        "optional",
        "optional-input",
        _schema("input", "{type: object, properties: {a: {}}}", "[{$step: a}, {$coalesce: [{$input: «$.a}, 1]}]"),
    ),
    Fault(
        "undeclared", "undeclared-variable", _schema("variables", "{properties: {}}", "[{$step: a}, {$variable: «v}]")
    ),
    Fault("unused variable", "unused-variable", _schema("variables", "{properties: {«v: {}}}", "{$step: a}")),
    Fault(
        "variable path",
        "variable-path",
        _schema("variables", "{properties: {v: {type: string}}}", "[{$step: a}, {$variable: «$.v.x}]"),
    ),
    Fault(
        "dead default",
        "dead-default",
        _schema("variables", "{properties: {v: {type: string}}}", "[{$step: a}, {$variable: v, «default: 1}]"),
    ),
    Fault(
        "default of a field in a field",
        "dead-default",
        _schema(
            "input",
            "{type: object, properties: {a: {type: object, properties: {b: {type: string, «default: x}}}}}",
            "{$step: a}",
        ),
    ),
    Fault(
        "unset variable",
        "unset-variable",
        _schema("variables", "{properties: {v: {$ref: '#/$defs/V', $defs: {V: {}}}}}", "[{$step: a}, {$variable: «v}]"),
    ),
    Fault(
        "default type",
        "default-type",
        _schema("variables", "{properties: {v: {type: integer, default: «x}}}", "[{$step: a}, {$variable: v}]"),
    ),
    Fault("type", "not-a-schema", _schema("input", "{type: «objekt}", "{$step: a}")),
    Fault("one of several types", "not-a-schema", _schema("input", "{type: [string, «objekt]}", "{$step: a}")),
    Fault("names with a number", "not-a-schema", _schema("input", "{required: «[a, 5]}", "{$step: a}")),
    *(
        Fault(f"below {keyword}", "not-a-schema", _schema("input", f"{{{keyword}: {within}}}", "{$step: a}"))
        for keyword, within in (
            ("items", "{type: «objekt}"),
            ("items", "[{}, {type: «objekt}]"),
            ("additionalProperties", "{type: «objekt}"),
            ("anyOf", "[{type: string}, {type: «objekt}]"),
            ("prefixItems", "[{type: «objekt}]"),
            ("not", "{type: «objekt}"),
            ("patternProperties", "{^a: {type: «objekt}}"),
            ("$defs", "{A: {type: «objekt}}"),
        )
    ),
    Fault("number as schema", "not-a-schema", _schema("input", "«5", "{$step: a}")),
    Fault("ref", "dangling-ref", _schema("input", "{$ref: «'#/$defs/X'}", "{$step: a}")),
    Fault("required", "required-undeclared", _schema("input", "{properties: {a: {}}, required: [«b]}", "{$step: a}")),
    Fault("unknown step schema", "schema-of-unknown-step", _schema("steps", "{properties: {«x: {}}}", "{$step: a}")),
    Fault("steps without properties", "misplaced-schema", _schema("steps", "«{a: {}}", "{$step: a}")),
    Fault(
        "example input",
        "case-input",
        _schema("input", _INPUT, "{$step: a}") + "examples: [{name: x, input: {name: «1}}]\n",
    ),
    Fault(
        "case input",
        "case-input",
        _schema("input", _INPUT, "{$step: a}") + "test: {cases: [{name: x, input: {«nam: a}}]}\n",
    ),
    Fault(
        "expected output",
        "case-output",
        _schema("output", "{type: string}", "{$step: a}")
        + "test: {cases: [{name: x, input: 1, output: {outcome: success, result: «1}}]}\n",
    ),
    Fault("large integer", "large-integer", _output("[{$step: a}, «18446744073709551616]")),
]

_FLOW = "{steps: [{id: x, component: /builtin/noop}], output: %s}"
_COMPONENTS = [
    Fault(
        "turn",
        "iterate-output",
        _component("/builtin/iterate", "{initial_input: 1, flow: {$literal: {output: «{reslt: 1}}}}"),
    ),
    Fault("extra input", "component-input", _component("/builtin/create_messages", "{user_prompt: a, «zzz: b}")),
    Fault("no slash", "component-slash", _component("«builtin/noop", "1")),
    Fault("misspelt builtin", "unknown-component", _component("«/builtin/creat_messages", "{user_prompt: a}")),
    Fault("misspelt plugin", "unknown-component", _component("«/bulitin/noop", "1")),
    Fault("missing input", "component-input", _component("/builtin/create_messages", "«{system_instructions: a}")),
    Fault(
        "misspelt input",
        "component-input",
        _component("/builtin/create_messages", "{user_prompt: a, «system_instruction: b}"),
    ),
    Fault("input type", "component-input", _component("/builtin/create_messages", "{user_prompt: «[1]}")),
    Fault("blob type", "component-input", _component("/builtin/put_blob", "{data: 1, blob_type: «date}")),
    Fault(
        "output path",
        "unknown-output-path",
        _component("/builtin/put_blob", "{data: 1, blob_type: data}", "{$step: a, path: «blobId}"),
    ),
    Fault(
        "unescaped",
        "unescaped-subflow",
        _component("/builtin/map", "{items: [1], workflow: «{steps: [], output: {$input: $}}}"),
    ),
    Fault(
        "sub-flow step",
        "undefined-step",
        _component("/builtin/map", "{items: [1], workflow: {$literal: " + _FLOW % "[{$step: x}, {$step: «y}]" + "}}"),
    ),
    Fault(
        "sub-flow key",
        "unknown-key",
        _component("/builtin/iterate", "{initial_input: 1, flow: {$literal: {«outputs: 1, output: {result: 1}}}}"),
    ),
]

FAULTS = [*_SHAPE, *_EXPRESSIONS, *_GRAPH, *_SCHEMAS, *_COMPONENTS]
"""All faults; some also cause findings of other rules."""
