"""Which steps variants share, and that a variant without them returns the same."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client.flows.interpreter import Evaluation, Failure, flow_with
from stepflow_client.flows.sharing import VariantFlow, rest_of_variant, shared_part, shared_steps, variables_of


def step(name: str, given: Any, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": "/python/echo", "input": given, **more}


def flow(*steps: dict[str, Any], output: Any) -> dict[str, Any]:
    return {"name": "shared", "steps": list(steps), "output": output}


INNER = {"steps": [], "output": {"$input": "$.n"}}
EXTRA = {"$step": "extra"}
LAST = step("last", {"$variable": "model"})
FLOW = flow(
    step("find", {"n": {"$input": "$.n"}, "null": None, "tone": {"$variable": "tone", "default": "plain"}}),
    step("rank", [{"$step": "find", "path": "$.n"}, {"$literal": {"$input": "$.n"}}]),
    step("extra", {"$input": "$.none"}),
    step("answer", {"rank": {"$step": "rank"}, "which": {"$variable": "model"}, "inner": {"$literal": INNER}}),
    step(
        "check", {"$if": {"$step": "answer", "path": "$.which"}, "then": {"$step": "find"}, "else": {"$step": "extra"}}
    ),
    output={
        "answer": {"$step": "answer"},
        "check": {"$step": "check"},
        "all": {"$input": "$"},
        "null": {"$step": "find", "path": "$.null"},
        "first": {"$coalesce": [{"$step": "find", "path": "$.null"}, {"$input": "n"}]},
    },
)


def outcome(flow: Any, given: Any, variables: Any) -> Any:
    def call(path: str, given: Any) -> Any:
        if isinstance(given, dict) and given.get("n") == "fails":
            raise Failure(3, "no such n", is_own=True)
        return given

    return Evaluation(flow, given, variables, call).run()


def check_same(variants: list[VariantFlow], given: Any) -> None:
    shared = shared_steps(variants)
    part = shared_part(variants[0].flow, shared)
    outputs = outcome(part, given, variables_of(part, variants[0].variables))
    for variant in variants:
        rest = rest_of_variant(variant.flow, shared)
        assert not {each["id"] for each in rest.flow["steps"]} & set(shared)
        variables = variables_of(rest.flow, variant.variables)
        assert outcome(rest.flow, rest.input_of(given, outputs), variables) == outcome(
            variant.flow, given, variant.variables
        )


def test_steps_before_a_change_are_shared() -> None:
    variants = [VariantFlow(FLOW, {"model": "a"}), VariantFlow(FLOW, {"model": "b"})]
    assert shared_steps(variants) == ["find", "rank"]
    check_same(variants, {"n": 3, "none": 1})


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({"find": {"input": {"n": 5}}}, []),
        ({"rank": {"component": "/python/other"}}, ["find"]),
        ({"rank": {"onError": {"action": "useDefault", "defaultValue": 1}}}, ["find"]),
        ({"answer": {"input": {"more": {"$input": "$.n"}}}}, ["find", "rank"]),
        ({"check": {"input": {"$if": None}}}, ["find", "rank", "answer"]),
        ({}, ["find", "rank", "answer", "check"]),
    ],
)
def test_what_a_variant_overrides_is_not_shared(change: Any, shared: list[str]) -> None:
    variables = {"model": "a"}
    variants = [VariantFlow(FLOW, variables), VariantFlow(flow_with(FLOW, {"steps": change}), variables)]
    assert shared_steps(variants) == shared
    check_same(variants, {"n": 3, "none": 1})


def test_steps_that_read_other_variables_are_not_shared() -> None:
    assert shared_steps([VariantFlow(FLOW, {"model": "a", "tone": "x"}), VariantFlow(FLOW, {"model": "a"})]) == []


def test_inner_flows_read_variables_too() -> None:
    inner = {"$literal": {"steps": [], "output": {"$variable": "model"}}}
    mapped = {"id": "map", "component": "/builtin/map", "input": {"items": [1], "workflow": inner}}
    of_items = flow(mapped, output={"$step": "map"})
    assert shared_steps([VariantFlow(of_items, {"model": "a"}), VariantFlow(of_items, {"model": "b"})]) == []


def test_steps_that_may_not_run_are_not_shared() -> None:
    chosen = {"$if": {"$input": "$.n"}, "then": {"$step": "find"}, "else": {"$step": "rank"}}
    of_one = flow(step("find", 1), step("rank", 2), LAST, output=[chosen, {"$step": "last"}])
    assert shared_steps([VariantFlow(of_one, {"model": "a"}), VariantFlow(of_one, {"model": "b"})]) == []


def test_a_single_variant_shares_nothing() -> None:
    assert shared_steps([VariantFlow(FLOW, {"model": "a"})]) == []


def test_what_is_missing_is_missing_without_the_shared_steps() -> None:
    of_missing = flow(
        step("find", 1), step("last", {"$variable": "model"}), output=[{"$step": "find"}, {"$step": "last"}]
    )
    for read in ({"$step": "find", "path": "$.x"}, {"$input": "$.x"}):
        variants = [
            VariantFlow({**of_missing, "output": [*of_missing["output"], read]}, {"model": name}) for name in "ab"
        ]
        rest = rest_of_variant(variants[0].flow, shared_steps(variants))
        with pytest.raises(Failure, match="not found"):
            outcome(rest.flow, rest.input_of({}, {"find": 1}), {"model": "a"})


def test_odd_names_and_other_schemas() -> None:
    odd = {
        **flow(step("find", {"a.b": 1, "": 2}), LAST, output=[
            {"$step": "find", "path": '$["a.b"]'}, {"$input": '$["x y"][1]'}, {"$step": "last"},
        ]),
        "schemas": {"type": "object", "properties": {"input": {"type": "object"}, "output": {"type": "array"}}},
    }  # fmt: skip
    variants = [VariantFlow(odd, {"model": name}) for name in "ab"]
    assert shared_steps(variants) == ["find"]
    check_same(variants, {"x y": [1, {"deep": [2]}]})
    assert "output" not in shared_part(odd, ["find"])["schemas"]["properties"]
    assert rest_of_variant(odd, ["find"]).flow["schemas"]["properties"] == {}
