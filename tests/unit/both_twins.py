"""Shared by tests of both clients: a fake server of release 0.13 behind the transport, and calls for either twin."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
from stepflow_client import StepflowClient, SyncStepflowClient

URL = "http://server:7840"
RUN_ID = "01900000-0000-7000-8000-000000000001"
FLOW = {"steps": [{"id": "a", "component": "/builtin/eval"}], "output": 1}
HEALTH = {
    "status": "healthy",
    "timestamp": "2026-11-24T23:42:11.509354609Z",
    "build": {
        "gitVersion": "dd82fa7",
        "dirty": False,
        "rustcVersion": "rustc",
        "profile": "release",
        "features": [],
        "target": "x",
    },
}
SUMMARY = {
    "runId": RUN_ID,
    "flowId": "f",
    "status": 2,
    "items": {"total": 1, "completed": 1, "running": 0, "failed": 0, "cancelled": 0},
    "createdAt": "2026-11-24T23:42:11.509354609Z",
    "completedAt": "2026-11-24T23:42:12Z",
    "rootRunId": RUN_ID,
}
ITEM = {"itemIndex": 0, "status": 2, "output": {"n": 1.0}}
STEP = {"stepId": "a", "stepIndex": 0, "itemIndex": 0, "status": 2, "component": "/builtin/eval", "output": 1.0}
EVENT = {
    "sequenceNumber": 1,
    "timestamp": "2026-11-24T23:42:12Z",
    "event": {"RunCompleted": {"runId": RUN_ID, "status": 2}},
}

CALLS: dict[str, Callable[[Any], Any]] = {
    "health_check": lambda client: client.health_check(),
    "server_info": lambda client: client.server_info(),
    "list_components": lambda client: client.list_components(),
    "wait_ready": lambda client: client.wait_ready(timeout=0.3),
    "store_flow": lambda client: client.store_flow(FLOW),
    "check": lambda client: client.check(FLOW),
    "validate": lambda client: client.validate(FLOW),
    "get_flow": lambda client: client.get_flow("f"),
    "get_flow_variables": lambda client: client.get_flow_variables("f"),
    "delete_flow": lambda client: client.delete_flow("f"),
    "create_run": lambda client: client.create_run("f", {"n": 1}, variables={"key": "value"}),
    "submit": lambda client: client.submit(FLOW, [1, 2]),
    "run": lambda client: client.run(FLOW, {"n": 1}, timeout=0.3),
    "find_run": lambda client: client.find_run(FLOW, idempotency_key="doc-42"),
    "map": lambda client: client.map(FLOW, [{"n": 1}]),
    "get_result": lambda client: client.get_result(RUN_ID, timeout=0.3),
    "get_results": lambda client: client.get_results(RUN_ID, timeout=0.3),
    "wait_run": lambda client: client.wait_run(RUN_ID, timeout=0.3),
    "get_run": lambda client: client.get_run(RUN_ID),
    "get_run_items": lambda client: client.get_run_items(RUN_ID),
    "get_run_steps": lambda client: client.get_run_steps(RUN_ID),
    "get_run_arguments": lambda client: client.get_run_arguments(RUN_ID),
    "get_run_step": lambda client: client.get_run_step(RUN_ID, "a"),
    "get_run_flow": lambda client: client.get_run_flow(RUN_ID),
    "snapshot": lambda client: client.snapshot(RUN_ID),
    "explain_run": lambda client: client.explain_run(RUN_ID),
    "compare_runs": lambda client: client.compare_runs(RUN_ID, RUN_ID),
    "cancel_run": lambda client: client.cancel_run(RUN_ID),
    "plan_rerun": lambda client: client.plan_rerun(RUN_ID),
    "rerun": lambda client: client.rerun(RUN_ID, keep="succeeded"),
    "start_rerun": lambda client: client.start_rerun(RUN_ID, keep="succeeded"),
    "delete_run": lambda client: client.delete_run(RUN_ID),
    "list_runs": lambda client: client.list_runs(),
    "iter_runs": lambda client: client.iter_runs(),
    "run_events": lambda client: client.run_events(RUN_ID),
    "store_blob": lambda client: client.store_blob({"a": 1}),
    "get_blob": lambda client: client.get_blob("b"),
}
"""One valid call of each public method that sends requests."""


def get_request_line(request: httpx.Request) -> str:
    return f"{request.method} {request.url.path.removeprefix('/api/v1')}"


class Server:
    """A fake server of release 0.13 that has one finished run and records its requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.responses: dict[str, httpx.Response] = {}
        """Responses that replace the default ones, by method and path."""

    @property
    def request_lines(self) -> list[str]:
        return [get_request_line(request) for request in self.requests]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        request_line = get_request_line(request)
        if request_line in self.responses:
            response = self.responses[request_line]
            return httpx.Response(response.status_code, headers=response.headers, content=response.content)
        if request_line == f"GET /runs/{RUN_ID}/events":
            frame = f"data: {json.dumps(EVENT)}\n\n"
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=frame)
        if request_line == "GET /blobs/b":
            return httpx.Response(200, headers={"content-type": "application/octet-stream"}, content=b"bytes")
        if request_line.startswith("GET /blobs/"):
            return httpx.Response(404)
        return httpx.Response(200, json=self.body(request_line))

    def body(self, request_line: str) -> Any:
        flow = {"flowId": "f", "flow": FLOW}
        return {
            "GET /health": HEALTH,
            "GET /components": {"components": [{"componentId": "x", "path": "/eval", "plugin": "builtin"}]},
            "POST /flows": {"flowId": "f", "stored": False, "diagnostics": {"diagnostics": []}},
            "POST /blobs": {"blobId": "f"},
            "GET /flows/f": {**flow, "allExamples": []},
            "DELETE /flows/f": {},
            "POST /runs": {"summary": SUMMARY, "results": [ITEM]},
            "GET /runs": {"runs": [SUMMARY]},
            f"GET /runs/{RUN_ID}": {"summary": SUMMARY, "steps": [STEP]},
            f"GET /runs/{RUN_ID}/items": {"results": [ITEM]},
            f"GET /runs/{RUN_ID}/steps": {"steps": [STEP]},
            f"GET /runs/{RUN_ID}/steps/a": {"step": STEP},
            f"GET /runs/{RUN_ID}/flow": flow,
            f"POST /runs/{RUN_ID}/cancel": {"summary": {**SUMMARY, "status": 4}},
            f"DELETE /runs/{RUN_ID}": {},
        }[request_line]


TWINS = ["async", "sync"]


def call(
    twin: str, transport: Any, operation: Callable[[Any], Any], url: str | list[str] = URL, **settings: Any
) -> Any:
    """Create a client, run the operation and return its result; collect iterators into a list."""
    if transport is not None:
        settings["transport"] = transport
    if twin == "sync":
        with SyncStepflowClient(url, **settings) as client:
            result = operation(client)
            return list(result) if isinstance(result, Iterator) else result

    async def main() -> Any:
        async with StepflowClient(url, **settings) as client:
            result = operation(client)
            if isinstance(result, AsyncIterator):
                return [each async for each in result]
            return await result if inspect.isawaitable(result) else result

    return asyncio.run(main())


def call_with_handler(twin: str, handler: Callable[..., Any], operation: Callable[[Any], Any], **settings: Any) -> Any:
    """Run the operation with a client whose requests go to this handler."""
    return call(twin, httpx.MockTransport(handler), operation, **settings)
