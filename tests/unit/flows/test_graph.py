"""The graph of a flow: which steps read others, and which steps run."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client.flows.graph import FlowSteps, InnerFlow, find_inner_flow, get_steps_by_id, iter_steps


def flow_of(output: Any, **inputs: Any) -> dict[str, Any]:
    steps = [{"id": name, "component": "/builtin/noop", "input": step_input} for name, step_input in inputs.items()]
    return {"steps": steps, "output": output}


def test_find_steps_to_run() -> None:
    flow = flow_of(
        {"$if": {"$step": "a"}, "then": {"$step": "b"}, "else": {"$coalesce": [{"$step": "c"}, {"$step": "d"}]}},
        a=1, b={"$step": "e"}, c=1, d=1, e=1, unused={"$step": "a"},
    )  # fmt: skip
    assert FlowSteps(flow).find_steps_to_run() == {"a", "b", "c", "d", "e"}
    assert FlowSteps(flow).find_steps_to_run(certainly=True) == {"a"}
    flow["steps"][5]["mustExecute"] = True
    assert FlowSteps(flow).find_steps_to_run(certainly=True) == {"a", "unused"}


def test_a_default_is_read_but_makes_no_step_run() -> None:
    flow = flow_of({"$variable": "v", "default": {"$step": "a"}}, a=1, b={"$variable": "v", "default": {"$step": "a"}})
    assert FlowSteps(flow).find_steps_to_run() == set()
    assert FlowSteps(flow).find_downstream_steps(["a"]) == {"a", "b"}
    assert FlowSteps(flow).find_upstream_steps(["b"]) == {"a", "b"}


def test_the_first_keyword_decides_what_is_read() -> None:
    flow = flow_of(1, a=1, b={"$literal": 1, "$step": "a"}, c={"$if": 1, "then": 2, "$step": "a"}, d=[{"$step": "b"}])
    assert FlowSteps(flow).find_downstream_steps(["a"]) == {"a"}
    assert FlowSteps(flow).find_downstream_steps(["b"]) == {"b", "d"}


def test_find_components_of_steps_that_run() -> None:
    inner = {"steps": [{"id": "x", "component": "/python/inner"}], "output": {"$step": "x"}}
    steps = [
        {"id": "a", "component": "/python/a", "input": {"$step": "b"}},
        {"id": "b", "component": "/builtin/map", "input": {"workflow": {"$literal": inner}, "items": []}},
        {"id": "c", "component": "/python/unused"},
        {"id": "d", "component": "/python/always", "mustExecute": True},
        {"id": "e", "component": {"$input": "$"}, "mustExecute": True},
    ]
    components = FlowSteps({"steps": steps, "output": {"$step": "a"}}).find_components()
    assert components == {"/python/a", "/builtin/map", "/python/inner", "/python/always"}


def test_cycles_are_found() -> None:
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
    ("component", "step_input", "expected"),
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
def test_find_inner_flow(component: str, step_input: Any, expected: tuple[Any, str, bool] | None) -> None:
    inner_flow = find_inner_flow({"component": component, "input": step_input})
    if expected is None:
        assert inner_flow is None
    else:
        flow, key, is_escaped = expected
        assert inner_flow == InnerFlow(flow, ("input", key, "$literal") if is_escaped else ("input", key), is_escaped)


def test_a_flow_with_escaped_parts_is_unescaped() -> None:
    schemas = {"properties": {"variables": {"properties": {"eur": {"default": {"$step": "price"}}}}}}
    workflow = {"schemas": schemas, "steps": {"$literal": [{"id": "a"}]}, "output": {"$literal": {"$step": "a"}}}
    step = {"component": "/builtin/map", "input": {"workflow": workflow}}
    flow = {"schemas": schemas, "steps": [{"id": "a"}], "output": {"$step": "a"}}
    assert find_inner_flow(step) == InnerFlow(flow, ("input", "workflow"), True, ("steps", "output"))
    # If only one part is escaped, the other one is evaluated in the outer flow.
    partly_escaped = find_inner_flow({**step, "input": {"workflow": {**workflow, "output": {"$step": "a"}}}})
    assert partly_escaped is not None
    assert not partly_escaped.is_escaped


def test_which_nested_flows_run_as_written() -> None:
    for flow, is_escaped, expected in (
        ({"output": {"$step": "a"}}, True, True),
        ({"output": {"$step": "a"}}, False, False),
        ({"output": {"step": "a"}}, False, True),
    ):
        assert InnerFlow(flow, (), is_escaped).runs_as_written is expected


def test_malformed_steps_are_skipped() -> None:
    steps = FlowSteps({"steps": [{"id": "a", "input": 1}, 5, {"id": 5}, {}, {"id": "b"}, {"id": "a", "input": 2}]})
    assert [(step.index, step.id) for step in steps.all] == [(0, "a"), (4, "b"), (5, "a")]
    assert steps.by_id == {"a": steps.all[0], "b": steps.all[1]}
    assert FlowSteps({"steps": {"a": 1}}).all == FlowSteps({}).all == []
    assert list(iter_steps(5)) == []
    assert get_steps_by_id({"steps": ({"id": "a"},)}) == {"a": {"id": "a"}}
    assert not FlowSteps({"steps": [{"id": "a", "mustExecute": 1}]}).by_id["a"].must_execute


def test_steps_of_nested_flows_are_found_at_any_depth() -> None:
    inner: dict[str, Any] = {"steps": [{"id": "deep"}, {"id": "unused"}], "output": {"$step": "deep"}}
    for name in ("middle", "outer"):
        step_input = {"workflow": {"$literal": inner}, "items": []}
        inner = {"steps": [{"id": name, "component": "/builtin/map", "input": step_input}], "output": {"$step": name}}
    assert [step["id"] for step in iter_steps(inner)] == ["outer", "middle", "deep", "unused"]
    assert [step["id"] for step in iter_steps(inner, needed=True)] == ["outer", "middle", "deep"]
    assert FlowSteps(inner).inner_step_ids == {"middle", "deep", "unused"}


def test_steps_to_run_depend_on_which_references_are_read() -> None:
    steps = FlowSteps(flow_of([{"$step": "c"}, {"$step": "gone"}], a=1, b=1, c=[{"$step": "a"}, {"$step": "b"}]))
    assert steps.find_steps_to_run() == {"a", "b", "c"}
    assert steps.find_steps_to_run(unread=["c"]) == {"c"}
    assert steps.find_steps_to_run(may_read=lambda read: read.step != "a") == {"b", "c"}


def test_the_shorter_of_two_paths_is_returned() -> None:
    steps = FlowSteps(flow_of(1, a=[{"$step": "b"}, {"$step": "d"}], b={"$step": "c"}, c={"$step": "d"}, d=1))
    assert steps.find_shortest_path("a", "d") == ["a", "d"]
    assert steps.find_shortest_path("b", "d") == ["b", "c", "d"]
    assert steps.cyclic_steps == set()
    two_cycles = FlowSteps(
        flow_of(1, a={"$step": "a"}, b={"$step": "a"}, c=[{"$step": "b"}, {"$step": "c"}], d={"$step": "c"})
    )
    assert two_cycles.cyclic_steps == {"a", "b", "c"}
