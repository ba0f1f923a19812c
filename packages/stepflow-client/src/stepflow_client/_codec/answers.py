"""Converts responses of the server to JSON values, to errors, and to the run data that the client itself needs. Pure.

This module is imported without pydantic. The module `responses`, whose types need pydantic, builds the values that
callers get. The formats are those of the current server (0.13); responses of older servers are translated first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from .. import errors
from .._base.collector import collector_paused
from .._base.text import cut
from .._data.values import decode
from ..types.statuses import FAILED_STATUSES, STATUS_NUMBERS, ExecutionStatus, read_status

__all__ = [
    "RunState",
    "Started",
    "build",
    "checked_items",
    "checked_summary",
    "error_for",
    "flow_id",
    "given",
    "is_failed",
    "is_unfinished",
    "json_value",
    "run_state",
    "run_states",
    "started",
    "stored_flow",
    "value",
]

Answer = TypeVar("Answer")

_ERRORS: dict[int, type[errors.ApiError]] = {
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
    407: errors.AuthenticationError,
    409: errors.ConflictError,
    410: errors.NotFoundError,
    412: errors.ConflictError,
    429: errors.RateLimitError,
}
_HINTS = {
    401: "is there a token, and is it for this server?",
    403: "do the credentials allow this?",
    407: "the URL of the proxy takes its user and password",
}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LONGEST_MESSAGE = 500
_INDEX_OF, _STATUS_OF = itemgetter("itemIndex"), itemgetter("status")
_LARGE = 32 * 1024
"""Size in bytes above which a response counts as large."""


# Errors in responses


def error_for(
    status: int, content_type: str, content: bytes, asked: str, *, run_id: str | None = None
) -> errors.StepflowClientError | None:
    """Return the error that a response represents, or None if the response is usable.

    Args:
        status: The HTTP status.
        content_type: The content type; servers before 0.12 send JSON errors as text/plain.
        content: The body.
        asked: The request, for example `GET /runs/0190...`.
        run_id: The id of the run concerned, if any.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if status < 300:
        if kind == "application/grpc":
            # The response of 0.12 and newer to a path they do not know.
            return errors.UnsupportedByServerError(f"this server does not know {asked}", status_code=status)
        if kind == "text/html":
            return errors.InvalidResponseError(
                f"{asked} returned a web page",
                status_code=status,
                hint="is this the URL of a Stepflow server?",
            )
        if status == 206:
            return errors.InvalidResponseError(f"{asked} returned a part of a response", status_code=status)
        return None
    if status < 400:
        return errors.InvalidResponseError(
            f"{asked} returned a redirect ({status})", status_code=status, hint="use the URL it leads to"
        )
    message, details = _what_it_says(kind, content)
    if status == 408:
        return errors.RequestTimeoutError(message or f"{asked} returned 408", status_code=408, run_id=run_id)
    answered = f"{asked} returned {status} {_phrase(status)}".rstrip()
    kinds = _ERRORS.get(status, errors.ServerFaultError if status >= 500 else errors.InvalidRequestError)
    if message is None or kinds is errors.AuthenticationError or (status >= 500 and not isinstance(details, dict)):
        # The response may come from a proxy rather than from the server.
        message = f"{answered}: {message}" if message else answered
    hint = _HINTS.get(status)
    return kinds(message, status_code=status, details=details, run_id=run_id, hint=hint)


def _what_it_says(kind: str, content: bytes) -> tuple[str | None, Any]:
    text = content.decode("utf-8", "replace").strip()
    if kind == "text/html" or text[:1] == "<":
        return None, text[:_LONGEST_MESSAGE] or None
    try:
        details = json.loads(text) if text[:1] == "{" else None
    except (ValueError, RecursionError):
        details = None
    if not isinstance(details, dict):
        return _clip(text) or None, text or None
    inner = details.get("error")
    message = (inner if isinstance(inner, dict) else details).get("message")
    if not isinstance(message, str):
        message = inner if isinstance(inner, str) else None
    return (_clip(message) or None) if message else None, details


def _clip(text: str) -> str:
    # A lone surrogate can neither be printed nor stored in a model.
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return cut(line, _LONGEST_MESSAGE)


def _phrase(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def value(content: bytes, asked: object, decode: Callable[[bytes], Any] = decode) -> dict[str, Any]:
    """Return the JSON object in the body of a response.

    Args:
        content: The body.
        asked: The request, for errors.
        decode: How to parse the body: `decode_raw` if its parts are converted later.

    Raises:
        InvalidResponseError: If the body is not a JSON object.
    """
    # The usual case is written out, as every call takes it.
    try:
        decoded = decode(content) if len(content) <= _LARGE else json_value(content, asked, decode)
    except (ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, dict):
        raise _not_json(content, asked)
    return decoded


def json_value(content: bytes, asked: object, decode: Callable[[bytes], Any] = decode) -> Any:
    """Return the JSON value in the body of a response.

    Raises:
        InvalidResponseError: If the body is not JSON.
    """
    try:
        with collector_paused() if len(content) > _LARGE else nullcontext():
            return decode(content)
    except (ValueError, RecursionError):
        raise _not_json(content, asked) from None


def _not_json(content: bytes, asked: object) -> errors.InvalidResponseError:
    start = _clip(content[:400].decode("utf-8", "replace")) or "an empty body"
    start = cut(start, 80)
    return errors.InvalidResponseError(
        f"{asked} returned something other than a JSON object: {start}",
        hint="is this the URL of a Stepflow server?",
    )


def build(make: Callable[[dict[str, Any]], Answer], answer: dict[str, Any], asked: object) -> Answer:
    """Return the value that `make` builds from a response.

    Raises:
        InvalidResponseError: If a required field of the response is missing or has the wrong type.
    """
    try:
        return make(answer)
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        reason = _reason(error)
    raise errors.InvalidResponseError(
        f"{asked} returned a response of an unknown shape: {_clip(reason)}",
        details=answer,
        hint="the server may be of a newer release",
    )


def _reason(error: Exception) -> str:
    # A `pydantic.ValidationError`, recognised without importing pydantic.
    found = getattr(error, "errors", None)
    if found is None:
        return str(error)
    first = found(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}"


# Run data that the client itself needs


def checked_summary(summary: Any) -> dict[str, Any]:
    """Return a run's summary after checking that its ids can be sent: they are used in the paths of requests."""
    if not isinstance(summary, dict):
        raise TypeError(f"the summary of a run is {summary!r}")
    return {**summary, "runId": _run_id(summary["runId"]), "flowId": _sendable(summary["flowId"], "flowId")}


def _run_id(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"runId is {value!r}")
    # Nearly all ids already have this form, and UUID takes several times as long.
    return value if _UUID.fullmatch(value) else str(UUID(value))


def _sendable(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value or value in (".", ".."):
        raise TypeError(f"{what} is {value!r}")
    value.encode()
    return value


def flow_id(answer: dict[str, Any], key: str = "flowId") -> str:
    """Return the id of a flow after checking that it can be used in paths and bodies."""
    return _sendable(answer[key], key)


class Started(NamedTuple):
    """The data of a newly created run that is needed to wait for its end."""

    run_id: str
    status: ExecutionStatus
    answers: list[dict[str, Any]]
    """Its items, if the response contains them, for `responses.items`."""

    @property
    def has_ended(self) -> bool:
        """True if the status is final, and no item of a failed run may still be executed."""
        if not is_failed(self.status):
            return self.status.is_finished
        return bool(self.answers) and all(read_status(answer["status"]).is_finished for answer in self.answers)


def started(answer: dict[str, Any]) -> Started:
    """Read a newly created run, like `responses.created`, but only the fields that are needed."""
    summary = answer["summary"]
    return Started(
        _run_id(summary["runId"]), read_status(summary["status"]), checked_items(answer.get("results") or [])
    )


def checked_items(answers: Any) -> list[dict[str, Any]]:
    """Return the items of a response after checking that each has an index and a status.

    Items are built lazily, so this check also covers items that are never accessed.
    """
    if not isinstance(answers, list) or not set(map(type, answers)) <= {dict}:
        raise TypeError("the items are no list of objects")
    # Check the types first: `true` equals 1.
    if not set(map(type, map(_INDEX_OF, answers))) <= {int}:
        raise TypeError("the index of an item is no integer")
    statuses = list(map(_STATUS_OF, answers))
    if not set(map(type, statuses)) <= {int, str}:
        raise TypeError("the status of an item is neither a number nor a word")
    for status in set(statuses).difference(STATUS_NUMBERS):
        read_status(status)
    return answers


class RunState(NamedTuple):
    """The state of a run: the data that a client waiting for it needs."""

    run_id: str
    status: ExecutionStatus
    total: int
    """Number of items."""
    summary: dict[str, Any]
    """The whole summary sent by the server, for `responses.details`."""

    @property
    def is_finished(self) -> bool:
        """True if the status is final."""
        return self.status.is_finished

    @property
    def running(self) -> int:
        """Number of items that count as running."""
        running = self.summary.get("items", {}).get("running", 0)
        return running if isinstance(running, int) else 0


def given(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the inputs and overrides a run was started with, which only servers before 0.12 return."""
    told = answer.get("given") or {}
    inputs = told.get("inputs")
    if inputs is not None and not isinstance(inputs, list):
        raise TypeError("inputs: not a list")
    return {"inputs": inputs, "overrides": told.get("overrides")}


def stored_flow(answer: dict[str, Any]) -> dict[str, Any]:
    """Read the content of a stored flow, including what a client has added to it."""
    content = answer["flow"]
    if not isinstance(content, dict):
        raise TypeError("flow: not an object")
    return content


def run_state(answer: dict[str, Any], run_id: str | None = None) -> RunState:
    """Read the state of a run.

    Args:
        answer: The response.
        run_id: The id of the requested run.

    Raises:
        ValueError: If the summary is about another run.
    """
    summary = checked_summary(answer["summary"])
    if run_id is not None and summary["runId"] != run_id:
        raise ValueError(f"it is about another run, {summary['runId']}")
    return _state(summary)


def run_states(answer: dict[str, Any]) -> list[RunState]:
    """Read the states of the runs of a list."""
    return [_state(checked_summary(summary)) for summary in answer["runs"]]


def _state(summary: dict[str, Any]) -> RunState:
    items = summary.get("items", {})
    total = items.get("total", 0)
    if isinstance(total, bool) or not isinstance(total, int):
        raise TypeError(f"items.total is {total!r}")
    return RunState(summary["runId"], read_status(summary["status"]), total, summary)


def is_failed(status: ExecutionStatus) -> bool:
    """Return whether a status is that of a failure."""
    return status in FAILED_STATUSES


def is_unfinished(status: ExecutionStatus) -> bool:
    """Return whether a status is not final."""
    return not status.is_finished
