"""Converts server responses to the types and errors that callers receive."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .. import errors, types
from .._base.gc_pauses_and_slices import pause_garbage_collector
from .._base.lazy import lazy_module
from .._base.text_formatting import cut
from .._data.wire import PLAIN, OutputDecoder, decode, restore_integers, restore_key_order
from .._rules.transport_errors import ANOTHER_SERVICE, PROXIED_SERVER_HINT
from ..types.model_base import decode_model
from ..types.statuses import (
    FAILED_STATUSES,
    FAILED_STEP,
    FINAL_STATUSES,
    NO_REASON,
    STATUS_NUMBERS,
    ExecutionStatus,
    parse_status,
)
from .call_checks import RUN_ID

if TYPE_CHECKING:
    from .._runs import pinned_steps, strip_and_restore_flow
    from .._runs.strip_and_restore_flow import RerunOrigin
    from ..types.runs import HistoryEntry
else:
    strip_and_restore_flow = lazy_module("stepflow_client._runs.strip_and_restore_flow")
    pinned_steps = lazy_module("stepflow_client._runs.pinned_steps")

Answer = TypeVar("Answer")

# Responses larger than this many bytes count as large.
_LARGE_RESPONSE_BYTES = 32 * 1024


def parse_object(content: bytes, request: object, decode: Callable[[bytes], Any] = decode) -> dict[str, Any]:
    """Parse a response body as a JSON object.

    Args:
        content: The body.
        request: The request, for error messages.
        decode: The function that parses the body. Use `decode_keeping_floats` if parts of the body are converted later.

    Raises:
        InvalidResponseError: If the body isn't a JSON object.
    """
    # Hot path: skip `parse_json_value` for small responses.
    try:
        value = decode(content) if len(content) <= _LARGE_RESPONSE_BYTES else parse_json_value(content, request, decode)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _make_not_json_error(content, request)
    return value


def parse_json_value(content: bytes, request: object, decode: Callable[[bytes], Any] = decode) -> Any:
    """Parse a response body as JSON.

    Raises:
        InvalidResponseError: If the body isn't JSON.
    """
    try:
        with pause_garbage_collector() if len(content) > _LARGE_RESPONSE_BYTES else nullcontext():
            return decode(content)
    except (ValueError, RecursionError):
        raise _make_not_json_error(content, request) from None


def _make_not_json_error(content: bytes, request: object) -> errors.InvalidResponseError:
    start = cut(collapse_to_short_line(content[:400].decode("utf-8", "replace")) or "an empty body", 80)
    message = f"{request} returned something other than a JSON object: {start}"
    return errors.InvalidResponseError(message, hint=ANOTHER_SERVICE)


def build_from_response(
    convert_response: Callable[[dict[str, Any]], Answer], answer: dict[str, Any], request: object
) -> Answer:
    """Call `convert_response` to build a value from a response.

    Raises:
        InvalidResponseError: If a required field is missing or has the wrong type.
    """
    try:
        return convert_response(answer)
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        reason = str(error)
    message = f"{request} returned an unexpected response: {collapse_to_short_line(reason)}"
    raise errors.InvalidResponseError(message, details=answer, hint="the server may be a newer release")


def read_components(answer: dict[str, Any]) -> types.ComponentList:
    """Read a server's components."""
    failed = [decode_model(types.FailedPlugin, plugin) for plugin in answer.get("failedPlugins") or []]
    components = [
        types.ComponentInfo(
            name=str(component.get("path") or component.get("componentId") or component["component"]).strip("/"),
            plugin=component.get("plugin") or None,
            description=component.get("description"),
            input_schema=component.get("inputSchema"),
            output_schema=component.get("outputSchema"),
        )
        for component in answer["components"]
    ]
    return types.ComponentList(components, failed)


def add_component_paths_from_routes(listed: types.ComponentList, routes: Mapping[str, Any]) -> types.ComponentList:
    """Add the path that flows use for each component, if it can be determined from the configured routes.

    Args:
        listed: The components.
        routes: The `routes` from the configuration. The keys are prefixes such as `/builtin` (or, in older
            configurations, patterns such as `/builtin/{*component}`). The values are rules that each name a plugin.
    """
    rules_by_plugin: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for route, rules in routes.items():
        for rule in rules if isinstance(rules, list) else []:
            if isinstance(rule, Mapping) and isinstance(rule.get("plugin"), str):
                rules_by_plugin.setdefault(rule["plugin"], []).append((route.partition("{")[0].rstrip("/"), rule))
    only = next(iter(rules_by_plugin.values())) if len(rules_by_plugin) == 1 else []

    def add_path(component: types.ComponentInfo) -> types.ComponentInfo:
        # Older servers don't report the plugin, but if there is only one plugin, we know the prefix anyway.
        for prefix, rule in only if component.plugin is None else rules_by_plugin.get(component.plugin, []):
            name, path = f"/{component.name}", f"{prefix}/{component.name}"
            allowed, denied = rule.get("componentAllow"), rule.get("componentDeny")
            if isinstance(allowed, list) and not any(fnmatchcase(name, str(pattern)) for pattern in allowed):
                continue
            if isinstance(denied, list) and any(fnmatchcase(name, str(pattern)) for pattern in denied):
                continue
            # A route for just this component disables it if the route's list of rules is empty.
            if routes.get(path) != []:
                return replace(component, path=path)
        return component

    return types.ComponentList(map(add_path, listed), listed.failed_plugins)


_ERROR_BY_STATUS: dict[int, type[errors.ApiError]] = {
    **dict.fromkeys((401, 403, 407), errors.AuthenticationError),
    **dict.fromkeys((404, 410), errors.NotFoundError),
    **dict.fromkeys((409, 412), errors.ConflictError),
    429: errors.RateLimitError,
}
_CREDENTIALS_HINT = "set one with STEPFLOW_TOKEN, or with auth= in Python"
_HINT_BY_STATUS = {
    401: f"the token is missing, expired or for a different server: {_CREDENTIALS_HINT}",
    403: f"the credentials do not allow this, or a proxy refuses it: {_CREDENTIALS_HINT}",
    407: "write the user and password into the proxy's URL: http://USER:PASSWORD@HOST:PORT",
    413: "the server, or a proxy in front of it, limits the size of requests; split large values into several blobs",
    429: "send fewer requests at once, or wait",
    500: "see the server's log for the reason",
    **dict.fromkeys((502, 503, 504), PROXIED_SERVER_HINT),
}
# Requests for a specific flow or blob. Servers only reject these with status 400 if the ID is malformed.
_FLOW_OR_BLOB_PATH = re.compile(r"/(flows|blobs)/[^/]+$")
_MAX_MESSAGE_LENGTH = 500


def find_response_error(
    status: int, content_type: str, content: bytes, request: str
) -> errors.StepflowClientError | None:
    """Return the error that a response represents, or None if the response is usable.

    Args:
        status: The HTTP status.
        content_type: The content type. Older servers send JSON errors as text/plain.
        content: The body.
        request: The request, e.g. `GET /runs/0190...`.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if status < 300:
        if kind == "application/grpc":
            # This is how current servers respond to unknown paths.
            return errors.UnsupportedByServerError(f"this server does not support {request}", status_code=status)
        if kind == "text/html":
            page = f"{request} returned a web page"
            return errors.InvalidResponseError(page, status_code=status, hint=ANOTHER_SERVICE)
        if status == 206:
            return errors.InvalidResponseError(f"{request} returned a partial response", status_code=status)
        return None
    if status < 400:
        redirected = f"{request} returned a redirect ({status})"
        return errors.InvalidResponseError(redirected, status_code=status, hint="use the address it redirects to")
    message, details = _parse_error_body(kind, content)
    if status == 408:
        return errors.RequestTimeoutError(message or f"{request} returned 408", status_code=408)
    from http import HTTPStatus

    phrase = next((known.phrase for known in HTTPStatus if known == status), "")
    answered = f"{request} returned {status} {phrase}".rstrip()
    kinds = _ERROR_BY_STATUS.get(status, errors.ServerFaultError if status >= 500 else errors.InvalidRequestError)
    # An error in any other format may come from a proxy, so prefix it with the request and the response status.
    is_by_server = isinstance(details, dict) and message is not None
    if message is None or kinds is errors.AuthenticationError or (status >= 500 and not is_by_server):
        message = f"{answered}: {message}" if message else answered
    hint = None if status >= 500 and is_by_server else _HINT_BY_STATUS.get(status)
    if status == 400 and _FLOW_OR_BLOB_PATH.search(request):
        hint = "a flow or blob ID has 64 hexadecimal digits"
    return kinds(message, status_code=status, details=details, hint=hint)


def _parse_error_body(kind: str, content: bytes) -> tuple[str | None, Any]:
    text = content.decode("utf-8", "replace").strip()
    if kind == "text/html" or text[:1] == "<":
        return None, text[:_MAX_MESSAGE_LENGTH] or None
    try:
        details = json.loads(text) if text[:1] == "{" else None
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, dict):
        return collapse_to_short_line(text) or None, text or None
    inner = details.get("error")
    message = (inner if isinstance(inner, dict) else details).get("message")
    if not isinstance(message, str):
        message = inner if isinstance(inner, str) else None
    return (collapse_to_short_line(message) or None) if message else None, details


def collapse_to_short_line(text: str) -> str:
    """Turn text from a server into a single printable line, cut to a maximum length."""
    # Replace lone surrogates, which can't be printed or stored in a model.
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return cut(line, _MAX_MESSAGE_LENGTH)


_GET_INDEX, _GET_STATUS = itemgetter("itemIndex"), itemgetter("status")
# Runs with more items than this count as large.
_LARGE_RUN_ITEMS = 100


def parse_attachment_name(disposition: str | None) -> str | None:
    """Return the file name from a Content-Disposition header, or None."""
    from email.message import Message

    message = Message()
    message["content-disposition"] = disposition or ""
    return message.get_filename()


# Runs, items and steps


def read_run(answer: dict[str, Any], run_id: str | None = None) -> types.RunDetails:
    """Read a run's summary.

    Args:
        answer: The response.
        run_id: The ID of the requested run.

    Raises:
        ValueError: If the summary is for a different run.
    """
    run = _read_summary(answer["summary"])
    if run_id is not None and run.run_id != run_id:
        raise ValueError(f"it is for a different run, {run.run_id}")
    return run


def read_runs(answer: dict[str, Any]) -> types.ListRunsResponse:
    """Read a list of run summaries."""
    return types.ListRunsResponse(runs=[_read_summary(summary) for summary in answer["runs"]])


def _read_summary(summary: Any) -> types.RunDetails:
    """Read a summary. Its IDs are checked because they end up in request paths."""
    if not isinstance(summary, dict):
        raise TypeError(f"the summary of a run is {summary!r}")
    ids = {"run_id": _parse_run_id(summary["runId"]), "flow_id": _check_id_is_safe(summary["flowId"], "flowId")}
    return decode_model(types.RunDetails, summary, **ids)


def _parse_run_id(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"runId is {value!r}")
    if RUN_ID.fullmatch(value):
        return value
    from uuid import UUID

    return str(UUID(value))


def _check_id_is_safe(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or value in (".", ".."):
        raise TypeError(f"{what} is {value!r}")
    value.encode()
    return value


def read_flow_id(answer: dict[str, Any], key: str = "flowId") -> str:
    """Return a flow ID after checking that it's safe to use in request paths and bodies."""
    return _check_id_is_safe(answer[key], key)


class StartedRun(NamedTuple):
    """The data needed to wait for a newly created run to end."""

    run_id: str
    status: ExecutionStatus
    answers: list[dict[str, Any]]
    """The run's items, if included in the response. Pass them to `read_items`."""
    older_flow_id: str | None = None
    """The ID of the run's flow, if the run was found by its key and its flow isn't the one that was passed."""
    summary: dict[str, Any] | None = None
    """The run as reported by the server, or None if this call did not create the run."""

    @property
    def has_ended(self) -> bool:
        """True if the status is final. If the run failed, all its items must also have ended."""
        if self.status not in FAILED_STATUSES:
            return self.status in FINAL_STATUSES
        return bool(self.answers) and all(parse_status(answer["status"]).is_finished for answer in self.answers)


def read_started_run(answer: dict[str, Any]) -> StartedRun:
    """Read only the fields of a new run that are needed to wait for it to end."""
    summary = answer["summary"]
    items = check_and_sort_items(answer.get("results") or [])
    run_id = summary["runId"]
    run_id = run_id if RUN_ID.fullmatch(run_id) else _parse_run_id(run_id)
    status = summary["status"]
    # Hot path: skip `parse_status` for known numbers. (Check the type because `True == 1`.)
    member = STATUS_NUMBERS.get(status) if type(status) is int else None
    return StartedRun(run_id, member or parse_status(status), items, summary=summary)


def check_and_sort_items(answers: Any) -> list[dict[str, Any]]:
    """Return a response's items in input order, after checking that each has an index and a status.

    Items are built lazily, so this is the only check for items that are never accessed.
    """
    if not isinstance(answers, list) or not set(map(type, answers)) <= {dict}:
        raise TypeError("the items are not a list of objects")
    # Check types first, because `True == 1`.
    if not set(map(type, map(_GET_INDEX, answers))) <= {int}:
        raise TypeError("an item's index is not an integer")
    if not set(map(type, map(_GET_STATUS, answers))) <= {int, str}:
        raise TypeError("an item's status is neither a number nor a string")
    return sorted(answers, key=_GET_INDEX)


def read_reported_arguments(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the inputs and overrides that a run was started with. Only older servers return them."""
    arguments = answer.get("given") or {}
    inputs = arguments.get("inputs")
    if inputs is not None and not isinstance(inputs, list):
        raise TypeError("inputs: not a list")
    return {"inputs": inputs, "overrides": arguments.get("overrides")}


def read_flow_as_stored(answer: dict[str, Any]) -> dict[str, Any]:
    """Read a stored flow's content, including anything added by a client."""
    content = answer["flow"]
    if not isinstance(content, dict):
        raise TypeError("flow: not an object")
    return content


def merge_run_arguments(
    run_id: str, reported: Mapping[str, Any], entry: HistoryEntry | None, origin: RerunOrigin | None = None
) -> types.RunArguments:
    """Return the arguments that a run was started with.

    Args:
        run_id: The run ID.
        reported: The run's `inputs` and `overrides`, if returned by the server.
        entry: The run's history entry, or None if the run wasn't recorded.
        origin: The run being repeated, if this is a rerun that isn't in the history.
    """
    inputs, overrides = reported.get("inputs"), reported.get("overrides")
    if entry is None:
        rerun_of, kept = (None, ()) if origin is None else (origin.run_id, origin.kept)
        changes = _unwrap_overrides(overrides)
        return types.RunArguments(run_id=run_id, inputs=inputs, overrides=changes, rerun_of=rerun_of, kept=list(kept))
    if entry.rerun_of is not None and entry.overrides is not None:
        # The server only knows the overrides for steps that were executed.
        overrides = entry.overrides
    if inputs is None and "input" not in entry.omitted:
        inputs = entry.input if isinstance(entry.input, list) else [entry.input]
    return types.RunArguments(
        run_id=run_id,
        inputs=inputs,
        variables=None if "variables" in entry.omitted else dict(entry.variables or {}),
        overrides=_unwrap_overrides(overrides or entry.overrides),
        labels=dict(entry.labels),
        note=entry.note,
        is_recorded=True,
        rerun_of=entry.rerun_of,
        kept=list(entry.kept),
    )


def _unwrap_overrides(overrides: Any) -> Any:
    """Convert overrides to the form that callers use, `{step: {"input": ...}}`.

    Servers and the history both wrap each step's change in an object.
    """
    if not isinstance(overrides, Mapping):
        return overrides or None
    wrapped = overrides["steps"] if set(overrides) == {"steps"} else overrides
    changes = {
        step: change["value"] if isinstance(change, Mapping) and set(change) - {"$type"} == {"value"} else change
        for step, change in (wrapped.items() if isinstance(wrapped, Mapping) else ())
    }
    return changes or None


def read_flow(answer: dict[str, Any], flow_id: str | None = None) -> types.StoredFlow:
    """Read a stored flow, without anything added by a client.

    Args:
        answer: The response.
        flow_id: The ID of the requested flow, if it was requested by ID.

    Raises:
        ValueError: If the response is for a different flow.
    """
    content = answer["flow"]
    # Servers can return keys in a different order each time, but idempotency keys and journals need a stable order.
    written = restore_key_order(strip_and_restore_flow.restore_flow(content)) if isinstance(content, dict) else content
    stored = decode_model(types.StoredFlow, {**answer, "flow": written})
    if flow_id is not None and stored.flow_id != flow_id:
        raise ValueError(f"it is for a different flow, {stored.flow_id}")
    return stored


def read_items(run_id: str, answers: Any, decoder: OutputDecoder = PLAIN) -> types.ListItemsResponse:
    """Read a run's items, in input order. Each item is built on first access."""
    answers = check_and_sort_items(answers)
    convert = partial(read_item, run_id, decoder=decoder)
    read = partial(build_from_response, convert, request=f"GET /runs/{run_id}/items")
    return types.ListItemsResponse(run_id=run_id, items=types.RunItems(answers, read))


def read_item(run_id: str, answer: dict[str, Any], decoder: OutputDecoder = PLAIN) -> types.RunItem:
    """Read a single item. A running item has neither an output nor an error."""
    status = parse_status(answer["status"])
    output = decoder.restore_flow_output(answer.get("output")) if status.is_finished else None
    error = read_error(answer, decoder) if status in FAILED_STATUSES else None
    return decode_model(
        types.RunItem, answer, index=answer["itemIndex"], run_id=run_id, status=status, output=output, error=error
    )


def read_results(
    listed: types.ListItemsResponse, status: ExecutionStatus, decoder: OutputDecoder = PLAIN
) -> list[types.FlowResult]:
    """Return the results of a finished run.

    If the run was cancelled or couldn't start, some items may still be marked as running. They get the run's status.

    Args:
        listed: The items. There may be 100,000 of them, so items that haven't been accessed yet aren't built.
        status: The run's final status.
        decoder: How to decode the run's responses.
    """
    run_id = listed.run_id
    entries = listed.items._entries if isinstance(listed.items, types.RunItems) else listed.items
    unknown_error = read_error({}) if status in FAILED_STATUSES else None

    def read(entry: Any) -> types.FlowResult:
        item = entry if isinstance(entry, types.RunItem) else read_item(run_id, entry, decoder)
        return item.result or types.FlowResult(run_id=run_id, status=status, error=unknown_error)

    with pause_garbage_collector() if len(entries) > _LARGE_RUN_ITEMS else nullcontext():
        return build_from_response(lambda _: [read(entry) for entry in entries], {}, f"GET /runs/{run_id}/items")


# Status values that mean an item has completed.
_COMPLETED_STATUSES = frozenset({2, "completed"})


def read_outputs_if_completed(run_id: str, items: Sequence[Any], decoder: OutputDecoder = PLAIN) -> list[Any] | None:
    """Return each item's output without building any items, or None if any item hasn't completed.

    Args:
        run_id: The run ID.
        items: The run's items, as sent by the server or as returned by `read_items`.
        decoder: How to decode the run's responses.
    """
    entries = items._entries if isinstance(items, types.RunItems) else items
    if not all(type(entry) is dict and entry["status"] in _COMPLETED_STATUSES for entry in entries):
        return None
    with pause_garbage_collector() if len(entries) > _LARGE_RUN_ITEMS else nullcontext():
        read = decoder.restore_flow_output
        request = f"GET /runs/{run_id}/items"
        return build_from_response(lambda _: [read(entry.get("output")) for entry in entries], {}, request)


def read_immediate_result(run: StartedRun, decoder: OutputDecoder = PLAIN) -> types.FlowResult | None:
    """Return the result of a new single-item run if it has already succeeded, or None if it hasn't."""
    if run.status is not ExecutionStatus.COMPLETED or len(run.answers) != 1:
        return None
    answer = run.answers[0]
    if answer["status"] not in _COMPLETED_STATUSES:
        return None
    try:
        output = decoder.restore_flow_output(answer.get("output"))
    except (ValueError, RecursionError):
        # Read the whole item, which raises an error that says what's wrong.
        read = partial(read_item, run.run_id, decoder=decoder)
        return build_from_response(read, answer, f"GET /runs/{run.run_id}/items").result
    return types.FlowResult(run_id=run.run_id, status=run.status, output=output)


def get_only_result(
    listed: types.ListItemsResponse, status: ExecutionStatus, decoder: OutputDecoder = PLAIN
) -> types.FlowResult:
    """Return the result of a finished single-item run.

    Raises:
        InvalidResponseError: If the server didn't return exactly one item.
    """
    results = read_results(listed, status, decoder)
    if len(results) != 1:
        message = f"run {listed.run_id} has one item, but the server returned {len(results)}"
        raise errors.InvalidResponseError(message, run_id=listed.run_id)
    return results[0]


def read_error(answer: dict[str, Any], decoder: OutputDecoder = PLAIN) -> types.FlowError:
    """Read a failed item's or step's error, hiding any secrets that it quotes."""
    message = answer.get("errorMessage")
    message = message if isinstance(message, str) and message else NO_REASON
    step = FAILED_STEP.match(message)
    code: Any = answer.get("errorCode")
    details = restore_integers({key: answer[key] for key in ("errorCode", "errorData") if key in answer})
    if (mocked := pinned_steps.parse_mocked_failure_message(message)) is not None:
        # Drop the server's code and data, because they belong to the component that fails in place of the mocked step.
        (code, message), details = mocked, None
    if decoder.secrets:
        message, details = decoder.secrets.hide_in_text(message), decoder.secrets.hide_in(details)
    step_id = answer.get("stepId") or (step["id"] if step else None)
    return types.FlowError(message=message, code=code, step_id=step_id, details=details or None)


def read_steps(
    run_id: str, answers: Iterable[dict[str, Any]], decoder: OutputDecoder = PLAIN
) -> types.ListStepsResponse:
    """Read a run's steps, sorted by item and then in flow order."""
    steps = [read_step(answer, decoder) for answer in answers]
    steps.sort(key=lambda step: (step.item_index, step.step_index if step.step_index is not None else 0))
    return types.ListStepsResponse(run_id=run_id, steps=steps)


def read_step(answer: dict[str, Any], decoder: OutputDecoder = PLAIN) -> types.StepDetails:
    """Read a single step."""
    error = read_error(answer, decoder) if parse_status(answer["status"]) is ExecutionStatus.FAILED else None
    fields: dict[str, Any] = {"component": answer.get("component") or None, "error": error}
    if answer.get("journalSeqno") == 0:
        # 0 means that the step was translated from an older server's response, which doesn't contain this timestamp.
        fields["updated_at"] = None
    return decode_model(types.StepDetails, answer, output=decoder.restore_step_output(answer.get("output")), **fields)


def read_requested_step(
    answer: dict[str, Any], step_id: str, item_index: int, decoder: OutputDecoder = PLAIN
) -> types.StepDetails:
    """Read the requested step.

    Raises:
        ValueError: If the response is for a different step.
    """
    step = read_step(answer, decoder)
    if (step.step_id, step.item_index) != (step_id, item_index):
        raise ValueError(f"it is for a different step, {step.step_id!r} of item {step.item_index}")
    return step


# Servers, flows and components


def read_health(answer: dict[str, Any]) -> types.HealthResponse:
    """Read a server's health. Servers that report a release send only a placeholder for the build, so drop it."""
    return decode_model(types.HealthResponse, {**answer, "build": None} if answer.get("version") else answer)


def read_diagnostics(diagnostics: dict[str, Any] | None) -> types.ValidationResult:
    """Read a flow's diagnostics, most severe first."""
    grave = {types.DiagnosticLevel.FATAL: 0, types.DiagnosticLevel.ERROR: 1}
    decoded = [decode_model(types.Diagnostic, entry) for entry in (diagnostics or {}).get("diagnostics", [])]
    return types.ValidationResult(diagnostics=sorted(decoded, key=lambda diagnostic: grave.get(diagnostic.level, 2)))
