"""Translation between the current wire format and the formats of older servers. Pure: decoded JSON in and out.

Each translator is a generator. It takes a request in the current format, yields the requests for the older server,
receives each reply through `send()`, and returns the reply in the current format. The code that drives the generator
does the I/O. If a release does not support something, the translator raises an UnsupportedByServerError that names the
first release that does.

Older servers are 0.10 and 0.11. Their statuses and levels are words, the fields of a run are not nested in a
`summary`, results are tagged, steps are an object, and errors are JSON sent as text/plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .old_responses import (
    LEVELS,
    STATUS_WORDS,
    ShapeChangedError,
    current_components,
    flat_run,
    item_of,
    started_steps,
    step_of,
    summary_of,
    without_none,
)
from .operations import operation_of
from .releases import Server, require


@dataclass(frozen=True)
class Request:
    """A request to the API, with its body decoded."""

    method: str
    path: str
    """The path without the leading `/api/v1`."""
    params: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Reply:
    """A response, with its body decoded: None if the body is not JSON."""

    status: int
    body: Any = None

    @property
    def is_error(self) -> bool:
        """True if the server responded with an error."""
        return self.status >= 400


Translation = Generator[Request, Reply, Reply]

_GRPC_STATUS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "FAILED_PRECONDITION", 500: "INTERNAL"}


def translate(server: Server, request: Request) -> Translation:
    """Return the generator that translates a request in the current format for an older server.

    Raises:
        UnsupportedByServerError: If the server does not support the request (while the generator is driven).
        ShapeChangedError: If a response already has the current format (while the generator is driven).
    """
    operation = operation_of(request.method, request.path)
    if operation is not None and operation.capability is not None:
        require(server, operation.capability, operation.needs)
    for method, pattern, translator in _ROUTES:
        if method == request.method and (match := pattern.fullmatch(request.path)):
            reply = yield from translator(server, request, **match.groupdict())
            return _error(reply) if reply.is_error else reply
    return _error((yield request))


# Requests


def _create_run(server: Server, request: Request) -> Translation:
    if isinstance(request.body, dict) and request.body.get("input") == []:
        require(server, "empty_batch", "a run of no items")
    reply = yield request
    if reply.is_error:
        return reply
    created = flat_run(reply.body)
    results = created.get("results") or []
    return Reply(200, {"summary": summary_of(created), "results": [item_of(item) for item in results]})


def _list_runs(server: Server, request: Request) -> Translation:
    params = dict(request.params)
    if "status" in params:
        word = STATUS_WORDS.get(params["status"])
        if word is None:
            # No run can have this status on this server.
            return Reply(200, {"runs": []})
        params["status"] = word
    reply = yield replace(request, params=params)
    if reply.is_error:
        return reply
    runs = reply.body["runs"]
    if runs and "runId" not in runs[0]:
        raise ShapeChangedError
    if any(isinstance(run.get("status"), int) for run in runs):
        raise ShapeChangedError
    return Reply(200, {"runs": [summary_of(run) for run in runs]})


def _get_run(server: Server, request: Request, run_id: str) -> Translation:
    reply = yield request
    if reply.is_error:
        return reply
    run = flat_run(reply.body)
    steps = [
        step_of(run, step, item["itemIndex"], index)
        for item in run.get("itemDetails") or []
        for index, step in enumerate(started_steps(item.get("steps") or []))
    ]
    return Reply(200, {"summary": summary_of(run), "steps": steps, "given": _given(run)})


def _given(run: dict[str, Any]) -> dict[str, Any]:
    """Return the `inputs` and `overrides` a run was started with. Current servers do not return them."""
    ordered = sorted(run.get("itemDetails") or [], key=lambda item: item["itemIndex"])
    inputs = [item["input"] for item in ordered] if ordered and all("input" in item for item in ordered) else None
    return {"inputs": inputs, "overrides": run.get("overrides")}


def _get_run_items(server: Server, request: Request, run_id: str) -> Translation:
    reply = yield request
    if reply.is_error:
        return reply
    if "items" not in reply.body:
        raise ShapeChangedError
    return Reply(200, {"results": [item_of(item) for item in reply.body["items"]]})


def _get_run_steps(server: Server, request: Request, run_id: str) -> Translation:
    wanted = request.params.get("itemIndex")
    reply = yield Request("GET", f"/runs/{run_id}")
    if reply.is_error:
        return reply
    run = flat_run(reply.body)
    total = run["items"]["total"]
    reply = yield Request("GET", f"/runs/{run_id}/steps")
    if reply.is_error:
        return reply
    known = reply.body["steps"]
    details = run.get("itemDetails") or []
    if total > 1 and any(item.get("steps") for item in details):
        items = [
            (item["itemIndex"], [{**known.get(step["stepId"], {}), **step} for step in item.get("steps") or []])
            for item in details
        ]
    else:
        items = [(0, list(known.values()))]
    steps = [
        step_of(run, step, item_index, index)
        for item_index, listed in items
        if wanted is None or str(item_index) == wanted
        for index, step in enumerate(started_steps(listed))
    ]
    return Reply(200, {"steps": steps})


def _get_run_step(server: Server, request: Request, run_id: str, step_id: str) -> Translation:
    item_index = request.params.get("itemIndex", "0")
    inner = Request("GET", f"/runs/{run_id}/steps", {"itemIndex": item_index})
    reply = yield from _get_run_steps(server, inner, run_id)
    if reply.is_error:
        return reply
    for step in reply.body["steps"]:
        if step["stepId"] == step_id:
            return Reply(200, {"step": step})
    return Reply(404, {"code": 404, "message": f"step '{step_id}' not found"})


def _cancel_run(server: Server, request: Request, run_id: str) -> Translation:
    reply = yield request
    return reply if reply.is_error else Reply(200, {"summary": summary_of(flat_run(reply.body))})


def _delete(server: Server, request: Request, **ids: str) -> Translation:
    reply = yield request
    return reply if reply.is_error else Reply(200, {})


def _store_flow(server: Server, request: Request) -> Translation:
    reply = yield request
    if reply.is_error:
        return reply
    body = dict(reply.body)
    found = dict(body.get("diagnostics") or {})
    found["diagnostics"] = [
        {"experimental": False, **each, "level": LEVELS.get(each["level"], each["level"])}
        for each in found.get("diagnostics") or []
    ]
    return Reply(200, {**body, "diagnostics": found})


def _get_flow(server: Server, request: Request, flow_id: str) -> Translation:
    reply = yield request
    # Old servers omit the field if there are no examples.
    return reply if reply.is_error else Reply(200, {"allExamples": [], **reply.body})


def _get_flow_variables(server: Server, request: Request, flow_id: str) -> Translation:
    if server.capabilities["flow_variables"]:
        reply = yield request
        if reply.is_error:
            return reply
        schema = reply.body.get("schema") or {}
    else:
        reply = yield Request("GET", f"/flows/{flow_id}")
        if reply.is_error:
            return reply
        properties = (reply.body["flow"].get("schemas") or {}).get("properties") or {}
        schema = properties.get("variables") or {}
    required = schema.get("required") or []
    variables = {
        name: without_none(
            required=name in required and "default" not in declared,
            defaultValue=declared.get("default"),
            envVar=declared.get("env_var"),
        )
        for name, declared in (schema.get("properties") or {}).items()
        if isinstance(declared, dict)
    }
    return Reply(200, {"flowId": flow_id, "variables": variables})


def _list_components(server: Server, request: Request) -> Translation:
    params = dict(request.params)
    if params.pop("excludeSchemas", None) == "true":
        params["includeSchemas"] = "false"
    reply = yield replace(request, params=params)
    if reply.is_error:
        return reply
    return Reply(200, {"complete": True, "failedPlugins": [], **current_components(reply.body)})


def _get_blob(server: Server, request: Request, blob_id: str) -> Translation:
    reply = yield request
    if reply.status == 500 and "deserialize blob" in str(reply.body):
        # 0.10 and 0.11 cannot return a binary blob as JSON; current servers return null as its data.
        return Reply(200, {"blobId": blob_id, "blobType": "binary", "data": None})
    return reply


def _store_blob(server: Server, request: Request) -> Translation:
    return (yield request)


_RUN = r"/runs/(?P<run_id>[^/]+)"
_ROUTES: list[tuple[str, re.Pattern[str], Callable[..., Translation]]] = [
    (method, re.compile(pattern), translator)
    for method, pattern, translator in (
        ("POST", "/runs", _create_run),
        ("GET", "/runs", _list_runs),
        ("GET", _RUN, _get_run),
        ("DELETE", _RUN, _delete),
        ("POST", _RUN + "/cancel", _cancel_run),
        ("GET", _RUN + "/items", _get_run_items),
        ("GET", _RUN + "/steps", _get_run_steps),
        ("GET", _RUN + "/steps/(?P<step_id>[^/]+)", _get_run_step),
        ("POST", "/flows", _store_flow),
        ("GET", "/flows/(?P<flow_id>[^/]+)", _get_flow),
        ("DELETE", "/flows/(?P<flow_id>[^/]+)", _delete),
        ("GET", "/flows/(?P<flow_id>[^/]+)/variables", _get_flow_variables),
        ("GET", "/components", _list_components),
        ("POST", "/blobs", _store_blob),
        ("GET", "/blobs/(?P<blob_id>[^/]+)", _get_blob),
    )
]


def _error(reply: Reply) -> Reply:
    """Translate an error: the JSON of old servers becomes the current error object. Other errors stay unchanged."""
    body = reply.body
    if not reply.is_error or not isinstance(body, dict) or "message" not in body:
        return reply
    status = _GRPC_STATUS.get(reply.status, "UNKNOWN")
    stack = [each.get("error") for each in body.get("stack") or [] if isinstance(each, dict)]
    inner = without_none(code=reply.status, message=body["message"], status=status, stack=stack or None)
    return replace(reply, body={"error": inner})
