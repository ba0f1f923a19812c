"""The fake server behaves like a real one."""

from __future__ import annotations

from typing import Any

import pytest
from stepflow_client import (
    ErrorCode,
    ExecutionStatus,
    InvalidFlowError,
    NotFoundError,
    StepflowRuntime,
    SyncStepflowClient,
)
from stepflow_client.testing import fake_server

FLOW: dict[str, Any] = {
    "name": "order",
    "steps": [
        {"id": "price", "component": "/shop/price", "input": {"sku": {"$input": "$.sku"}}},
        {"id": "twice", "component": "/shop/twice", "input": {"$step": "price", "path": "$.eur"}},
    ],
    "output": {"total": {"$step": "twice"}, "note": {"$variable": "note", "default": "none"}},
}


def components(**more: Any) -> dict[str, Any]:
    return {"/shop/price": {"eur": 3}, "/shop/twice": lambda value: value * 2, **more}


def test_run_items_steps_and_events() -> None:
    server = fake_server(components())
    with server.sync_client() as client:
        result = client.run(FLOW, {"sku": "tea"})
        assert result.output == {"total": 6, "note": "none"}
        run = client.get_run(result.run_id)
        assert (run.status, run.items.completed, run.flow_name) == (ExecutionStatus.COMPLETED, 1, "order")
        assert [(step.step_id, step.output) for step in client.get_run_steps(result.run_id)] == [
            ("price", {"eur": 3}),
            ("twice", 6),
        ]
        assert [event.type for event in client.run_events(result.run_id)] == [
            "run_created",
            "steps_needed",
            "step_started",
            "step_completed",
            "step_started",
            "step_completed",
            "run_completed",
        ]
        assert [each.run_id for each in client.list_runs(limit=10).runs] == [result.run_id]
    assert server.calls == [("/shop/price", {"sku": "tea"}), ("/shop/twice", 3)]


async def test_async_client() -> None:
    async with fake_server(components()).client() as client:
        run_id = await client.submit(FLOW, [{"sku": "tea"}, {}], variables={"note": "x"})
        results = await client.get_results(run_id)
    assert [result.status.value for result in results] == ["completed", "failed"]
    assert results[0].output == {"total": 6, "note": "x"}
    assert results[1].error.message == "Input path $.sku not found"
    assert results[1].error.code is ErrorCode.EXPRESSION_FAILED


def test_failing_component_and_error_handling() -> None:
    def fail(value: Any) -> Any:
        raise ValueError("too dear")

    server = fake_server(components(**{"/shop/price": fail}))
    handled = {**FLOW, "steps": [{**FLOW["steps"][0], "onError": {"action": "useDefault", "defaultValue": {"eur": 1}}}]}
    handled |= {"output": {"$step": "price"}}
    with server.sync_client() as client:
        failed = client.run(FLOW, {"sku": "tea"})
        assert (failed.error.code, failed.error.message) == (ErrorCode.COMPONENT_FAILED, "too dear")
        assert client.run(handled, {"sku": "tea"}).output == {"eur": 1}


def test_requests_that_the_fake_server_refuses() -> None:
    with fake_server().sync_client() as client:
        with pytest.raises(InvalidFlowError, match="undefined step 'nobody'"):
            client.run({"steps": [], "output": {"$step": "nobody"}})
        with pytest.raises(NotFoundError):
            client.get_run("00000000-0000-0000-0000-000000000000")
        result = client.run({"steps": [{"id": "a", "component": "/no/such"}], "output": {"$step": "a"}})
        assert result.error.code is ErrorCode.ORCHESTRATOR


def test_same_results_as_a_real_server(newest_server: StepflowRuntime) -> None:
    steps = [
        {"id": "a", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.who"}}},
        {"id": "b", "component": "/builtin/noop", "input": [{"$step": "a"}, {"$literal": {"$step": "x"}}, 5]},
        {"id": "c", "component": "/no/such", "input": {"$step": "b"}},
        {"id": "d", "component": "/builtin/noop", "input": {"$variable": "v", "default": [{"$input": "$.who"}]}},
    ]
    outputs: list[Any] = [
        {"$step": "b"},
        {"$step": "c"},
        {"$if": {"$step": "c"}, "then": 1, "else": {"$coalesce": [None, {"$input": "$.none"}]}},
        {"$if": {"$input": "$.no"}, "then": 1, "else": {"$input": "$.who"}},
        {"$coalesce": [{"$input": "$.none"}, 0]},
        {"all": {"$step": "d", "path": "$[0]"}, "b": {"$step": "b"}},
        {"$input": "$.list[1]['x']"},
        {"$variable": "missing"},
    ]
    value = {"who": "Bob", "none": None, "list": [1, {"x": 2}]}
    with fake_server().sync_client() as fake, SyncStepflowClient(newest_server.url) as real:
        for output in outputs:
            flow = {"name": "x", "steps": steps, "output": output}
            results = [client.run(flow, value) for client in (fake, real)]
            outcomes = [(each.status, each.output, each.error and each.error.code) for each in results]
            assert outcomes[0] == outcomes[1], output


INNER = {"steps": [{"id": "n", "component": "/builtin/noop", "input": {"$input": "$.x"}}]}
SUB_FLOWS: list[Any] = [
    (
        "/builtin/map",
        {"workflow": {"$literal": {**INNER, "output": {"$step": "n"}}}, "items": [{"x": 1}, {}, {"x": "s"}]},
    ),
    ("/builtin/map", {"workflow": {"$literal": {"output": {"$variable": "v"}}}, "items": [1]}),
    ("/builtin/map", {"workflow": {"$literal": INNER}, "items": []}),
    ("/builtin/iterate", {"flow": {"$literal": {"output": {"result": {"$input": "$"}}}}, "initial_input": 5}),
    ("/builtin/iterate", {"flow": {"$literal": {"output": {"next": [1]}}}, "initial_input": 5, "max_iterations": 3}),
    ("/builtin/iterate", {"flow": {"$literal": {"output": {}}}, "initial_input": 5}),
    ("/builtin/iterate", {"flow": {"$literal": {"output": {"$input": "a.b c"}}}, "initial_input": {}}),
    ("/builtin/sleep", {"duration_ms": 1, "passthrough": {"a": [1, None]}}),
    ("/builtin/put_blob", {"data": [1, "x"], "blob_type": "data"}),
]


@pytest.mark.parametrize(("component", "value"), SUB_FLOWS)
def test_same_results_for_builtin_components(newest_server: StepflowRuntime, component: str, value: Any) -> None:
    flow = {"steps": [{"id": "s", "component": component, "input": value}], "output": {"$step": "s"}}
    server = fake_server()
    with server.sync_client() as fake, SyncStepflowClient(newest_server.url) as real:
        run_id = fake.submit(flow)
        server.advance(1)
        results = [fake.get_result(run_id), real.run(flow)]
    outcomes = [(each.status, each.output, each.error and (each.error.code, each.error.message)) for each in results]
    assert outcomes[0] == outcomes[1]


def test_same_events_as_a_real_server(newest_server: StepflowRuntime) -> None:
    steps = [
        {"id": "a", "component": "/builtin/noop", "input": {"$input": "$"}},
        {"id": "b", "component": "/builtin/noop", "input": {"$step": "a"}},
        {"id": "c", "component": "/builtin/noop", "input": {"$step": "a", "path": "$.none"}},
        {"id": "d", "component": "/no/such", "input": {"$step": "c"}},
        {"id": "e", "component": "/no/such", "input": {"$step": "a"}},
    ]
    flow = {"steps": steps, "output": [{"$step": name} for name in "bcde"]}
    observed: list[Any] = []
    with fake_server().sync_client() as fake, SyncStepflowClient(newest_server.url) as real:
        for client in (fake, real):
            events = [*client.run_events(client.submit(flow, {"x": 1}), include_results=True)]
            started = [event.step_id for event in events if event.type == "step_started"]
            ended = [(event.step_id, event.status, event.output) for event in events if event.type == "step_completed"]
            read = client.get_run_steps(events[0].run_id)
            errors = {step.step_id: step.error and (step.error.code, step.error.message) for step in read}
            observed.append(
                (events[0].type, events[-1].type, events[-1].status, sorted(started), sorted(ended, key=str))
            )
            observed[-1] += (errors,)
    assert observed[0] == observed[1]
