"""Invalid arguments raise their own error, and no request is sent except the one that detects the server."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import LogConfig, StepflowClient, StepflowRuntime, SyncStepflowClient
from stepflow_client.errors import (
    ClientClosedError,
    FlowFileError,
    FlowFileNotFoundError,
    InvalidArgumentError,
    StepflowClientError,
    UnsupportedByServerError,
)

from tests.unit.both_twins import CALLS, FLOW, RUN_ID, TWINS, Server, call_with_handler

CYCLIC: list[Any] = []
CYCLIC.append(CYCLIC)
HUGE = 10**5000

Operation = Callable[[Any], Any]
ROWS: list[tuple[str, type[StepflowClientError], Operation]] = [
    # Flows
    ("store_flow(None)", InvalidArgumentError, lambda c: c.store_flow(None)),
    ("store_flow(bytes)", InvalidArgumentError, lambda c: c.store_flow(b"flow.yaml")),
    ("store_flow(text)", InvalidArgumentError, lambda c: c.store_flow("steps: []\noutput: 1\n")),
    ("store_flow(missing file)", FlowFileNotFoundError, lambda c: c.store_flow("no/such/flow.yaml")),
    ("store_flow(a folder)", FlowFileError, lambda c: c.store_flow(Path.cwd())),
    ("store_flow(a path with NUL)", FlowFileError, lambda c: c.store_flow("a\0b")),
    ("store_flow(nested NaN)", InvalidArgumentError, lambda c: c.store_flow({"output": math.nan})),
    ("store_flow(non-string key)", InvalidArgumentError, lambda c: c.store_flow({1: 2})),
    ("store_flow(cyclic)", InvalidArgumentError, lambda c: c.store_flow({"output": CYCLIC})),
    ("store_flow(huge integer)", InvalidArgumentError, lambda c: c.store_flow({"output": HUGE})),
    ("store_flow(lone surrogate)", InvalidArgumentError, lambda c: c.store_flow({"output": "\ud800"})),
    ("store_flow(timeout=0)", InvalidArgumentError, lambda c: c.store_flow(FLOW, timeout=0)),
    ("validate(list)", InvalidArgumentError, lambda c: c.validate([])),
    ("validate(missing file)", FlowFileNotFoundError, lambda c: c.validate(Path("no/such/flow.json"))),
    ("validate(nested object)", InvalidArgumentError, lambda c: c.validate({"output": object()})),
    ("validate(timeout='1')", InvalidArgumentError, lambda c: c.validate(FLOW, timeout="1")),
    ("get_flow('')", InvalidArgumentError, lambda c: c.get_flow("")),
    ("get_flow('..')", InvalidArgumentError, lambda c: c.get_flow("..")),
    ("get_flow(lone surrogate)", InvalidArgumentError, lambda c: c.get_flow("\ud800")),
    ("get_flow(too long)", InvalidArgumentError, lambda c: c.get_flow("f" * 100_000)),
    ("get_flow(timeout=nan)", InvalidArgumentError, lambda c: c.get_flow("f", timeout=math.nan)),
    ("get_flow_variables(None)", InvalidArgumentError, lambda c: c.get_flow_variables(None)),
    ("get_flow_variables('.')", InvalidArgumentError, lambda c: c.get_flow_variables(".")),
    ("delete_flow(5)", InvalidArgumentError, lambda c: c.delete_flow(5)),
    ("delete_flow('..')", InvalidArgumentError, lambda c: c.delete_flow("..")),
    ("wait_ready(a name)", InvalidArgumentError, lambda c: c.wait_ready("echo")),
    # Creating runs
    ("create_run('')", InvalidArgumentError, lambda c: c.create_run("")),
    ("create_run(None)", InvalidArgumentError, lambda c: c.create_run(None)),
    ("create_run(object)", InvalidArgumentError, lambda c: c.create_run("f", object())),
    ("create_run(bytes)", InvalidArgumentError, lambda c: c.create_run("f", {"a": b"x"})),
    ("create_run(2**53 + 1)", InvalidArgumentError, lambda c: c.create_run("f", {"n": 2**53 + 1})),
    ("create_run(cyclic)", InvalidArgumentError, lambda c: c.create_run("f", CYCLIC)),
    ("create_run(variables=list)", InvalidArgumentError, lambda c: c.create_run("f", variables=[1])),
    ("create_run(variables=2**60)", InvalidArgumentError, lambda c: c.create_run("f", variables={"n": 2**60})),
    ("create_run(variables=missing)", FlowFileNotFoundError, lambda c: c.create_run("f", variables="no/such.yaml")),
    ("create_run(overrides=5)", InvalidArgumentError, lambda c: c.create_run("f", overrides=5)),
    ("create_run(overrides={a: 5})", InvalidArgumentError, lambda c: c.create_run("f", overrides={"a": 5})),
    (
        "create_run(overrides=json_patch)",
        InvalidArgumentError,
        lambda c: c.create_run("f", overrides={"a": {"$type": "json_patch", "value": []}}),
    ),
    ("create_run(debug=True)", UnsupportedByServerError, lambda c: c.create_run("f", debug=True)),
    ("create_run(max_concurrency=0)", InvalidArgumentError, lambda c: c.create_run("f", max_concurrency=0)),
    ("create_run(max_concurrency=True)", InvalidArgumentError, lambda c: c.create_run("f", max_concurrency=True)),
    ("create_run(max_concurrency=1.5)", InvalidArgumentError, lambda c: c.create_run("f", max_concurrency=1.5)),
    ("create_run(timeout=-1)", InvalidArgumentError, lambda c: c.create_run("f", timeout=-1)),
    ("run(None)", InvalidArgumentError, lambda c: c.run(None)),
    ("run(missing file)", FlowFileNotFoundError, lambda c: c.run("no/such/flow.yaml")),
    ("run(a batch)", InvalidArgumentError, lambda c: c.run(FLOW, [1, 2])),
    ("run([])", InvalidArgumentError, lambda c: c.run(FLOW, [])),
    ("run(object)", InvalidArgumentError, lambda c: c.run(FLOW, object())),
    ("run(2**64)", InvalidArgumentError, lambda c: c.run(FLOW, 2**64)),
    ("run(overrides=text)", InvalidArgumentError, lambda c: c.run(FLOW, 1, "a")),
    ("run(variables=5)", InvalidArgumentError, lambda c: c.run(FLOW, variables=5)),
    ("run(variables=missing)", FlowFileNotFoundError, lambda c: c.run(FLOW, variables=Path("no/such.yaml"))),
    ("run(timeout=0)", InvalidArgumentError, lambda c: c.run(FLOW, timeout=0)),
    ("run(timeout=inf)", InvalidArgumentError, lambda c: c.run(FLOW, timeout=math.inf)),
    ("run(timeout=httpx)", InvalidArgumentError, lambda c: c.run(FLOW, timeout=httpx.Timeout(5))),
    ("submit(5)", InvalidArgumentError, lambda c: c.submit(5)),
    ("submit(timeout=0)", InvalidArgumentError, lambda c: c.submit(FLOW, timeout=0)),
    ("submit(timeout=True)", InvalidArgumentError, lambda c: c.submit(FLOW, timeout=True)),
    ("submit([object])", InvalidArgumentError, lambda c: c.submit(FLOW, [1, object()])),
    ("submit(max_concurrency=0)", InvalidArgumentError, lambda c: c.submit(FLOW, max_concurrency=0)),
    ("submit(overrides=[None])", InvalidArgumentError, lambda c: c.submit(FLOW, overrides=[None])),
    # Reading and waiting
    *(
        (f"{name}({run_id!r})", InvalidArgumentError, lambda c, name=name, run_id=run_id: getattr(c, name)(run_id))
        for name in (
            "get_result",
            "get_results",
            "wait_run",
            "get_run",
            "get_run_items",
            "get_run_steps",
            "get_run_arguments",
            "get_run_flow",
            "cancel_run",
            "delete_run",
            "run_events",
        )
        for run_id in ("", "not-a-uuid", None, 5, b"x", "../flows", f"{RUN_ID}\n0")
    ),
    ("get_result(timeout=0)", InvalidArgumentError, lambda c: c.get_result(RUN_ID, timeout=0)),
    ("get_results(timeout='1')", InvalidArgumentError, lambda c: c.get_results(RUN_ID, timeout="1")),
    ("wait_run(timeout=True)", InvalidArgumentError, lambda c: c.wait_run(RUN_ID, timeout=True)),
    ("wait_run(timeout=huge)", InvalidArgumentError, lambda c: c.wait_run(RUN_ID, timeout=HUGE)),
    ("get_run(timeout=1e300)", InvalidArgumentError, lambda c: c.get_run(RUN_ID, timeout=1e300)),
    ("get_run_steps(item_index=-1)", InvalidArgumentError, lambda c: c.get_run_steps(RUN_ID, item_index=-1)),
    ("get_run_steps(item_index='0')", InvalidArgumentError, lambda c: c.get_run_steps(RUN_ID, item_index="0")),
    ("get_run_step('')", InvalidArgumentError, lambda c: c.get_run_step(RUN_ID, "")),
    ("get_run_step('..')", InvalidArgumentError, lambda c: c.get_run_step(RUN_ID, "..")),
    ("get_run_step(None)", InvalidArgumentError, lambda c: c.get_run_step(RUN_ID, None)),
    ("get_run_step(bad run)", InvalidArgumentError, lambda c: c.get_run_step("x", "a")),
    ("get_run_step(item_index=True)", InvalidArgumentError, lambda c: c.get_run_step(RUN_ID, "a", item_index=True)),
    ("run_events(after=-1)", InvalidArgumentError, lambda c: c.run_events(RUN_ID, after=-1)),
    ("run_events(after='x')", InvalidArgumentError, lambda c: c.run_events(RUN_ID, after="x")),
    ("run_events(after=another kind)", InvalidArgumentError, lambda c: c.run_events(RUN_ID, after="s1.1")),
    ("run_events(after=huge)", InvalidArgumentError, lambda c: c.run_events(RUN_ID, after="e" + "9" * 5000 + ".0")),
    # Listing
    ("list_runs(status='done')", InvalidArgumentError, lambda c: c.list_runs("done")),
    ("list_runs(status=2)", InvalidArgumentError, lambda c: c.list_runs(2)),
    ("list_runs(status='unknown_0')", InvalidArgumentError, lambda c: c.list_runs("unknown_0")),
    ("list_runs(status='unknown_999...')", InvalidArgumentError, lambda c: c.list_runs("unknown_" + "9" * 5000)),
    ("list_runs(status=[])", InvalidArgumentError, lambda c: c.list_runs([])),
    ("list_runs(limit=-1)", InvalidArgumentError, lambda c: c.list_runs(limit=-1)),
    ("list_runs(limit='5')", InvalidArgumentError, lambda c: c.list_runs(limit="5")),
    ("list_runs(limit=True)", InvalidArgumentError, lambda c: c.list_runs(limit=True)),
    ("list_runs(offset=1.5)", InvalidArgumentError, lambda c: c.list_runs(offset=1.5)),
    ("list_runs(flow_name='')", InvalidArgumentError, lambda c: c.list_runs(flow_name="")),
    ("list_runs(flow_name=lone surrogate)", InvalidArgumentError, lambda c: c.list_runs(flow_name="\ud800")),
    ("list_runs(root_run_id='x')", InvalidArgumentError, lambda c: c.list_runs(root_run_id="x")),
    ("list_runs(parent_run_id=5)", InvalidArgumentError, lambda c: c.list_runs(parent_run_id=5)),
    ("list_runs(timeout=0)", InvalidArgumentError, lambda c: c.list_runs(timeout=0)),
    ("list_runs(since=text)", InvalidArgumentError, lambda c: c.list_runs(since="yesterday")),
    ("list_runs(until=number)", InvalidArgumentError, lambda c: c.list_runs(until=1_795_000_000)),
    ("iter_runs(since='')", InvalidArgumentError, lambda c: c.iter_runs(since="")),
    ("iter_runs(page_size=1)", InvalidArgumentError, lambda c: c.iter_runs(page_size=1)),
    ("iter_runs(page_size=None)", InvalidArgumentError, lambda c: c.iter_runs(page_size=1.5)),
    ("iter_runs(status='done')", InvalidArgumentError, lambda c: c.iter_runs("done")),
    ("iter_runs(root_run_id='x')", InvalidArgumentError, lambda c: c.iter_runs(root_run_id="x")),
    ("rerun('x')", InvalidArgumentError, lambda c: c.rerun("x")),
    ("rerun(items=['0'])", InvalidArgumentError, lambda c: c.rerun(RUN_ID, items=["0"])),
    ("start_rerun('x')", InvalidArgumentError, lambda c: c.start_rerun("x")),
    ("plan_rerun('x')", InvalidArgumentError, lambda c: c.plan_rerun("x")),
    ("snapshot('x')", InvalidArgumentError, lambda c: c.snapshot("x")),
    ("snapshot(include='item')", InvalidArgumentError, lambda c: c.snapshot(RUN_ID, include="item")),
    ("explain_run('x')", InvalidArgumentError, lambda c: c.explain_run("x")),
    ("explain_run(item_index=-1)", InvalidArgumentError, lambda c: c.explain_run(RUN_ID, item_index=-1)),
    ("compare_runs('x', id)", InvalidArgumentError, lambda c: c.compare_runs("x", RUN_ID)),
    ("find_run(key='')", InvalidArgumentError, lambda c: c.find_run({"steps": []}, idempotency_key="")),
    ("find_run(id)", InvalidArgumentError, lambda c: c.find_run("0" * 64, idempotency_key="k")),
    ("find_run()", InvalidArgumentError, lambda c: c.find_run(idempotency_key="k")),
    (
        "find_run(scope='')",
        InvalidArgumentError,
        lambda c: c.find_run(idempotency_key="k", idempotency_scope=""),
    ),
    (
        "run(scope=5)",
        InvalidArgumentError,
        lambda c: c.run({"steps": []}, idempotency_key="k", idempotency_scope=5),
    ),
    ("submit(wait='x')", InvalidArgumentError, lambda c: c.submit({"steps": []}, wait_for_components="x")),
    ("run(wait=0)", InvalidArgumentError, lambda c: c.run({"steps": []}, wait_for_components=0)),
    ("run(key too long)", InvalidArgumentError, lambda c: c.run({"steps": []}, idempotency_key="k" * 513)),
    ("run(cache=path)", InvalidArgumentError, lambda c: c.run({"steps": []}, cache="results.db")),
    ("submit(key=5)", InvalidArgumentError, lambda c: c.submit({"steps": []}, idempotency_key=5)),
    ("map(on_error='never')", InvalidArgumentError, lambda c: c.map({"steps": []}, [1], on_error="never")),
    ("check(5)", InvalidArgumentError, lambda c: c.check(5, offline=True)),
    # Blobs
    ("store_blob(object)", InvalidArgumentError, lambda c: c.store_blob(object())),
    ("store_blob(NaN)", InvalidArgumentError, lambda c: c.store_blob([math.nan])),
    ("store_blob(filename='')", InvalidArgumentError, lambda c: c.store_blob(1, filename="")),
    ("store_blob(filename=5)", InvalidArgumentError, lambda c: c.store_blob(b"x", filename=5)),
    ("store_blob(bytes, filename=ä)", InvalidArgumentError, lambda c: c.store_blob(b"x", filename="ä")),
    ("store_blob(bytes, filename=lines)", InvalidArgumentError, lambda c: c.store_blob(b"x", filename="a\r\nX: 1")),
    ("store_blob(bytes as data)", InvalidArgumentError, lambda c: c.store_blob(b"x", blob_type="data")),
    ("store_blob(JSON as binary)", InvalidArgumentError, lambda c: c.store_blob(1, blob_type="binary")),
    ("store_blob(blob_type=5)", InvalidArgumentError, lambda c: c.store_blob(1, blob_type=5)),
    ("get_blob('')", InvalidArgumentError, lambda c: c.get_blob("")),
    ("get_blob('..')", InvalidArgumentError, lambda c: c.get_blob("..")),
    ("get_blob(bytes)", InvalidArgumentError, lambda c: c.get_blob(b"b")),
    # The server
    ("health_check(timeout=0)", InvalidArgumentError, lambda c: c.health_check(timeout=0)),
    ("list_components(timeout='x')", InvalidArgumentError, lambda c: c.list_components(timeout="x")),
]


@pytest.mark.parametrize(("error", "operation"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_an_invalid_argument_is_rejected_and_not_sent(error: type[StepflowClientError], operation: Operation) -> None:
    for twin in TWINS:
        server = Server()
        with pytest.raises(StepflowClientError) as caught:
            call_with_handler(twin, server, operation)
        assert (twin, type(caught.value)) == (twin, error)
        assert str(caught.value)
        assert set(server.request_lines) <= {"GET /health"}


def test_every_method_has_a_row() -> None:
    without_arguments = {"server_info"}
    missing = {row[0].partition("(")[0] for row in ROWS} ^ (set(CALLS) - without_arguments)
    assert not missing, f"add an invalid call to ROWS: {missing}"


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", CALLS)
def test_a_valid_call_succeeds(twin: str, name: str) -> None:
    # Otherwise the invalid calls could fail for an unrelated reason.
    server = Server()
    if name == "cancel_run":
        server.responses["GET /runs"] = httpx.Response(
            200, json={"runs": [{"runId": RUN_ID, "flowId": "f", "status": 1}]}
        )
    call_with_handler(twin, server, CALLS[name])
    assert server.request_lines


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("name", CALLS)
def test_a_closed_client_sends_nothing(twin: str, name: str) -> None:
    server = Server()

    async def close_and_call(client: StepflowClient) -> Any:
        await client.aclose()
        result = CALLS[name](client)
        return [each async for each in result] if hasattr(result, "__aiter__") else await result

    def close_and_call_sync(client: SyncStepflowClient) -> Any:
        client.close()
        result = CALLS[name](client)
        return list(result) if hasattr(result, "__next__") else result

    with pytest.raises(ClientClosedError, match="the client is closed"):
        call_with_handler(twin, server, close_and_call if twin == "async" else close_and_call_sync)
    assert server.request_lines == []


# The embedded server


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"port": 0}, InvalidArgumentError),
        ({"port": 65_536}, InvalidArgumentError),
        ({"port": "80"}, InvalidArgumentError),
        ({"port": True}, InvalidArgumentError),
        ({"env": {"A": 5}}, InvalidArgumentError),
        ({"env": {"A=B": "x"}}, InvalidArgumentError),
        ({"env": {"": "x"}}, InvalidArgumentError),
        ({"env": {"A": "x\0"}}, InvalidArgumentError),
        ({"env": "A=1"}, InvalidArgumentError),
        ({"env": ["A=1"]}, InvalidArgumentError),
        ({"restart_policy": "sometimes"}, InvalidArgumentError),
        ({"max_restarts": -1}, InvalidArgumentError),
        ({"max_restarts": 1.5}, InvalidArgumentError),
        ({"startup_timeout": 0}, InvalidArgumentError),
        ({"startup_timeout": math.nan}, InvalidArgumentError),
        ({"startup_timeout": 10**400}, InvalidArgumentError),
        ({"startup_timeout": "30"}, InvalidArgumentError),
        ({"log_config": "info"}, InvalidArgumentError),
        ({"on_crash": 5}, InvalidArgumentError),
        ({"config": 5}, InvalidArgumentError),
        ({"config": []}, InvalidArgumentError),
        ({"config": {"a": object()}}, InvalidArgumentError),
        ({"config": {"a": math.nan}}, InvalidArgumentError),
        ({"config": {"a": CYCLIC}}, InvalidArgumentError),
        ({"config": {"a": HUGE}}, InvalidArgumentError),
        ({"config": "no/such/config.yml"}, FlowFileNotFoundError),
        ({"config": "a\0b"}, InvalidArgumentError),
        ({"config": Path.cwd()}, FlowFileError),
    ],
)
def test_a_server_is_not_started_with_an_invalid_argument(
    arguments: dict[str, Any], error: type[StepflowClientError], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a binary, an argument that passes validation raises a different error.
    monkeypatch.setenv("STEPFLOW_SERVER_BINARY", "/no/such/binary")
    with pytest.raises(StepflowClientError) as caught:
        StepflowRuntime.start(**arguments)
    assert type(caught.value) is error


@pytest.mark.parametrize("arguments", [{"level": "loud"}, {"buffer_lines": -1}, {"buffer_lines": "5"}, {"level": 5}])
def test_log_config_rejects_invalid_arguments(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        LogConfig(**arguments)
