"""Which test cases are selected."""

from __future__ import annotations

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
    ("expression", "chosen"),
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
def test_an_expression_is_compared_with_names_and_tags(expression: str, chosen: list[str]) -> None:
    assert [case.name for case in select_cases(CASES, expression=expression)] == chosen


@pytest.mark.parametrize("expression", [" ", "and", "tea and", "(tea", "tea)", "not", "or tea", "tea or", "()"])
def test_a_malformed_expression_is_an_error(expression: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is incomplete"):
        select_cases(CASES, expression=expression)


def test_all_conditions_apply_together() -> None:
    assert [each.name for each in select_cases(CASES, ["*tea"], ["slow"], expression="a")] == ["black tea"]
    assert select_cases(CASES, ["green*"], ["slow"]) == []


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
    found = tuple(
        FlowCase(str(index), index, given, None, mocks={each: {"outcome": "success", "result": 1} for each in mocked})
        for index, (given, mocked) in enumerate(cases)
    )
    return FlowTests(Path("flow.yaml"), yaml.safe_load(FLOW), found)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("audit", "0123"),
        ("/log/audit", "0123"),
        ("each", "0"),
        ("inner", "0"),
        ("/shop/inner", "0"),
        ("idle", ""),
        ("dear", "123"),
        # Whether it is dear is only known when the run asks for the price.
        ("gift", "12"),
        ("wrap", "1"),
        ("/shop/price", "0123"),
        ("unneeded", ""),
    ],
)
def test_a_case_touches_what_its_run_may_execute(name: str, chosen: str) -> None:
    tests = with_cases(
        ({"way": True, "audited": True}, ()),
        ({"way": False, "audited": None}, ()),
        # Nothing is read for a step with a mock.
        ({"way": None, "audited": None}, ("gift",)),
        ({"audited": None}, ("dear",)),
    )
    assert "".join(case.name for case in touching(tests, [name])) == chosen
