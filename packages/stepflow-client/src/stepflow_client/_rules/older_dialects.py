"""Translates between the current wire format and older servers' formats. No I/O, just decoded JSON in and out."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, NamedTuple

from ..types.statuses import NO_ROUTE
from .operations_and_releases import Server, find_operation, require_capability

# Maps the words that older servers use for statuses and diagnostic levels to the current numbers.
STATUS_BY_WORD = {"running": 1, "completed": 2, "failed": 3, "cancelled": 4, "paused": 5, "recoveryFailed": 6}
WORD_BY_STATUS = {str(number): word for word, number in STATUS_BY_WORD.items()}
LEVEL_BY_WORD = {"fatal": 1, "error": 2, "warning": 3}
# Maps error codes of older servers to current ones. (0.10 uses 500 for everything that fails in a step.)
_CURRENT_ERROR_CODES = {500: 3, -32100: 3, -32300: 3, 1: 8, -32200: 8, -32001: 6, -32202: 9}
_COMPONENT_FAILED, _ORCHESTRATOR = 3, 9
_STEP_IN_TEXT = re.compile(r"""\bstep ["'](?P<id>[^"']+)["']""")


class AlreadyCurrentError(Exception):
    """The response is already in the current format, so the URL now points to a different server."""


def complete_health_body(body: dict[str, Any]) -> dict[str, Any]:
    """Add the fields that an older server's health response lacks, leaving the build information empty."""
    unknown = {"gitVersion": "", "dirty": False, "rustcVersion": "", "profile": "", "features": [], "target": ""}
    return {"build": unknown, **body}


def rename_component_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Rename component fields (0.12 and older use different names)."""
    names = {"component": "componentId", "input_schema": "inputSchema", "output_schema": "outputSchema"}
    components = [{names.get(key, key): value for key, value in old.items()} for old in body.get("components") or []]
    for component in components:
        component.setdefault("path", component.get("componentId"))
        # Required by the current format, but not sent before 0.13.
        component.setdefault("plugin", "")
    return {**body, "components": components}


def get_older_run_fields(body: Any) -> dict[str, Any]:
    """Return a run's fields as older servers send them, i.e. not nested under `summary`."""
    if not isinstance(body, dict) or "runId" not in body:
        if isinstance(body, dict) and "summary" in body:
            raise AlreadyCurrentError
        return {}
    return body


_SUMMARY_FIELDS = (
    "runId", "flowId", "flowName", "items", "createdAt", "completedAt", "rootRunId", "parentRunId", "orchestratorId",
    "createdAtSeqno", "finishedAtSeqno",
)  # fmt: skip


def convert_summary(run: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a run's summary."""
    # Old servers send null where the current format omits the field.
    fields = {key: run[key] for key in _SUMMARY_FIELDS if run.get(key) is not None}
    return {"createdAtSeqno": 0, **fields, "status": STATUS_BY_WORD.get(run["status"], run["status"])}


def convert_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Translate a run's item."""
    fields = {"itemIndex": item["itemIndex"], "status": STATUS_BY_WORD.get(item["status"], item["status"])}
    return {**fields, **drop_none(completedAt=item.get("completedAt")), **convert_result(item.get("result"))}


def convert_result(result: Any) -> dict[str, Any]:
    """Translate a tagged result. A null output is not the same as no output."""
    if not isinstance(result, dict):
        return {}
    if "error" not in result:
        return {"output": result["result"]} if "result" in result else {}
    error = result["error"]
    stack = [entry for entry in ((error.get("data") or {}).get("stack") or []) if isinstance(entry, dict)]
    message = str(error.get("message") or "")
    causes = [str(entry["error"]) for entry in stack if entry.get("error")]
    texts = [message, *causes, *(str(text) for entry in stack for text in entry.get("attachments") or [])]
    step = next((match["id"] for match in map(_STEP_IN_TEXT.search, texts) if match), None)
    code = _CURRENT_ERROR_CODES.get(error.get("code"))
    if code == _COMPONENT_FAILED and message == NO_ROUTE:
        code = _ORCHESTRATOR
    # Before 0.11, the message just names the step. The real cause is at the bottom of the stack.
    cause = causes[-1] if causes and message.startswith('step "') else message
    data = [drop_none(error=entry.get("error"), attachments=entry.get("attachments")) for entry in stack]
    details = drop_none(code=error.get("code"), message=message, stack=data or None)
    return drop_none(errorMessage=cause, errorCode=code, stepId=step, errorData=details)


def convert_step_record(
    run: Mapping[str, Any], step: Mapping[str, Any], item_index: int, step_index: int
) -> dict[str, Any]:
    """Translate a step.

    Older servers don't send some of the current fields. A `journalSeqno` of 0 means that `updatedAt` is made up.
    """
    outcome = convert_result(step.get("result"))
    outcome.pop("stepId", None)
    return {
        "stepId": step["stepId"],
        "component": step.get("component") or "",
        "stepIndex": step_index,
        "itemIndex": item_index,
        "status": STATUS_BY_WORD.get(step["status"], step["status"]),
        "journalSeqno": 0,
        "updatedAt": run.get("completedAt") or run["createdAt"],
        **outcome,
    }


def convert_item_steps(run: Mapping[str, Any], item_index: int, steps: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Translate an item's steps. Drop waiting steps, which current servers don't list."""
    started = [step for step in steps if step.get("status") in STATUS_BY_WORD]
    return [convert_step_record(run, step, item_index, index) for index, step in enumerate(started)]


def drop_none(**values: Any) -> dict[str, Any]:
    """Return the values as a dict, leaving out any that are None."""
    return {key: value for key, value in values.items() if value is not None}


class DecodedRequest(NamedTuple):
    """An API request with its body decoded."""

    method: str
    path: str
    """The path, without the leading `/api/v1`."""
    params: Mapping[str, str] = {}
    body: Any = None


class DecodedResponse(NamedTuple):
    """A response with its body decoded (None if the body isn't JSON)."""

    status: int
    body: Any = None

    @property
    def is_error(self) -> bool:
        """True if the server returned an error."""
        return self.status >= 400


Translation = Generator[DecodedRequest, DecodedResponse, DecodedResponse]

_GRPC_STATUS = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 409: "FAILED_PRECONDITION", 500: "INTERNAL"}


def translate_exchange(server: Server, request: DecodedRequest) -> Translation:
    """Return a generator that translates a current-format request for an older server.

    Raises:
        UnsupportedByServerError: While running the generator, if the server does not support the request.
        AlreadyCurrentError: While running the generator, if a response is already in the current format.
    """
    operation = find_operation(request.method, request.path)
    if operation is not None and operation.capability is not None:
        require_capability(server, operation.capability, operation.needs)
    name = operation.name if operation is not None else ""
    if name == "create_run" and isinstance(request.body, dict) and request.body.get("input") == []:
        require_capability(server, "empty_batch", "a run with no items")
    if name in _TRANSLATORS:
        reply = yield from _TRANSLATORS[name](server, request)
    else:
        reply = yield request
        if name in _CONVERTERS and not reply.is_error:
            reply = DecodedResponse(200, _CONVERTERS[name](reply.body))
    body = reply.body
    if not reply.is_error or not isinstance(body, dict) or "message" not in body:
        return reply
    # Turn an old server's error JSON into the current error object.
    status = _GRPC_STATUS.get(reply.status, "UNKNOWN")
    stack = [entry.get("error") for entry in body.get("stack") or [] if isinstance(entry, dict)]
    error = drop_none(code=reply.status, message=body["message"], status=status, stack=stack or None)
    return reply._replace(body={"error": error})


# Responses to requests sent unchanged


def _convert_created_run(body: Any) -> dict[str, Any]:
    run = get_older_run_fields(body)
    return {"summary": convert_summary(run), "results": [convert_item(item) for item in run.get("results") or []]}


def _convert_run(body: Any) -> dict[str, Any]:
    run = get_older_run_fields(body)
    details = run.get("itemDetails") or []
    steps = [step for item in details for step in convert_item_steps(run, item["itemIndex"], item.get("steps") or [])]
    # Keep the arguments separate, since current servers don't return them.
    ordered = sorted(details, key=lambda item: item["itemIndex"])
    inputs = [item["input"] for item in ordered] if ordered and all("input" in item for item in ordered) else None
    given = {"inputs": inputs, "overrides": run.get("overrides")}
    return {"summary": convert_summary(run), "steps": steps, "given": given}


def _convert_run_items(body: Any) -> dict[str, Any]:
    if "items" not in body:
        raise AlreadyCurrentError
    return {"results": [convert_item(item) for item in body["items"]]}


def _convert_stored_flow(body: Any) -> dict[str, Any]:
    report = dict(body.get("diagnostics") or {})
    report["diagnostics"] = [
        {"experimental": False, **diagnostic, "level": LEVEL_BY_WORD.get(diagnostic["level"], diagnostic["level"])}
        for diagnostic in report.get("diagnostics") or []
    ]
    return {**body, "diagnostics": report}


_CONVERTERS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "create_run": _convert_created_run,
    "get_run": _convert_run,
    "delete_run": lambda body: {},
    "cancel_run": lambda body: {"summary": convert_summary(get_older_run_fields(body))},
    "get_run_items": _convert_run_items,
    "store_flow": _convert_stored_flow,
    # Old servers omit the field when there are no examples.
    "get_flow": lambda body: {"allExamples": [], **body},
    "delete_flow": lambda body: {},
}


# Requests that need to be changed


def _translate_list_runs(server: Server, request: DecodedRequest) -> Translation:
    params = dict(request.params)
    if "status" in params:
        word = WORD_BY_STATUS.get(params["status"])
        if word is None:
            # Runs on this server can't have this status.
            return DecodedResponse(200, {"runs": []})
        params["status"] = word
    reply = yield request._replace(params=params)
    if reply.is_error:
        return reply
    runs = reply.body["runs"]
    if (runs and "runId" not in runs[0]) or any(isinstance(run.get("status"), int) for run in runs):
        raise AlreadyCurrentError
    return DecodedResponse(200, {"runs": [convert_summary(run) for run in runs]})


def _translate_get_run_steps(server: Server, request: DecodedRequest) -> Translation:
    run_id, only_item = request.path.split("/")[2], request.params.get("itemIndex")
    reply = yield DecodedRequest("GET", f"/runs/{run_id}")
    if reply.is_error:
        return reply
    run = get_older_run_fields(reply.body)
    total = run["items"]["total"]
    reply = yield DecodedRequest("GET", f"/runs/{run_id}/steps")
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
        step
        for item_index, item_steps in items
        if only_item is None or str(item_index) == only_item
        for step in convert_item_steps(run, item_index, item_steps)
    ]
    return DecodedResponse(200, {"steps": steps})


def _translate_get_run_step(server: Server, request: DecodedRequest) -> Translation:
    path, _, step_id = request.path.rpartition("/")
    item_index = request.params.get("itemIndex", "0")
    reply = yield from _translate_get_run_steps(server, DecodedRequest("GET", path, {"itemIndex": item_index}))
    if reply.is_error:
        return reply
    step = next((step for step in reply.body["steps"] if step["stepId"] == step_id), None)
    if step is None:
        return DecodedResponse(404, {"message": f"step '{step_id}' not found"})
    return DecodedResponse(200, {"step": step})


def _translate_get_flow_variables(server: Server, request: DecodedRequest) -> Translation:
    flow_id = request.path.split("/")[2]
    has_variables = server.capabilities["flow_variables"]
    reply = yield request if has_variables else DecodedRequest("GET", f"/flows/{flow_id}")
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
    return DecodedResponse(200, {"flowId": flow_id, "variables": variables})


def _translate_list_components(server: Server, request: DecodedRequest) -> Translation:
    params = dict(request.params)
    if params.pop("excludeSchemas", None) == "true":
        params["includeSchemas"] = "false"
    reply = yield request._replace(params=params)
    if reply.is_error:
        return reply
    return DecodedResponse(200, {"complete": True, "failedPlugins": [], **rename_component_fields(reply.body)})


def _translate_get_blob(server: Server, request: DecodedRequest) -> Translation:
    reply = yield request
    if reply.status == 500 and "deserialize blob" in str(reply.body):
        # 0.10 and 0.11 fail to return binary blobs as JSON. Mimic current servers, which return null data.
        return DecodedResponse(200, {"blobId": request.path.rpartition("/")[2], "blobType": "binary", "data": None})
    return reply


_TRANSLATORS: dict[str, Callable[[Server, DecodedRequest], Translation]] = {
    "list_runs": _translate_list_runs,
    "get_run_steps": _translate_get_run_steps,
    "get_run_step": _translate_get_run_step,
    "get_flow_variables": _translate_get_flow_variables,
    "list_components": _translate_list_components,
    "get_blob": _translate_get_blob,
}
