"""Select test cases by name, tag, expression or touched step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_client import InvalidArgumentError
from stepflow_client._cases.case_selection import select_cases, touching
from stepflow_client._cases.flow_cases import FlowCase, FlowTests

NAMES = {"green tea": ("quick",), "black tea": ("slow",), "coffee": (), "no article": ("slow", "error")}
CASES = [FlowCase(name, index, None, None, tags) for index, (name, tags) in enumerate(NAMES.items())]


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("tea", ["green tea", "black tea"]),
        ("TEA and not slow", ["green tea"]),
        ("slow", ["black tea", "no article"]),
        ("not slow", ["green tea", "coffee"]),
        ("no article", ["no article"]),
        ("not (tea or coffee)", ["no article"]),
        ("not tea and not coffee or quick", ["green tea", "no article"]),
        ("Not not tea", ["green tea", "black tea"]),
        ("milk", []),
    ],
)
def test_expressions_match_names_and_tags(expression: str, selected: list[str]) -> None:
    assert [case.name for case in select_cases(CASES, expression=expression)] == selected


@pytest.mark.parametrize("expression", [" ", "and", "tea and", "(tea", "tea)", "not", "or tea", "tea or", "()"])
def test_a_malformed_expression_is_rejected(expression: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is incomplete"):
        select_cases(CASES, expression=expression)


def test_all_conditions_apply_together() -> None:
    assert [each.name for each in select_cases(CASES, ["*tea"], ["slow"], expression="a")] == ["black tea"]
    assert select_cases(CASES, ["green*"], ["slow"]) == []
    # A name with brackets selects its own case.
    listed = replace(CASES[0], name="tea [1]")
    assert select_cases([*CASES, listed], ["tea [1]"]) == [listed]


FLOW = """
steps:
  - {id: price, component: /shop/price, input: {$input: $.sku}}
  - {id: audit, component: /log/audit, mustExecute: true, input: {$if: {$input: $.audited}, then: {$step: price}}}
  - {id: gift, component: /shop/gift, input: {$step: wrap}}
  - {id: wrap, component: /shop/wrap}
  - {id: dear, component: /shop/dear, input: {$if: {$step: price, path: $.dear}, then: {$step: gift}}}
  - id: each
    component: /builtin/map
    input:
      items: {$input: $.items}
      workflow: {$literal: {steps: [{id: inner, component: /shop/inner}, {id: idle, component: /shop/idle}],
        output: {$step: inner}}}
  - {id: unneeded, component: /shop/unneeded}
output:
  way: {$if: {$input: $.way}, then: {$step: each}, else: {$coalesce: [{$step: dear}, {$step: price}]}}
"""


def with_cases(*cases: tuple[Any, tuple[str, ...]]) -> FlowTests:
    flow_cases = tuple(
        FlowCase(str(index), index, value, None, mocks={each: {"outcome": "success", "result": 1} for each in mocked})
        for index, (value, mocked) in enumerate(cases)
    )
    return FlowTests(Path("flow.yaml"), yaml.safe_load(FLOW), flow_cases)


@pytest.mark.parametrize(
    ("name", "selected"),
    [
        ("audit", "0123"),
        ("/log/audit", "0123"),
        ("each", "0"),
        ("inner", "0"),
        ("/shop/inner", "0"),
        ("idle", ""),
        ("dear", "123"),
        # The condition of 'dear' reads a step output, so it is only known at run time.
        ("gift", "12"),
        ("wrap", "1"),
        ("/shop/price", "0123"),
        ("unneeded", ""),
    ],
)
def test_a_case_touches_every_step_its_run_may_execute(name: str, selected: str) -> None:
    tests = with_cases(
        ({"way": True, "audited": True}, ()),
        ({"way": False, "audited": None}, ()),
        # A mocked step does not read its input.
        ({"way": None, "audited": None}, ("gift",)),
        ({"audited": None}, ("dear",)),
    )
    assert "".join(case.name for case in touching(tests, [name])) == selected
