"""The graph of a flow: what its steps read, and which of them run."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client.flows.graph import FlowSteps, InnerFlow, find_inner_flow


def flow_of(output: Any, **inputs: Any) -> dict[str, Any]:
    steps = [{"id": name, "component": "/builtin/noop", "input": given} for name, given in inputs.items()]
    return {"steps": steps, "output": output}


def test_needed_steps() -> None:
    flow = flow_of(
        {"$if": {"$step": "a"}, "then": {"$step": "b"}, "else": {"$coalesce": [{"$step": "c"}, {"$step": "d"}]}},
        a=1, b={"$step": "e"}, c=1, d=1, e=1, unused={"$step": "a"},
    )  # fmt: skip
    assert FlowSteps(flow).find_steps_to_run() == {"a", "b", "c", "d", "e"}
    assert FlowSteps(flow).find_steps_to_run(certainly=True) == {"a"}
    flow["steps"][5]["mustExecute"] = True
    assert FlowSteps(flow).find_steps_to_run(certainly=True) == {"a", "unused"}


def test_a_default_makes_no_step_run_but_is_read() -> None:
    flow = flow_of({"$variable": "v", "default": {"$step": "a"}}, a=1, b={"$variable": "v", "default": {"$step": "a"}})
    assert FlowSteps(flow).find_steps_to_run() == set()
    assert FlowSteps(flow).find_downstream_steps(["a"]) == {"a", "b"}
    assert FlowSteps(flow).find_upstream_steps(["b"]) == {"a", "b"}


def test_the_first_keyword_decides_what_is_read() -> None:
    flow = flow_of(1, a=1, b={"$literal": 1, "$step": "a"}, c={"$if": 1, "then": 2, "$step": "a"}, d=[{"$step": "b"}])
    assert FlowSteps(flow).find_downstream_steps(["a"]) == {"a"}
    assert FlowSteps(flow).find_downstream_steps(["b"]) == {"b", "d"}


def test_components_of_steps_that_run() -> None:
    inner = {"steps": [{"id": "x", "component": "/python/inner"}], "output": {"$step": "x"}}
    steps = [
        {"id": "a", "component": "/python/a", "input": {"$step": "b"}},
        {"id": "b", "component": "/builtin/map", "input": {"workflow": {"$literal": inner}, "items": []}},
        {"id": "c", "component": "/python/unused"},
        {"id": "d", "component": "/python/always", "mustExecute": True},
        {"id": "e", "component": {"$input": "$"}, "mustExecute": True},
    ]
    found = FlowSteps({"steps": steps, "output": {"$step": "a"}}).find_components()
    assert found == {"/python/a", "/builtin/map", "/python/inner", "/python/always"}


def test_cycles() -> None:
    flow = flow_of(1, start={"$step": "a"}, a={"$step": "c"}, b=[{"$step": "a"}], c={"$step": "b"}, free=1)
    steps = FlowSteps(flow)
    assert steps.find_cycle() == ["a", "c", "b", "a"]
    assert steps.cyclic_steps == {"a", "b", "c"}
    assert steps.find_shortest_path("start", "b") == ["start", "a", "c", "b"]
    assert steps.find_shortest_path("a", "free") == []
    assert FlowSteps(flow_of(1, a={"$step": "a"})).find_cycle() == ["a", "a"]
    assert FlowSteps(flow_of(1, a={"$literal": {"$step": "a"}}, b={"$step": "gone"})).find_cycle() == []
    # A default is not waited for.
    assert FlowSteps(flow_of(1, a={"$variable": "v", "default": {"$step": "a"}})).find_cycle() == []


def test_a_long_chain_in_any_order() -> None:
    inputs = {f"s{i}": {"$step": f"s{i + 1}"} for i in range(20_000)}
    steps = FlowSteps(flow_of({"$step": "s0"}, **inputs, s20000=1))
    assert len(steps.find_steps_to_run()) == len(steps.find_upstream_steps(["s0"])) == 20_001
    assert len(steps.find_downstream_steps(["s20000"])) == 20_001
    assert not steps.cyclic_steps


@pytest.mark.parametrize(
    ("component", "given", "expected"),
    [
        ("/builtin/map", {"workflow": {"$literal": {"steps": []}}}, ({"steps": []}, "workflow", True)),
        ("/builtin/iterate", {"flow": {"output": 1}}, ({"output": 1}, "flow", False)),
        ("/builtin/put_blob", {"data": {"output": 1}, "blob_type": "flow"}, ({"output": 1}, "data", False)),
        ("/builtin/put_blob", {"data": {"output": 1}, "blob_type": "data"}, None),
        ("/builtin/map", {"workflow": {"$step": "stored"}}, None),
        ("/builtin/map", {"$input": "$"}, None),
        ("/builtin/eval", {"flow": {"output": 1}}, None),
    ],
)
def test_flows_inside_steps(component: str, given: Any, expected: tuple[Any, str, bool] | None) -> None:
    found = find_inner_flow({"component": component, "input": given})
    if expected is None:
        assert found is None
    else:
        flow, key, is_escaped = expected
        assert found == InnerFlow(flow, ("input", key, "$literal") if is_escaped else ("input", key), is_escaped)


def test_a_flow_whose_parts_are_escaped_is_the_one_that_its_runs_get() -> None:
    schemas = {"properties": {"variables": {"properties": {"eur": {"default": {"$step": "price"}}}}}}
    workflow = {"schemas": schemas, "steps": {"$literal": [{"id": "a"}]}, "output": {"$literal": {"$step": "a"}}}
    step = {"component": "/builtin/map", "input": {"workflow": workflow}}
    flow = {"schemas": schemas, "steps": [{"id": "a"}], "output": {"$step": "a"}}
    assert find_inner_flow(step) == InnerFlow(flow, ("input", "workflow"), True, ("steps", "output"))
    # If only one of them is, the other one is evaluated in the outer flow.
    half = find_inner_flow({**step, "input": {"workflow": {**workflow, "output": {"$step": "a"}}}})
    assert half is not None
    assert not half.is_escaped
