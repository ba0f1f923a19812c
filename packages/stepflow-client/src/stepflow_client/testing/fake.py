"""An in-memory Stepflow server: an httpx transport that responds as a server of 0.13 does.

The client's own connections do not use httpx, so tools that patch httpx (respx, pytest-httpx) do not see its requests;
a client with a `transport` uses httpx, and this is such a transport.
"""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from .._data.arguments import check_mapping
from ..flows.additions import examples_of
from ..flows.evaluation import Evaluation, Failure, overridden
from .fake_flows import BUILTINS, findings, floats, value_id

if TYPE_CHECKING:
    from .._async.client import StepflowClient
    from .._sync.client import SyncStepflowClient

__all__ = ["FakeServer", "fake_server"]

_API = "/api/v1"


def fake_server(components: Mapping[str, Any] | None = None) -> FakeServer:
    """Return an in-memory server, for unit tests of programs that use a client.

    Example:
        server = fake_server({"/shop/price": lambda given: {"eur": 3}})
        with server.sync_client() as client:
            assert client.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

    It stores flows and blobs, runs flows immediately, and returns runs, items, steps, errors and events as 0.13 does.
    It has `/builtin/create_messages`, `noop`, `put_blob` and `get_blob`, but not `map`, `iterate`, `eval`, `openai` and
    `load_file`. Of the faults in flows, it detects only duplicate, empty and undefined steps. It does not model time,
    the order of steps, the server's own retries, and the conditional stall; use a real server (`stepflow_runtime`) to
    test these.

    Args:
        components: Outputs, or functions of the input, by the path that flows use. If a function raises an exception,
            the step fails with `COMPONENT_FAILED` and the exception's text.
    """
    return FakeServer(components)


@dataclass
class _Run:
    run_id: str
    flow_id: str
    flow: dict[str, Any]
    items: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    created_at: str = ""
    status: int = 2

    def summary(self) -> dict[str, Any]:
        failed = sum(item["status"] == 3 for item in self.items)
        counts = {"total": len(self.items), "completed": len(self.items) - failed, "running": 0, "failed": failed}
        name = {"flowName": self.flow["name"]} if self.flow.get("name") else {}
        return {
            "runId": self.run_id,
            "flowId": self.flow_id,
            **name,
            "status": self.status,
            "items": {**counts, "cancelled": 0},
            "createdAt": self.created_at,
            "completedAt": self.created_at,
            "rootRunId": self.run_id,
            "createdAtSeqno": 0,
            "finishedAtSeqno": len(self.events),
        }


class _Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class FakeServer:
    """An in-memory server; create it with `fake_server`."""

    url = "http://fake-stepflow"

    def __init__(self, components: Mapping[str, Any] | None = None) -> None:
        """Start with nothing stored."""
        given = {} if components is None else check_mapping(components, "components")
        self.components: dict[str, Any] = {**BUILTINS, **given}
        self.requests: list[tuple[str, str]] = []
        """The method and the path of each request, in order."""
        self.calls: list[tuple[str, Any]] = []
        """The path and the input of each call of a component, in order."""
        self.transport = httpx.MockTransport(self._respond)
        """The transport to pass to a client: `StepflowClient(server.url, transport=server.transport)`, or the sync
        client."""
        self._flows: dict[str, dict[str, Any]] = {}
        self._blobs: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, _Run] = {}

    def client(self) -> StepflowClient:
        """Return an asynchronous client of this server."""
        from .._async.client import StepflowClient

        return StepflowClient(self.url, transport=self.transport)

    def sync_client(self) -> SyncStepflowClient:
        """Return a synchronous client of this server."""
        from .._sync.client import SyncStepflowClient

        return SyncStepflowClient(self.url, transport=self.transport)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(_API)
        self.requests.append((request.method, path))
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                try:
                    return answer(self, request, *found.groups())
                except _Refusal as refusal:
                    error = {"code": refusal.status, "message": refusal.message, "status": refusal.status}
                    return httpx.Response(refusal.status, json={"error": error})
        return httpx.Response(200, headers={"content-type": "application/grpc", "grpc-status": "12"})

    # Flows and blobs

    def _health(self, request: httpx.Request) -> httpx.Response:
        build = {
            "gitVersion": "dd82fa7",
            "dirty": False,
            "rustcVersion": "",
            "profile": "",
            "features": [],
            "target": "",
        }
        return httpx.Response(200, json={"status": "healthy", "timestamp": _now(), "build": build})

    def _list_components(self, request: httpx.Request) -> httpx.Response:
        listed = []
        for path in self.components:
            plugin, _, rest = path.strip("/").partition("/")
            listed.append({"componentId": f"/{rest or plugin}", "path": f"/{rest or plugin}", "plugin": plugin})
        return httpx.Response(200, json={"components": listed, "complete": True, "failedPlugins": []})

    def _store_flow(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        flow = body["flow"]
        if not isinstance(flow, dict) or not isinstance(flow.get("steps", []), list):
            raise _Refusal(400, "invalid flow definition")
        flow = floats(flow)
        found = findings(flow)
        flow_id = value_id(flow)
        stored = not found and not body.get("dryRun")
        if stored:
            self._flows[flow_id] = flow
        counts = {"numFatal": len(found), "numError": 0, "numWarning": 0}
        answer = {"flowId": flow_id, "stored": stored, "diagnostics": {"diagnostics": found, **counts}}
        return httpx.Response(200, json=answer)

    def _get_flow(self, request: httpx.Request, flow_id: str) -> httpx.Response:
        flow = self._flow(flow_id)
        return httpx.Response(200, json={"flowId": flow_id, "flow": floats(flow), "allExamples": examples_of(flow)})

    def _flow(self, flow_id: str) -> dict[str, Any]:
        if flow_id not in self._flows:
            raise _Refusal(404, f"flow {flow_id} not found")
        return self._flows[flow_id]

    def _accepted(self, request: httpx.Request, *names: str) -> httpx.Response:
        return httpx.Response(200, json={})

    def _put_blob(self, data: Any, blob_type: str) -> str:
        blob_id = value_id(data)
        if blob_type == "flow":
            self._flows[blob_id] = data
        self._blobs[blob_id] = {"data": data, "blobType": blob_type, "blobId": blob_id}
        return blob_id

    def _store_blob(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        return httpx.Response(200, json={"blobId": self._put_blob(body["data"], body.get("blobType", "data"))})

    def _get_blob(self, request: httpx.Request, blob_id: str) -> httpx.Response:
        if blob_id not in self._blobs:
            return httpx.Response(404)
        return httpx.Response(200, json=self._blobs[blob_id])

    # Runs

    def _create_run(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        flow_id = body["flowId"]
        try:
            flow = overridden(self._flow(flow_id), body.get("overrides") or {})
        except LookupError as error:
            raise _Refusal(400, str(error.args[0])) from None
        found = findings(flow)
        if found:
            raise _Refusal(400, f"error analyzing workflow: {found[0]['formatted']}")
        run = _Run(str(uuid.uuid4()), flow_id, flow, created_at=_now())
        self._runs[run.run_id] = run
        _event(run, "RunCreated", flowId=flow_id, itemCount=len(body["input"]))
        for index, given in enumerate(body["input"]):
            self._run_item(run, index, given, body.get("variables") or {})
        run.status = 3 if any(item["status"] == 3 for item in run.items) else 2
        _event(run, "RunCompleted", status=run.status)
        results = run.items if body.get("wait") else []
        return httpx.Response(200, json={"summary": run.summary(), "results": results})

    def _run_item(self, run: _Run, index: int, given: Any, variables: Mapping[str, Any]) -> None:
        evaluation = Evaluation(run.flow, given, variables, self._call)
        item: dict[str, Any] = {"itemIndex": index, "completedAt": _now()}
        try:
            item |= {"status": 2, "output": floats(evaluation.run())}
        except Failure as failure:
            item |= {"status": 3, "errorMessage": failure.message, "errorCode": failure.code}
        run.items.append(item)
        _event(run, "StepsNeeded", itemIndex=index, stepIds=[*evaluation.steps])
        for step_id, done in evaluation.steps.items():
            where = {"itemIndex": index, "stepIndex": done.index, "stepId": step_id}
            for attempt in range(1, done.attempts + 1):
                _event(run, "StepStarted", **where, attempt=attempt)
            step = {"status": 2, "output": floats(done.output)}
            if done.failure:
                step = {"status": 3, "errorMessage": done.failure.message, "errorCode": done.failure.code}
            about = {"component": done.step["component"], "journalSeqno": len(run.events), "updatedAt": _now()}
            run.steps.append({**where, **step, **about})
            result = {"result": {"outcome": "success", "result": step["output"]}} if "output" in step else {}
            _event(run, "StepCompleted", **where, status=step["status"], **result)

    def _call(self, path: str, given: Any) -> Any:
        if path not in self.components:
            raise Failure(9, f"no route for {path}")
        self.calls.append((path, given))
        answer = self.components[path]
        if path in ("/builtin/put_blob", "/builtin/get_blob") and answer is BUILTINS[path]:
            return self._blob_step(path, given)
        if not callable(answer):
            return copy.deepcopy(answer)
        try:
            return json.loads(json.dumps(answer(copy.deepcopy(given))))
        except Failure:
            raise
        except Exception as error:
            raise Failure(3, str(error) or type(error).__name__, is_own=True) from error

    def _blob_step(self, path: str, given: Any) -> Any:
        if path == "/builtin/put_blob":
            return {"blob_id": self._put_blob(given["data"], given.get("blob_type", "data"))}
        blob = self._blobs.get(given["blob_id"])
        if blob is None:
            raise Failure(5, f"blob {given['blob_id']} not found", is_own=True)
        return {"data": blob["data"]}

    def _run(self, run_id: str) -> _Run:
        if run_id not in self._runs:
            raise _Refusal(404, f"run {run_id} not found")
        return self._runs[run_id]

    def _list_runs(self, request: httpx.Request) -> httpx.Response:
        query = request.url.params
        runs = [run.summary() for run in reversed(self._runs.values())]
        for name, read in (("flowName", str), ("status", int), ("parentRunId", str)):
            if query.get(name):
                runs = [run for run in runs if run.get(name) == read(query[name])]
        start = int(query.get("offset", 0))
        stop = start + int(query["limit"]) if "limit" in query else None
        return httpx.Response(200, json={"runs": runs[start:stop]})

    def _get_run(self, request: httpx.Request, run_id: str) -> httpx.Response:
        run = self._run(run_id)
        return httpx.Response(200, json={"summary": run.summary(), "steps": run.steps})

    def _run_items(self, request: httpx.Request, run_id: str) -> httpx.Response:
        return httpx.Response(200, json={"results": self._runs[run_id].items if run_id in self._runs else []})

    def _run_steps(self, request: httpx.Request, run_id: str) -> httpx.Response:
        steps = self._runs[run_id].steps if run_id in self._runs else []
        wanted = request.url.params.get("itemIndex")
        chosen = [step for step in steps if wanted is None or step["itemIndex"] == int(wanted)]
        return httpx.Response(200, json={"steps": chosen})

    def _run_step(self, request: httpx.Request, run_id: str, step_id: str) -> httpx.Response:
        item = int(request.url.params.get("itemIndex", 0))
        for step in self._run(run_id).steps:
            if step["stepId"] == step_id and step["itemIndex"] == item:
                return httpx.Response(200, json={"step": step})
        raise _Refusal(404, f"step {step_id} not found")

    def _run_flow(self, request: httpx.Request, run_id: str) -> httpx.Response:
        return self._get_flow(request, self._run(run_id).flow_id)

    def _cancel(self, request: httpx.Request, run_id: str) -> httpx.Response:
        run = self._run(run_id)
        run.status = 4
        return httpx.Response(200, json={"summary": run.summary()})

    def _run_events(self, request: httpx.Request, run_id: str) -> httpx.Response:
        run = self._run(request.url.params.get("runId", ""))
        since = int(request.url.params.get("since", 0))
        keeps = request.url.params.get("includeResults") == "true"
        frames = []
        for event in run.events[since:]:
            kind, content = next(iter(event["event"].items()))
            shown = content if keeps else {key: value for key, value in content.items() if key != "result"}
            frames.append(f"data: {json.dumps({**event, 'event': {kind: shown}})}\n\n")
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, text="".join(frames))


def _event(run: _Run, kind: str, **content: Any) -> None:
    event = {kind: {"runId": run.run_id, **content}}
    run.events.append({"sequenceNumber": len(run.events), "timestamp": _now(), "event": event})


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


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
