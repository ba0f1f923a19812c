"""Calls every operation of a real server and records the requests and responses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.server.conformance_server import BROKEN_PLUGIN, BUILTIN, running_server

JSON = "application/json"
BYTES = "application/octet-stream"
UNKNOWN_RUN = "00000000-0000-0000-0000-000000000000"
UNKNOWN_HASH = "a" * 64


@dataclass(frozen=True)
class Transport:
    """A request and its response, as they went over the wire."""

    operation: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_type: str | None
    request: bytes
    broken: bool
    """Whether the request violates the description on purpose."""
    status: int
    answer_type: str | None
    answer_headers: Mapping[str, str]
    answer: bytes

    def __str__(self) -> str:
        return f"{self.operation} -> {self.status} {self.answer_type}"


@dataclass
class Recorder:
    """Sends requests and records each with its response."""

    client: httpx.Client
    exchanges: list[Transport] = field(default_factory=list)

    def call(
        self,
        operation: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        content: bytes | None = None,
        content_type: str | None = None,
        broken: bool = False,
    ) -> httpx.Response:
        if body is not None:
            content, content_type = json.dumps(body).encode(), JSON
        texts = {
            name: json.dumps(value) if isinstance(value, bool) else str(value) for name, value in (query or {}).items()
        }
        extra = {"content-type": content_type} if content_type else {}
        answer = self.client.request(method, path, params=texts, content=content, headers={**(headers or {}), **extra})
        received = answer.headers.get("content-type")
        self.exchanges.append(
            Transport(
                operation=operation,
                query=texts,
                headers=dict(headers or {}),
                request_type=content_type,
                request=content or b"",
                broken=broken,
                status=answer.status_code,
                answer_type=received.split(";")[0] if received else None,
                answer_headers=dict(answer.headers),
                answer=answer.content,
            )
        )
        return answer


def record() -> list[Transport]:
    """Record the traffic of two servers; the parts run in parallel, because some are slow."""
    with ExitStack() as stack:
        url = stack.enter_context(running_server(BUILTIN))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=30, trust_env=False))
        threads = stack.enter_context(ThreadPoolExecutor())
        parts = [
            threads.submit(part, Recorder(client))
            for part in (health_and_components, flows, runs, running_run, failures, sub_runs, blobs, rejected_requests)
        ]
        parts.append(threads.submit(broken_plugin))
        return [exchange for part in parts for exchange in part.result()]


def broken_plugin() -> list[Transport]:
    with running_server(BROKEN_PLUGIN) as url, httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        recorder = Recorder(client)
        recorder.call("list_components", "GET", "/components")
        return recorder.exchanges


def health_and_components(to: Recorder) -> list[Transport]:
    to.call("health_check", "GET", "/health")
    to.call("list_components", "GET", "/components")
    to.call("list_components", "GET", "/components", query={"excludeSchemas": True})
    to.call("list_components", "GET", "/components", query={"excludeSchemas": "x"}, broken=True)
    return to.exchanges


GREETING = {
    "name": "hello",
    "steps": [
        {
            "id": "greet",
            "component": "/builtin/create_messages",
            "input": {"user_prompt": {"$input": "name"}},
        }
    ],
    "output": {"$step": "greet"},
    "examples": [
        {"name": "ex1", "description": "The usual greeting", "input": {"name": "World"}},
        {"name": "ex2", "input": None},
    ],
    "test": {"cases": [{"name": "t1", "input": {"name": "World"}}]},
    "schemas": {
        "type": "object",
        "properties": {
            "variables": {
                "type": "object",
                "properties": {
                    "k": {"type": "string", "default": "v", "env_var": "FOO"},
                    "s": {"type": "string", "is_secret": True},
                },
                "required": ["s"],
            }
        },
    },
}
CHAIN = {
    "steps": [
        {"id": "a", "component": "/builtin/noop", "input": {"v": {"$input": "$"}}},
        {"id": "b", "component": "/builtin/noop", "input": {"v": {"$step": "a"}}},
    ],
    "output": {"$step": "b"},
}
SLEEP = {
    "name": "sleep",
    "steps": [{"id": "s", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}}],
    "output": {"$step": "s"},
}


def one_step(component: str, **step_input: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "description": "One step",
        "steps": [{"id": "a", "component": component, "input": step_input}],
        "output": {"$step": "a"},
    }


def store(to: Recorder, flow: dict[str, Any]) -> str:
    answer = to.call("store_flow", "POST", "/flows", body={"flow": flow}).json()
    assert answer["stored"], answer
    return str(answer["flowId"])


def start(to: Recorder, flow_id: str, *inputs: Any, **options: Any) -> dict[str, Any]:
    body = {"flowId": flow_id, "input": list(inputs), **options}
    answer = to.call("create_run", "POST", "/runs", body=body)
    assert answer.status_code == 200, answer.text
    summary: dict[str, Any] = answer.json()["summary"]
    return summary


def flows(to: Recorder) -> list[Transport]:
    flow_id = store(to, GREETING)
    to.call("store_flow", "POST", "/flows", body={"flow": GREETING, "dryRun": True})
    twice = {**GREETING, "steps": [*GREETING["steps"], *GREETING["steps"]]}
    answer = to.call("store_flow", "POST", "/flows", body={"flow": twice}).json()
    assert answer["stored"] is False
    assert answer["diagnostics"]["numFatal"] > 0
    to.call("get_flow", "GET", f"/flows/{flow_id}")
    to.call("get_flow_variables", "GET", f"/flows/{flow_id}/variables")
    for operation, method, end in (
        ("get_flow", "GET", ""),
        ("get_flow_variables", "GET", "/variables"),
        ("delete_flow", "DELETE", ""),
    ):
        to.call(operation, method, f"/flows/xx{end}")
        to.call(operation, method, f"/flows/{UNKNOWN_HASH}{end}")
    to.call("delete_flow", "DELETE", f"/flows/{flow_id}")
    # Servers do not check blobs when storing them, so a blob of type flow may be invalid.
    for body in ({"data": {"steps": 3}, "blobType": "flow"}, {"data": {"steps": 3}}):
        blob_id = to.call("store_blob", "POST", "/blobs", body=body).json()["blobId"]
        to.call("get_flow", "GET", f"/flows/{blob_id}")
        to.call("get_flow_variables", "GET", f"/flows/{blob_id}/variables")
        to.call("create_run", "POST", "/runs", body={"flowId": blob_id, "input": [1]})
    return to.exchanges


def runs(to: Recorder) -> list[Transport]:
    flow_id = store(to, GREETING)
    run = start(
        to,
        flow_id,
        {"name": "W"},
        {"name": "V"},
        wait=True,
        timeoutSecs=10,
        maxConcurrency=2,
        variables={"s": "q"},
        overrides={"steps": {"greet": {"value": {"input": {"user_prompt": "Good morning"}}}}},
    )
    assert run["status"] == 2
    run_id = run["runId"]
    to.call("get_run", "GET", f"/runs/{run_id}")
    to.call("get_run", "GET", f"/runs/{run_id}", query={"wait": True, "timeoutSecs": 5})
    to.call("get_run_items", "GET", f"/runs/{run_id}/items")
    to.call("get_run_steps", "GET", f"/runs/{run_id}/steps")
    to.call("get_run_steps", "GET", f"/runs/{run_id}/steps", query={"itemIndex": 1})
    to.call("get_run_step", "GET", f"/runs/{run_id}/steps/greet")
    to.call("get_run_step", "GET", f"/runs/{run_id}/steps/greet", query={"itemIndex": 1})
    to.call("get_run_step", "GET", f"/runs/{run_id}/steps/greet", query={"itemIndex": 9})
    to.call("get_run_flow", "GET", f"/runs/{run_id}/flow")
    for options in ({}, {"includeResults": True}, {"since": 3}):
        to.call("get_run_events", "GET", f"/runs/{run_id}/events", query={"runId": run_id, **options})
    for query in (
        {},
        {"flowName": "hello"},
        {"status": 2},
        {"rootRunId": run_id},
        {"parentRunId": run_id},
        {"rootsOnly": True},
        {"limit": 2, "offset": 1},
    ):
        to.call("list_runs", "GET", "/runs", query=query)
    chain = start(to, store(to, CHAIN), {"a": 1}, wait=True)
    to.call("get_run_events", "GET", "/runs/ignored/events", query={"runId": chain["runId"]})
    to.call("delete_run", "DELETE", f"/runs/{run_id}")
    to.call("cancel_run", "POST", f"/runs/{run_id}/cancel")
    return to.exchanges


def running_run(to: Recorder) -> list[Transport]:
    """Read, fail to delete, and cancel a run that is still running."""
    flow = to.call("store_blob", "POST", "/blobs", body={"data": SLEEP, "blobType": "flow"}).json()
    run_id = start(to, flow["blobId"], {"ms": 1500}, wait=True, timeoutSecs=0)["runId"]
    to.call("get_run", "GET", f"/runs/{run_id}")
    to.call("get_run_items", "GET", f"/runs/{run_id}/items")
    to.call("delete_run", "DELETE", f"/runs/{run_id}")
    to.call("cancel_run", "POST", f"/runs/{run_id}/cancel")
    return to.exchanges


def failures(to: Recorder) -> list[Transport]:
    """Runs that fail: in an expression, without a route, and after the server's four seconds of retries."""
    for flow, code in (
        (one_step("/builtin/noop", v={"$input": "$.missing"}), 8),
        (one_step("/nowhere/noop"), 9),
        (one_step("/builtin/load_file", path="/nonexistent"), 5),
    ):
        run = start(to, store(to, flow), {"name": "W"}, wait=True, timeoutSecs=15)
        assert run["status"] == 3
        run_id = run["runId"]
        results = to.call("get_run_items", "GET", f"/runs/{run_id}/items").json()["results"]
        assert results[0]["errorCode"] == code
        to.call("get_run_steps", "GET", f"/runs/{run_id}/steps")
        query = {"runId": run_id, "includeResults": True}
        to.call("get_run_events", "GET", f"/runs/{run_id}/events", query=query)
    return to.exchanges


def sub_runs(to: Recorder) -> list[Transport]:
    step_input = {"workflow": {"$literal": CHAIN}, "items": {"$input": "items"}}
    flow_id = store(to, one_step("/builtin/map", **step_input))
    run = start(to, flow_id, {"items": [{"a": 1}, {"a": 2}]}, wait=True)
    assert run["status"] == 2
    run_id = run["runId"]
    children = to.call("list_runs", "GET", "/runs", query={"parentRunId": run_id}).json()["runs"]
    assert len(children) == 1
    for options in ({"includeSubRuns": True}, {"includeSubRuns": True, "includeResults": True}):
        to.call("get_run_events", "GET", f"/runs/{run_id}/events", query={"runId": run_id, **options})
    return to.exchanges


def blobs(to: Recorder) -> list[Transport]:
    plain = to.call("store_blob", "POST", "/blobs", body={"data": {"a": 1}}).json()["blobId"]
    to.call("store_blob", "POST", "/blobs", body={"data": {"a": 2}, "filename": "two.json", "blobType": "data"})
    named = to.call(
        "store_blob",
        "POST",
        "/blobs",
        content=b"\x00\x01\xff",
        content_type=BYTES,
        headers={"X-Blob-Filename": "picture.png"},
    ).json()["blobId"]
    nameless = to.call("store_blob", "POST", "/blobs", content=b"\x00", content_type=BYTES).json()["blobId"]
    for blob_id in (plain, named, nameless):
        to.call("get_blob", "GET", f"/blobs/{blob_id}")
        to.call("get_blob", "GET", f"/blobs/{blob_id}", headers={"Accept": JSON})
        to.call("get_blob", "GET", f"/blobs/{blob_id}", headers={"Accept": BYTES})
    assert to.exchanges[-4].answer == b"\x00\x01\xff"
    to.call("get_blob", "GET", f"/blobs/{UNKNOWN_HASH}")
    to.call("get_blob", "GET", "/blobs/xx")
    to.call("store_blob", "POST", "/blobs", body={"data": 1, "blobType": "unheard-of"}, broken=True)
    to.call("store_blob", "POST", "/blobs", body={}, broken=True)
    to.call("store_blob", "POST", "/blobs", content=b"{", content_type=JSON, broken=True)
    to.call("store_blob", "POST", "/blobs", content=b"x", content_type="text/plain", broken=True)
    return to.exchanges


def rejected_requests(to: Recorder) -> list[Transport]:
    """Unknown and malformed IDs, bodies and query parameters."""
    run_operations = (
        ("get_run", "GET", ""),
        ("get_run_items", "GET", "/items"),
        ("get_run_steps", "GET", "/steps"),
        ("get_run_step", "GET", "/steps/greet"),
        ("get_run_flow", "GET", "/flow"),
        ("cancel_run", "POST", "/cancel"),
        ("delete_run", "DELETE", ""),
    )
    for run_id in (UNKNOWN_RUN, "xx"):
        for operation, method, end in run_operations:
            to.call(operation, method, f"/runs/{run_id}{end}")
        query = {"runId": run_id}
        to.call("get_run_events", "GET", f"/runs/{run_id}/events", query=query, broken=run_id == "xx")
    to.call("get_run_events", "GET", f"/runs/{UNKNOWN_RUN}/events", broken=True)
    to.call("get_run", "GET", f"/runs/{UNKNOWN_RUN}", query={"wait": True, "timeoutSecs": 1})
    refused: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("get_run", f"/runs/{UNKNOWN_RUN}", {"wait": "x"}),
        ("get_run_steps", f"/runs/{UNKNOWN_RUN}/steps", {"itemIndex": "x"}),
        ("get_run_step", f"/runs/{UNKNOWN_RUN}/steps/a", {"itemIndex": -1}),
        ("get_run_events", f"/runs/{UNKNOWN_RUN}/events", {"runId": UNKNOWN_RUN, "since": "x"}),
        ("list_runs", "/runs", {"limit": -1}),
    )
    for operation, path, bad_query in refused:
        to.call(operation, "GET", path, query=bad_query, broken=True)

    flow_id = store(to, GREETING)
    unknown_step: dict[str, Any] = {"steps": {"nobody": {"value": {}}}}
    to.call("create_run", "POST", "/runs", body={"flowId": "xx", "input": [1]}, broken=True)
    to.call("create_run", "POST", "/runs", body={"flowId": UNKNOWN_HASH, "input": [1]})
    to.call("create_run", "POST", "/runs", body={"flowId": flow_id, "input": [1], "overrides": unknown_step})
    for operation, path, wrong in (
        ("create_run", "/runs", {"flowId": flow_id, "input": 1}),
        ("create_run", "/runs", {"flowId": flow_id, "input": [1], "variables": []}),
        ("store_flow", "/flows", {"flow": []}),
        ("store_flow", "/flows", {}),
    ):
        to.call(operation, "POST", path, body=wrong, broken=True)
    to.call("store_flow", "POST", "/flows", body={"flow": {"steps": 3}})
    for operation, path in (("create_run", "/runs"), ("store_flow", "/flows")):
        to.call(operation, "POST", path, content=b"{", content_type=JSON, broken=True)
        to.call(operation, "POST", path, content=b"{}", content_type="text/plain", broken=True)
    return to.exchanges
