"""An in-memory Stepflow server, implemented as an httpx transport that executes runs and responds like a 0.13
server."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import RLock
from typing import Any

import httpx

from .._async.client import StepflowClient
from .._base.suggestions import suggest_or_list
from .._cases.mock_outcomes import get_mock_outcome, run_map_or_iterate
from .._data.arguments import check_mapping, check_seconds
from .._runs.pinned_steps import Delayed, Fails
from .._runs.strip_and_restore_flow import collect_examples
from .._sync.client import SyncStepflowClient
from ..errors import InvalidArgumentError
from ..flows.expected_results import ERROR_CODES, get_code_number
from ..flows.expressions import find_references
from ..flows.graph import FlowSteps
from ..flows.interpreter import EXPRESSION_ERRORS, Failure, Interpreter, StepRun, apply_overrides

_RUNNING, _COMPLETED, _FAILED, _CANCELLED = 1, 2, 3, 4


class CallHeld(Exception):
    """Raised when a component call has to wait."""


class FakeRun:
    """A run, along with its events and those of its sub-runs."""

    def __init__(
        self,
        server: FakeServer,
        flow_id: str,
        flow: dict[str, Any],
        inputs: list[Any],
        variables: Mapping[str, Any],
        parent: FakeRun | None = None,
    ) -> None:
        """Create the run. Call `execute` to execute it."""
        self.server, self.flow_id, self.flow, self.parent = server, flow_id, flow, parent
        self.run_id = str(uuid.uuid4())
        self.root: FakeRun = self if parent is None else parent.root
        self.journal: list[tuple[FakeRun, dict[str, Any]]] = [] if parent is None else parent.root.journal
        self.created_at = server._format_now()
        self.completed_at: str | None = None
        self.is_cancelled = False
        self.variables = variables
        self.items = [_FakeItem(self, index, given) for index, given in enumerate(inputs)]
        server._runs[self.run_id] = self
        about = {"flowId": flow_id, "itemCount": len(inputs)}
        if parent is None:
            self.add_event("RunCreated", **about)
        else:
            self.add_event("SubRunCreated", parentRunId=parent.run_id, **about)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.completed_at is not None

    @property
    def status(self) -> int:
        """The status as a number, as sent on the wire."""
        if self.is_cancelled:
            return _CANCELLED
        if not self.is_over:
            return _RUNNING
        return _FAILED if any(item.status == _FAILED for item in self.items) else _COMPLETED

    def execute(self) -> None:
        """Execute the run as far as possible."""
        for item in self.items if not self.is_over else ():
            item.execute()
        if not self.is_over and all(item.status != _RUNNING for item in self.items):
            self.completed_at = self.server._format_now()
            self.add_event("RunCompleted", status=self.status)

    def cancel(self) -> None:
        """Cancel the run and its sub-runs."""
        self.is_cancelled = True
        self.completed_at = self.server._format_now()
        for run in self.server._runs.values():
            if run.parent is self and not run.is_over:
                run.cancel()
        for item in self.items:
            item.status = _CANCELLED if item.status == _RUNNING else item.status

    def add_event(self, kind: str, **content: Any) -> None:
        """Add an event."""
        event = {kind: {"runId": self.run_id, **content}}
        about = {"sequenceNumber": len(self.journal), "timestamp": self.server._format_now(), "event": event}
        self.journal.append((self, about))

    def is_same_or_sub_run_of(self, other: FakeRun) -> bool:
        """Return whether this run is the other run or one of its sub-runs."""
        return self is other or (self.parent is not None and self.parent.is_same_or_sub_run_of(other))

    def make_summary(self) -> dict[str, Any]:
        """Return the run's summary in the server's format."""
        counts = {word: sum(item.status == number for item in self.items) for word, number in _STATUS_NUMBERS.items()}
        name = {"flowName": self.flow["name"]} if self.flow.get("name") else {}
        parent = {"parentRunId": self.parent.run_id} if self.parent is not None else {}
        end = {"completedAt": self.completed_at, "finishedAtSeqno": len(self.journal)} if self.is_over else {}
        about = {"runId": self.run_id, "flowId": self.flow_id, **name, "status": self.status}
        begin = {"createdAt": self.created_at, "rootRunId": self.root.run_id, "createdAtSeqno": 0}
        return {**about, "items": {"total": len(self.items), **counts}, **begin, **parent, **end}

    def list_steps(self) -> list[dict[str, Any]]:
        """Return the steps of all items in the server's format."""
        return [step for item in self.items for step in item.records.values()]


_STATUS_NUMBERS = {"completed": _COMPLETED, "running": _RUNNING, "failed": _FAILED, "cancelled": _CANCELLED}


class _FakeItem(Interpreter):
    """The execution of a single item."""

    def __init__(self, of: FakeRun, index: int, given: Any) -> None:
        super().__init__(of.flow, given, of.variables, self._get_attempt_output)
        self.fake_run, self.index = of, index
        self.status = _RUNNING
        self.end: dict[str, Any] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self._step_run = StepRun({}, 0)
        self._outcomes: dict[tuple[str, int], tuple[Any, float]] = {}
        """The outcome of each step attempt, along with the clock time at which it becomes available."""
        self._children: dict[tuple[str, int], list[FakeRun]] = {}

    def to_json(self) -> dict[str, Any]:
        """Return the item in the server's format."""
        return {"itemIndex": self.index, "status": self.status, **self.end}

    def execute(self) -> None:
        """Execute the item as far as possible."""
        if self.status != _RUNNING:
            return
        steps = FlowSteps(self.flow)
        if not self.records:
            needed = steps.find_steps_to_run()
            self._add_event("StepsNeeded", stepIds=[name for name in steps.by_id if name in needed])
        is_held = False
        certain = steps.find_steps_to_run(certainly=True)
        for name in steps.by_id:
            # If one step is waiting, continue with the other steps.
            try:
                if name in certain:
                    self._get_step_outcome(name)
            except CallHeld:
                is_held = True
        if is_held:
            return
        try:
            end, status = {"output": convert_to_floats(self.run())}, _COMPLETED
        except CallHeld:
            return
        except Failure as failure:
            end, status = _error_fields(failure), _FAILED
        except EXPRESSION_ERRORS as error:
            end, status = _error_fields(Failure(8, str(error))), _FAILED
        self.status, self.end = status, {"completedAt": self.fake_run.server._format_now(), **end}

    def _add_event(self, kind: str, **content: Any) -> None:
        self.fake_run.add_event(kind, itemIndex=self.index, **content)

    def _get_step_outcome(self, step_id: str) -> StepRun:
        is_new = step_id not in self.steps
        done = super()._get_step_outcome(step_id)
        if is_new:
            if not done.attempts:
                # Servers start a step even if its input can't be computed.
                self._record_step_start(done, 1)
            result = {"output": convert_to_floats(done.output)} if done.failure is None else _error_fields(done.failure)
            self._update_step_record(done, _COMPLETED if done.failure is None else _FAILED, **result)
            shown = {"result": result["output"]} if "output" in result else {}
            status = self.records[step_id]["status"]
            self._add_event("StepCompleted", stepIndex=done.index, stepId=step_id, status=status, **shown)
        return done

    def _record_step_start(self, done: StepRun, attempt: int) -> None:
        self._update_step_record(done, _RUNNING)
        self._add_event("StepStarted", stepIndex=done.index, stepId=done.step["id"], attempt=attempt)

    def _update_step_record(self, done: StepRun, status: int, **more: Any) -> None:
        step = done.step
        about = {"itemIndex": self.index, "stepIndex": done.index, "stepId": step["id"], "component": step["component"]}
        changed = {"journalSeqno": len(self.fake_run.journal), "updatedAt": self.fake_run.server._format_now()}
        self.records[step["id"]] = {**about, "status": status, **more, **changed}

    def _run_attempts(self, done: StepRun, step_input: Any) -> Any:
        self._step_run = done
        return super()._run_attempts(done, step_input)

    def _get_attempt_output(self, path: str, given: Any) -> Any:
        """Return the output of the current step's current attempt. The component is only called the first time."""
        done, server = self._step_run, self.fake_run.server
        attempt = (done.step["id"], done.attempts)
        if attempt not in self._outcomes:
            if attempt not in self._children:
                self._children[attempt] = []
                self._record_step_start(done, done.attempts)
            if path in server._held or "*" in server._held:
                raise CallHeld
            if path in SUB_FLOW_COMPONENTS:
                outcome, delay = self._run_subflow_component(attempt, path, given), 0.0
            else:
                outcome, delay = server._call_component(path, given)
            self._outcomes[attempt] = (outcome, server._clock + delay)
        outcome, due = self._outcomes[attempt]
        if server._clock < due:
            raise CallHeld
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    def _run_subflow_component(self, attempt: tuple[str, int], path: str, given: Any) -> Any:
        """Return the outcome of a component that runs a flow.

        Raises:
            CallHeld: If a sub-run hasn't ended yet.
        """
        server, children, places, step_id = self.fake_run.server, self._children[attempt], count(), attempt[0]

        def run_or_hold(flow: Any, inputs: Sequence[Any]) -> list[dict[str, Any]]:
            place = next(places)
            if place == len(children):
                children.append(FakeRun(server, compute_content_id(flow), dict(flow), [*inputs], {}, self.fake_run))
            children[place].execute()
            if not children[place].is_over:
                raise CallHeld
            results: list[dict[str, Any]] = []
            for item in children[place].items:
                if item.status == _COMPLETED:
                    results.append({"outcome": "success", "result": item.end["output"]})
                else:
                    code = [*ERROR_CODES][item.end.get("errorCode", 4) - 1]
                    message = item.end.get("errorMessage", "cancelled")
                    results.append({"outcome": "failed", "error": {"code": code, "message": message}})
            return results

        if path != "/builtin/eval":
            return _convert_fails_to_failure(run_map_or_iterate(path, step_id, given, run_or_hold))
        try:
            (result,) = run_or_hold(server._flows[given["flow_id"]], [given["input"]])
        except EXPRESSION_ERRORS:
            return Failure(5, f'step "{step_id}" failed', is_own=True)
        return {"result": result, "run_id": self.fake_run.run_id}


def _convert_fails_to_failure(outcome: Any) -> Any:
    """Convert `Fails` to the failure raised by an evaluation. Outputs are returned unchanged."""
    if isinstance(outcome, Fails):
        return Failure(get_code_number(outcome.error_code), outcome.message, is_own=True)
    return outcome


def _error_fields(failure: Failure) -> dict[str, Any]:
    return {"errorMessage": failure.message, "errorCode": failure.code}


def find_diagnostics(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return fatal step diagnostics in the server's format."""
    diagnostics: list[dict[str, Any]] = []
    seen: set[str] = set()

    def add(code: int, kind: str, text: str, path: str) -> None:
        diagnostics.append({"kind": kind, "code": code, "level": 1, "formatted": text, "path": path})

    for index, step in enumerate(flow.get("steps") or ()):
        step_id, place = step.get("id") or "", f"$.steps[{index}]"
        if not step_id.strip():
            add(3001, "emptyStepId", "Step has empty ID", f"{place}.id")
        if step_id in seen:
            add(3000, "duplicateStepId", f"Duplicate step ID '{step_id}'", f"{place}.id")
        for named in sorted(_find_referenced_steps(step.get("input")) - seen):
            kind = (3002, "selfReference") if named == step_id else (3003, "undefinedStepReference")
            verb = "itself" if named == step_id else f"undefined step '{named}'"
            add(*kind, f"Step '{step_id}' references {verb}", f"{place}.input")
        seen.add(step_id)
    for named in sorted(_find_referenced_steps(flow.get("output")) - seen):
        text = f"Step 'workflow_output' references undefined step '{named}'"
        add(3003, "undefinedStepReference", text, "$.output")
    return diagnostics


def _find_referenced_steps(expression: Any) -> set[str]:
    return {reference.step for reference in find_references(expression) if reference.step}


def convert_to_floats(value: Any) -> Any:
    """Convert every number in a value to a float, as current servers do in results."""
    if isinstance(value, Mapping):
        return {key: convert_to_floats(part) for key, part in value.items()}
    if isinstance(value, list):
        return [convert_to_floats(element) for element in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def compute_content_id(value: Any) -> str:
    """Return a stored value's ID, which is the SHA-256 digest of its bytes or its compact JSON."""
    if not isinstance(value, bytes):
        value = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    return hashlib.sha256(value).hexdigest()


def _run_create_messages_component(given: Any) -> dict[str, Any]:
    """Return the output of /builtin/create_messages."""
    if not isinstance(given, Mapping) or not isinstance(given.get("user_prompt"), str):
        raise Failure(5, "missing field `user_prompt`", is_own=True)
    system = given.get("system_instructions")
    messages = [{"role": "system", "content": system}] if system else []
    return {"messages": [*messages, {"role": "user", "content": given["user_prompt"]}]}


SUB_FLOW_COMPONENTS = ("/builtin/map", "/builtin/iterate", "/builtin/eval")
"""The builtin components that run a flow."""


_API_PATH = "/api/v1"
# Number of seconds between checks for new events in an open stream.
_POLL_SECONDS = 0.005
# Number of seconds between keep-alive comments in an open stream that has no new events.
_KEEP_ALIVE_SECONDS = 0.1


def fake_server(components: Mapping[str, Any] | None = None) -> FakeServer:
    """Create an in-memory server for unit-testing programs that use a client.

    Example:
        server = fake_server({"/shop/price": lambda given: {"eur": 3}})
        with server.sync_client() as client:
            assert client.run("order.yaml", {"sku": "tea"}).output == {"total": 3}

    It stores flows and blobs, runs flows, and returns runs, items, steps, errors and events like a 0.13 server. A run
    ends before the request that creates it returns, unless the test holds a component or a component takes time:

        server = fake_server({"/model/draft": {"text": "Dear"}})
        with server.sync_client() as client, server.hold("/model/draft"):
            run_id = client.submit("ticket.yaml", {"subject": "Help"})
            assert client.get_run(run_id).status == "running"
        assert client.get_result(run_id).is_success

    The builtin components of 0.13 are available, except for `openai` and `load_file`. The only flow errors that the
    server detects are duplicate, empty and undefined step IDs, and steps that read their own output. It doesn't model
    server-side retries, the concurrent task limit or conditional stalls, so use a real server (`stepflow_runtime`) to
    test those.

    Args:
        components: The components' results, by path. A result is an output, `Fails`, `Delayed`, `InTurn`, or a function
            of the input that returns one of these. If a function raises an exception, the step fails with
            `COMPONENT_FAILED` and the exception's message.
    """
    return FakeServer(components)


class _ErrorResponse(Exception):
    """Raised to respond to a request with an error. The arguments are the status and a message."""


class FakeServer:
    """A thread-safe in-memory server. Create one with `fake_server`."""

    url = "http://fake-stepflow"

    def __init__(self, components: Mapping[str, Any] | None = None) -> None:
        """Start with no stored data."""
        builtins: dict[str, Any] = {
            "/builtin/create_messages": _run_create_messages_component,
            "/builtin/noop": lambda given: given,
            "/builtin/sleep": lambda given: Delayed(given, given["duration_ms"] / 1000),
            "/builtin/put_blob": self._run_put_blob_component,
            "/builtin/get_blob": self._run_get_blob_component,
        }
        given = {} if components is None else check_mapping(components, "components")
        self.components: dict[str, Any] = {**builtins, **given}
        self.requests: list[tuple[str, str]] = []
        """The method and path of each request, in order."""
        self.calls: list[tuple[str, Any]] = []
        """The path and input of each component call, in order, except for components that run a flow."""
        self.transport = httpx.MockTransport(self._handle_request)
        """The transport to pass to a client, e.g. `StepflowClient(server.url, transport=server.transport)`. It also
        works with the sync client."""
        self._flows: dict[str, dict[str, Any]] = {}
        self._blobs: dict[str, dict[str, Any]] = {}
        self._runs: dict[str, FakeRun] = {}
        self._held: set[str] = set()
        self._clock = 0.0
        self._lock = RLock()

    def client(self) -> StepflowClient:
        """Return an asynchronous client for this server."""
        return StepflowClient(self.url, transport=self.transport)

    def sync_client(self) -> SyncStepflowClient:
        """Return a synchronous client for this server."""
        return SyncStepflowClient(self.url, transport=self.transport)

    # Controlling time

    def hold(self, *components: str) -> ExitStack:
        """Hold component calls, so that the steps and runs that make them stay `running` until you call `release`.

        If used as a context manager, the calls are released at the end of the block.

        Args:
            components: The components' paths in flows. Defaults to all components.

        Raises:
            InvalidArgumentError: If a component doesn't exist.
        """
        for path in components:
            if path not in (*self.components, *SUB_FLOW_COMPONENTS):
                hint = suggest_or_list(path, (*self.components, *SUB_FLOW_COMPONENTS), "there are")
                raise InvalidArgumentError(f"unknown component {path!r} to hold", hint=hint)
        with self._lock:
            self._held |= {*components} or {"*"}
        block = ExitStack()
        block.callback(self.release, *components)
        return block

    def release(self, *components: str) -> None:
        """Resume held component calls. Their runs end immediately, unless they are also waiting for something else.

        Args:
            components: The components' paths in flows. Defaults to all components.
        """
        with self._lock:
            held = {*self.components, *SUB_FLOW_COMPONENTS} if "*" in self._held else self._held
            self._held = held - ({*components} or held)
            self._execute_runs()

    def advance(self, duration: float) -> None:
        """Move the server's clock forward and resume runs whose `Delayed` components are due.

        Args:
            duration: How far to move the clock, in seconds. Must be at least 0.
        """
        passed = check_seconds(duration, "duration", allow_zero=True)
        with self._lock:
            self._clock += passed
            self._execute_runs()

    def _execute_runs(self) -> None:
        """Execute all runs as far as possible."""
        for run in list(self._runs.values()):
            run.execute()

    def _format_now(self) -> str:
        """Return the current time in the server's format."""
        return (datetime.now(UTC) + timedelta(seconds=self._clock)).isoformat().replace("+00:00", "Z")

    # Components

    def _call_component(self, path: str, given: Any) -> tuple[Any, float]:
        """Call a component once and return its outcome (an output or a failure) along with its delay in seconds."""
        if path not in self.components:
            return Failure(9, "error routing component"), 0.0
        self.calls.append((path, given))
        try:
            mock = get_mock_outcome(self.components[path], copy.deepcopy(given))
            outcome, delay = (mock.outcome, mock.delay) if isinstance(mock, Delayed) else (mock, 0.0)
            result = _convert_fails_to_failure(outcome)
            return result if isinstance(outcome, Fails) else json.loads(json.dumps(outcome)), delay
        except Failure as failure:
            return failure, 0.0
        except Exception as error:
            return Failure(3, str(error) or type(error).__name__, is_own=True), 0.0

    def _run_put_blob_component(self, given: Any) -> dict[str, Any]:
        return {"blob_id": self._add_blob(given["data"], given.get("blob_type", "data"))}

    def _run_get_blob_component(self, given: Any) -> dict[str, Any]:
        if given["blob_id"] not in self._blobs:
            raise Failure(5, f"blob {given['blob_id']} not found", is_own=True)
        return {"data": self._blobs[given["blob_id"]]["data"]}

    # Requests

    def _handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(_API_PATH)
        with self._lock:
            self.requests.append((request.method, path))
            for route, respond in _ROUTES.items():
                if match := re.fullmatch(route, f"{request.method} {path}"):
                    try:
                        response = respond(self, request, *match.groups())
                        return httpx.Response(200, json=response) if isinstance(response, dict) else response
                    except _ErrorResponse as refusal:
                        status, message = refusal.args
                        error = {"code": status, "message": message, "status": status}
                        return httpx.Response(status, json={"error": error})
        return httpx.Response(200, headers={"content-type": "application/grpc", "grpc-status": "12"})

    # Flows and blobs

    def _get_health(self, request: httpx.Request) -> dict[str, Any]:
        unknown = dict.fromkeys(("rustcVersion", "profile", "target"), "")
        build = {"gitVersion": "dd82fa7", "dirty": False, "features": [], **unknown}
        return {"status": "healthy", "timestamp": self._format_now(), "build": build}

    def _list_components(self, request: httpx.Request) -> dict[str, Any]:
        listed = []
        for path in (*self.components, *SUB_FLOW_COMPONENTS):
            plugin, _, rest = path.strip("/").partition("/")
            listed.append({"componentId": f"/{rest or plugin}", "path": f"/{rest or plugin}", "plugin": plugin})
        return {"components": listed, "complete": True, "failedPlugins": []}

    def _store_flow(self, request: httpx.Request) -> dict[str, Any]:
        body = json.loads(request.content)
        flow = body["flow"]
        if not isinstance(flow, dict) or not isinstance(flow.get("steps", []), list):
            raise _ErrorResponse(400, "invalid flow definition")
        flow = convert_to_floats(flow)
        diagnostics = find_diagnostics(flow)
        flow_id = compute_content_id(flow)
        stored = not diagnostics and not body.get("dryRun")
        if stored:
            self._flows[flow_id] = flow
        counts = {"numFatal": len(diagnostics), "numError": 0, "numWarning": 0}
        return {"flowId": flow_id, "stored": stored, "diagnostics": {"diagnostics": diagnostics, **counts}}

    def _get_flow(self, request: httpx.Request, flow_id: str) -> dict[str, Any]:
        flow = self._find_flow(flow_id)
        return {"flowId": flow_id, "flow": convert_to_floats(flow), "allExamples": collect_examples(flow)}

    def _find_flow(self, flow_id: str) -> dict[str, Any]:
        if flow_id not in self._flows:
            raise _ErrorResponse(404, f"flow {flow_id} not found")
        return self._flows[flow_id]

    def _ignore_deletion(self, request: httpx.Request, *names: str) -> dict[str, Any]:
        return {}

    def _add_blob(self, data: Any, blob_type: str, filename: str | None = None) -> str:
        """Store a JSON value or bytes and return the blob's ID. If a filename is given, it replaces any earlier one."""
        blob_id = compute_content_id(data)
        if blob_type == "flow":
            self._flows[blob_id] = data
        self._blobs[blob_id] = {"data": data, "blobType": blob_type, "filename": filename}
        return blob_id

    def _store_blob(self, request: httpx.Request) -> dict[str, Any]:
        if request.headers.get("content-type", "").startswith("application/json"):
            body = json.loads(request.content)
            name = body.get("filename")
            blob_id = self._add_blob(body["data"], body.get("blobType", "data"), name)
        else:
            name = request.headers.get("x-blob-filename")
            blob_id = self._add_blob(request.content, "binary", name)
        return {"blobId": blob_id, **({"filename": name} if name else {})}

    def _get_blob(self, request: httpx.Request, blob_id: str) -> httpx.Response | dict[str, Any]:
        blob = self._blobs.get(blob_id)
        if blob is None:
            return httpx.Response(404)
        data = blob["data"]
        if request.headers.get("accept") != "application/octet-stream":
            shown = {**blob, "data": None if isinstance(data, bytes) else data, "blobId": blob_id}
            return {key: value for key, value in shown.items() if value is not None}
        name = {"content-disposition": f'attachment; filename="{blob["filename"]}"'} if blob["filename"] else {}
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        return httpx.Response(200, headers={"x-blob-type": blob["blobType"], **name}, content=content)

    # Runs

    def _create_run(self, request: httpx.Request) -> dict[str, Any]:
        body = json.loads(request.content)
        flow_id = body["flowId"]
        try:
            flow = apply_overrides(self._find_flow(flow_id), body.get("overrides") or {})
        except LookupError as error:
            raise _ErrorResponse(400, str(error.args[0])) from None
        diagnostics = find_diagnostics(flow)
        if diagnostics:
            raise _ErrorResponse(400, f"error analyzing workflow: {diagnostics[0]['formatted']}")
        run = FakeRun(self, flow_id, flow, body["input"], body.get("variables") or {})
        run.execute()
        results = [item.to_json() for item in run.items] if body.get("wait") else []
        return {"summary": run.make_summary(), "results": results}

    def _find_run(self, run_id: str) -> FakeRun:
        if run_id not in self._runs:
            raise _ErrorResponse(404, f"run {run_id} not found")
        return self._runs[run_id]

    def _list_runs(self, request: httpx.Request) -> dict[str, Any]:
        query = request.url.params
        includes_children = query.get("rootsOnly") != "true"
        listed = [run for run in reversed(self._runs.values()) if includes_children or not run.parent]
        runs = [run.make_summary() for run in listed]
        for name, read in (("flowName", str), ("status", int), ("parentRunId", str), ("rootRunId", str)):
            if query.get(name):
                runs = [run for run in runs if run.get(name) == read(query[name])]
        start = int(query.get("offset", 0))
        stop = start + int(query["limit"]) if "limit" in query else None
        return {"runs": runs[start:stop]}

    def _get_run(self, request: httpx.Request, run_id: str) -> dict[str, Any]:
        run = self._find_run(run_id)
        return {"summary": run.make_summary(), "steps": run.list_steps()}

    def _get_run_items(self, request: httpx.Request, run_id: str) -> dict[str, Any]:
        run = self._runs.get(run_id)
        return {"results": [item.to_json() for item in run.items] if run else []}

    def _get_run_steps(self, request: httpx.Request, run_id: str) -> dict[str, Any]:
        steps = self._runs[run_id].list_steps() if run_id in self._runs else []
        index = request.url.params.get("itemIndex")
        chosen = [step for step in steps if index is None or step["itemIndex"] == int(index)]
        return {"steps": chosen}

    def _get_run_step(self, request: httpx.Request, run_id: str, step_id: str) -> dict[str, Any]:
        item = int(request.url.params.get("itemIndex", 0))
        for step in self._find_run(run_id).list_steps():
            if step["stepId"] == step_id and step["itemIndex"] == item:
                return {"step": step}
        raise _ErrorResponse(404, f"step {step_id} not found")

    def _get_run_flow(self, request: httpx.Request, run_id: str) -> dict[str, Any]:
        return self._get_flow(request, self._find_run(run_id).flow_id)

    def _cancel_run(self, request: httpx.Request, run_id: str) -> dict[str, Any]:
        run = self._find_run(run_id)
        run.cancel()
        return {"summary": run.make_summary()}

    def _stream_run_events(self, request: httpx.Request, run_id: str) -> httpx.Response:
        query = request.url.params
        run = self._find_run(query.get("runId", ""))
        flags = (query.get(name) == "true" for name in ("includeResults", "includeSubRuns"))
        stream = _EventStream(self._lock, run, int(query.get("since", 0)), *flags)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)


@dataclass
class _EventStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream of a run's events, which ends when the run does."""

    lock: RLock
    run: FakeRun
    since: int
    """The next event's sequence number."""
    includes_results: bool
    """Whether to include the outputs of completed steps."""
    includes_sub_runs: bool

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._iter_chunks():
            if chunk is None:
                time.sleep(_POLL_SECONDS)
            else:
                yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._iter_chunks():
            if chunk is None:
                await asyncio.sleep(_POLL_SECONDS)
            else:
                yield chunk

    def _iter_chunks(self) -> Iterator[bytes | None]:
        """Yield encoded events, or None if the caller should wait for more."""
        silent_since = time.monotonic()
        while True:
            frames = []
            with self.lock:
                new, self.since = self.run.journal[self.since :], len(self.run.journal)
                is_over = self.run.is_over
            for owner, event in new:
                if owner is self.run or (self.includes_sub_runs and owner.is_same_or_sub_run_of(self.run)):
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


_ROUTES: dict[str, Callable[..., httpx.Response | dict[str, Any]]] = {
    "GET /health": FakeServer._get_health,
    "GET /components": FakeServer._list_components,
    "POST /flows": FakeServer._store_flow,
    "GET /flows/([^/]+)": FakeServer._get_flow,
    "DELETE /flows/([^/]+)": FakeServer._ignore_deletion,
    "POST /blobs": FakeServer._store_blob,
    "GET /blobs/([^/]+)": FakeServer._get_blob,
    "POST /runs": FakeServer._create_run,
    "GET /runs": FakeServer._list_runs,
    "GET /runs/([^/]+)": FakeServer._get_run,
    "DELETE /runs/([^/]+)": FakeServer._ignore_deletion,
    "GET /runs/([^/]+)/items": FakeServer._get_run_items,
    "GET /runs/([^/]+)/steps": FakeServer._get_run_steps,
    "GET /runs/([^/]+)/steps/([^/]+)": FakeServer._get_run_step,
    "GET /runs/([^/]+)/flow": FakeServer._get_run_flow,
    "GET /runs/([^/]+)/events": FakeServer._stream_run_events,
    "POST /runs/([^/]+)/cancel": FakeServer._cancel_run,
}
