"""Planted faults are found with their rule, line and column, and valid flows have no findings."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pytest
from stepflow_client._checks.checker import check_source, make_excerpt, make_validation_result
from stepflow_client._checks.reference_rules import check_step_dependencies
from stepflow_client._checks.steps_and_references import FlowAnalysis
from stepflow_client.flows.findings import RULES, TYPE_RULES, Findings
from stepflow_client.flows.syntax_tree import FlowText, to_node

from tests.flows.faults import FAULTS, Fault
from tests.flows.findings import find_in_text
from tests.flows.valid import VALID


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_at_its_position(fault: Fault) -> None:
    before, mark, after = fault.text.partition("«")
    assert mark
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    findings = find_in_text(before + after, "flow.yaml")
    assert (fault.rule, line, column) in {(each.rule, each.line, each.column) for each in findings}
    own = next(each for each in findings if each.rule == fault.rule)
    assert own.message
    assert own.excerpt.endswith("^")


@pytest.mark.parametrize(
    ("output", "path"),
    [("{$step: gone}", "$.output"), ("[1, {$step: gone}]", "$.output[1]"), ("{$input: $, paht: $.a}", "$.output.paht")],
)
def test_a_fault_of_a_reference_has_the_path_of_its_expression(output: str, path: str) -> None:
    findings = find_in_text(f"name: f\ndescription: d\nsteps: []\noutput: {output}\n", "f.yaml")
    assert [each.path for each in findings] == [path]


def test_findings_of_a_flow_without_text_have_no_position() -> None:
    (finding,) = check_source(FlowText.from_source({"output": {"$step": "gone"}}))
    assert (finding.line, finding.column, finding.excerpt) == (0, 0, "")
    (diagnostic,) = make_validation_result([finding]).diagnostics
    assert (diagnostic.line, diagnostic.column, diagnostic.excerpt, diagnostic.file) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "column", "excerpt"),
    [
        ("a: b", 4, "a: b\n   ^"),
        ("\ta:\tb", 5, "\ta:\tb\n\t  \t^"),
        ("x" * 200, 61, "x" * 100 + f"\n{' ' * 59}^"),
        ("x" * 200, 59, "x" * 100 + f"\n{' ' * 58}^"),
        ("abc" * 50, 62, ("abc" * 50)[2:102] + f"\n{' ' * 59}^"),
    ],
)
def test_an_excerpt_marks_the_column(text: str, column: int, excerpt: str) -> None:
    assert make_excerpt(["", text], 2, column) == excerpt
    assert make_excerpt(["", text], 3, column) == make_excerpt(["", text], 0, column) == ""


def test_there_are_enough_distinct_faults() -> None:
    assert len({fault.text for fault in FAULTS}) == len(FAULTS) >= 60


@pytest.mark.parametrize("index", range(len(VALID)))
def test_a_valid_flow_has_no_findings(index: int) -> None:
    text = json.dumps(VALID[index][0], indent=1)
    for source in ("flow.json", "flow.yaml"):
        assert find_in_text(text, source) == []


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.yaml")), ids=str)
def test_examples_have_no_findings(path: Path) -> None:
    assert check_source(FlowText.from_source(path)) == []


def test_every_rule_is_documented_and_has_a_planted_fault() -> None:
    page = Path("docs/guides/editing-flows.md").read_text(encoding="utf-8")
    assert not [rule for rule in RULES if f"`{rule}`" not in page]
    assert {fault.rule for fault in FAULTS} == RULES - TYPE_RULES


def test_there_are_enough_valid_flows() -> None:
    assert len(VALID) >= 60
    assert list(Path("examples").glob("*.yaml"))


def test_matchers_and_tags_of_cases_are_no_faults() -> None:
    result = "{text: {$regex: ^a}, n: {$range: [1, 2]}, kind: {$type: string}, o: {$any: true}}"
    schema = (
        "{type: object, additionalProperties: false, properties: {text: {type: string}, n: {type: integer}, "
        "kind: {enum: [a, b]}, o: {type: object, properties: {}, additionalProperties: false}}}"
    )
    text = (
        f"name: f\ndescription: d\noutput: {{$input: $}}\nschemas: {{properties: {{output: {schema}}}}}\n"
        "test:\n  cases:\n"
        f"    - {{name: a, tags: [quick], input: null, output: {{outcome: success, result: {result}}}}}\n"
    )
    assert find_in_text(text, "f.yaml") == []
    assert [each.rule for each in find_in_text(text.replace("$range: [1, 2]", "range: 1"), "f.yaml")] == ["case-output"]


def test_a_comment_suppresses_a_rule_on_its_line() -> None:
    text = (
        "name: f  # stepflow: ignore[unknown-key]\nnames: 1\noutputs: 1  # stepflow: ignore[unknown-key]\noutput: 1\n"
    )
    assert [(each.rule, each.line) for each in find_in_text(text, "f.yaml")] == [("unknown-key", 2)]
    assert find_in_text("# stepflow: ignore-file\n" + text, "f.yaml") == []
    assert find_in_text(text.replace("name: f  # stepflow: ignore[unknown-key]", "# stepflow: ignore"), "f.yaml") == []


def test_the_order_of_the_steps_does_not_affect_the_time() -> None:
    first = "  - {id: s0, component: /builtin/noop}\n"
    later = [f"  - {{id: s{i}, component: /builtin/noop, input: {{$step: s{i - 1}}}}}\n" for i in range(1, 1500)]
    texts = [
        f"name: f\ndescription: d\nsteps:\n{''.join(steps)}output: {{$step: s1499}}\n"
        for steps in ([first, *later], [*reversed(later), first])
    ]
    times: list[list[float]] = [[], []]
    # Another process can slow down one round, but rarely the same text in both.
    for _ in range(2):
        for text, rounds in zip(texts, times, strict=True):
            start = time.process_time()
            findings = find_in_text(text, "f.yaml")
            rounds.append(time.process_time() - start)
    assert len(findings) == 1499
    assert min(times[1]) < 5 * min(times[0]), times


def test_memory_does_not_grow_quadratically_with_the_steps() -> None:
    steps: list[object] = [{"id": "s0", "component": "/builtin/noop"}]
    steps += [{"id": f"s{i}", "component": "/builtin/noop", "input": {"$step": f"s{i - 1}"}} for i in range(1, 3000)]
    model, findings = FlowAnalysis(to_node({"steps": steps, "output": {"$step": "s2999"}})), Findings()
    tracemalloc.start()
    try:
        check_step_dependencies(model, findings)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not findings.all
    assert peak < 10_000_000, peak


def test_a_cycle_is_reported_once_per_reference_to_a_later_step() -> None:
    step = "  - {{id: {}, component: /builtin/noop, input: {}}}\n"
    steps = [
        step.format("a", "{$step: c}"),
        step.format("b", "{$step: a}"),
        step.format("c", "[{$step: b}, {$step: d}]"),
    ]
    text = f"name: f\ndescription: d\nsteps:\n{''.join(steps)}{step.format('d', 1)}output: {{$step: c}}\n"
    findings = [(each.rule, each.line, each.message) for each in find_in_text(text, "f.yaml")]
    assert findings == [
        ("cycle", 4, "steps wait for each other: a -> c -> b -> a"),
        ("later-step", 6, "step 'c' refers to 'd', which is defined later"),
    ]


@pytest.mark.parametrize(
    ("kind", "schema", "path"),
    [
        (
            "input",
            "{type: object, properties: {m: {$ref: '#/$defs/M'}}, required: [m], $defs: {M: {type: object}}}",
            "$.m",
        ),
        ("input", "{$ref: '#/$defs/a~1b', $defs: {a/b: {type: object, properties: {m: {}}, required: [m]}}}", "$.m"),
        ("input", "{$ref: '#/$defs/a%20b', $defs: {a b: {type: object, properties: {m: {}}, required: [m]}}}", "$.m"),
        ("input", "{type: array, prefixItems: [{type: object}], items: {type: string}}", "$[0].s"),
        ("input", "{type: object, properties: {a: {}}, additionalProperties: true}", "$.b"),
        ("input", "{type: object, properties: {a: {}}, patternProperties: {^b: {}}}", "$.b"),
        ("input", "{type: object, required: [a]}", "$.b"),
        ("input", "{anyOf: [{type: object, properties: {m: {}}, required: [m]}, {type: 'null'}]}", "$.m"),
        (
            "steps",
            "{properties: {a: {$defs: {M: {type: object}}, type: object, properties: {m: {$ref: '#/$defs/M'}}}}}",
            None,
        ),
    ],
)
def test_references_that_match_schemas_are_no_faults(kind: str, schema: str, path: str | None) -> None:
    read = "{$step: a, path: $.m}" if path is None else f'[{{$step: a}}, {{$input: "{path}"}}]'
    text = (
        f"name: f\ndescription: d\nschemas: {{properties: {{{kind}: {schema}}}}}\n"
        f"steps:\n  - {{id: a, component: /x/y}}\noutput: {read}\n"
    )
    assert find_in_text(text, "f.yaml") == []


def test_paths_into_unions_are_checked() -> None:
    schema = "{anyOf: [{type: object, properties: {m: {type: string}}}, {type: 'null'}]}"
    text = f"name: f\ndescription: d\nschemas: {{properties: {{input: {schema}}}}}\noutput: {{$input: $.n}}\n"
    assert [each.rule for each in find_in_text(text, "f.yaml")] == ["unknown-input"]


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (300, "s0 -> s1 -> s2 -> s3 -> s4 -> s5 -> ... -> s296 -> s297 -> s298 -> s299 -> s0"),
        (12, "s0 -> s1 -> s2 -> s3 -> s4 -> s5 -> ... -> s8 -> s9 -> s10 -> s11 -> s0"),
        (11, "s0 -> s1 -> s2 -> s3 -> s4 -> s5 -> s6 -> s7 -> s8 -> s9 -> s10 -> s0"),
    ],
)
def test_a_message_about_a_large_cycle_is_shortened(number: int, shown: str) -> None:
    reads = [(i, (i + 1) % number) for i in range(number)]
    steps = [f"  - {{id: s{i}, component: /builtin/noop, input: {{$step: s{read}}}}}\n" for i, read in reads]
    findings = find_in_text(f"name: f\ndescription: d\nsteps:\n{''.join(steps)}output: {{$step: s0}}\n", "f.yaml")
    assert [each.rule for each in findings] == ["cycle"] * (number - 1)
    assert findings[0].message == f"steps wait for each other: {shown}"


def test_aliased_content_is_checked_like_the_original() -> None:
    text = """
schemas: {properties: {output: {type: object, properties: {parts: {enum: [[a]]}}}}}
steps:
- id: a
  component: /builtin/noop
  input: &read {list: [{$input: $.x}]}
  onError: {action: useDefault, defaultValue: *read}
output: {$step: a}
test:
  cases:
  - {name: one, input: {}, output: {outcome: success, result: {parts: &parts [{$any: true}]}}}
  - {name: two, input: {}, output: {outcome: success, result: {parts: *parts}}}
"""
    assert [each.rule for each in find_in_text(text, "flow.yaml")] == ["not-evaluated"]
