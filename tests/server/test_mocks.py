"""Mocked steps that fail, vary or take time, also in sub-flows, on servers of every release."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from stepflow_client import (
    ErrorCode,
    ExecutionStatus,
    InvalidArgumentError,
    RunTimeoutError,
    StepflowRuntime as Runtime,
    SyncStepflowClient,
)
from stepflow_client.testing import Delayed, Fails, InTurn, StepflowMock, run_mocked

from tests import releases
from tests.differences import has

DRAFT = {"id": "draft", "component": "/model/paid", "input": {"q": {"$input": "$.q"}}}
READER = {"id": "reader", "component": "/builtin/create_messages", "input": {"user_prompt": {"$step": "draft"}}}
FLOW: dict[str, Any] = {
    "steps": [DRAFT, READER],
    "output": {"said": {"$step": "reader", "path": "$.messages[0].content"}},
}
WORDS = {
    "TIMEOUT": ErrorCode.TIMEOUT,
    "INVALID_INPUT": ErrorCode.INVALID_INPUT,
    "COMPONENT_FAILED": ErrorCode.COMPONENT_FAILED,
    "CANCELLED": ErrorCode.CANCELLED,
    "UNREACHABLE": ErrorCode.UNREACHABLE,
    "COMPONENT_NOT_FOUND": ErrorCode.COMPONENT_NOT_FOUND,
    "RESOURCE_UNAVAILABLE": ErrorCode.RESOURCE_UNAVAILABLE,
    "EXPRESSION_FAILURE": ErrorCode.EXPRESSION_FAILED,
    "ORCHESTRATOR_ERROR": ErrorCode.ORCHESTRATOR,
    "worker": ErrorCode.WORKER,
}
MESSAGES = (
    "too dear",
    "",
    " \"a\" 'b'\nnot found ] $.x é \N{SNOWMAN}",
    "x not found",
    "Input path $.mocked TIMEOUT: y not found",
)


@pytest.fixture
def client(runtime: Runtime) -> SyncStepflowClient:
    return runtime.sync_client


def handled(handler: dict[str, Any]) -> dict[str, Any]:
    return {**FLOW, "steps": [{**DRAFT, "onError": handler}, READER]}


@pytest.mark.parametrize("word", WORDS)
def test_a_mocked_failure_has_the_code_and_message_of_its_mock(
    client: SyncStepflowClient, release: str, word: str
) -> None:
    for message in MESSAGES:
        result = run_mocked(client, FLOW, {"q": 1}, mocks={"draft": Fails(word, message)})
        (item,) = client.get_run_items(result.run_id).items
        account = client.explain_run(result.run_id)
        assert item.result is not None
        for error in (result.error, item.result.error, account.error):
            assert error is not None
            assert (error.code, error.message, error.step_id) == (WORDS[word], message, "draft")
        assert account.cause == "draft"
        if has(release, "step_outputs"):
            for step in client.get_run_steps(result.run_id):
                assert step.error is not None
                assert (step.error.code, step.error.message) == (WORDS[word], message), step.step_id


@pytest.mark.parametrize("word", WORDS)
def test_error_handling_applies_to_mocked_failures(client: SyncStepflowClient, word: str) -> None:
    flow = handled({"action": "useDefault", "defaultValue": "none"})
    result = run_mocked(client, flow, {"q": 1}, mocks={"draft": Fails(word)})
    if word == "ORCHESTRATOR_ERROR":
        assert result.error is not None
        assert result.error.code is ErrorCode.ORCHESTRATOR
    else:
        assert result.output == {"said": "none"}


def test_a_failed_step_in_a_condition(client: SyncStepflowClient) -> None:
    flow = {**FLOW, "output": {"$if": {"$step": "draft"}, "then": 1, "else": 2}}
    assert run_mocked(client, flow, {"q": 1}, mocks={"draft": Fails()}).output == 2
    assert run_mocked(client, flow, {"q": 1}, mocks={"draft": "x"}).output == 1


def test_a_step_mock_precedes_a_component_mock(client: SyncStepflowClient) -> None:
    assert run_mocked(client, FLOW, {"q": 1}, mocks={"/model/paid": "paid"}).output == {"said": "paid"}
    both = {"/model/paid": "paid", "draft": "own"}
    assert run_mocked(client, FLOW, {"q": 1}, mocks=both).output == {"said": "own"}


def test_a_sequence_returns_an_outcome_per_attempt_and_run(client: SyncStepflowClient) -> None:
    started = time.monotonic()
    flow = handled({"action": "retry", "maxRetries": 2})
    mock = StepflowMock(client)
    outcomes = [
        Fails("COMPONENT_FAILED"),
        lambda step_input: Fails("COMPONENT_FAILED", "again"),
        lambda step_input: str(step_input["q"]),
    ]
    mock.mock("/model/paid", InTurn(*outcomes, Fails("TIMEOUT", "slow"), "last"))
    assert mock.run(flow, {"q": 7}).output == {"said": "7"}
    assert mock.calls == [("draft", {"q": 7})] * 3
    # Timeouts are not retried.
    failed = mock.run(flow, {"q": 8})
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (ErrorCode.TIMEOUT, "slow")
    assert [mock.run(flow, {"q": 9}).output for _ in range(2)] == [{"said": "last"}] * 2
    # Without a retry, the first failure is the outcome.
    once = run_mocked(client, FLOW, {"q": 1}, mocks={"draft": InTurn(Fails(message="first"), "second")})
    assert once.error is not None
    assert once.error.message == "first"
    # Unlike on a server, there is no delay between attempts.
    assert time.monotonic() - started < 15


def test_a_delay(client: SyncStepflowClient, release: str) -> None:
    mocks = {"draft": Delayed("slow", 0.8)}
    if releases.number(release) < (0, 13):
        with pytest.raises(InvalidArgumentError, match=r"needs /builtin/sleep, which servers have from 0\.13 on"):
            run_mocked(client, FLOW, {"q": 1}, mocks=mocks)
        return
    started = time.monotonic()
    assert run_mocked(client, FLOW, {"q": 1}, mocks=mocks).output == {"said": "slow"}
    assert time.monotonic() - started >= 0.8
    # The run that computes the input of a later step skips the delay.
    both = {**FLOW, "output": [{"$step": "draft"}, {"$step": "reader"}]}
    result = run_mocked(client, both, {"q": 1}, mocks={**mocks, "reader": lambda step_input: step_input["user_prompt"]})
    assert result.output == ["slow", "slow"]
    final, probe = [run for run in client.list_runs(limit=6).runs if run.parent_run_id is None][:2]
    assert final.run_id == result.run_id
    assert [run.completed_at - run.created_at >= timedelta(seconds=0.8) for run in (final, probe)] == [True, False]
    mock = StepflowMock(client)
    mock.mock("draft", fails="TIMEOUT", message="late", delay=0.4)
    started = time.monotonic()
    failed = mock.run(FLOW, {"q": 1})
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (ErrorCode.TIMEOUT, "late")
    assert time.monotonic() - started >= 0.4
    with pytest.raises(RunTimeoutError) as late:
        run_mocked(client, FLOW, {"q": 1}, mocks={"draft": Delayed({"$step": None}, 3)}, timeout=0.3)
    assert late.value.run_id is not None
    assert client.cancel_run(late.value.run_id).status is ExecutionStatus.CANCELLED


ADDED = {
    "steps": [
        {"id": "ask", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.q"}}},
        {"id": "draft", "component": "/model/paid", "input": {"$step": "ask", "path": "$.messages[0].content"}},
    ],
    "output": {"text": {"$step": "draft"}},
}
COUNT = {
    "steps": [{"id": "draft", "component": "/model/paid", "input": {"n": {"$input": "$"}}}],
    "output": {"$step": "draft"},
}


def with_map(inner: Any) -> dict[str, Any]:
    step_input = {"workflow": inner, "items": {"$input": "$.items"}}
    return {"steps": [{"id": "each", "component": "/builtin/map", "input": step_input}], "output": {"$step": "each"}}


def test_mocks_reach_the_steps_that_map_runs(client: SyncStepflowClient) -> None:
    mock = StepflowMock(client)
    mock.mock("draft", lambda step_input: Fails("TIMEOUT", "slow") if step_input == "b" else step_input * 2)
    for inner, items in (({"$literal": ADDED}, ["a", "b", "c"]), ({"$literal": with_map({"$literal": ADDED})}, None)):
        flow_input = {"items": [{"q": each} for each in "abc"]}
        result = mock.run(with_map(inner), flow_input if items else {"items": [flow_input]}).raise_for_failure()
        output = result.output if items else result.output["results"][0]["result"]
        assert (output["successful"], output["failed"]) == (2, 1)
        assert output["results"] == [
            {"outcome": "success", "result": {"text": "aa"}},
            {"outcome": "failed", "error": {"code": "TIMEOUT", "message": "slow"}},
            {"outcome": "success", "result": {"text": "cc"}},
        ]
    assert mock.calls == [("draft", each) for each in "abcabc"]


def looped(step_input: dict[str, Any]) -> dict[str, Any]:
    step = {"id": "loop", "component": "/builtin/iterate", "input": {"flow": {"$literal": COUNT}, **step_input}}
    return {"steps": [step], "output": {"$step": "loop"}}


def test_mocks_reach_the_steps_that_iterate_runs(client: SyncStepflowClient) -> None:
    flow = looped({"initial_input": {"$input": "$"}, "max_iterations": 3})

    def counted(until: int) -> Any:
        return lambda step_input: {"result": "done"} if step_input["n"] == until else {"next": step_input["n"] + 1}

    def run(mock: Any) -> Any:
        result = run_mocked(client, flow, 0, mocks={"draft": mock})
        return (
            result.output if result.error is None else (result.error.code, result.error.message, result.error.step_id)
        )

    assert run(counted(1)) == {"result": "done", "iterations": 2, "terminated": False}
    assert run(counted(9)) == {"result": 3, "iterations": 3, "terminated": True}
    assert run(InTurn({"next": 1}, Fails("WORKER_ERROR", "gone"))) == (ErrorCode.WORKER, "gone", "loop")
    assert run(5)[:2] == (ErrorCode.INVALID_INPUT, "Workflow result must contain either 'result' or 'next' field")


@pytest.mark.parametrize("last", [{"result": 1}, {"next": 2}, {"neither": 3}])
def test_mocked_sub_flows_return_what_the_server_returns(client: SyncStepflowClient, release: str, last: Any) -> None:
    if not has(release, "step_outputs"):
        # Older servers use other codes in flow results.
        last = {"result": 1}
    steps = [{"id": "draft", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.q"}}}]
    inner = {"steps": steps, "output": {"got": {"$step": "draft"}, **last, "q": {"$input": "$.q"}}}
    runs = [{"id": "loop", "component": "/builtin/iterate"}, {"id": "each", "component": "/builtin/map"}]
    runs[0] |= {"input": {"flow": {"$literal": inner}, "initial_input": {"q": "x"}}}
    items = [{"q": "x"}] if has(release, "step_outputs") is False else [{"q": "x"}, {}]
    runs[1] |= {"input": {"workflow": {"$literal": inner}, "items": items}}
    for step in runs:
        flow = {"steps": [step], "output": {"$step": step["id"]}}
        real = client.run(flow)
        mocked = run_mocked(client, flow, mocks={"draft": {"messages": [{"role": "user", "content": "x"}]}})
        assert mocked.output == real.output
        assert (mocked.error and mocked.error.message) == (real.error and real.error.message)


@pytest.mark.parametrize(
    ("name", "flow"),
    [("each", with_map({"$literal": ADDED})), ("loop", looped({"initial_input": 1, "max_iterations": "x"}))],
)
def test_an_outer_step_that_rejects_its_input_fails(client: SyncStepflowClient, name: str, flow: Any) -> None:
    failed = run_mocked(client, flow, {"items": None}, mocks={"draft": 1})
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == (ErrorCode.UNREACHABLE, f'step "{name}" failed')


def test_mocks_in_computed_and_stored_flows_are_refused(client: SyncStepflowClient) -> None:
    computed = {**ADDED, "name": {"$input": "$.name"}}
    with pytest.raises(
        InvalidArgumentError, match="step 'each' contains a flow whose steps cannot be mocked: the flow is computed"
    ):
        run_mocked(client, with_map(computed), {"items": []}, mocks={"draft": 1})
    stored = {"data": {"$literal": ADDED}, "blob_type": "flow"}
    flow = {"steps": [{"id": "keep", "component": "/builtin/put_blob", "input": stored}], "output": {"$step": "keep"}}
    with pytest.raises(InvalidArgumentError, match="/builtin/put_blob only stores it"):
        run_mocked(client, flow, mocks={"draft": 1})


def test_an_unknown_mock_name_suggests_the_nearest_name(client: SyncStepflowClient) -> None:
    with pytest.raises(InvalidArgumentError, match=r"no step 'drafd' to mock \(did you mean 'draft'\?\)"):
        run_mocked(client, with_map({"$literal": ADDED}), {"items": []}, mocks={"drafd": 1})
    for name, hint in (("drafd", "'draft'"), ("/model/payed", "'/model/paid'")):
        mock = StepflowMock(client)
        mock.mock(name, 1)
        with pytest.raises(InvalidArgumentError, match=f"did you mean {hint}"):
            mock.run(FLOW, {"q": 1})


def test_invalid_mocks_are_refused_when_they_are_defined(client: SyncStepflowClient) -> None:
    mock = StepflowMock(client)
    with pytest.raises(
        InvalidArgumentError, match=r"unknown error code 'COMPONENT_FAILD' \(did you mean 'COMPONENT_FAILED'"
    ):
        mock.mock("draft", fails="COMPONENT_FAILD")
    for wrong in ({"outcome": 1, "fails": "TIMEOUT"}, {}, {"outcome": 1, "message": "x"}):
        with pytest.raises(InvalidArgumentError, match="a mock needs either an outcome, or fails and message"):
            mock.mock("/model/paid", **wrong)
    with pytest.raises(InvalidArgumentError, match="at least one outcome"):
        InTurn()
