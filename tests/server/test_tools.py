"""Flows as tools of an agent, which can correct its calls from the error texts; with both clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from stepflow_client import History, InvalidArgumentError, StepflowRuntime, SyncStepflowClient
from stepflow_client.tools import FlowTools, SyncFlowTools, ToolResult

from tests.server.awaited import Awaited
from tests.server.conftest import open_client
from tests.server.flows import ECHO, FAIL, SLEEP, one_step

pytestmark = pytest.mark.anyio

ORDER = {
    "type": "object",
    "properties": {
        "item": {"type": "string", "enum": ["tea", "coffee"]},
        "count": {"type": "integer", "minimum": 1},
        "to": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["item", "count"],
    "additionalProperties": False,
}
FLOW = one_step(ECHO, name="order tea!", description="Orders tea.", schemas={"properties": {"input": ORDER}})


def tools_of(client: Any, flows: Any, **options: Any) -> Any:
    """Return async or blocking tools, like the client; the methods of both are awaited."""
    if isinstance(client, Awaited):
        return Awaited(SyncFlowTools(client.client, flows, **options))
    return FlowTools(client, flows, **options)


async def test_an_agent_can_correct_its_calls_from_the_error_texts(client: Any) -> None:
    tools = tools_of(client, [FLOW])
    results: list[ToolResult] = []
    for arguments in ({"itme": "tea", "count": 1}, {"item": "tee", "count": 1}, '{"item": "tea", "count": 0}'):
        results.append(await tools.call("order_tea", arguments))
    assert [each.text.split("\n- ")[1] for each in results] == [
        "itme: unknown field 'itme'; did you mean 'item'?",
        "item: 'tee' is not one of the allowed values; did you mean 'tea'?",
        "count: the schema expects at least 1, not 0",
    ]
    assert all(each.is_error and each.run_id is None and each.structured is None for each in results)
    done = await tools.call("order_tea", {"item": "tea", "count": 2, "to": None})
    assert not done.is_error
    assert done.structured == {
        "run_id": done.run_id,
        "status": "completed",
        "output": {"item": "tea", "count": 2, "to": None},
    }
    assert (await client.get_run(done.run_id)).status.value == "completed"


async def test_an_unknown_tool_is_an_error_result(client: Any) -> None:
    result = await tools_of(client, [FLOW]).call("order_coffee")
    assert result.is_error
    assert result.text == "unknown tool 'order_coffee'; did you mean 'order_tea'?"


async def test_a_failed_run_is_an_error_result(client: Any) -> None:
    result = await tools_of(client, {"break": one_step(FAIL, {"message": "no\nmore"})}).call("break")
    assert result.is_error
    assert result.run_id is not None
    assert result.structured is not None
    assert result.structured["status"] == "failed"
    assert "failed" in result.text
    assert "\n" not in result.text


async def test_a_long_run_continues_after_max_wait(client: Any) -> None:
    tools = tools_of(client, {"wait": one_step(SLEEP)}, max_wait=0.2)
    result = await tools.call("wait", {"input": {"seconds": 0.6, "value": "slept"}})
    assert not result.is_error
    assert result.structured is not None
    assert result.structured["status"] == "running"
    assert result.structured["next"] == f"Call wait_run with run_id {result.run_id} for its result."
    wrong = await tools.call("wait_run", {"run_id": str(UUID(int=7))})
    assert wrong.text == f"no call of these tools has started run {UUID(int=7)}\nHint: runs are: {result.run_id}"
    assert "- runid: unknown field 'runid'" in (await tools.call("wait_run", {"runid": result.run_id})).text
    early = await tools.call("wait_run", {"run_id": result.run_id, "seconds": 0.01})
    assert early.structured == result.structured
    late = await tools.call("wait_run", {"run_id": result.run_id}, max_wait=30)
    assert (late.run_id, late.structured["output"]) == (result.run_id, "slept")
    assert (await tools.call("wait", {"input": {"seconds": 0.1, "value": 1}}, max_wait=30)).structured["output"] == 1


async def test_a_late_failure_has_a_hint(client: Any) -> None:
    flow = one_step(SLEEP, {"seconds": 0.5, "value": 1})
    flow["output"] = [flow["output"], {"$input": "$.note.text"}]
    flow["schemas"] = {"properties": {"input": {"type": "object", "properties": {"note": {"type": "string"}}}}}
    tools = tools_of(client, {"late": flow}, max_wait=0.1)
    started = await tools.call("late", {"note": "x"})
    late = await tools.call("wait_run", {"run_id": started.run_id}, max_wait=30)
    now = await tools.call("late", {"note": "x"}, max_wait=30)
    assert late.is_error
    assert late.structured["error"] == now.structured["error"]


async def test_start_returns_a_handle(client: Any) -> None:
    tools = tools_of(client, [FLOW])
    # `Awaited.client` is the wrapped object, here the blocking tools.
    tool = Awaited(vars(tools)["client"]["order_tea"]) if isinstance(tools, Awaited) else tools["order_tea"]
    handle = await tool.start({"item": "tea", "count": 1})
    assert (await client.get_result(handle.run_id, timeout=30)).output == {"item": "tea", "count": 1}
    with pytest.raises(InvalidArgumentError, match="count: the schema expects integer"):
        await tool.start({"item": "tea", "count": "1"})


async def test_a_repeated_call_with_a_key_is_one_run(client: Any) -> None:
    tools = tools_of(client, [FLOW])
    results = [await tools.call("order_tea", {"item": "tea", "count": 1}, idempotency_key="call-7") for _ in range(2)]
    assert not results[0].is_error
    assert results[0] == results[1]


async def test_a_runtime_runs_tools(worker_runtime: StepflowRuntime) -> None:
    result = await FlowTools(worker_runtime, FLOW).call("order_tea", {"item": "tea", "count": 1})
    assert result.structured == {"run_id": result.run_id, "status": "completed", "output": {"item": "tea", "count": 1}}


async def test_variables_belong_to_the_owner_of_the_tools(worker_runtime: StepflowRuntime, tmp_path: Path) -> None:
    declared = {"type": "object", "properties": {"key": {"type": "string", "is_secret": True}}, "required": ["key"]}
    flow = one_step(ECHO, {"$variable": "key"}, name="secretive", schemas={"properties": {"variables": declared}})
    other = one_step(ECHO, 1, name="other", schemas={"properties": {"variables": {"properties": {"x": {}}}}})
    history = History(tmp_path / "history.db")
    for kind in ("async", "sync"):
        async with open_client(kind, worker_runtime.url, history=history) as client:
            tools = tools_of(client, [flow, other], variables={"key": "hunter2"}, labels={"agent": kind})
            result = await tools.call("secretive", {})
            assert result.structured is not None
            assert result.structured["output"] == "***"
            assert "hunter2" not in f"{result}"
            assert (await tools.call("other", {})).structured["output"] == 1
            assert len(history.search(labels={"agent": kind})) == 2


def test_tools_are_a_sequence_and_convert_to_api_formats(tmp_path: Path) -> None:
    path = tmp_path / "my-flow.yaml"
    path.write_text("steps: []\noutput: 1\n")
    with SyncStepflowClient("http://localhost:9") as client:
        tools = SyncFlowTools(client, [FLOW, FLOW, path])
        assert [tool.name for tool in tools] == ["order_tea", "order_tea_2", "my-flow"]
        assert (len(tools), tools[0].name, tools["my-flow"].flow["output"]) == (3, "order_tea", 1)
        assert [tool.name for tool in tools[1:]] == ["order_tea_2", "my-flow"]
        assert f"{tools}" == "<SyncFlowTools order_tea, order_tea_2, my-flow>"
        (chat, *_), (response, *_) = tools.to_openai(), tools.to_openai(api="responses")
        assert chat["function"]["parameters"] == response["parameters"] == ORDER
        assert tools.to_anthropic()[0] == {
            "name": "order_tea",
            "description": "Orders tea.",
            "input_schema": ORDER,
        }
        waiting = SyncFlowTools(client, {"wait_run": FLOW}, max_wait=1)
        assert [each["name"] for each in waiting.to_anthropic()] == ["wait_run_2", "wait_run"]
        assert [each["function"]["name"] for each in waiting.to_openai()] == ["wait_run_2", "wait_run"]
        result = tools.call("order_tea", {"item": "tea", "count": 1})
        assert result.is_error
        assert "localhost:9" in result.text
        for wrong in ({"max_wait": -1}, {"variables": 3}):
            with pytest.raises(InvalidArgumentError):
                SyncFlowTools(client, [FLOW], **wrong)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError):
            tools.to_openai(api="other")  # type: ignore[arg-type]
