"""The client refuses runs that a server would reject, fail or misread, and accepts IDs of stored flows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from stepflow_client import (
    InvalidArgumentError,
    InvalidRequestError,
    NotFoundError,
    StepflowRuntime,
    SyncStepflowClient,
)

KEY = {"$variable": "key"}
SCHEMAS = {"properties": {"variables": {"properties": {"key": {"type": "string"}}, "required": ["key"]}}}


def step(name: str, prompt: Any, **more: Any) -> dict[str, Any]:
    return {"id": name, "component": "/builtin/create_messages", "input": {"user_prompt": prompt}, **more}


def flow(output: Any, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": SCHEMAS, "steps": list(steps), "output": output}


FAILING = {
    "output": flow(KEY),
    "subpath": flow({"$variable": "$.key.part"}),
    "first alternative": flow({"$coalesce": [KEY, 1]}),
    "needed step": flow({"$step": "a"}, step("a", KEY)),
    "chain": flow({"$step": "b"}, step("a", KEY), {**step("b", 1), "input": {"user_prompt": "", "y": {"$step": "a"}}}),
    "default of the step": flow(
        {"$step": "a"}, step("a", KEY, onError={"action": "useDefault", "defaultValue": 1})
    ),
}  # fmt: skip
RUNNING = {
    "unread": flow(1),
    "unneeded step": flow(1, step("a", KEY)),
    "inline default": flow({"$variable": "key", "default": 1}),
    "literal": flow({"$literal": KEY}),
    "branch not taken": flow({"$if": None, "then": KEY, "else": 1}),
    "condition": flow({"$if": KEY, "then": 2, "else": 1}),
    "failed step in a condition": flow({"$if": {"$step": "a"}, "then": 2, "else": 1}, step("a", KEY)),
    "second alternative": flow({"$coalesce": [1, KEY]}),
}


@pytest.fixture
def client(runtime: StepflowRuntime) -> SyncStepflowClient:
    return runtime.sync_client


def server_runs(client: SyncStepflowClient, content: dict[str, Any], **arguments: Any) -> bool:
    """Return whether the server runs a flow without the client's checks, which need to know the flow."""
    flow_id = client.store_flow(content).flow_id
    with SyncStepflowClient(client.url) as other:
        run = other.create_run(flow_id, None, **arguments)
        return other.get_result(run.run_id, timeout=30).is_success


@pytest.mark.parametrize("name", FAILING)
def test_a_run_that_would_fail_is_refused(client: SyncStepflowClient, name: str) -> None:
    assert not server_runs(client, FAILING[name])
    with pytest.raises(InvalidArgumentError, match="requires the variable 'key'"):
        client.run(FAILING[name])
    result = client.run(FAILING[name], variables={"key": "given"}, timeout=30)
    # A string has no subpath; all other flows run.
    assert result.is_success == (name != "subpath")


@pytest.mark.parametrize("name", RUNNING)
def test_a_run_that_would_succeed_is_accepted(client: SyncStepflowClient, name: str) -> None:
    assert server_runs(client, RUNNING[name])
    assert client.run(RUNNING[name], timeout=30).is_success


def test_a_step_with_must_execute_needs_its_variables(client: SyncStepflowClient) -> None:
    # The server completes the run, but the step fails.
    content = flow(1, step("a", KEY, mustExecute=True))
    flow_id = client.store_flow(content).flow_id
    with SyncStepflowClient(client.url) as other:
        run = other.create_run(flow_id)
        other.wait_run(run.run_id, timeout=30)
        assert [each.status.value for each in other.get_run_steps(run.run_id).steps] == ["failed"]
    with pytest.raises(InvalidArgumentError):
        client.run(content)


def test_overrides(client: SyncStepflowClient) -> None:
    content = {"steps": [step("a", "x"), step("b", "y")], "output": {"$step": "a", "path": "$.messages[0].content"}}
    override = {"id": "a", "input": {"user_prompt": "z"}, "onError": None, "mustExecute": True, "metadata": {"k": 1}}
    assert client.run(content, None, {"a": override, "b": {}}, timeout=30).output == "z"
    with pytest.raises(InvalidArgumentError, match="did you mean 'a'"):
        client.run(content, None, {"a1": {"input": 1}})
    # The server ignores unknown keys, so the input stays unchanged.
    assert server_runs(client, content, overrides={"a": {"inputs": {"user_prompt": "z"}}})
    with pytest.raises(InvalidArgumentError, match="did you mean 'input'"):
        client.run(content, None, {"a": {"inputs": {"user_prompt": "z"}}})
    with pytest.raises(InvalidRequestError, match="overrides"):
        server_runs(client, content, overrides={"c": {"input": 1}})


def test_a_flow_id_can_replace_the_flow(client: SyncStepflowClient) -> None:
    content = {"name": "by id", "steps": [], "output": {"$input": "$.n"}}
    flow_id = client.store_flow(content).flow_id
    assert re.fullmatch("[0-9a-f]{64}", flow_id)
    with SyncStepflowClient(client.url) as other:
        assert other.run(flow_id, {"n": 5}, timeout=30).output == 5
        run_id = other.submit(flow_id, [{"n": 1}, {"n": 2}])
        assert [each.output for each in other.get_results(run_id, timeout=30)] == [1, 2]
        assert other.get_run(run_id).flow_id == flow_id
        assert other.validate(flow_id).is_valid
        with pytest.raises(NotFoundError):
            other.run("0" * 64, timeout=30)
        with pytest.raises(NotFoundError):
            other.validate("0" * 64)
