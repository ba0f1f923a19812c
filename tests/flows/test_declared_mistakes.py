"""Mistakes in variables, schemas, conditions and limits are reported at their positions, with corrections."""

from __future__ import annotations

import pytest
from stepflow_cli.validation.flow_corrections import correct_flow
from stepflow_client._checks.checker import check_source
from stepflow_client.flows.syntax_tree import FlowText

from tests.flows.declared_mistakes import FLOW, MISTAKES, Mistake
from tests.flows.findings import find_in_text


def test_the_flow_has_no_mistake() -> None:
    assert find_in_text(FLOW, "flow.yaml", type_check=True) == []


@pytest.mark.parametrize("level", ["warning", "error"])
def test_an_ambiguous_path_in_a_branch_is_only_a_warning(level: str) -> None:
    branches = '[{$if: true, then: {$input: "a.b"}}, {$coalesce: [1, {$input: "a.b"}]}]'
    output = '{$input: "a.b"}' if level == "error" else branches
    findings = find_in_text(f"name: f\ndescription: d\noutput: {output}\n", "flow.yaml")
    assert {each.level for each in findings if each.rule == "ambiguous-path"} == {level}


def test_a_condition_on_a_missing_field_is_only_a_warning() -> None:
    item = "{type: object, properties: {name: {type: string}}, additionalProperties: false}"
    text = (
        f"name: f\ndescription: d\nschemas: {{properties: {{input: {item}}}}}\n"
        "output: {$if: {$input: $.vip}, then: a, else: b}\n"
    )
    assert [(each.rule, each.level) for each in find_in_text(text, "f.yaml", type_check=True)] == [
        ("unknown-input", "warning")
    ]


def test_most_mistakes_have_a_correction() -> None:
    # The messages of the others state the allowed values.
    corrections = [each for each in MISTAKES if not each.hint or each.hint not in ("at least 0", "at most", "integer")]
    assert len({each.marked for each in MISTAKES}) == len(MISTAKES) >= 60
    assert len(corrections) >= 50


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.wrong.strip())
def test_a_mistake_is_found_and_corrected(mistake: Mistake) -> None:
    before, mark, after = mistake.marked.partition("«")
    assert mark
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    findings = find_in_text(before + after, "flow.yaml")
    reported = [each for each in findings if (each.line, each.column, each.rule) == (line, column, mistake.rule)]
    assert [each.level for each in reported] == [mistake.level], [
        (e.line, e.column, e.rule, e.message) for e in findings
    ]
    assert mistake.hint in f"{reported[0].message} {reported[0].hint}"
    if not mistake.hint:
        assert correct_flow(FlowText(before + after, "flow.yaml"), check_source).flow.text == FLOW
