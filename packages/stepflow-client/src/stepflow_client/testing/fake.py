"""An in-memory Stepflow server: an httpx transport that responds as a server of 0.13 does.

The client's own connections do not use httpx, so tools that patch httpx (respx, pytest-httpx) do not see its requests;
a client with a `transport` uses httpx, and this is such a transport.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING, Any

import httpx

from .._base.text import near
from .._data.arguments import check_mapping, check_seconds
from .._runs.client_metadata import examples_of
from ..errors import InvalidArgumentError
from ..flows.interpreter import with_overrides
from .fake_runs import BUILTINS, SUB_FLOWS, FakeRun, World, blob_components, find_faults, make_id, to_floats

if TYPE_CHECKING:
    from .._async.client import StepflowClient
    from .._sync.client import SyncStepflowClient

_API = "/api/v1"
# Seconds between checks of an open stream for new events.
_POLL_SECONDS = 0.005
# Seconds between the comments in an open stream without new events.
_KEEP_ALIVE_SECONDS = 0.1


def fake_server(components: Mapping[str, Any] | None = None) -> FakeServer:
    """Return an in-memory server, for unit tests of programs that use a client.

    Example:
        server = fake_server({"/shop/price": lambda given: {"eur": 3}})
        with server.sync_client() as client:
            assert client.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

    It stores flows and blobs, runs flows, and returns runs, items, steps, errors and events as 0.13 does. A run ends
    with the request that creates it, unless the test holds a component, or a component takes time:

        server = fake_server({"/model/draft": {"text": "Dear"}})
        with server.sync_client() as client, server.hold("/model/draft"):
            run_id = client.submit("ticket.yaml", {"subject": "Help"})
            assert client.get_run(run_id).status == "running"
        assert client.get_result(run_id).is_success

    It has the builtin components of 0.13 except for `openai` and `load_file`. Of the faults in flows, it detects only
    duplicate, empty and undefined steps. It does not model the server's own retries, the limit of concurrent tasks, and
    the conditional stall; use a real server (`stepflow_runtime`) to test these.

    Args:
        components: What components return, by the path that flows use: outputs, `Fails`, `Delayed`, `InTurn`, or
            functions of the input that return one of these. If a function raises an exception, the step fails with
            `COMPONENT_FAILED` and the exception's text.
    """
    return FakeServer(components)


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class FakeServer:
    """An in-memory server; create it with `fake_server`. It can be used from several threads."""

    url = "http://fake-stepflow"

    def __init__(self, components: Mapping[str, Any] | None = None) -> None:
        """Start with nothing stored."""
        self._world = World(BUILTINS)
        self._world.components |= {
            **blob_components(self._world.put_blob, self._world.blobs),
            **({} if components is None else check_mapping(components, "components")),
        }
        self.components: dict[str, Any] = self._world.components
        self.requests: list[tuple[str, str]] = []
        """The method and the path of each request, in order."""
        self.calls: list[tuple[str, Any]] = self._world.calls
        """The path and the input of each call of a component, in order."""
        self.transport = httpx.MockTransport(self._respond)
        """The transport to pass to a client: `StepflowClient(server.url, transport=server.transport)`, or the sync
        client."""
        self._lock = RLock()

    def client(self) -> StepflowClient:
        """Return an asynchronous client of this server."""
        from .._async.client import StepflowClient

        return StepflowClient(self.url, transport=self.transport)

    def sync_client(self) -> SyncStepflowClient:
        """Return a synchronous client of this server."""
        from .._sync.client import SyncStepflowClient

        return SyncStepflowClient(self.url, transport=self.transport)

    # The test's control of time

    def hold(self, *components: str) -> ExitStack:
        """Hold the calls of components: their steps and runs stay `running` until `release`.

        As a context manager, it releases them at the end of the block.

        Args:
            components: The paths of the components in flows. Default: all components.

        Raises:
            InvalidArgumentError: If the server has no such component.
        """
        for path in components:
            if path not in (*self.components, *SUB_FLOWS):
                hint = near(path, (*self.components, *SUB_FLOWS), "there are")
                raise InvalidArgumentError(f"there is no component {path!r} to hold", hint=hint)
        with self._lock:
            self._world.held |= {*components} or {"*"}
        block = ExitStack()
        block.callback(self.release, *components)
        return block

    def release(self, *components: str) -> None:
        """Continue the held calls of components. Their runs end at once, unless they wait for something else.

        Args:
            components: The paths of the components in flows. Default: all components.
        """
        with self._lock:
            self._world.held -= {*components} or {*self._world.held}
            self._world.advance()

    def advance(self, duration: float) -> None:
        """Move the server's clock forward. Runs continue if their `Delayed` components are due.

        Args:
            duration: Seconds from 0 on.
        """
        passed = check_seconds(duration, "duration", zero=True)
        with self._lock:
            self._world.clock += passed
            self._world.advance()

    # Requests

    def _respond(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(_API)
        with self._lock:
            self.requests.append((request.method, path))
            for method, pattern, respond in _ROUTES:
                match = re.fullmatch(pattern, path)
                if match and method == request.method:
                    try:
                        return respond(self, request, *match.groups())
                    except _Refusal as refusal:
                        error = {"code": refusal.status, "message": refusal.message, "status": refusal.status}
                        return httpx.Response(refusal.status, json={"error": error})
        return httpx.Response(200, headers={"content-type": "application/grpc", "grpc-status": "12"})

    # Flows and blobs

    def _health(self, request: httpx.Request) -> httpx.Response:
        unknown = dict.fromkeys(("rustcVersion", "profile", "target"), "")
        build = {"gitVersion": "dd82fa7", "dirty": False, "features": [], **unknown}
        return httpx.Response(200, json={"status": "healthy", "timestamp": self._world.now(), "build": build})

    def _list_components(self, request: httpx.Request) -> httpx.Response:
        listed = []
        for path in (*self.components, *SUB_FLOWS):
            plugin, _, rest = path.strip("/").partition("/")
            listed.append({"componentId": f"/{rest or plugin}", "path": f"/{rest or plugin}", "plugin": plugin})
        return httpx.Response(200, json={"components": listed, "complete": True, "failedPlugins": []})

    def _store_flow(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        flow = body["flow"]
        if not isinstance(flow, dict) or not isinstance(flow.get("steps", []), list):
            raise _Refusal(400, "invalid flow definition")
        flow = to_floats(flow)
        diagnostics = find_faults(flow)
        flow_id = make_id(flow)
        stored = not diagnostics and not body.get("dryRun")
        if stored:
            self._world.flows[flow_id] = flow
        counts = {"numFatal": len(diagnostics), "numError": 0, "numWarning": 0}
        response = {"flowId": flow_id, "stored": stored, "diagnostics": {"diagnostics": diagnostics, **counts}}
        return httpx.Response(200, json=response)

    def _get_flow(self, request: httpx.Request, flow_id: str) -> httpx.Response:
        flow = self._flow(flow_id)
        return httpx.Response(200, json={"flowId": flow_id, "flow": to_floats(flow), "allExamples": examples_of(flow)})

    def _flow(self, flow_id: str) -> dict[str, Any]:
        if flow_id not in self._world.flows:
            raise _Refusal(404, f"flow {flow_id} not found")
        return self._world.flows[flow_id]

    def _accepted(self, request: httpx.Request, *names: str) -> httpx.Response:
        return httpx.Response(200, json={})

    def _store_blob(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("content-type", "").startswith("application/json"):
            body = json.loads(request.content)
            name = body.get("filename")
            blob_id = self._world.put_blob(body["data"], body.get("blobType", "data"), name)
        else:
            name = request.headers.get("x-blob-filename")
            blob_id = self._world.put_blob(request.content, "binary", name)
        return httpx.Response(200, json={"blobId": blob_id, **({"filename": name} if name else {})})

    def _get_blob(self, request: httpx.Request, blob_id: str) -> httpx.Response:
        blob = self._world.blobs.get(blob_id)
        if blob is None:
            return httpx.Response(404)
        data = blob["data"]
        if request.headers.get("accept") != "application/octet-stream":
            shown = {**blob, "data": None if isinstance(data, bytes) else data, "blobId": blob_id}
            return httpx.Response(200, json={key: value for key, value in shown.items() if value is not None})
        name = {"content-disposition": f'attachment; filename="{blob["filename"]}"'} if blob["filename"] else {}
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        return httpx.Response(200, headers={"x-blob-type": blob["blobType"], **name}, content=content)

    # Runs

    def _create_run(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        flow_id = body["flowId"]
        try:
            flow = with_overrides(self._flow(flow_id), body.get("overrides") or {})
        except LookupError as error:
            raise _Refusal(400, str(error.args[0])) from None
        diagnostics = find_faults(flow)
        if diagnostics:
            raise _Refusal(400, f"error analyzing workflow: {diagnostics[0]['formatted']}")
        run = FakeRun(self._world, flow_id, flow, body["input"], body.get("variables") or {})
        run.advance()
        results = [item.answer() for item in run.items] if body.get("wait") else []
        return httpx.Response(200, json={"summary": run.summary(), "results": results})

    def _run(self, run_id: str) -> FakeRun:
        if run_id not in self._world.runs:
            raise _Refusal(404, f"run {run_id} not found")
        return self._world.runs[run_id]

    def _list_runs(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        listed = [
            run for run in reversed(self._world.runs.values()) if query.get("rootsOnly") != "true" or not run.parent
        ]
        runs = [run.summary() for run in listed]
        for name, read in (("flowName", str), ("status", int), ("parentRunId", str), ("rootRunId", str)):
            if query.get(name):
                runs = [run for run in runs if run.get(name) == read(query[name])]
        start = int(query.get("offset", 0))
        stop = start + int(query["limit"]) if "limit" in query else None
        return httpx.Response(200, json={"runs": runs[start:stop]})

    def _get_run(self, request: httpx.Request, run_id: str) -> httpx.Response:
        run = self._run(run_id)
        return httpx.Response(200, json={"summary": run.summary(), "steps": run.steps()})

    def _run_items(self, request: httpx.Request, run_id: str) -> httpx.Response:
        run = self._world.runs.get(run_id)
        return httpx.Response(200, json={"results": [item.answer() for item in run.items] if run else []})

    def _run_steps(self, request: httpx.Request, run_id: str) -> httpx.Response:
        steps = self._world.runs[run_id].steps() if run_id in self._world.runs else []
        index = request.url.params.get("itemIndex")
        chosen = [step for step in steps if index is None or step["itemIndex"] == int(index)]
        return httpx.Response(200, json={"steps": chosen})

    def _run_step(self, request: httpx.Request, run_id: str, step_id: str) -> httpx.Response:
        item = int(request.url.params.get("itemIndex", 0))
        for step in self._run(run_id).steps():
            if step["stepId"] == step_id and step["itemIndex"] == item:
                return httpx.Response(200, json={"step": step})
        raise _Refusal(404, f"step {step_id} not found")

    def _run_flow(self, request: httpx.Request, run_id: str) -> httpx.Response:
        return self._get_flow(request, self._run(run_id).flow_id)

    def _cancel(self, request: httpx.Request, run_id: str) -> httpx.Response:
        run = self._run(run_id)
        run.cancel()
        return httpx.Response(200, json={"summary": run.summary()})

    def _run_events(self, request: httpx.Request, run_id: str) -> httpx.Response:
        query = request.url.params
        run = self._run(query.get("runId", ""))
        stream = _Events(
            self._lock,
            run,
            int(query.get("since", 0)),
            includes_results=query.get("includeResults") == "true",
            includes_sub_runs=query.get("includeSubRuns") == "true",
        )
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)


@dataclass
class _Events(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The events of a run, as a stream that ends with the run."""

    lock: RLock
    run: FakeRun
    since: int
    """The number of the next event."""
    includes_results: bool
    """Whether completed steps have their outputs."""
    includes_sub_runs: bool

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks():
            if chunk is None:
                time.sleep(_POLL_SECONDS)
            else:
                yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks():
            if chunk is None:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                yield chunk

    def _chunks(self) -> Iterator[bytes | None]:
        """Yield the events, and None to wait for more."""
        silent_since = time.monotonic()
        while True:
            frames = []
            with self.lock:
                new, self.since = self.run.journal[self.since :], len(self.run.journal)
                is_over = self.run.is_over
            for owner, event in new:
                if owner is self.run or (self.includes_sub_runs and owner.is_within(self.run)):
                    kind, content = next(iter(event["event"].items()))
                    if not self.includes_results:
                        content = {key: value for key, value in content.items() if key != "result"}
                    frames.append(f"data: {json.dumps({**event, 'event': {kind: content}})}\n\n")
            if frames:
                yield "".join(frames).encode()
            if is_over:
                return
            if frames or time.monotonic() - silent_since > _KEEP_ALIVE_SECONDS:
                silent_since = time.monotonic()
                yield b": keep-alive\n\n"
            yield None


_ROUTES: list[tuple[str, str, Callable[..., httpx.Response]]] = [
    ("GET", "/health", FakeServer._health),
    ("GET", "/components", FakeServer._list_components),
    ("POST", "/flows", FakeServer._store_flow),
    ("GET", "/flows/([^/]+)", FakeServer._get_flow),
    ("DELETE", "/flows/([^/]+)", FakeServer._accepted),
    ("POST", "/blobs", FakeServer._store_blob),
    ("GET", "/blobs/([^/]+)", FakeServer._get_blob),
    ("POST", "/runs", FakeServer._create_run),
    ("GET", "/runs", FakeServer._list_runs),
    ("GET", "/runs/([^/]+)", FakeServer._get_run),
    ("DELETE", "/runs/([^/]+)", FakeServer._accepted),
    ("GET", "/runs/([^/]+)/items", FakeServer._run_items),
    ("GET", "/runs/([^/]+)/steps", FakeServer._run_steps),
    ("GET", "/runs/([^/]+)/steps/([^/]+)", FakeServer._run_step),
    ("GET", "/runs/([^/]+)/flow", FakeServer._run_flow),
    ("GET", "/runs/([^/]+)/events", FakeServer._run_events),
    ("POST", "/runs/([^/]+)/cancel", FakeServer._cancel),
]
