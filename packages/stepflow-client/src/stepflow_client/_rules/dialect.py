"""Translates between the current wire format and the formats of older servers. Pure: decoded JSON in and out.

`translate` is a generator. It takes a request in the current format, yields the requests for the older server, receives
each reply through `send()`, and returns the reply in the current format. The caller does the I/O. If a release does not
support something, it raises an UnsupportedByServerError that names the first release that does.

Older servers are 0.10 and 0.11. Their statuses and levels are words, the fields of a run are not nested in a
`summary`, results are tagged, steps are an object, and errors are JSON sent as text/plain.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .old_responses import (
    LEVELS,
    STATUS_WORDS,
    ShapeChangedError,
    check_flat_run,
    convert_components,
    convert_item,
    convert_step,
    convert_summary,
    drop_none,
    drop_waiting_steps,
)
from .operations import find_operation
from .releases import Server, require_capability


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
    operation = find_operation(request.method, request.path)
    if operation is not None and operation.capability is not None:
        require_capability(server, operation.capability, operation.needs)
    name = operation.name if operation is not None else ""
    if name == "create_run" and isinstance(request.body, dict) and request.body.get("input") == []:
        require_capability(server, "empty_batch", "a run of no items")
    if name in _TRANSLATORS:
        reply = yield from _TRANSLATORS[name](server, request)
    else:
        reply = yield request
        if name in _BODIES and not reply.is_error:
            reply = Reply(200, _BODIES[name](reply.body))
    body = reply.body
    if not reply.is_error or not isinstance(body, dict) or "message" not in body:
        return reply
    # The JSON of an old server's error becomes the current error object.
    status = _GRPC_STATUS.get(reply.status, "UNKNOWN")
    stack = [entry.get("error") for entry in body.get("stack") or [] if isinstance(entry, dict)]
    return replace(
        reply,
        body={"error": drop_none(code=reply.status, message=body["message"], status=status, stack=stack or None)},
    )


# Responses to requests that stay unchanged


def _translate_created_run(body: Any) -> dict[str, Any]:
    run = check_flat_run(body)
    return {"summary": convert_summary(run), "results": [convert_item(item) for item in run.get("results") or []]}


def _translate_run(body: Any) -> dict[str, Any]:
    run = check_flat_run(body)
    details = run.get("itemDetails") or []
    steps = [
        convert_step(run, step, item["itemIndex"], index)
        for item in details
        for index, step in enumerate(drop_waiting_steps(item.get("steps") or []))
    ]
    # Current servers do not return the arguments of a run.
    ordered = sorted(details, key=lambda item: item["itemIndex"])
    inputs = [item["input"] for item in ordered] if ordered and all("input" in item for item in ordered) else None
    return {
        "summary": convert_summary(run),
        "steps": steps,
        "given": {"inputs": inputs, "overrides": run.get("overrides")},
    }


def _translate_run_items(body: Any) -> dict[str, Any]:
    if "items" not in body:
        raise ShapeChangedError
    return {"results": [convert_item(item) for item in body["items"]]}


def _translate_stored_flow(body: Any) -> dict[str, Any]:
    report = dict(body.get("diagnostics") or {})
    report["diagnostics"] = [
        {"experimental": False, **diagnostic, "level": LEVELS.get(diagnostic["level"], diagnostic["level"])}
        for diagnostic in report.get("diagnostics") or []
    ]
    return {**body, "diagnostics": report}


_BODIES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "create_run": _translate_created_run,
    "get_run": _translate_run,
    "delete_run": lambda body: {},
    "cancel_run": lambda body: {"summary": convert_summary(check_flat_run(body))},
    "get_run_items": _translate_run_items,
    "store_flow": _translate_stored_flow,
    # Old servers omit the field if there are no examples.
    "get_flow": lambda body: {"allExamples": [], **body},
    "delete_flow": lambda body: {},
}


# Requests that change


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
    if (runs and "runId" not in runs[0]) or any(isinstance(run.get("status"), int) for run in runs):
        raise ShapeChangedError
    return Reply(200, {"runs": [convert_summary(run) for run in runs]})


def _get_run_steps(server: Server, request: Request) -> Translation:
    run_id, only_item = request.path.split("/")[2], request.params.get("itemIndex")
    reply = yield Request("GET", f"/runs/{run_id}")
    if reply.is_error:
        return reply
    run = check_flat_run(reply.body)
    total = run["items"]["total"]
    reply = yield Request("GET", f"/runs/{run_id}/steps")
    if reply.is_error:
        return reply
    by_id = reply.body["steps"]
    details = run.get("itemDetails") or []
    if total > 1 and any(item.get("steps") for item in details):
        items = [
            (item["itemIndex"], [{**by_id.get(step["stepId"], {}), **step} for step in item.get("steps") or []])
            for item in details
        ]
    else:
        items = [(0, list(by_id.values()))]
    steps = [
        convert_step(run, step, item_index, index)
        for item_index, item_steps in items
        if only_item is None or str(item_index) == only_item
        for index, step in enumerate(drop_waiting_steps(item_steps))
    ]
    return Reply(200, {"steps": steps})


def _get_run_step(server: Server, request: Request) -> Translation:
    path, _, step_id = request.path.rpartition("/")
    item_index = request.params.get("itemIndex", "0")
    reply = yield from _get_run_steps(server, Request("GET", path, {"itemIndex": item_index}))
    if reply.is_error:
        return reply
    for step in reply.body["steps"]:
        if step["stepId"] == step_id:
            return Reply(200, {"step": step})
    return Reply(404, {"code": 404, "message": f"step '{step_id}' not found"})


def _get_flow_variables(server: Server, request: Request) -> Translation:
    flow_id = request.path.split("/")[2]
    has_variables = server.capabilities["flow_variables"]
    reply = yield request if has_variables else Request("GET", f"/flows/{flow_id}")
    if reply.is_error:
        return reply
    if has_variables:
        schema = reply.body.get("schema") or {}
    else:
        properties = (reply.body["flow"].get("schemas") or {}).get("properties") or {}
        schema = properties.get("variables") or {}
    required = schema.get("required") or []
    variables = {
        name: drop_none(
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
    return Reply(200, {"complete": True, "failedPlugins": [], **convert_components(reply.body)})


def _get_blob(server: Server, request: Request) -> Translation:
    reply = yield request
    if reply.status == 500 and "deserialize blob" in str(reply.body):
        # 0.10 and 0.11 cannot return a binary blob as JSON; current servers return null as its data.
        return Reply(200, {"blobId": request.path.rpartition("/")[2], "blobType": "binary", "data": None})
    return reply


_TRANSLATORS: dict[str, Callable[[Server, Request], Translation]] = {
    "list_runs": _list_runs,
    "get_run_steps": _get_run_steps,
    "get_run_step": _get_run_step,
    "get_flow_variables": _get_flow_variables,
    "list_components": _list_components,
    "get_blob": _get_blob,
}
