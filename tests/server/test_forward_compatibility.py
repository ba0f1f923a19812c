"""The clients tolerate fields, enum values and events of future servers.

A proxy in front of the newest server adds them everywhere except in user data.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from stepflow_api.api.component import list_components
from stepflow_api.api.flow import get_flow, get_flow_variables, store_flow
from stepflow_api.api.health import health_check
from stepflow_api.api.run import (
    cancel_run,
    create_run,
    delete_run,
    get_run,
    get_run_flow,
    get_run_items,
    get_run_step,
    get_run_steps,
    list_runs,
)
from stepflow_api.models import CreateRunRequest, RunEvent, StoreFlowRequest
from stepflow_client import (
    ConflictError,
    LogConfig,
    NotFoundError,
    StepflowClient,
    StepflowRuntime,
    SyncStepflowClient,
)

from tests import releases
from tests.server.awaited import Awaited

pytestmark = pytest.mark.anyio

FUTURE = {"futureField": {"nested": [1, {"deep": None}], "status": 2}, "futureText": "…"}
USER_DATA = {"output", "result", "data", "flow", "input", "variables", "inputSchema", "outputSchema", *FUTURE}
UNKNOWN = 77
RUN = "00000000-0000-4000-8000-000000000000"
FLOW = {
    "name": "future",
    "steps": [
        {"id": "one", "component": "/builtin/noop", "input": {"n": {"$input": "n"}}},
        {"id": "two", "component": "/builtin/noop", "input": {"was": {"$step": "one"}}},
    ],
    "output": {"$step": "two"},
    "examples": [{"name": "first", "input": {"n": 1}}],
}
FAILING = {**FLOW, "steps": [{"id": "one", "component": "/builtin/noop", "input": {"$input": "$.absent"}}]}
FAILING["output"] = {"$step": "one"}


def with_future(value: Any, numbers: set[str], top: bool = True) -> Any:
    """Add unknown fields to every object, and replace the numbers in fields with these names by an unknown number."""
    if isinstance(value, list):
        return [with_future(each, numbers, top=False) for each in value]
    if not isinstance(value, dict):
        return value
    # An event is an object with its type as the only key.
    extra = {} if len(value) == 1 and not top else FUTURE
    return {
        **{
            key: each
            if key in USER_DATA
            else UNKNOWN
            if key in numbers and isinstance(each, int)
            else with_future(each, numbers, top=False)
            for key, each in value.items()
        },
        **extra,
    }


class Proxy(BaseHTTPRequestHandler):
    """Forwards requests and changes the responses; the header x-future names the fields with unknown numbers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    port: int

    def log_message(self, *args: Any) -> None:
        pass

    def forward(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        upstream = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        numbers = set(headers.pop("x-future", "").split())
        upstream.request(self.command, self.path, self.rfile.read(length), headers)
        answer = upstream.getresponse()
        kind = answer.headers.get("content-type", "")
        self.send_response(answer.status)
        self.send_header("content-type", kind)
        self.send_header("x-future-header", "1")
        if answer.headers.get("x-blob-type"):
            self.send_header("x-blob-type", answer.headers["x-blob-type"])
        if kind.startswith("text/event-stream"):
            self.send_header("connection", "close")
            self.end_headers()
            for line in answer:
                self.wfile.write(self.event(line, numbers))
            self.close_connection = True
        else:
            content = answer.read()
            if kind.startswith("application/json"):
                content = json.dumps(with_future(json.loads(content), numbers)).encode()
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        upstream.close()

    def event(self, line: bytes, numbers: set[str]) -> bytes:
        if not line.startswith(b"data:"):
            return line
        event = json.loads(line.removeprefix(b"data:"))
        new = {**event, "event": {"SomethingNew": {"runId": RUN, "what": {"ever": 1}}}, **FUTURE}
        texts = (json.dumps(each) for each in (with_future(event, numbers), new))
        return "\n\n".join(f"id: 1\nretry: 5\nevent: future\ndata: {text}" for text in texts).encode() + b"\n"

    do_GET = do_POST = do_DELETE = forward


@pytest.fixture(scope="module")
def proxy_url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        started = StepflowRuntime.start(
            config=releases.builtin_config(releases.NEWEST), log_config=LogConfig(level="warn")
        )
    with started as runtime:
        handler = type("ProxyTo", (Proxy,), {"port": runtime.port})
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            server.daemon_threads = True
            thread = Thread(target=server.serve_forever, args=[0.02])
            thread.start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
            thread.join()


@pytest.fixture(params=["async", "sync"])
async def make(request: pytest.FixtureRequest, proxy_url: str) -> Any:
    """Return a function that opens a client of the proxy, given the fields with unknown numbers."""
    opened: list[Any] = []

    def client(*numbers: str) -> Any:
        headers = {"x-future": " ".join(numbers)}
        if request.param == "async":
            opened.append(StepflowClient(proxy_url, headers=headers))
            return opened[-1]
        opened.append(SyncStepflowClient(proxy_url, headers=headers))
        return Awaited(opened[-1])

    yield client
    for each in opened:
        await each.aclose() if isinstance(each, StepflowClient) else each.close()


async def test_unknown_fields(make: Callable[..., Any]) -> None:
    client = make()
    assert (await client.health_check()).status == "healthy"
    assert (await client.server_info()).release == releases.NEWEST
    assert "noop" in {component.name for component in await client.list_components()}
    assert (await client.validate(FLOW)).is_valid
    assert not (await client.validate({**FLOW, "output": {"$step": "absent"}})).is_valid
    flow_id = (await client.store_flow(FLOW)).flow_id
    assert [example.name for example in (await client.get_flow(flow_id)).examples] == ["first"]
    assert (await client.get_flow_variables(flow_id)).variables == {}

    result = await client.run(FLOW, {"n": 1}, timeout=10)
    assert result.output == {"was": {"n": 1}}
    run = await client.get_run(result.run_id)
    assert run.items.completed == 1
    assert [step.step_id for step in (await client.get_run_steps(run.run_id)).steps] == ["one", "two"]
    assert (await client.get_run_step(run.run_id, "two")).output == {"was": {"n": 1}}
    assert (await client.get_run_items(run.run_id)).items[0].result == result
    assert (await client.get_run_flow(run.run_id)).flow_id == run.flow_id
    assert run in (await client.list_runs()).runs
    with pytest.raises(ConflictError):
        await client.cancel_run(run.run_id)
    with pytest.raises(NotFoundError):
        await client.get_run(RUN)
    await client.delete_run(run.run_id)

    blob = await client.store_blob({"a": 1})
    assert (await client.get_blob(blob.blob_id)).data == {"a": 1}
    failed = await client.run(FAILING, {}, timeout=10)
    assert (failed.error.step_id, failed.error.code) == ("one", "expression_failed")


async def test_unknown_statuses(make: Callable[..., Any]) -> None:
    run_id = await make().submit(FLOW, {"n": 1})
    await make().wait_run(run_id, timeout=10)
    client = make("status")
    run = await client.get_run(run_id)
    assert (run.status, run.is_finished) == (f"unknown_{UNKNOWN}", False)
    (item,) = (await client.get_run_items(run_id)).items
    assert (item.status, item.result) == (f"unknown_{UNKNOWN}", None)
    assert {step.status for step in (await client.get_run_steps(run_id)).steps} == {f"unknown_{UNKNOWN}"}
    assert {listed.status for listed in (await client.list_runs()).runs} == {f"unknown_{UNKNOWN}"}


async def test_unknown_codes_and_levels(make: Callable[..., Any]) -> None:
    client = make("errorCode", "level", "code")
    failed = await client.run(FAILING, {}, timeout=10)
    assert failed.error.code == f"unknown_{UNKNOWN}"
    found = await client.validate(FLOW)
    assert found.is_valid
    assert {each.level for each in found.warnings} == {f"unknown_{UNKNOWN}"}
    with pytest.raises(NotFoundError):
        await client.get_run(RUN)


async def test_unknown_events(make: Callable[..., Any]) -> None:
    client = make()
    run_id = await client.submit(FLOW, {"n": 1})
    events = [event async for event in client.run_events(run_id, include_results=True)]
    assert (events[0].type, events[-1].type) == ("run_created", "run_completed")
    known = [event for event in events if event.type != "unknown"]
    assert len(known) == len(events) - len(known) + 1
    assert [event.output for event in known if event.type == "step_completed"] == [{"n": 1}, {"was": {"n": 1}}]
    new = next(event for event in events if event.type == "unknown")
    assert (new.name, new.run_id, new.data["what"]) == ("something_new", RUN, {"ever": 1})
    for index, event in enumerate(events):
        rest = client.run_events(run_id, after=event.cursor, include_results=True)
        assert [each async for each in rest] == events[index + 1 :]
    assert [event.type async for event in make("status").run_events(run_id)][-1] == "run_completed"


async def test_the_generated_client_tolerates_unknown_values(proxy_url: str) -> None:
    async with StepflowClient(proxy_url, headers={"x-future": "status errorCode level"}) as client:
        api = client.api
        assert (await health_check.asyncio(client=api)).status == "healthy"  # type: ignore[union-attr]
        assert await list_components.asyncio(client=api) is not None
        stored: Any = await store_flow.asyncio(client=api, body=StoreFlowRequest(flow=FLOW))
        assert stored["futureText"] == FUTURE["futureText"]
        assert {each.level for each in stored.diagnostics.diagnostics} == {UNKNOWN}
        failing: Any = await store_flow.asyncio(client=api, body=StoreFlowRequest(flow=FAILING))
        for flow_id in (stored.flow_id, failing.flow_id):
            body = CreateRunRequest(flow_id=flow_id, input_=[{"n": 1}], wait=True)
            created: Any = await create_run.asyncio(client=api, body=body)
            run_id = created.summary.run_id
            assert (created.summary.status, created.results[0].status) == (UNKNOWN, UNKNOWN)
            assert created.summary["futureText"] == FUTURE["futureText"]
            for operation in (get_run, get_run_items, get_run_steps, get_run_flow, cancel_run, delete_run):
                response: Any = await operation.asyncio_detailed(run_id, client=api)
                assert (response.status_code, response.parsed is None) == (200, False), operation
            step: Any = await get_run_step.asyncio(run_id, "one", client=api)
            assert step.step.status == UNKNOWN
            assert (await get_flow.asyncio(flow_id, client=api)).flow_id == flow_id  # type: ignore[union-attr]
            assert await get_flow_variables.asyncio(flow_id, client=api) is not None
        runs: Any = await list_runs.asyncio(client=api)
        assert {run.status for run in runs.runs} == {UNKNOWN}
    event = RunEvent.from_dict({"sequenceNumber": 1, "timestamp": "", "event": {"SomethingNew": {}}, **FUTURE})
    assert event.sequence_number == 1
